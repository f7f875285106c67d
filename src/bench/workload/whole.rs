//! Operations on whole files.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use super::content::{Content, Place, Random};
use super::operation::{Operation, SAMPLE, Who};
use super::prepared::{MODE, Prepared, WORK};
use super::tree::{Order, Tree, directory, errno};
use crate::protocol::Errno;
use crate::sys::load::Seen;

type Client = Result<Box<dyn Operation>, String>;

/// Reads until the buffer is full or the file ends.
pub fn read_all(fd: impl AsFd, buffer: &mut [u8], from: u64) -> rustix::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match rustix::io::pread(&fd, &mut buffer[got..], from + got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// Writes all of it.
pub fn write_all(fd: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<()> {
    let mut put = 0;
    while put < bytes.len() {
        match rustix::io::pwrite(fd, &bytes[put..], put as u64)? {
            0 => return Err(rustix::io::Errno::IO),
            n => put += n,
        }
    }
    Ok(())
}

// ---- open(2) and close(2) ----

struct OpenClose {
    tree: Tree,
    order: Order,
    at: u64,
}

pub fn open_close(prepared: &Prepared, who: Who) -> Client {
    let tree = Tree::open(prepared)?;
    let order = Order::random(prepared, who, tree.layout.count, prepared.operation()?.once());
    Ok(Box::new(OpenClose { tree, order, at: 0 }))
}

impl Operation for OpenClose {
    fn next(&mut self) -> bool {
        let next = self.order.next();
        self.at = next.unwrap_or_default();
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.tree.open_file(self.at, OFlags::RDONLY).map(|_| 0).map_err(errno)
    }
}

// ---- open(2), fstat(2), read(2), close(2) ----

struct ReadFile {
    tree: Tree,
    order: Order,
    at: u64,
    buffer: Vec<u8>,
    got: usize,
    seen: Option<Seen>,
}

pub fn read_file(prepared: &Prepared, who: Who) -> Client {
    let tree = Tree::open(prepared)?;
    let order = Order::random(prepared, who, tree.layout.count, prepared.operation()?.once());
    let buffer = vec![0; tree.layout.size as usize];
    Ok(Box::new(ReadFile { tree, order, at: 0, buffer, got: 0, seen: None }))
}

impl ReadFile {
    fn read(&mut self) -> Result<usize, Errno> {
        let file = self.tree.open_file(self.at, OFlags::RDONLY).map_err(errno)?;
        self.seen = Some(Tree::stat(file.as_fd(), None, false)?);
        read_all(&file, &mut self.buffer, 0).map_err(errno)
    }
}

impl Operation for ReadFile {
    fn next(&mut self) -> bool {
        let next = self.order.next();
        self.at = next.unwrap_or_default();
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.got = self.read()?;
        Ok(self.got as u64)
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(seen) = self.seen.take() {
            self.tree.check_stat(self.at, seen)?;
        }
        let at = Place { file: self.at, offset: 0, version: 0 };
        self.tree.check_data(at, self.buffer.len(), &self.buffer[..self.got])
    }
}

// ---- files come and go ----

/// Creates and writes a file and unlinks the one before it, so that a file can be looked at between the two.
struct CreateWriteUnlink {
    work: OwnedFd,
    content: Content,
    verify: bool,
    names: [CString; 2],
    buffer: Vec<u8>,
    /// Of the file that is made next, in the terms of its content.
    number: u64,
    /// The one before is there.
    there: bool,
}

pub fn create_write_unlink(prepared: &Prepared, who: Who) -> Client {
    let name = |n: u32| CString::new(format!("file-{}-{n}", who.number)).unwrap_or_default();
    Ok(Box::new(CreateWriteUnlink {
        work: directory(&prepared.path(WORK))?,
        content: prepared.content,
        verify: prepared.spec.verify,
        names: [name(0), name(1)],
        buffer: vec![0; prepared.layout.size as usize],
        number: u64::from(who.number) << 40,
        there: false,
    }))
}

impl CreateWriteUnlink {
    fn name(&self, number: u64) -> &CString {
        &self.names[(number % 2) as usize]
    }

    fn make(&mut self) -> rustix::io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.work, self.name(self.number), flags, Mode::from_raw_mode(MODE as _))?;
        write_all(&file, &self.buffer)?;
        drop(file);
        if self.there {
            unlinkat(&self.work, self.name(self.number.wrapping_sub(1)), AtFlags::empty())?;
        }
        self.there = true;
        Ok(())
    }

    fn look(&self, number: u64) -> Result<(), String> {
        let name = self.name(number);
        let shown = name.to_string_lossy();
        let file = openat(&self.work, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| format!("{shown}: was made, but cannot be opened: {errno}"))?;
        // One more than there should be, to see whether there is.
        let mut found = vec![0; self.buffer.len() + 1];
        let got = read_all(&file, &mut found, 0).map_err(|errno| format!("{shown}: cannot be read: {errno}"))?;
        if got != self.buffer.len() {
            return Err(format!("{shown}: {got} bytes instead of {}", self.buffer.len()));
        }
        self.content.check_bytes(Place { file: number, offset: 0, version: 0 }, &found[..got])
    }
}

impl Operation for CreateWriteUnlink {
    fn next(&mut self) -> bool {
        self.number += 1;
        self.content.fill(Place { file: self.number, offset: 0, version: 0 }, &mut self.buffer);
        true
    }

    fn run(&mut self) -> Result<u64, Errno> {
        let made = self.make();
        if made.is_err() {
            // Whatever is left would have every later one fail too.
            self.finish();
        }
        made.map(|()| self.buffer.len() as u64).map_err(errno)
    }

    fn check(&mut self) -> Result<(), String> {
        if self.verify && self.number % SAMPLE == 1 { self.look(self.number) } else { Ok(()) }
    }

    fn finish(&mut self) -> Vec<String> {
        for name in &self.names {
            // One of them is not there.
            let _ = unlinkat(&self.work, name, AtFlags::empty());
        }
        self.there = false;
        Vec::new()
    }
}

impl Prepared {
    /// A client's own numbers: other ones in each round.
    pub(super) fn random(&self, who: Who) -> Random {
        Random::new(super::prepared::seed() ^ u64::from(who.number))
    }

    /// What clients do.
    pub(super) fn operation(&self) -> Result<&super::spec::Operation, String> {
        self.spec.operation.as_ref().map(|operation| operation.get_ref()).ok_or_else(|| "a job".to_owned())
    }
}
