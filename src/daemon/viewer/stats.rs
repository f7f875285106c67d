//! `ptfs stats`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use super::super::options::nearest;
use super::{Failure, Which, colour, document, ended, read, show};
use crate::stats::doc::{Document, Latency};
use crate::stats::{OpKind, hgrm, sheet};
use crate::sys::told;

const DETAILS: &str = "\
Figures are those since the mount, or since --reset. Latencies run from reaping a request to its
answer: what it waited before in the kernel, no daemon can know (ptfs-bench measures it from the
client's side). Phases are parts of them: queue (others were first), inline, ring and helper (the
backing call, on the spot, through io_uring or by a thread), lock (waiting for another client), own
(the daemon itself).

Examples:
  ptfs stats ~/view                  The table
  ptfs stats --reset ~/view          The table, and count from zero from now on
  ptfs stats --json ~/view | jq '.operations[] | {op, count, p99: .latency.p99}'
  ptfs stats --hgrm=READ ~/view      One distribution, for HdrHistogram's plotter
  ptfs stats --hgrm=DIR ~/view       All of them, into files of a directory

Only who mounted may ask, and root. A directory of the name stats is served by
`ptfs ./stats MOUNTPOINT`.
Exit code: 0 if there was an answer, 1 if there was none, 2 for a wrong command line.";

/// Show what a mount has done and how long it took
#[derive(Parser, Debug)]
#[command(name = "stats", bin_name = "ptfs stats", after_help = DETAILS, max_term_width = 110)]
pub struct Stats {
    #[command(flatten)]
    which: Which,

    /// Answer in JSON, times in nanoseconds
    #[arg(long, conflicts_with = "hgrm")]
    json: bool,

    /// Distributions as HdrHistogram has them, in microseconds: of one operation (READ), of all of them into files
    /// of a directory, or of everything together
    #[arg(long, value_name = "OP|DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(value_parser = operation_or_directory)]
    hgrm: Option<String>,

    /// Count from zero afterwards
    #[arg(long)]
    reset: bool,
}

impl Stats {
    /// Asks and shows.
    pub fn run(&self) -> ExitCode {
        ended(self.answer())
    }

    fn answer(&self) -> Result<(), Failure> {
        let mount = self.which.mount()?;
        let question = if self.reset { "reset" } else { "stats" };
        if self.json {
            // As it came, once it is known to be what it should be.
            let answer = told::ask_of(&mount, question)?;
            read(&answer)?;
            return show(&format!("{answer}\n"));
        }
        let document = document(&mount, question)?;
        match self.hgrm.as_deref() {
            None => show(&sheet::write(&document, bold)),
            Some("") => show(&hgrm::write(&everything(&document).buckets)),
            Some(name) => match operation(name) {
                Some(kind) => one(&document, kind.name()),
                None => all(&document, Path::new(name)),
            },
        }
    }
}

fn operation(name: &str) -> Option<OpKind> {
    OpKind::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
}

/// Names in capitals are meant for an operation: a misspelt one is not to become a directory.
fn operation_or_directory(text: &str) -> Result<String, String> {
    let looks_like_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !looks_like_one || operation(text).is_some() || Path::new(text).is_dir() {
        return Ok(text.to_owned());
    }
    let names = OpKind::ALL.iter().map(|kind| kind.name());
    let hint = nearest(text, names).map(|name| format!("; there is {name}")).unwrap_or_default();
    Err(format!("no operation of that name{hint}; a directory is ./{text}"))
}

fn bold(line: &str) -> String {
    if colour() { format!("\x1b[1m{line}\x1b[0m") } else { line.to_owned() }
}

fn everything(document: &Document) -> Latency {
    Latency::merged(document.operations.iter().map(|operation| &operation.latency))
}

fn one(document: &Document, name: &str) -> Result<(), Failure> {
    let found = document.operations.iter().find(|operation| operation.op == name);
    let operation = found.ok_or_else(|| format!("nobody has asked for a {name}"))?;
    show(&hgrm::write(&operation.latency.buckets))
}

/// A file for each operation, and one for each of its phases.
fn all(document: &Document, dir: &Path) -> Result<(), Failure> {
    let write = |name: &str, latency: &Latency| {
        let path = dir.join(format!("{name}.hgrm"));
        let written = fs::write(&path, hgrm::write(&latency.buckets));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    for operation in &document.operations {
        // Names of another's making are not to lead out of the directory.
        let name = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
        write(&name(&operation.op), &operation.latency)?;
        for (phase, latency) in &operation.phases {
            write(&format!("{}.{}", name(&operation.op), name(phase)), latency)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_operation_is_no_directory() {
        for good in ["", "READ", "read", "hgrm", "./REED", "/tmp/FOO", "Reed"] {
            assert_eq!(operation_or_directory(good).as_deref(), Ok(good));
        }
        let refused = operation_or_directory("REED").expect_err("no operation");
        assert!(refused.contains("there is READ") && refused.contains("./REED"), "{refused}");
        assert!(operation_or_directory("FOO").is_err());
    }
}
