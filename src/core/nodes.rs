//! The node table: identity to nodeid and back, nlookup, and the cached descriptors ("anchors").
//!
//! A record is plain data addressed by index. It lives while any of these holds: the kernel remembers it (`nlookup`),
//! a request uses it (`pins`), or a child is reached through it (`children`). Descriptors that a record gives up are
//! put on a list for the engine to close outside every lock.
//!
//! Identity is (filesystem, ino) and the bytes of the file handle. While a record holds a descriptor its inode cannot
//! be reused, so the handle is needed only once the descriptor is gone: it is taken at eviction.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::protocol::Errno;

use super::attr::KIND_DIRECTORY;
use super::blobs::{Blob, Blobs};
use super::fd_lru::{FdLru, Linked, Links};
use super::host::FileHandle;
use super::ids::{Dev, HostFd, NodeId};
use super::kept::Kept;
use super::slab::Slab;
use super::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard, lock};

const SHARDS: u32 = 64;
const NO_FD: i32 = -1;
const ROOT: u32 = 1;
const KIND_SHIFT: u32 = 12;

/// The descriptor is all that is left of the file, or the only way to it: it stays until FORGET.
const KEPT: u8 = 1;
/// Another file took over this inode number: the record no longer answers to its identity.
const REPLACED: u8 = 2;
/// In the shard's list of descriptors that may be evicted.
const IN_LRU: u8 = 4;
/// Its name was removed through this mount, or it never had one.
const REMOVED: u8 = 8;
/// What the kernel keeps of it is of the content that is noted.
const SETTLED: u8 = 16;

#[derive(Default)]
struct Record {
    nlookup: u64,
    ino: u64,
    content: u64,
    generation: u32,
    pins: u32,
    children: u32,
    parent: u32,
    name: Blob,
    handle: Blob,
    fd: i32,
    links: Links,
    dev: Dev,
    flags: u8,
    /// `S_IFMT` of the mode, shifted down.
    kind: u8,
}

#[derive(Default)]
struct Shard {
    records: Slab<Record>,
    by_identity: HashTable<u32>,
    blobs: Blobs,
    lru: FdLru,
}

impl Linked for Slab<Record> {
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.get_mut(index).map(|r| &mut r.links)
    }
}

/// All nodes. Sharded by identity, so that one lock covers a record, its index entry and its strings.
pub struct Nodes {
    shards: Box<[Shards]>,
    root_hash: u64,
    generation: AtomicU32,
    count: AtomicUsize,
    fds: AtomicUsize,
    kept: Arc<Kept>,
    next_victim: AtomicU32,
    /// Held while a directory changes its parent, so that none becomes its own ancestor.
    moves: Mutex<()>,
    dead: Dead,
}

#[repr(align(128))]
#[derive(Default)]
struct Shards(Mutex<Shard>);

/// Descriptors given up and not yet closed.
#[derive(Default)]
pub struct Dead {
    waiting: AtomicUsize,
    list: Mutex<Vec<Closing>>,
}

/// A descriptor to close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Ours alone now.
    pub fd: HostFd,
    /// Closing it may free a file's blocks, or write: not on a worker.
    pub may_block: bool,
}

impl Dead {
    /// Puts a descriptor on the list.
    pub fn push(&self, fd: HostFd, may_block: bool) {
        lock(&self.list).push(Closing { fd, may_block });
        self.waiting.fetch_add(1, Ordering::Release);
    }

    /// Takes all that wait; free of locks when none does.
    pub fn take(&self) -> Vec<Closing> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let list = std::mem::take(&mut *lock(&self.list));
        self.waiting.fetch_sub(list.len(), Ordering::Relaxed);
        list
    }
}

/// A file as it was just seen.
pub struct Sighting<'a> {
    /// Its filesystem.
    pub dev: Dev,
    /// Its inode number there.
    pub ino: u64,
    /// Its type, as in `S_IFMT`.
    pub kind: u32,
    /// Where it was found.
    pub parent: NodeId,
    /// Under which name; `None` for a file that has none (O_TMPFILE).
    pub name: Option<&'a CStr>,
    /// The bytes of its handle, if they were taken already.
    pub handle: Option<&'a FileHandle>,
}

