//! Operations on names and attributes.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use super::content::Random;
use super::operation::{Operation, SAMPLE, Who};
use super::prepared::{Layout, Prepared, WORK};
use super::tree::{Order, Tree, directory, errno};
use crate::protocol::Errno;
use crate::sys::load::Seen;

type Client = Result<Box<dyn Operation>, String>;

// ---- fstat(2) of open files ----

struct Getattr {
    tree: Tree,
    files: Vec<OwnedFd>,
    random: Random,
    force: bool,
    at: usize,
    seen: Option<Seen>,
}

pub fn getattr(prepared: &Prepared) -> Client {
    let tree = Tree::open(prepared)?;
    let open = |number| {
        let file = tree.open_file(number, OFlags::RDONLY);
        file.map_err(|errno| format!("cannot open {}: {errno}", tree.name(number).to_string_lossy()))
    };
    let files = (0..tree.layout.count).map(open).collect::<Result<_, _>>()?;
    let random = prepared.random(Who { number: 0, of: 1 });
    Ok(Box::new(Getattr { files, tree, random, force: prepared.operation()?.force(), at: 0, seen: None }))
}

impl Operation for Getattr {
    fn next(&mut self) -> bool {
        self.at = self.random.below(self.files.len() as u64) as usize;
        !self.files.is_empty()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.seen = Some(Tree::stat(self.files[self.at].as_fd(), None, self.force)?);
        Ok(0)
    }

    fn check(&mut self) -> Result<(), String> {
        self.seen.take().map_or(Ok(()), |seen| self.tree.check_stat(self.at as u64, seen))
    }
}

// ---- stat(2) of names ----

struct Stat {
    tree: Tree,
    order: Order,
    force: bool,
    at: u64,
    seen: Option<Seen>,
}

pub fn stat(prepared: &Prepared, who: Who) -> Client {
    let tree = Tree::open(prepared)?;
    let operation = prepared.operation()?;
    let order = Order::random(prepared, who, tree.layout.count, operation.once());
    Ok(Box::new(Stat { tree, order, force: operation.force(), at: 0, seen: None }))
}

impl Operation for Stat {
    fn next(&mut self) -> bool {
        let next = self.order.next();
        self.at = next.unwrap_or_default();
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.seen = Some(self.tree.stat_file(self.at, self.force)?);
        Ok(0)
    }

    fn check(&mut self) -> Result<(), String> {
        self.seen.take().map_or(Ok(()), |seen| self.tree.check_stat(self.at, seen))
    }
}

// ---- stat(2) of names that are not there ----

struct LookupNegative {
    tree: Tree,
    prefix: String,
    names: Vec<CString>,
    random: Random,
    once: bool,
    asked: u64,
    at: usize,
    found: bool,
}

/// How many names that are not there are asked for again and again.
const ABSENT: u64 = 1000;

pub fn lookup_negative(prepared: &Prepared, who: Who) -> Client {
    let once = prepared.operation()?.once();
    let mut random = prepared.random(who);
    // Two clients never ask for the same fresh name, nor do two rounds.
    let prefix = if once { format!("absent-{:x}-{}", random.below(u64::MAX), who.number) } else { "absent".to_owned() };
    let mut client = LookupNegative {
        tree: Tree::open(prepared)?,
        prefix,
        names: Vec::new(),
        random,
        once,
        asked: 0,
        at: 0,
        found: false,
    };
    client.names = (0..if once { 1 } else { ABSENT }).map(|n| client.name(n)).collect();
    Ok(Box::new(client))
}

impl LookupNegative {
    fn name(&self, number: u64) -> CString {
        CString::new(format!("{}-{number}", self.prefix)).unwrap_or_default()
    }
}

impl Operation for LookupNegative {
    fn next(&mut self) -> bool {
        self.asked += 1;
        if self.once {
            self.names[0] = self.name(self.asked);
        } else {
            self.at = self.random.below(ABSENT) as usize;
        }
        true
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.found = match Tree::stat(self.tree.root.as_fd(), Some(&self.names[self.at]), false) {
            Ok(_) => true,
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(errno),
        };
        Ok(0)
    }

    fn check(&mut self) -> Result<(), String> {
        if self.found && self.tree.verify() {
            return Err(format!("{}: found, but it was never made", self.names[self.at].to_string_lossy()));
        }
        Ok(())
    }
}

// ---- the names in a directory, and their attributes ----

struct Readdir {
    tree: Tree,
    order: Order,
    plus: bool,
    directories: Vec<CString>,
    at: u64,
    /// What was read, looked at afterwards: the names one after another, and the end of each.
    names: Vec<u8>,
    ends: Vec<usize>,
    stats: Vec<Seen>,
}

