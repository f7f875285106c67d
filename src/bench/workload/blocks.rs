//! Reads and writes of blocks in files that stay open.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use rustix::fs::OFlags;

use super::content::{Place, Random};
use super::operation::{Operation, Who};
use super::prepared::Prepared;
use super::spec::{Call, How, Pattern, Sync};
use super::tree::{Order, Tree};
use super::whole::read_all;
use crate::protocol::Errno;
use crate::sys::load::{Mapping, direct};
use crate::sys::pages;

type Client = Result<Box<dyn Operation>, String>;

/// O_DIRECT wants memory that begins at a block of the disk; no disk has larger ones.
const ALIGNMENT: usize = 4096;
/// How many of the blocks that a client has written are read back after a round.
const READ_BACK: usize = 4096;

/// All files as one row of blocks.
#[derive(Clone, Copy)]
struct Blocks {
    bytes: usize,
    per_file: u64,
    total: u64,
}

impl Blocks {
    fn new(tree: &Tree, bytes: usize) -> Blocks {
        let per_file = tree.layout.size / bytes.max(1) as u64;
        Blocks { bytes, per_file, total: per_file * tree.layout.count }
    }

    fn place(&self, block: u64) -> Place {
        let per_file = self.per_file.max(1);
        Place { file: block / per_file, offset: block % per_file * self.bytes as u64, version: 0 }
    }
}

/// Which block comes next. Clients that write have blocks of their own, so that each knows what must be there.
fn order(prepared: &Prepared, blocks: Blocks, who: Who) -> Result<Order, String> {
    let operation = prepared.operation()?;
    let part = who.part(blocks.total);
    if part.is_empty() && operation.call() == Call::Write {
        return Err(format!("there are {} blocks for {} clients", blocks.total, who.of));
    }
    let random = operation.pattern() == Pattern::Random;
    Ok(match (operation.call(), operation.once()) {
        (Call::Read, true) if random => Order::random(prepared, who, blocks.total, true),
        (_, true) => Order::Once(part.collect::<Vec<_>>().into_iter()),
        (Call::Read, false) if random => Order::random(prepared, who, blocks.total, false),
        (Call::Read, false) => Order::Row { range: 0..blocks.total, next: part.start },
        _ if random => Order::Part { random: prepared.random(who), range: part },
        _ => Order::Row { next: part.start, range: part },
    })
}

fn open_flags(how: How, write: bool) -> Result<OFlags, String> {
    let access = match (how, write) {
        (_, false) => OFlags::RDONLY,
        // A shared mapping that is written can also be read.
        (How::Mmap, true) => OFlags::RDWR,
        (_, true) => OFlags::WRONLY,
    };
    match how {
        How::Direct => Ok(access | direct().map_err(|error| format!("O_DIRECT: {error}"))?),
        How::Buffered | How::Mmap => Ok(access),
    }
}

fn open_files(tree: &Tree, flags: OFlags) -> Result<Vec<File>, String> {
    let open = |number| {
        let file = tree.open_file(number, flags);
        file.map(File::from).map_err(|errno| format!("cannot open {}: {errno}", tree.name(number).to_string_lossy()))
    };
    (0..tree.layout.count).map(open).collect()
}

/// By what way bytes go.
enum Files {
    Open(Vec<File>),
    Mapped(Vec<Mapping>),
}

impl Files {
    fn new(tree: &Tree, how: How, write: bool) -> Result<Files, String> {
        let open = open_files(tree, open_flags(how, write)?)?;
        if how != How::Mmap {
            return Ok(Files::Open(open));
        }
        let map = |file: File| Mapping::new(&file, tree.layout.size as usize, write);
        let maps = open.into_iter().map(map).collect::<io::Result<_>>();
        maps.map(Files::Mapped).map_err(|error| format!("cannot map a file: {error}"))
    }

    fn read(&self, at: Place, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Files::Open(files) => read_all(&files[at.file as usize], buffer, at.offset).map_err(super::tree::errno),
            Files::Mapped(maps) => Ok(maps[at.file as usize].read(at.offset as usize, buffer)?),
        }
    }

    fn write(&self, at: Place, bytes: &[u8], sync: Sync) -> Result<usize, Errno> {
        let files = match self {
            Files::Open(files) => files,
            Files::Mapped(maps) => return Ok(maps[at.file as usize].write(at.offset as usize, bytes)?),
        };
        let file = &files[at.file as usize];
        let put = rustix::io::pwrite(file, bytes, at.offset).map_err(super::tree::errno)?;
        match sync {
            Sync::None => Ok(()),
            Sync::Data => file.sync_data(),
            Sync::Full => file.sync_all(),
        }?;
        Ok(put)
    }
}