/// What [`Nodes::count`] came to.
pub enum Count<'c> {
    /// Counted once more.
    Node(Counted<'c>),
    /// The record holds no descriptor: say the handle as well, to tell whether it is the same file.
    NeedHandle(Option<OwnedFd>),
}

/// How a node without a descriptor is reached again.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Its filesystem.
    pub dev: Dev,
    /// Its inode number.
    pub ino: u64,
    /// Its handle, or birth time.
    pub handle: Option<FileHandle>,
    /// The directory it was last seen in.
    pub parent: NodeId,
    /// Its name there, with the NUL; empty if it has none.
    pub name: Vec<u8>,
}

impl Nodes {
    /// A table with the root alone, which `fd` anchors for good.
    pub fn new(dev: Dev, ino: u64, fd: OwnedFd) -> Nodes {
        let nodes = Nodes {
            shards: (0..SHARDS).map(|_| Shards::default()).collect(),
            root_hash: hash(dev, ino),
            generation: AtomicU32::new(1),
            count: AtomicUsize::new(1),
            fds: AtomicUsize::new(1),
            kept: Arc::new(Kept::root()),
            next_victim: AtomicU32::new(0),
            moves: Mutex::default(),
            dead: Dead::default(),
        };
        let mut shard = nodes.shard(ROOT);
        let kind = (KIND_DIRECTORY >> KIND_SHIFT) as u8;
        let record =
            Record { nlookup: 1, pins: 1, ino, dev, kind, parent: ROOT, fd: fd.into_raw_fd(), ..Default::default() };
        let local = shard.records.insert(record);
        shard.by_identity.insert_unique(nodes.root_hash, local, |_| nodes.root_hash);
        drop(shard);
        nodes
    }

