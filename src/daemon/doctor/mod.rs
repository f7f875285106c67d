//! `ptfs doctor`: what this host offers to a mount, what each thing is worth, and how to get what is missing.

mod facts;
mod findings;
mod fix;
mod plan;
mod print;
mod source;
mod tree;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use self::facts::Facts;
use self::fix::Done;
use self::tree::Tree;
use super::say;
use crate::sys::process;

const DETAILS: &str = "\
Marks: ok; better: a mount works without it; MISSING: no mount works without it. It tells what holds
for whoever runs it: run it as the user who will run ptfs. A directory of the name doctor is served
by `ptfs ./doctor MOUNTPOINT`.

--fix, as root, sets:
  FUSE-over-io_uring  enable_uring in /sys/module/fuse/parameters, and for the next boot a line in
                      /etc/tmpfiles.d/ptfs.conf, of a loaded module in /etc/modprobe.d/ptfs.conf too
  larger requests     /proc/sys/fs/fuse/max_pages_limit, where it was lowered, and the same line
  user_allow_other    a line in /etc/fuse.conf, if fusermount3 is there: plain users may then let
                      other users, and root, into mounts whose answers they control
It never allows io_uring where that is forbidden (kernel.io_uring_disabled, seccomp): this decision
is about the whole host. Each change is printed, and recorded in /var/lib/ptfs/doctor.json before it
is made; --undo takes back exactly these. Both can be repeated. Mounts that are there stay as they
are.

Exit code: 0 if a mount works, 1 if none does (with --fix and --undo: if a change failed), 2 for a
wrong command line.";

/// The directory below which the files of the system are, for tests.
const ROOT: &str = "PTFS_DOCTOR_ROOT";

/// Tell what this host offers to a mount, what it is worth, and how to get what is missing
#[derive(Parser, Debug)]
#[command(name = "doctor", bin_name = "ptfs doctor", after_help = DETAILS, max_term_width = 110)]
pub struct Doctor {
    /// Set what can be set, and write down what was there before
    #[arg(long, conflicts_with = "undo")]
    fix: bool,

    /// Take back what --fix has done
    #[arg(long)]
    undo: bool,

    /// Answer in JSON
    #[arg(long)]
    json: bool,

    /// Directory to serve: tell what its filesystem offers too
    source: Option<PathBuf>,
}

/// What `--fix` and `--undo` say in JSON.
#[derive(Serialize)]
struct Changes<'a> {
    changes: &'a [Done],
}

impl Doctor {
    /// Does what the command line asks for.
    pub fn run(&self) -> ExitCode {
        let outcome = if self.fix || self.undo { self.change() } else { self.tell() };
        match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(line) => {
                say(line);
                ExitCode::FAILURE
            }
        }
    }

    /// True if a mount works.
    fn tell(&self) -> Result<bool, String> {
        let facts = Facts::collect(&Self::tree(), self.source.as_deref());
        let report = findings::judge(&facts);
        let text = match self.json {
            true => json(&report)?,
            false => print::table(&report, plan::plan(&facts).len(), facts.source.is_some()),
        };
        show(&text);
        Ok(report.mounts)
    }

    /// True if all changes were made.
    fn change(&self) -> Result<bool, String> {
        let tree = Self::tree();
        let word = if self.fix { "--fix" } else { "--undo" };
        let (_, _, root) = process::user();
        if tree.is_real() && !root {
            return Err(format!(
                "doctor {word} changes files of the system: run it as root, `sudo ptfs doctor {word}`"
            ));
        }
        let changes = match self.fix {
            true => fix::fix(&tree, &plan::plan(&Facts::collect(&tree, None)))?,
            false => fix::undo(&tree)?,
        };
        let text = match self.json {
            true => json(&Changes { changes: &changes })?,
            false if changes.is_empty() && self.fix => "Nothing to set: all that --fix can do is done.\n".to_owned(),
            false if changes.is_empty() => "Nothing to take back.\n".to_owned(),
            false => changes.iter().map(|done| format!("{}: {}\n", done.path, done.what)).collect(),
        };
        show(&text);
        Ok(!changes.iter().any(|done| done.failed))
    }

    fn tree() -> Tree {
        Tree::new(env::var_os(ROOT).unwrap_or_else(|| "/".into()))
    }
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// To standard output. A closed pipe has read enough.
fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
