//! What is measured: files to prepare, and an operation on them or a whole job. Each is a TOML file (docs/workloads.md).

mod blocks;
mod builtin;
mod cache;
pub mod content;
mod names;
pub mod operation;
mod prepared;
pub(in crate::bench) mod script;
pub(in crate::bench) mod spec;
mod tree;
mod whole;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::result::Load;
use super::stop::Stop;
use spec::Spec;

pub(in crate::bench) use blocks::{Transfer, Transfers};
pub use prepared::Prepared;

/// What the caches must be like when a round begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caches {
    /// Whatever they are.
    #[default]
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
    spec: Arc<Spec>,
}

impl Workload {
    /// Those that come with the program, in the order of `--list`.
    pub fn builtin() -> Vec<Workload> {
        // A test reads them all: none is lost here.
        builtin::ALL.iter().filter_map(|(name, toml)| Workload::parse(name, toml).ok()).collect()
    }

    /// Reads a workload; an error is one line and names the line of `toml`.
    pub fn parse(name: &str, toml: &str) -> Result<Workload, String> {
        let spec = Arc::new(spec::parse(name, toml)?);
        Ok(Workload { name: name.to_owned(), toml: toml.to_owned(), spec })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line about it.
    pub fn about(&self) -> &str {
        &self.spec.about
    }

    /// Its text.
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// What has to be brought about before each round.
    pub fn caches(&self) -> Caches {
        self.spec.caches
    }

    /// True if an operation is a whole job.
    pub fn is_job(&self) -> bool {
        self.spec.job.is_some()
    }

    /// What it is measured with unless told otherwise.
    pub fn loads(&self) -> Vec<Load> {
        if self.is_job() {
            return vec![Load::Job];
        }
        let clients = self.spec.clients.iter().map(|clients| Load::Closed { clients: *clients.get_ref() });
        let depth = self.spec.depth.iter().map(|depth| Load::Depth { depth: *depth.get_ref() });
        let loads: Vec<Load> = clients.chain(depth).collect();
        if loads.is_empty() { vec![Load::Closed { clients: 1 }] } else { loads }
    }

    /// True if a cache between client and server may answer, since that is what is measured. Else each operation takes at
    /// least one request.
    pub fn may_be_cached(&self) -> bool {
        self.caches() == Caches::Warm || self.spec.operation.as_ref().is_none_or(|op| op.get_ref().may_be_cached())
    }

    /// Makes what it needs below the empty directory `dir`, scaled by `scale`.
    pub fn prepare(&self, dir: &Path, scale: f64, stop: &Stop) -> Result<Prepared, String> {
        Prepared::new(self, dir, scale, stop).map_err(|why| format!("{}: {why}", self.name))
    }
}