/// Memory that O_DIRECT takes.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Aligned { memory, start, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

// ---- reads ----

struct Read {
    tree: Tree,
    blocks: Blocks,
    order: Order,
    files: Files,
    buffer: Aligned,
    at: Place,
    got: usize,
}

pub fn read(prepared: &Prepared, who: Who) -> Client {
    let operation = prepared.operation()?;
    let tree = Tree::open(prepared)?;
    let blocks = Blocks::new(&tree, operation.block());
    Ok(Box::new(Read {
        order: order(prepared, blocks, who)?,
        files: Files::new(&tree, operation.how(), false)?,
        buffer: Aligned::new(blocks.bytes),
        at: blocks.place(0),
        got: 0,
        tree,
        blocks,
    }))
}

impl Operation for Read {
    fn next(&mut self) -> bool {
        let next = self.order.next();
        self.at = self.blocks.place(next.unwrap_or_default());
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.got = self.files.read(self.at, self.buffer.bytes())?;
        Ok(self.got as u64)
    }

    fn check(&mut self) -> Result<(), String> {
        let got = self.got;
        self.tree.check_data(self.at, self.blocks.bytes, &self.buffer.bytes()[..got])
    }
}

// ---- writes ----

/// What a client has written where, to be read back after the round.
struct Written {
    /// Of this round: blocks of an earlier one are never taken for its own.
    round: u64,
    count: u64,
    /// By block, the version that must be there; None if a write failed, after which anything may be.
    versions: HashMap<u64, Option<u64>>,
}

impl Written {
    fn new(random: &mut Random) -> Written {
        Written { round: random.below(u64::MAX), count: 0, versions: HashMap::new() }
    }

    fn version(&mut self) -> u64 {
        self.count += 1;
        self.round ^ self.count
    }

    fn read_back(&self, tree: &Tree, blocks: Blocks) -> Vec<String> {
        if !tree.verify() {
            return Vec::new();
        }
        // The client's kernel would answer with what it was given, whatever has become of that.
        let from_the_server = |files: Vec<File>| {
            files.iter().try_for_each(File::sync_data).map_err(|error| error.to_string())?;
            // Where that cannot be had, at least it is known to be there.
            files.iter().for_each(|file| _ = pages::forget(file));
            Ok(files)
        };
        let files = match open_files(tree, OFlags::RDONLY).and_then(from_the_server) {
            Ok(files) => files,
            Err(why) => return vec![format!("what was written cannot be read back: {why}")],
        };
        let mut buffer = vec![0; blocks.bytes];
        let known = self.versions.iter().filter_map(|(block, version)| version.map(|version| (*block, version)));
        let look = |(block, version)| {
            let at = Place { version, ..blocks.place(block) };
            let got = read_all(&files[at.file as usize], &mut buffer, at.offset);
            let got = match got {
                Ok(got) => &buffer[..got],
                Err(errno) => return Some(format!("file {} at byte {}: read back: {errno}", at.file, at.offset)),
            };
            if got.len() != blocks.bytes {
                return Some(format!("file {} at byte {}: {} bytes read back", at.file, at.offset, got.len()));
            }
            tree.content.check_bytes(at, got).err().map(|why| format!("after a write: {why}"))
        };
        known.take(READ_BACK).filter_map(look).collect()
    }
}

struct Write {
    tree: Tree,
    blocks: Blocks,
    order: Order,
    files: Files,
    buffer: Aligned,
    sync: Sync,
    written: Written,
    block: u64,
    version: u64,
    put: usize,
}

pub fn write(prepared: &Prepared, who: Who) -> Client {
    let operation = prepared.operation()?;
    let tree = Tree::open(prepared)?;
    let blocks = Blocks::new(&tree, operation.block());
    Ok(Box::new(Write {
        order: order(prepared, blocks, who)?,
        files: Files::new(&tree, operation.how(), true)?,
        buffer: Aligned::new(blocks.bytes),
        sync: operation.sync(),
        written: Written::new(&mut prepared.random(who)),
        block: 0,
        version: 0,
        put: 0,
        tree,
        blocks,
    }))
}

