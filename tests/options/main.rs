//! What each option of the caching policy and of access does to a mount: seen by a client, seen on the host, and
//! counted in requests.
//!
//! They need root. Each test has directories and a daemon of its own.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod access;
mod attributes;
mod caching;
mod files;
mod plain_user;
mod reaching;
mod removing;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Mount, VARIANTS, Variant, sys};
use tempfile::TempDir;

/// The kernel keeps what it may for the whole test.
const FOREVER: [&str; 2] = ["--attr-timeout=1000", "--entry-timeout=1000"];

/// A directory and a mount of it.
struct Served {
    mount: Mount,
    source: TempDir,
}

impl Served {
    /// Serves an empty directory by the first of the engines.
    fn new(arguments: &[&str]) -> Served {
        Served::by(&VARIANTS[0], arguments, |_| {})
    }

    /// Serves what `fill` puts into a directory.
    fn by(variant: &Variant, arguments: &[&str], fill: impl FnOnce(&Path)) -> Served {
        let source = tempfile::Builder::new().prefix("ptfs-options-").tempdir().unwrap();
        fs::set_permissions(source.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        fill(source.path());
        let mount = Mount::with_args(variant, &[arguments, &["-o", "allow_other"]].concat(), source.path());
        Served { mount, source }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    fn on_host(&self, name: &str) -> PathBuf {
        self.source.path().join(name)
    }

    /// How many requests of these names came until now.
    fn count(&self, names: &[&str]) -> u64 {
        self.mount.idle();
        let reports = |text: &str| text.matches("resident memory").count();
        let before = reports(&self.mount.stderr());
        sys::kill(self.mount.pid(), libc::SIGUSR1).unwrap();
        until("a report", || reports(&self.mount.stderr()) > before);
        let said = self.mount.stderr();
        let table = said.rsplit("latency from ").next().unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let counted = rows.filter(|cells| cells.first().is_some_and(|name| names.contains(name)));
        counted.map(|cells| cells[1].parse::<u64>().unwrap()).sum()
    }

    /// How many requests of these names `work` takes.
    fn during(&self, names: &[&str], work: impl FnOnce()) -> u64 {
        let before = self.count(names);
        work();
        self.count(names) - before
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// What the kernel may keep it may also forget, for want of memory: that it keeps something is seen once in some tries,
/// or it is not kept.
fn kept(scenario: impl Fn() + std::panic::RefUnwindSafe) {
    let seen = (0..4).any(|_| std::panic::catch_unwind(&scenario).is_ok());
    if !seen {
        scenario();
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("an error").raw_os_error().expect("an errno")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
