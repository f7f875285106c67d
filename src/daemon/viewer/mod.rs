//! `ptfs stats`, `ptfs list` and `ptfs top`: what daemons tell of themselves, asked from outside.

mod list;
mod stats;
mod top;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use self::list::List;
pub use self::stats::Stats;
pub use self::top::Top;
use super::say;
use crate::stats::doc::{Document, VERSION};
use crate::sys::mountinfo::Entry;
use crate::sys::told;

/// Why a word came to nothing.
pub struct Failure {
    code: u8,
    line: String,
}

impl From<String> for Failure {
    fn from(line: String) -> Failure {
        Failure { code: 1, line }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        error.to_string().into()
    }
}

/// What to end with, after it was said.
fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, line }) => {
            say(line);
            ExitCode::from(code)
        }
    }
}

/// The mount in which this path lies; without one, the only mount that may be asked.
fn chosen(path: Option<&Path>) -> Result<Entry, Failure> {
    if let Some(path) = path {
        return Ok(told::mount_at(path)?);
    }
    let mut mounts = list::askable()?;
    match mounts.len() {
        0 => Err("no mount of ptfs is here that you may ask; `ptfs list` shows all".to_owned().into()),
        1 => Ok(mounts.remove(0)),
        _ => {
            let points: Vec<String> = mounts.iter().map(|mount| mount.point.display().to_string()).collect();
            Err(Failure { code: 2, line: format!("which mount? There are {}", points.join(", ")) })
        }
    }
}

/// The document that a daemon answers with.
fn document(mount: &Entry, question: &str) -> io::Result<Document> {
    read(&told::ask_of(mount, question)?)
}

fn read(answer: &str) -> io::Result<Document> {
    let read: serde_json::Result<Document> = serde_json::from_str(answer);
    match read {
        Ok(document) if document.ptfs_stats == VERSION => Ok(document),
        _ => Err(io::Error::other("the daemon's answer is of another version of ptfs: ask by its own binary")),
    }
}

/// To standard output. A closed pipe has read enough.
fn show(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}").into()),
        _ => Ok(()),
    }
}

/// Whether to colour what goes to standard output: see no-color.org.
fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The argument that all of them have.
#[derive(clap::Args, Debug)]
struct Which {
    /// Any path in the mount; may be left out where there is one mount only
    mount: Option<PathBuf>,
}

impl Which {
    fn mount(&self) -> Result<Entry, Failure> {
        chosen(self.mount.as_deref())
    }
}
