//! A build cache: a content-addressed store that many clients ask, and fill with what it lacks.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use super::content::{Place, Random};
use super::operation::{Operation, Who};
use super::prepared::{MODE, Prepared, WORK, hashed_path};
use super::tree::{Tree, directory, errno};
use super::whole::{read_all, write_all};
use crate::protocol::Errno;

/// The store stays as large as it is: a client takes away what it stored so many misses ago.
const KEPT: usize = 64;

struct BuildCache {
    tree: Tree,
    work: OwnedFd,
    /// Where this client writes what it will rename into place.
    draft: CString,
    random: Random,
    hits: f64,
    /// The number of the next object that nobody has stored yet.
    fresh: u64,
    mine: VecDeque<u64>,
    buffer: Vec<u8>,
    at: u64,
    path: CString,
    expected: bool,
    answer: Answer,
}

enum Answer {
    /// So many bytes were read.
    Hit(usize),
    /// It was not there, and was stored.
    Stored,
}

pub fn client(prepared: &Prepared, who: Who) -> Result<Box<dyn Operation>, String> {
    let mut random = prepared.random(who);
    Ok(Box::new(BuildCache {
        tree: Tree::open(prepared)?,
        work: directory(&prepared.path(WORK))?,
        draft: CString::new(format!("draft-{}", who.number)).unwrap_or_default(),
        hits: prepared.operation()?.hits(),
        // Above all that is prepared, and apart from what other clients and rounds store.
        fresh: (1 << 63) | random.below(1 << 63),
        random,
        mine: VecDeque::new(),
        buffer: vec![0; prepared.layout.size as usize],
        at: 0,
        path: CString::default(),
        expected: false,
        answer: Answer::Stored,
    }))
}

impl BuildCache {
    fn choose(&mut self) -> u64 {
        const PRECISION: u64 = 1 << 32;
        self.expected = (self.random.below(PRECISION) as f64) < self.hits * PRECISION as f64;
        if !self.expected {
            self.fresh = self.fresh.wrapping_add(1) | (1 << 63);
            return self.fresh;
        }
        let there = self.tree.layout.count + self.mine.len() as u64;
        let chosen = self.random.below(there);
        let mine = chosen.checked_sub(self.tree.layout.count).and_then(|n| self.mine.get(n as usize));
        mine.copied().unwrap_or(chosen)
    }

    fn ask(&mut self) -> rustix::io::Result<Answer> {
        match openat(&self.tree.root, &self.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Answer::Hit(read_all(&file, &mut self.buffer, 0)?)),
            Err(rustix::io::Errno::NOENT) => self.store().map(|()| Answer::Stored),
            Err(errno) => Err(errno),
        }
    }

    fn store(&mut self) -> rustix::io::Result<()> {
        self.tree.content.fill(Place { file: self.at, offset: 0, version: 0 }, &mut self.buffer);
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.work, &self.draft, flags, Mode::from_raw_mode(MODE as _))?;
        write_all(&file, &self.buffer)?;
        drop(file);
        match renameat(&self.work, &self.draft, &self.tree.root, &self.path) {
            Err(rustix::io::Errno::NOENT) => {
                self.make_directory()?;
                renameat(&self.work, &self.draft, &self.tree.root, &self.path)?;
            }
            renamed => renamed?,
        }
        self.mine.push_back(self.at);
        if self.mine.len() > KEPT {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Another client may be making it just now.
    fn make_directory(&self) -> rustix::io::Result<()> {
        let name = OsStr::from_bytes(&self.path.as_bytes()[..2]);
        match mkdirat(&self.tree.root, name, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            made => made,
        }
    }

    fn remove_oldest(&mut self) -> rustix::io::Result<()> {
        match self.mine.pop_front() {
            Some(oldest) => unlinkat(&self.tree.root, hashed_path(oldest), AtFlags::empty()),
            None => Ok(()),
        }
    }
}

impl Operation for BuildCache {
    fn next(&mut self) -> bool {
        self.at = self.choose();
        self.path = CString::new(hashed_path(self.at)).unwrap_or_default();
        true
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.answer = self.ask().map_err(errno)?;
        Ok(match self.answer {
            Answer::Hit(got) => got as u64,
            Answer::Stored => self.buffer.len() as u64,
        })
    }

    fn check(&mut self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("object {}: {what}", self.path.to_string_lossy()));
        match (&self.answer, self.expected) {
            (Answer::Stored, true) => wrong("was stored, but is not there"),
            (Answer::Hit(_), false) => wrong("is there, but was never stored"),
            (Answer::Stored, false) => Ok(()),
            (Answer::Hit(got), true) => {
                let (at, got) = (Place { file: self.at, offset: 0, version: 0 }, *got);
                self.tree.check_data(at, self.buffer.len(), &self.buffer[..got])
            }
        }
    }

    fn finish(&mut self) -> Vec<String> {
        // One that failed is tried no second time.
        while !self.mine.is_empty() {
            let _ = self.remove_oldest();
        }
        Vec::new()
    }
}
