//! The handle table: `fh` to an open file of the host. A stale `fh` is detected, never aliased.

use std::collections::HashMap;
use std::os::fd::{IntoRawFd, OwnedFd};

use crate::protocol::Errno;

use super::ids::{Fh, HostFd, NodeId};
use super::nodes::Dead;
use super::slab::Slab;
use super::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard, lock};

const SHARDS: u32 = 64;

#[derive(Default)]
struct Record {
    generation: u32,
    fd: i32,
    pins: u32,
    flags: u8,
    nodeid: NodeId,
    /// See [`Kind::drops`].
    drops: u64,
    /// Rings (by number, modulo 64) that registered the descriptor.
    rings: u64,
}

/// RELEASE came; the record goes with its last request.
const RELEASED: u8 = 1;
/// Opened with O_DIRECT.
const DIRECT: u8 = 2;
/// Closing it may write or free blocks.
const SLOW: u8 = 4;
/// A directory.
const DIRECTORY: u8 = 8;
/// Opened with O_APPEND on the host, whose file takes nothing else.
const APPEND_ONLY: u8 = 16;
/// Open for writing.
const WRITABLE: u8 = 32;
/// Something was locked through it.
const LOCKED: u8 = 64;
/// Nothing was read through it since the kernel was told to drop what it kept.
const DROPS: u8 = 128;

#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Slab<Record>>);

/// How many files are open for writing, by node; a node without any is not there.
#[repr(align(128))]
#[derive(Default)]
struct Writers(Mutex<HashMap<NodeId, u32>>);

/// All open files.
pub struct Handles {
    shards: Box<[Shard]>,
    writers: Box<[Writers]>,
    next: AtomicU32,
    generation: AtomicU32,
    open: AtomicUsize,
    limit: usize,
    dead: Dead,
    unregister: Mutex<Vec<(Fh, u64)>>,
    unregistered: AtomicU64,
}

/// What kind of handle to store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// Opened with O_DIRECT.
    pub direct: bool,
    /// Opened for writing.
    pub writable: bool,
    /// A directory.
    pub directory: bool,
    /// Opened with O_APPEND on the host, whose file takes nothing else (`chattr +a`).
    pub append_only: bool,
    /// The key of the content for which the kernel is told to drop what it kept before.
    pub drops: Option<u64>,
}

impl Handles {
    /// A table for at most `limit` open files.
    pub fn new(limit: usize) -> Handles {
        Handles {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            writers: (0..SHARDS).map(|_| Writers::default()).collect(),
            next: AtomicU32::new(0),
            generation: AtomicU32::new(1),
            open: AtomicUsize::new(0),
            limit,
            dead: Dead::default(),
            unregister: Mutex::default(),
            unregistered: AtomicU64::new(0),
        }
    }

