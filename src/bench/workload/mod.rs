//! What is measured: files to prepare, and an operation on them or a whole job. Each is a TOML file (docs/workloads.md).

use std::path::Path;

use super::result::Load;
use super::stop::Stop;

/// What the caches must be like when a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caches {
    /// Whatever they are.
    Any,
    /// What the round asks for has been asked for before.
    Warm,
    /// Neither the client's kernel nor the host's holds anything of it.
    Cold,
}

/// One workload.
#[derive(Clone, Debug)]
pub struct Workload {
    name: String,
    toml: String,
}

/// What a workload has laid out below a directory, and what is known of it. It holds no descriptor, so that the mount
/// may come and go between rounds.
pub struct Prepared;

impl Workload {
    /// Those that come with the program.
    pub fn builtin() -> Vec<Workload> {
        Vec::new()
    }

    /// Reads a workload; an error is one line and names the line of `toml`.
    pub fn parse(name: &str, toml: &str) -> Result<Workload, String> {
        Ok(Workload { name: name.to_owned(), toml: toml.to_owned() })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line about it.
    pub fn about(&self) -> &str {
        ""
    }

    /// Its text.
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// What has to be brought about before each round.
    pub fn caches(&self) -> Caches {
        Caches::Any
    }

    /// True if an operation is a whole job.
    pub fn is_job(&self) -> bool {
        false
    }

    /// What it is measured with unless told otherwise.
    pub fn loads(&self) -> Vec<Load> {
        Vec::new()
    }

    /// Makes what it needs below the empty directory `dir`, scaled by `scale`.
    pub fn prepare(&self, dir: &Path, scale: f64, stop: &Stop) -> Result<Prepared, String> {
        let _ = (dir, scale, stop);
        Err(format!("{}: not built yet", self.name))
    }
}