pub fn readdir(prepared: &Prepared, who: Who, plus: bool) -> Client {
    let tree = Tree::open(prepared)?;
    let count = tree.layout.directories();
    let directories = (0..count).map(|n| CString::new(Layout::directory(n)).unwrap_or_default()).collect();
    let order = Order::random(prepared, who, count, false);
    let (names, ends, stats) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Box::new(Readdir { tree, order, plus, directories, at: 0, names, ends, stats }))
}

impl Readdir {
    fn names(&self) -> impl Iterator<Item = &CStr> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let name = |(start, &end): (usize, &usize)| CStr::from_bytes_with_nul(&self.names[start..end]).unwrap_or(c"?");
        starts.zip(&self.ends).map(name)
    }

    fn read(&mut self) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.tree.root, &self.directories[self.at as usize], flags, Mode::empty())?;
        let mut dir = Dir::read_from(&fd)?;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                self.names.extend_from_slice(entry.file_name().to_bytes_with_nul());
                self.ends.push(self.names.len());
            }
        }
        if self.plus {
            let mut stats = std::mem::take(&mut self.stats);
            for name in self.names() {
                stats.push(Tree::stat(fd.as_fd(), Some(name), false).map_err(raw)?);
            }
            self.stats = stats;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<Vec<u64>, String> {
        let directory = self.directories[self.at as usize].to_string_lossy().into_owned();
        let files = self.tree.layout.files_of(self.at);
        let mut seen = vec![false; (files.end - files.start) as usize];
        let mut numbers = Vec::with_capacity(seen.len());
        for name in self.names() {
            let number = name.to_str().ok().and_then(|name| name.strip_prefix('f')?.parse::<u64>().ok());
            let Some(number) = number.filter(|number| files.contains(number)) else {
                return Err(format!("{directory}: lists {:?}, which was never made", name.to_string_lossy()));
            };
            if std::mem::replace(&mut seen[(number - files.start) as usize], true) {
                return Err(format!("{directory}: lists file {number} twice"));
            }
            numbers.push(number);
        }
        match seen.iter().position(|seen| !seen) {
            Some(missing) => Err(format!("{directory}: does not list file {}", files.start + missing as u64)),
            None => Ok(numbers),
        }
    }
}

fn raw(errno: Errno) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(errno.0)
}

impl Operation for Readdir {
    fn next(&mut self) -> bool {
        self.names.clear();
        self.ends.clear();
        self.stats.clear();
        let next = self.order.next();
        self.at = next.unwrap_or_default();
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.read().map_err(errno)?;
        Ok(0)
    }

    fn check(&mut self) -> Result<(), String> {
        if !self.tree.verify() {
            return Ok(());
        }
        let numbers = self.check_names()?;
        numbers.into_iter().zip(self.stats.iter()).try_for_each(|(number, seen)| self.tree.check_stat(number, *seen))
    }
}

// ---- directories come and go ----

struct MkdirRenameRmdir {
    work: OwnedFd,
    first: CString,
    second: CString,
    verify: bool,
    done: u64,
}

pub fn mkdir_rename_rmdir(prepared: &Prepared, who: Who) -> Client {
    let name = |what: &str| CString::new(format!("{what}-{}", who.number)).unwrap_or_default();
    let (first, second) = (name("made"), name("moved"));
    let work = directory(&prepared.path(WORK))?;
    Ok(Box::new(MkdirRenameRmdir { work, first, second, verify: prepared.spec.verify, done: 0 }))
}

impl Operation for MkdirRenameRmdir {
    fn run(&mut self) -> Result<u64, Errno> {
        let done = mkdirat(&self.work, &self.first, Mode::from_raw_mode(0o755))
            .and_then(|()| renameat(&self.work, &self.first, &self.work, &self.second))
            .and_then(|()| unlinkat(&self.work, &self.second, AtFlags::REMOVEDIR));
        if done.is_err() {
            // Whatever is left would have every later one fail too.
            self.finish();
        }
        done.map(|()| 0).map_err(errno)
    }

    fn check(&mut self) -> Result<(), String> {
        self.done += 1;
        if !self.verify || self.done % SAMPLE != 1 {
            return Ok(());
        }
        for name in [&self.first, &self.second] {
            if Tree::stat(self.work.as_fd(), Some(name), false) != Err(Errno::ENOENT) {
                return Err(format!("{}: still there", name.to_string_lossy()));
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Vec<String> {
        for name in [&self.first, &self.second] {
            // Usually it is not there.
            let _ = unlinkat(&self.work, name, AtFlags::REMOVEDIR);
        }
        Vec::new()
    }
}
