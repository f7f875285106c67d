//! A client's view of the prepared files: by name relative to one directory, so that the way there costs nothing.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::content::{Content, Place, Random};
use super::operation::{SAMPLE, Who};
use super::prepared::{Layout, MODE, Prepared, TREE};
use crate::protocol::Errno;
use crate::sys::load::{Seen, stat_forced};

const REGULAR: u32 = 0o100_000;

/// The prepared files.
pub struct Tree {
    pub root: OwnedFd,
    pub layout: Layout,
    pub content: Content,
    verify: bool,
    names: Arc<[CString]>,
    /// What each file's number was when it was first seen in this round; 0 before.
    inos: Vec<u64>,
    checked: u64,
}

/// Opens a directory; an error is a line.
pub fn directory(path: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| format!("cannot open {}: {errno}", path.display()))
}

/// An errno of rustix as ours.
pub fn errno(errno: rustix::io::Errno) -> Errno {
    Errno(errno.raw_os_error())
}

impl Tree {
    pub fn open(prepared: &Prepared) -> Result<Tree, String> {
        Ok(Tree {
            root: directory(&prepared.path(TREE))?,
            layout: prepared.layout,
            content: prepared.content,
            verify: prepared.spec.verify,
            names: prepared.names.clone(),
            inos: vec![0; prepared.layout.count as usize],
            checked: 0,
        })
    }

    pub fn name(&self, number: u64) -> &CStr {
        &self.names[number as usize]
    }

    /// Opens a file for reading.
    pub fn open_file(&self, number: u64, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        openat(&self.root, self.name(number), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// Stats `name` below `dir`, or `dir`.
    pub fn stat(dir: BorrowedFd<'_>, name: Option<&CStr>, force: bool) -> Result<Seen, Errno> {
        if force {
            return stat_forced(dir, name).map_err(errno);
        }
        let stat = match name {
            Some(name) => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW),
            None => rustix::fs::fstat(dir),
        }
        .map_err(errno)?;
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "other platforms have other widths")]
        Ok(Seen { mode: stat.st_mode.into(), size: stat.st_size as u64, ino: stat.st_ino.into() })
    }

    /// Stats a file by name.
    pub fn stat_file(&self, number: u64, force: bool) -> Result<Seen, Errno> {
        Tree::stat(self.root.as_fd(), Some(self.name(number)), force)
    }

    /// What is wrong with a stat of that file.
    pub fn check_stat(&mut self, number: u64, seen: Seen) -> Result<(), String> {
        if !self.verify {
            return Ok(());
        }
        let wrong = |what: &str, got: String, expected: String| {
            Err(format!("file {number}: its {what} is {got} instead of {expected}"))
        };
        if seen.mode != REGULAR | MODE {
            return wrong("mode", format!("{:o}", seen.mode), format!("{:o}", REGULAR | MODE));
        }
        if seen.size != self.layout.size {
            return wrong("size", seen.size.to_string(), self.layout.size.to_string());
        }
        let known = &mut self.inos[number as usize];
        match *known {
            0 => *known = seen.ino,
            ino if ino != seen.ino => return wrong("inode number", seen.ino.to_string(), ino.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// What is wrong with `got` out of `asked` bytes that were read from there.
    pub fn check_data(&mut self, at: Place, asked: usize, got: &[u8]) -> Result<(), String> {
        self.checked += 1;
        if !self.verify {
            return Ok(());
        }
        if got.len() != asked {
            return Err(format!("file {} at byte {}: {} bytes instead of {asked}", at.file, at.offset, got.len()));
        }
        if self.checked % SAMPLE == 1 { self.content.check_bytes(at, got) } else { self.content.check_words(at, got) }
    }

    pub fn verify(&self) -> bool {
        self.verify
    }
}

/// In what order a client goes through things by number.
pub enum Order {
    /// Any of so many, again and again.
    Any { random: Random, of: u64 },
    /// Any within a range, again and again.
    Part { random: Random, range: std::ops::Range<u64> },
    /// Each of these once.
    Once(std::vec::IntoIter<u64>),
    /// From one on, round and round within a range.
    Row { range: std::ops::Range<u64>, next: u64 },
}

impl Order {
    /// Any of `count`; if `once`, each of this client's share.
    pub fn random(prepared: &Prepared, who: Who, count: u64, once: bool) -> Order {
        let mut random = prepared.random(who);
        if !once {
            return Order::Any { random, of: count };
        }
        let mut all: Vec<u64> = (u64::from(who.number)..count).step_by(who.of.max(1) as usize).collect();
        random.shuffle(&mut all);
        Order::Once(all.into_iter())
    }

    /// The next number; None when each was there once.
    pub fn next(&mut self) -> Option<u64> {
        match self {
            Order::Any { of: 0, .. } => None,
            Order::Any { random, of } => Some(random.below(*of)),
            Order::Part { random, range } => Some(range.start + random.below(range.end - range.start)),
            Order::Once(rest) => rest.next(),
            Order::Row { range, .. } if range.is_empty() => None,
            Order::Row { range, next } => {
                let this = *next;
                *next = if this + 1 < range.end { this + 1 } else { range.start };
                Some(this)
            }
        }
    }
}
