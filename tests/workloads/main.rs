//! Workloads: the built-in ones run, bad ones are refused by line, and wrong answers are told from right ones.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod builtin;
mod jobs;
mod refused;
mod wrong;

use std::path::PathBuf;
use std::time::Duration;

use ptfs::bench::load::{self, Measured};
use ptfs::bench::result::Load;
use ptfs::bench::stop::Stop;
use ptfs::bench::workload::{Prepared, Workload};

/// A workload that is laid out in a directory of its own.
struct Laid {
    prepared: Prepared,
    dir: tempfile::TempDir,
}

impl Laid {
    fn out(toml: &str) -> Laid {
        Laid::of(&Workload::parse("test", toml).expect("a workload"), 1.0)
    }

    fn of(workload: &Workload, scale: f64) -> Laid {
        let dir = tempfile::tempdir().expect("a directory");
        let prepared = workload.prepare(dir.path(), scale, &Stop::new()).expect("prepared");
        Laid { prepared, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, load: Load, milliseconds: u64) -> Measured {
        load::run(&self.prepared, load, Duration::from_millis(milliseconds), &Stop::new()).expect("a round")
    }

    /// A round of one client.
    fn one(&self, milliseconds: u64) -> Measured {
        self.run(Load::Closed { clients: 1 }, milliseconds)
    }
}