impl Operation for Write {
    fn next(&mut self) -> bool {
        let next = self.order.next();
        self.block = next.unwrap_or_default();
        self.version = self.written.version();
        let at = Place { version: self.version, ..self.blocks.place(self.block) };
        self.tree.content.fill(at, self.buffer.bytes());
        // Until it is known to be there.
        self.written.versions.insert(self.block, None);
        next.is_some()
    }

    fn run(&mut self) -> Result<u64, Errno> {
        self.put = self.files.write(self.blocks.place(self.block), self.buffer.bytes(), self.sync)?;
        Ok(self.put as u64)
    }

    fn check(&mut self) -> Result<(), String> {
        if self.put != self.blocks.bytes {
            let at = self.blocks.place(self.block);
            return Err(format!("file {} at byte {}: {} bytes written", at.file, at.offset, self.put));
        }
        self.written.versions.insert(self.block, Some(self.version));
        Ok(())
    }

    fn finish(&mut self) -> Vec<String> {
        // What is mapped cannot be forgotten.
        self.files = Files::Open(Vec::new());
        self.written.read_back(&self.tree, self.blocks)
    }
}

// ---- many in flight ----

/// Reads or writes for a loop that keeps many of them in flight.
pub struct Transfers {
    tree: Tree,
    blocks: Blocks,
    order: Order,
    write: bool,
    written: Written,
    /// Blocks in flight: two writes of one block could come in either order.
    busy: HashSet<u64>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    block: u64,
    pub place: Place,
}

impl Transfers {
    /// The files to work on, and what to ask of them.
    pub fn new(prepared: &Prepared, depth: u32) -> Result<(Vec<File>, Transfers), String> {
        let operation = prepared.operation()?;
        let write = operation.call() == Call::Write;
        if !matches!(operation.call(), Call::Read | Call::Write) || operation.how() == How::Mmap {
            return Err("a queue depth is for reads and writes that are not mmap".to_owned());
        }
        if operation.sync() != Sync::None {
            return Err("a queue depth does not go with 'sync'".to_owned());
        }
        let tree = Tree::open(prepared)?;
        let blocks = Blocks::new(&tree, operation.block());
        if write && blocks.total < u64::from(depth) {
            return Err(format!("there are {} blocks for {depth} writes in flight", blocks.total));
        }
        let files = open_files(&tree, open_flags(operation.how(), write)?)?;
        let who = Who { number: 0, of: 1 };
        let order = order(prepared, blocks, who)?;
        let written = Written::new(&mut prepared.random(who));
        let busy = HashSet::new();
        Ok((files, Transfers { tree, blocks, order, write, written, busy }))
    }

    /// Bytes of each.
    pub fn block(&self) -> usize {
        self.blocks.bytes
    }

    /// True if they are writes.
    pub fn write(&self) -> bool {
        self.write
    }

    /// The next one, and the bytes to write.
    pub fn next(&mut self, buffer: &mut [u8]) -> Option<Transfer> {
        let mut block = self.order.next()?;
        let mut place = self.blocks.place(block);
        if self.write {
            // There are as many blocks as requests in flight, so one is free.
            while !self.busy.insert(block) {
                block = (block + 1) % self.blocks.total;
            }
            place = Place { version: self.written.version(), ..self.blocks.place(block) };
            self.tree.content.fill(place, buffer);
            self.written.versions.insert(block, None);
        }
        Some(Transfer { block, place })
    }

    /// What is wrong with the answer.
    pub fn done(&mut self, transfer: Transfer, answer: usize, buffer: &[u8]) -> Result<(), String> {
        let at = transfer.place;
        if !self.write {
            return self.tree.check_data(at, self.blocks.bytes, &buffer[..answer.min(buffer.len())]);
        }
        if answer != self.blocks.bytes {
            return Err(format!("file {} at byte {}: {answer} bytes written", at.file, at.offset));
        }
        self.written.versions.insert(transfer.block, Some(at.version));
        Ok(())
    }

    /// It is no longer in flight, however it ended.
    pub fn landed(&mut self, transfer: Transfer) {
        self.busy.remove(&transfer.block);
    }

    /// After the round: what is wrong with what was written.
    pub fn finish(&self) -> Vec<String> {
        self.written.read_back(&self.tree, self.blocks)
    }
}
