//! Whether the mount answers, found out by a process of its own.
//!
//! A thread that waits for its own mount could be neither killed nor left behind: it shares the descriptor of the device,
//! so the request that it waits for would last as long as it does itself.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use crate::sys::mount::{MountId, identify, wait_for_answer};
use crate::sys::process::Companion;

/// The process, and our end of the line to it.
pub struct Prober {
    child: Companion<UnixStream>,
    /// Since when it owes an answer.
    asked: Option<Instant>,
    heard: Vec<u8>,
    /// It has ended: nothing more comes from there.
    gone: bool,
}

/// Why there will be no answer any more.
pub const ENDED: &str = "the process that tests the mount has ended";

impl Prober {
    /// Starts it. The daemon's device is closed there, and no thread exists yet.
    pub fn start(point: &Path, id: MountId) -> io::Result<Prober> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Companion::start(c"ptfs-probe", ours, theirs, |line| answer(line, point, id))?;
        Ok(Prober { child, asked: None, heard: Vec::new(), gone: false })
    }

    /// Begins a test, unless one has not ended yet: its answer is as good. The time since when it is waited for; `None` if
    /// there is nobody to ask.
    pub fn ask(&mut self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        let since = *self.asked.get_or_insert_with(|| {
            if let Some(mut line) = self.child.tie() {
                // Cannot be full of one byte at a time; that the other end is closed is heard from reading.
                let _ = line.write(b"?");
            }
            Instant::now()
        });
        Some(since)
    }

    /// Where the answer comes. An end that was heard would be heard again and again.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.child.tie().filter(|_| !self.gone).map(AsFd::as_fd)
    }

    /// The answer, if it has come: nothing, or why the mount is not well.
    pub fn hear(&mut self) -> Option<Result<(), String>> {
        let mut buffer = [0; 256];
        let length = match self.child.tie()?.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Ok(0) | Err(_) => {
                self.gone = true;
                return Some(Err(ENDED.to_owned()));
            }
            Ok(length) => length,
        };
        self.heard.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let line = self.heard.strip_suffix(b"\n")?;
        let line = String::from_utf8_lossy(line).into_owned();
        self.heard.clear();
        self.asked = None;
        Some(if line.is_empty() { Ok(()) } else { Err(line) })
    }
}

impl Drop for Prober {
    /// By now the device is closed, so that the kernel has answered what the child may wait for.
    fn drop(&mut self) {
        self.child.kill();
    }
}

/// What the process does: an empty line for each byte if the mount has answered, else the reason.
fn answer(mut line: UnixStream, point: &Path, id: MountId) {
    let mut question = [0];
    while line.read_exact(&mut question).is_ok() {
        let reason = match test(point, id) {
            Ok(()) => String::new(),
            Err(reason) => reason.replace('\n', " "),
        };
        if line.write_all(format!("{reason}\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn test(point: &Path, id: MountId) -> Result<(), String> {
    // Asks nobody, so it cannot be another mount that answers.
    if !identify(point).is_ok_and(|found| found == id) {
        return Err(format!("nothing of ours is mounted at {}", point.display()));
    }
    wait_for_answer(point).map_err(|error| format!("the mount answers a getattr with: {error}"))
}