    fn shard(&self, index: u32) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(index % SHARDS) as usize].0)
    }

    /// The root lands in shard 1 as its first record, so that its index is 1 and its nodeid `FUSE_ROOT_ID`.
    fn shard_of(&self, hash: u64) -> u32 {
        ((hash >> 40).wrapping_sub(self.root_hash >> 40).wrapping_add(ROOT.into()) % u64::from(SHARDS)) as u32
    }

    /// Nodes that are remembered, the root included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Never: the root is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Descriptors held.
    pub fn fds(&self) -> usize {
        self.fds.load(Ordering::Relaxed)
    }

    /// Descriptors held that cannot be evicted.
    pub fn pinned_fds(&self) -> usize {
        self.kept.count()
    }

    /// The same, to wait for.
    pub fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Descriptors to close.
    pub fn dead(&self) -> &Dead {
        &self.dead
    }

    /// The node, held for one request. ESTALE if the kernel has no business with it.
    pub fn pin(&self, nodeid: NodeId) -> Result<Pin<'_>, Errno> {
        let (index, generation) = split(nodeid);
        let mut guard = self.shard(index);
        let shard = &mut *guard;
        let local = index / SHARDS;
        let record = shard.records.get_mut(local).filter(|r| r.generation == generation).ok_or(Errno::ESTALE)?;
        let pin = Pin::new(self, index, record);
        if record.flags & IN_LRU != 0 {
            shard.lru.touch(&mut shard.records, local);
        }
        Ok(pin)
    }

    /// The node of a file that is known, if it is.
    pub fn find(&self, dev: Dev, ino: u64) -> Option<Pin<'_>> {
        let hash = hash(dev, ino);
        let at = self.shard_of(hash);
        let mut guard = self.shard(at);
        let shard = &mut *guard;
        let local = find(shard, hash, dev, ino)?;
        let record = shard.records.get_mut(local)?;
        Some(Pin::new(self, local * SHARDS + at, record))
    }

    /// Counts one lookup of the file that `fd` anchors: the node it already is, or a new one. Without `fd` the node
    /// stays as it is, and a new one holds none: then the sighting must have the handle.
    ///
    /// The parent must be pinned by the caller. A surplus descriptor goes to [`Nodes::dead`].
    pub fn count(&self, seen: &Sighting<'_>, fd: Option<OwnedFd>) -> Count<'_> {
        let hash = hash(seen.dev, seen.ino);
        let at = self.shard_of(hash);
        let mut guard = self.shard(at);
        let shard = &mut *guard;
        if let Some(local) = find(shard, hash, seen.dev, seen.ino)
            && let Some(record) = shard.records.get_mut(local)
        {
            if record.fd == NO_FD {
                let Some(handle) = seen.handle else { return Count::NeedHandle(fd) };
                if !same_handle(shard.blobs.get(record.handle), handle) {
                    record.flags |= REPLACED;
                    remove_identity(shard, hash, local);
                    return self.insert(guard, at, hash, seen, fd);
                }
            }
            record.nlookup += 1;
            let nodeid = join(local * SHARDS + at, record.generation);
            let held = record.fd != NO_FD;
            match fd {
                Some(fd) if held => self.dead.push(HostFd(fd.into_raw_fd()), false),
                Some(fd) => self.hold(shard, local, fd),
                None => {}
            }
            drop(guard);
            if let Some(name) = seen.name {
                self.place(nodeid, seen.parent, name);
            }
            return Count::Node(Counted { nodes: self, nodeid, times: 1 });
        }
        self.insert(guard, at, hash, seen, fd)
    }

    fn insert(
        &self,
        mut guard: MutexGuard<'_, Shard>,
        at: u32,
        hash: u64,
        seen: &Sighting<'_>,
        fd: Option<OwnedFd>,
    ) -> Count<'_> {
        let shard = &mut *guard;
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let record = Record {
            nlookup: 1,
            ino: seen.ino,
            dev: seen.dev,
            kind: (seen.kind >> KIND_SHIFT) as u8,
            generation,
            fd: NO_FD,
            parent: ROOT,
            handle: seen.handle.map_or(Blob::NONE, |h| shard.blobs.insert(&pack_handle(h))),
            ..Default::default()
        };
        let local = shard.records.insert(record);
        let records = &shard.records;
        shard.by_identity.insert_unique(hash, local, |&i| records.get(i).map_or(0, |r| self::hash(r.dev, r.ino)));
        self.count.fetch_add(1, Ordering::Relaxed);
        if seen.name.is_none() && fd.is_some() {
            if let Some(record) = shard.records.get_mut(local) {
                record.flags |= KEPT | REMOVED;
            }
            self.kept.add();
        }
        if let Some(fd) = fd {
            self.hold(shard, local, fd);
        }
        let parent = split(seen.parent).0;
        if let (Some(name), Some(record)) = (seen.name, shard.records.get_mut(local)) {
            record.name = shard.blobs.insert(name.to_bytes());
            record.parent = parent;
        }
        let nodeid = join(local * SHARDS + at, generation);
        drop(guard);
        if seen.name.is_some() {
            self.adopt(ROOT, parent);
        }
        Count::Node(Counted { nodes: self, nodeid, times: 1 })
    }

    /// Notes where a node was seen. The caller holds both it and the new parent.
    fn place(&self, nodeid: NodeId, parent: NodeId, name: &CStr) {
        let (index, new) = (split(nodeid).0, split(parent).0);
        // The root is nobody's child.
        if index == ROOT {
            return;
        }
        let mut guard = self.shard(index);
        let Some(record) = guard.records.get(index / SHARDS) else { return };
        let _moves;
        if record.parent != new && u32::from(record.kind) == KIND_DIRECTORY >> KIND_SHIFT {
            drop(guard);
            _moves = lock(&self.moves);
            // Where it was seen is old news if the parent was last seen below it: two directories that changed places
            // on the host, or one bound onto its own child. Each would keep the other for ever.
            if self.is_below(new, index) {
                return;
            }
            guard = self.shard(index);
        }
        let shard = &mut *guard;
        let Some(record) = shard.records.get_mut(index / SHARDS) else { return };
        let old = std::mem::replace(&mut record.parent, new);
        if shard.blobs.get(record.name) != name.to_bytes() {
            let stale = std::mem::replace(&mut record.name, Blob::NONE);
            shard.blobs.remove(stale);
            record.name = shard.blobs.insert(name.to_bytes());
        }
        if record.flags & KEPT != 0 && record.fd != NO_FD {
            // Another name of a file of which one was removed: it can be reached again without its descriptor.
            record.flags &= !(KEPT | REMOVED);
            self.kept.remove();
            record.flags |= IN_LRU;
            shard.lru.push(&mut shard.records, index / SHARDS);
        }
        drop(guard);
        if old != new {
            self.adopt(old, new);
        }
    }

    /// True if `index` is `ancestor`, or was seen somewhere below it. Parents stay as they are while `moves` is held.
    fn is_below(&self, mut index: u32, ancestor: u32) -> bool {
        while index != ROOT {
            if index == ancestor {
                return true;
            }
            let Some(parent) = self.shard(index).records.get(index / SHARDS).map(|r| r.parent) else { return false };
            index = parent;
        }
        false
    }

    /// Moves one child from the first parent to the second. Root counts nobody: it is never freed.
    ///
    /// Another thread may see a child, and move it on, before the one that put it there has counted it: then the parent
    /// counts one too few for a moment, in which the latter pins it.
    fn adopt(&self, old: u32, new: u32) {
        if new != ROOT
            && let Some(record) = self.shard(new).records.get_mut(new / SHARDS)
        {
            record.children = record.children.wrapping_add(1);
        }
        if old != ROOT {
            self.release(old, |r| r.children = r.children.wrapping_sub(1));
        }
    }

    fn hold(&self, shard: &mut Shard, local: u32, fd: OwnedFd) {
        let Some(record) = shard.records.get_mut(local) else { return };
        record.fd = fd.into_raw_fd();
        self.fds.fetch_add(1, Ordering::Relaxed);
        if record.flags & KEPT == 0 {
            record.flags |= IN_LRU;
            shard.lru.push(&mut shard.records, local);
        }
    }

    /// Changes a record's counts, then frees it if nothing holds it, and then its parents likewise.
    fn release(&self, index: u32, change: impl FnOnce(&mut Record)) {
        let mut guard = self.shard(index);
        let Some(record) = guard.records.get_mut(index / SHARDS) else { return };
        change(record);
        let mut parent = self.reap(guard, index);
        while let Some(index) = parent {
            let mut guard = self.shard(index);
            let Some(record) = guard.records.get_mut(index / SHARDS) else { return };
            record.children = record.children.wrapping_sub(1);
            parent = self.reap(guard, index);
        }
    }

    /// Frees the record if nothing holds it; then its parent has one child less, which is for the caller to settle.
    fn reap(&self, mut guard: MutexGuard<'_, Shard>, index: u32) -> Option<u32> {
        let shard = &mut *guard;
        let local = index / SHARDS;
        let record = shard.records.get(local)?;
        if record.nlookup > 0 || record.pins > 0 || record.children != 0 {
            return None;
        }
        if record.flags & IN_LRU != 0 {
            shard.lru.unlink(&mut shard.records, local);
        }
        let record = shard.records.get(local)?;
        if record.flags & REPLACED == 0 {
            let hash = hash(record.dev, record.ino);
            remove_identity(shard, hash, local);
        }
        let record = shard.records.remove(local)?;
        shard.blobs.remove(record.name);
        shard.blobs.remove(record.handle);
        drop(guard);
        self.count.fetch_sub(1, Ordering::Relaxed);
        if record.fd != NO_FD {
            self.fds.fetch_sub(1, Ordering::Relaxed);
            let kept = record.flags & KEPT != 0;
            if kept {
                self.kept.remove();
            }
            self.dead.push(HostFd(record.fd), kept);
        }
        (record.parent != ROOT).then_some(record.parent)
    }

    /// Takes `nlookup` lookups back; more than there are count as all. The root is never forgotten.
    pub fn forget(&self, nodeid: NodeId, nlookup: u64) {
        let (index, generation) = split(nodeid);
        if index != ROOT {
            self.release(index, |r| {
                if r.generation == generation {
                    r.nlookup = r.nlookup.saturating_sub(nlookup);
                }
            });
        }
    }

    /// Some cached descriptor that no request uses, an old one first.
    pub fn victim(&self) -> Option<Pin<'_>> {
        let first = self.next_victim.fetch_add(1, Ordering::Relaxed);
        (0..SHARDS).find_map(|step| {
            let at = first.wrapping_add(step) % SHARDS;
            let mut guard = self.shard(at);
            let shard = &mut *guard;
            let mut candidate = shard.lru.oldest();
            for _ in 0..8 {
                let local = candidate?;
                let record = shard.records.get_mut(local)?;
                if record.pins == 0 {
                    return Some(Pin::new(self, local * SHARDS + at, record));
                }
                candidate = shard.lru.newer(&mut shard.records, local);
            }
            None
        })
    }
}