    fn shard(&self, fh: Fh) -> MutexGuard<'_, Slab<Record>> {
        let at = fh.0 as u32 % SHARDS;
        lock(&self.shards[at as usize].0)
    }

    fn writers(&self, nodeid: NodeId) -> MutexGuard<'_, HashMap<NodeId, u32>> {
        lock(&self.writers[(nodeid.0 % u64::from(SHARDS)) as usize].0)
    }

    /// True while a file of the node is open for writing: a WRITE of it may be under way.
    pub fn is_written(&self, nodeid: NodeId) -> bool {
        self.writers(nodeid).contains_key(&nodeid)
    }

    fn closes_writer(&self, nodeid: NodeId) {
        let mut writers = self.writers(nodeid);
        match writers.get_mut(&nodeid) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(writers.remove(&nodeid)),
        }
    }

    /// Files that are open, and those about to be.
    pub fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// True if no file is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Descriptors to close.
    pub fn dead(&self) -> &Dead {
        &self.dead
    }

    /// Room for one more file beside `held` descriptors that cannot be given up; ENFILE if there is none.
    pub fn reserve(&self, held: usize) -> Result<Permit<'_>, Errno> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(self);
        if before + held >= self.limit { Err(Errno::ENFILE) } else { Ok(permit) }
    }

    /// Stores an open file of a node. Dropping the answer closes it again.
    pub fn insert<'c>(&'c self, permit: Permit<'c>, nodeid: NodeId, file: OwnedFd, kind: Kind) -> Opened<'c> {
        std::mem::forget(permit);
        let at = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let flags = if kind.direct { DIRECT } else { 0 }
            | if kind.writable { SLOW | WRITABLE } else { 0 }
            | if kind.directory { DIRECTORY } else { 0 }
            | if kind.append_only { APPEND_ONLY } else { 0 }
            | if kind.drops.is_some() { DROPS } else { 0 };
        let drops = kind.drops.unwrap_or_default();
        let record = Record { generation, fd: file.into_raw_fd(), pins: 0, flags, nodeid, drops, rings: 0 };
        if kind.writable {
            *self.writers(nodeid).entry(nodeid).or_default() += 1;
        }
        let local = self.shard(Fh(at.into())).insert(record);
        let fh = Fh(u64::from(generation) << 32 | u64::from(local * SHARDS + at));
        Opened { handles: self, fh, directory: kind.directory, given: false }
    }

    /// The file, held for one request. EBADF for a stale or foreign `fh`.
    pub fn get(&self, fh: Fh) -> Result<File<'_>, Errno> {
        let mut records = self.shard(fh);
        let record = records
            .get_mut(fh.0 as u32 / SHARDS)
            .filter(|r| u64::from(r.generation) == fh.0 >> 32 && r.flags & RELEASED == 0)
            .ok_or(Errno::EBADF)?;
        record.pins += 1;
        Ok(File { handles: self, fh, fd: HostFd(record.fd), flags: record.flags, drops: record.drops })
    }

    /// The kernel let go of the file: it is closed when its last request ends.
    pub fn release(&self, fh: Fh) -> Result<(), Errno> {
        let file = self.get(fh)?;
        self.with(fh, |r| r.flags |= RELEASED);
        drop(file);
        Ok(())
    }

    fn with(&self, fh: Fh, change: impl FnOnce(&mut Record)) {
        let mut records = self.shard(fh);
        let local = fh.0 as u32 / SHARDS;
        let Some(record) = records.get_mut(local).filter(|r| u64::from(r.generation) == fh.0 >> 32) else { return };
        change(record);
        if record.flags & RELEASED == 0 || record.pins > 0 {
            return;
        }
        let Some(record) = records.remove(local) else { return };
        drop(records);
        self.open.fetch_sub(1, Ordering::Relaxed);
        if record.flags & WRITABLE != 0 {
            self.closes_writer(record.nodeid);
        }
        if record.rings != 0 {
            let mut list = lock(&self.unregister);
            list.push((fh, record.rings));
            self.unregistered.fetch_add(1, Ordering::Release);
        }
        self.dead.push(HostFd(record.fd), record.flags & SLOW != 0);
    }

    /// Closed files that rings (a bit each, by number modulo 64) still have registered. Free of locks when there are none.
    pub fn take_unregistered(&self) -> Vec<(Fh, u64)> {
        if self.unregistered.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut list = lock(&self.unregister);
        self.unregistered.store(0, Ordering::Relaxed);
        std::mem::take(&mut *list)
    }
}

/// Room for one open file, given back when dropped.
pub struct Permit<'c>(&'c Handles);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A new `fh` in a reply that is not committed yet: closed when dropped.
pub struct Opened<'c> {
    handles: &'c Handles,
    fh: Fh,
    directory: bool,
    given: bool,
}

impl Opened<'_> {
    /// A directory.
    pub fn directory(&self) -> bool {
        self.directory
    }

    /// Its number on the wire.
    pub fn fh(&self) -> Fh {
        self.fh
    }

    /// The kernel has the reply: RELEASE will come.
    pub fn give(mut self) {
        self.given = true;
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if !self.given {
            let _ = self.handles.release(self.fh);
        }
    }
}

/// An open file in use by a request.
pub struct File<'c> {
    handles: &'c Handles,
    fh: Fh,
    fd: HostFd,
    flags: u8,
    drops: u64,
}

impl File<'_> {
    /// Something is read through it: the key of its [`Kind::drops`], the first time.
    pub fn has_dropped(&self) -> Option<u64> {
        if self.flags & DROPS == 0 {
            return None;
        }
        self.handles.with(self.fh, |r| r.flags &= !DROPS);
        Some(self.drops)
    }

    /// Its number on the wire.
    pub fn fh(&self) -> Fh {
        self.fh
    }

    /// The host's descriptor, good as long as this value.
    pub fn fd(&self) -> HostFd {
        self.fd
    }

    /// Opened with O_DIRECT.
    pub fn direct(&self) -> bool {
        self.flags & DIRECT != 0
    }

    /// See [`Kind::append_only`].
    pub fn append_only(&self) -> bool {
        self.flags & APPEND_ONLY != 0
    }

    /// A directory.
    pub fn directory(&self) -> bool {
        self.flags & DIRECTORY != 0
    }

    /// Open for writing.
    pub fn writable(&self) -> bool {
        self.flags & WRITABLE != 0
    }

    /// Something was locked through it.
    pub fn locked(&self) -> bool {
        self.flags & LOCKED != 0
    }

    /// Something is being locked through it.
    pub fn locks(&self) {
        self.handles.with(self.fh, |r| r.flags |= LOCKED);
    }

    /// Its last name is gone: closing it frees its blocks.
    pub fn closes_slowly(&self) {
        self.handles.with(self.fh, |r| r.flags |= SLOW);
    }

    /// Notes that ring `ring` registered the descriptor, so that its RELEASE is told.
    pub fn registered_in(&self, ring: usize) {
        self.handles.with(self.fh, |r| r.rings |= 1 << (ring % 64));
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        self.handles.with(self.fh, |r| r.pins = r.pins.saturating_sub(1));
    }
}