fn find(shard: &Shard, hash: u64, dev: Dev, ino: u64) -> Option<u32> {
    let same = |&i: &u32| shard.records.get(i).is_some_and(|r| r.ino == ino && r.dev == dev);
    shard.by_identity.find(hash, same).copied()
}

fn remove_identity(shard: &mut Shard, hash: u64, local: u32) {
    if let Ok(entry) = shard.by_identity.find_entry(hash, |&i| i == local) {
        entry.remove();
    }
    let records = &shard.records;
    if shard.by_identity.len() * 8 < shard.by_identity.capacity() && shard.by_identity.capacity() > 64 {
        shard.by_identity.shrink_to(0, |&i| records.get(i).map_or(0, |r| self::hash(r.dev, r.ino)));
    }
}

fn hash(dev: Dev, ino: u64) -> u64 {
    let mixed = (ino ^ u64::from(dev.0).rotate_left(48)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn split(nodeid: NodeId) -> (u32, u32) {
    (nodeid.0 as u32, (nodeid.0 >> 32) as u32)
}

fn join(index: u32, generation: u32) -> NodeId {
    NodeId(u64::from(generation) << 32 | u64::from(index))
}

fn pack_handle(handle: &FileHandle) -> Vec<u8> {
    [&handle.kind.to_ne_bytes(), handle.bytes()].concat()
}

fn same_handle(packed: &[u8], handle: &FileHandle) -> bool {
    packed
        .split_first_chunk()
        .is_some_and(|(kind, bytes)| *kind == handle.kind.to_ne_bytes() && bytes == handle.bytes())
}

/// A node in use by a request: its record, and its descriptor if it had one, stay as they are.
pub struct Pin<'c> {
    nodes: &'c Nodes,
    nodeid: NodeId,
    fd: i32,
    dev: Dev,
    kind: u8,
}

impl<'c> Pin<'c> {
    /// Holds the record for one more request.
    fn new(nodes: &'c Nodes, index: u32, record: &mut Record) -> Pin<'c> {
        record.pins += 1;
        let nodeid = join(index, record.generation);
        Pin { nodes, nodeid, fd: record.fd, dev: record.dev, kind: record.kind }
    }

    /// The node.
    pub fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    /// Its descriptor, if it holds one; good as long as the pin.
    pub fn fd(&self) -> Option<HostFd> {
        (self.fd != NO_FD).then_some(HostFd(self.fd))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Shard, u32) -> R) -> R {
        let index = split(self.nodeid).0;
        f(&mut self.nodes.shard(index), index / SHARDS)
    }

    /// Its type, as in `S_IFMT`.
    pub fn kind(&self) -> u32 {
        u32::from(self.kind) << KIND_SHIFT
    }

    /// The filesystem that it is on.
    pub fn dev(&self) -> Dev {
        self.dev
    }

    /// How to reach it again.
    pub fn recipe(&self) -> Option<Recipe> {
        let (mut recipe, parent) = self.with(|shard, local| {
            let record = shard.records.get(local)?;
            let handle = shard.blobs.get(record.handle).split_first_chunk();
            let mut name = shard.blobs.get(record.name).to_vec();
            if !name.is_empty() {
                name.push(0);
            }
            let recipe = Recipe {
                dev: record.dev,
                ino: record.ino,
                handle: handle.and_then(|(kind, bytes)| FileHandle::new(i32::from_ne_bytes(*kind), bytes)),
                parent: NodeId::ROOT,
                name,
            };
            Some((recipe, record.parent))
        })?;
        // The parent may be let go of meanwhile, if another thread moves the node: then the handle has to do.
        if parent != ROOT
            && let Some(record) = self.nodes.shard(parent).records.get(parent / SHARDS)
        {
            recipe.parent = join(parent, record.generation);
        }
        Some(recipe)
    }

    /// Gives the node a descriptor; if it got one meanwhile, that one is used and ours closed.
    pub fn install(&mut self, fd: OwnedFd) -> HostFd {
        let nodes = self.nodes;
        self.fd = self.with(|shard, local| match shard.records.get(local).map(|r| r.fd) {
            Some(NO_FD) => {
                let raw = fd.as_raw_fd();
                nodes.hold(shard, local, fd);
                raw
            }
            held => {
                nodes.dead.push(HostFd(fd.into_raw_fd()), false);
                held.unwrap_or(NO_FD)
            }
        });
        HostFd(self.fd)
    }

    /// Gives up the descriptor of a [`Nodes::victim`] and remembers the handle instead, unless a request came by.
    /// The descriptor goes to [`Nodes::dead`].
    pub fn evict(self, handle: &FileHandle) {
        let nodes = self.nodes;
        self.with(|shard, local| {
            let Some(record) = shard.records.get_mut(local) else { return };
            if record.pins > 1 || record.flags & IN_LRU == 0 {
                return;
            }
            if record.handle == Blob::NONE {
                record.handle = shard.blobs.insert(&pack_handle(handle));
            }
            record.flags &= !IN_LRU;
            let fd = std::mem::replace(&mut record.fd, NO_FD);
            shard.lru.unlink(&mut shard.records, local);
            nodes.fds.fetch_sub(1, Ordering::Relaxed);
            nodes.dead.push(HostFd(fd), false);
        });
    }

    /// Its descriptor is the only way to it: it stays until FORGET, or until another name is seen.
    pub fn keep(&self) {
        // The root is nobody's child, and never given up.
        if self.nodeid == NodeId::ROOT {
            return;
        }
        let nodes = self.nodes;
        self.with(|shard, local| {
            let Some(record) = shard.records.get_mut(local) else { return };
            if record.flags & KEPT == 0 && record.fd != NO_FD {
                record.flags |= KEPT;
                nodes.kept.add();
                if record.flags & IN_LRU != 0 {
                    record.flags &= !IN_LRU;
                    shard.lru.unlink(&mut shard.records, local);
                }
            }
        });
    }

    /// The name it was known by was removed through this mount.
    pub fn removed(&self) {
        self.with(|shard, local| {
            if let Some(record) = shard.records.get_mut(local) {
                record.flags |= REMOVED;
            }
        });
        self.keep();
    }

    /// True if it is known to have no name: [`Pin::removed`], or made without one.
    pub fn is_removed(&self) -> bool {
        self.with(|shard, local| shard.records.get(local).is_some_and(|r| r.flags & REMOVED != 0))
    }

    /// It has a new name, in a directory that is pinned too.
    pub fn renamed(&self, parent: NodeId, name: &CStr) {
        self.nodes.place(self.nodeid, parent, name);
    }

    /// Notes the content's key (see [`super::attr::Stat::content_key`]) and says whether the kernel is known to keep nothing
    /// older than that: see [`Pin::settle`].
    pub fn content_unchanged(&self, key: u64) -> bool {
        self.with(|shard, local| {
            let Some(record) = shard.records.get_mut(local) else { return false };
            if record.content != key {
                record.content = key;
                record.flags &= !SETTLED;
            }
            record.flags & SETTLED != 0
        })
    }

    /// The kernel has dropped what it kept when the content's key was this. Until then each open has to say so: the kernel
    /// acts upon a reply after it was given, and another open may be faster.
    pub fn settle(&self, key: u64) {
        self.with(|shard, local| {
            if let Some(record) = shard.records.get_mut(local).filter(|r| r.content == key) {
                record.flags |= SETTLED;
            }
        });
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.nodes.release(split(self.nodeid).0, |r| r.pins = r.pins.saturating_sub(1));
    }
}

/// Lookups counted for a reply that is not committed yet: undone when dropped.
pub struct Counted<'c> {
    nodes: &'c Nodes,
    nodeid: NodeId,
    times: u64,
}

impl Counted<'_> {
    /// The node.
    pub fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    /// The kernel has the reply: the count is its own now, until FORGET.
    pub fn give(mut self) {
        self.times = 0;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.times > 0 {
            self.nodes.forget(self.nodeid, self.times);
        }
    }
}
