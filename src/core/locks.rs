//! Locks of fcntl(2) and flock(2) that clients hold: which descriptor of the host stands for which owner, and who waits.
//!
//! An owner's locks on a file are those of one open file description of its own, so that they conflict with every other
//! owner's, and with those of the host's processes. It lives until the owner closes the file.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::ids::{Fh, HostFd, NodeId, Unique};
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard, lock};

const SHARDS: usize = 16;
/// INTERRUPTs that came before the request that they are for, at most: the others were for requests that did not wait.
const EARLY: usize = 1024;

/// What is asked of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockType {
    /// Shared.
    Read,
    /// Exclusive.
    Write,
    /// None.
    Unlock,
}

/// A lock of fcntl(2), or of flock(2), which covers the whole file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// See [`LockType`].
    pub kind: LockType,
    /// The first byte.
    pub start: u64,
    /// The last byte; [`Lock::END`] is the end of the file, wherever that will be.
    pub end: u64,
    /// The holder, where the host names it.
    pub pid: Option<u32>,
    /// Of flock(2).
    pub flock: bool,
}

impl Lock {
    /// `OFFSET_MAX` of the kernel.
    pub const END: u64 = i64::MAX as u64;

    /// What takes all of an owner's locks away.
    pub fn none(flock: bool) -> Lock {
        Lock { kind: LockType::Unlock, start: 0, end: Lock::END, pid: None, flock }
    }

    /// Whether it covers every byte that a file can have.
    pub fn is_whole(&self) -> bool {
        self.flock || self.start == 0 && self.end >= Lock::END
    }
}

/// Whose locks: one owner's on one file. fcntl(2) and flock(2) know nothing of each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The file.
    pub nodeid: NodeId,
    /// The kernel's name for the owner (`fuse_lk_in.owner`): a process's table of files, or an open file.
    pub owner: u64,
    /// See [`Lock::flock`].
    pub flock: bool,
}

/// The description that holds an owner's locks.
pub struct Holder {
    /// Whose they are.
    pub key: Key,
    /// The client's process that took the first.
    pub pid: u32,
    /// Open for reading, and for writing, as locks of either kind need.
    pub mode: (bool, bool),
    file: OwnedFd,
    /// The open files of the client through which locks were asked for: with the last goes what is left.
    files: Mutex<Vec<Fh>>,
    leaving: AtomicBool,
}

impl Holder {
    /// `file` is a description of its own.
    pub fn new(key: Key, pid: u32, mode: (bool, bool), file: OwnedFd) -> Holder {
        Holder { key, pid, mode, file, files: Mutex::default(), leaving: AtomicBool::new(false) }
    }

    /// The description.
    pub fn fd(&self) -> HostFd {
        HostFd(self.file.as_raw_fd())
    }

    /// Gives the descriptor up, to be closed where that may wait.
    pub fn into_file(self) -> OwnedFd {
        self.file
    }

    /// Whether a file was closed since the owner last asked for a lock: its RELEASE may be on its way.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn uses(&self, fh: Fh) -> bool {
        lock(&self.files).contains(&fh)
    }

    /// One of its files is gone; true if it was the last.
    fn lost(&self, fh: Fh) -> bool {
        let mut files = lock(&self.files);
        files.retain(|&file| file != fh);
        files.is_empty()
    }

    /// Whether the host would take such a lock on this description.
    pub fn permits(&self, kind: LockType) -> bool {
        self.key.flock
            || match kind {
                LockType::Read => self.mode.0,
                LockType::Write => self.mode.1,
                LockType::Unlock => true,
            }
    }
}

type Shard = HashMap<Key, Arc<Holder>>;

/// All owners that hold locks, or asked for one.
#[derive(Default)]
pub struct Locks {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
}

impl Locks {
    fn shard(&self, nodeid: NodeId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[nodeid.0 as usize % SHARDS])
    }

    /// Descriptors in the table.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// True if no owner is known. Free of locks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An owner's description.
    pub fn get(&self, key: &Key) -> Option<Arc<Holder>> {
        self.shard(key.nodeid).get(key).cloned()
    }

    /// Stores a description in the place of `old`, if that is still there: gives what is stored now, and what is not.
    pub fn put(&self, new: Holder, old: Option<&Arc<Holder>>) -> (Arc<Holder>, Option<Arc<Holder>>) {
        let new = Arc::new(new);
        let mut shard = self.shard(new.key.nodeid);
        match shard.get(&new.key) {
            Some(there) if !old.is_some_and(|old| Arc::ptr_eq(old, there)) => (Arc::clone(there), Some(new)),
            found => {
                if found.is_none() {
                    self.len.fetch_add(1, Ordering::Relaxed);
                }
                let before = shard.insert(new.key, Arc::clone(&new));
                if let Some(before) = &before {
                    *lock(&new.files) = lock(&before.files).clone();
                }
                (new, before)
            }
        }
    }

    /// The owner asks for a lock through an open file. False if the description is not the owner's any more.
    pub fn used(&self, holder: &Arc<Holder>, fh: Fh) -> bool {
        let shard = self.shard(holder.key.nodeid);
        let mut files = lock(&holder.files);
        if !files.contains(&fh) {
            files.push(fh);
        }
        holder.leaving.store(false, Ordering::Relaxed);
        shard.get(&holder.key).is_some_and(|there| Arc::ptr_eq(there, holder))
    }

    /// Whether the description is still the owner's: what an orphan holds is nobody's.
    pub fn holds(&self, holder: &Arc<Holder>) -> bool {
        self.shard(holder.key.nodeid).get(&holder.key).is_some_and(|there| Arc::ptr_eq(there, holder))
    }

    /// Takes out an owner who was let go of, unless a request of his is in service.
    pub fn remove_idle(&self, holder: Arc<Holder>) -> Option<Arc<Holder>> {
        let key = holder.key;
        drop(holder);
        let mut shard = self.shard(key.nodeid);
        if shard.get(&key).is_none_or(|there| Arc::strong_count(there) > 1) {
            return None;
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        shard.remove(&key)
    }

    /// Takes out all whose last open file this was.
    pub fn remove_of(&self, nodeid: NodeId, fh: Fh) -> Vec<Arc<Holder>> {
        let gone: Vec<_> = self
            .shard(nodeid)
            .extract_if(|key, holder| key.nodeid == nodeid && holder.uses(fh) && holder.lost(fh))
            .map(|(_, holder)| holder)
            .collect();
        self.len.fetch_sub(gone.len(), Ordering::Relaxed);
        gone
    }

    /// An open file was closed, perhaps for the last time.
    pub fn closed(&self, nodeid: NodeId, fh: Fh) {
        let of_file = |holder: &&Arc<Holder>| holder.key.nodeid == nodeid && holder.uses(fh);
        self.shard(nodeid).values().filter(of_file).for_each(|holder| holder.leaving.store(true, Ordering::Relaxed));
    }

    /// The other owners on the file.
    pub fn others(&self, key: &Key) -> Vec<Arc<Holder>> {
        let others = |other: &&Arc<Holder>| {
            other.key.nodeid == key.nodeid && other.key.flock == key.flock && other.key.owner != key.owner
        };
        self.shard(key.nodeid).values().filter(others).cloned().collect()
    }
}

/// Ends a wait from another thread.
#[derive(Default)]
pub struct Cancel(Mutex<CancelState>);

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    again: bool,
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Cancel {
    /// Whether the wait is to end.
    pub fn is_set(&self) -> bool {
        let state = lock(&self.0);
        state.cancelled || state.again
    }

    /// Whether it ended only to begin anew, on another description.
    pub fn is_again(&self) -> bool {
        let state = lock(&self.0);
        state.again && !state.cancelled
    }

    fn again(&self) {
        let mut state = lock(&self.0);
        state.again = true;
        if let Some(wake) = &state.wake {
            wake();
        }
    }

    /// Ends the wait, now or when it begins.
    pub fn set(&self) {
        let mut state = lock(&self.0);
        state.cancelled = true;
        if let Some(wake) = &state.wake {
            wake();
        }
    }

    /// Runs `wait`, during which `wake` is to make it look at [`Cancel::is_set`].
    pub fn during<R>(&self, wake: impl Fn() + Send + 'static, wait: impl FnOnce() -> R) -> R {
        lock(&self.0).wake = Some(Box::new(wake));
        let answer = wait();
        lock(&self.0).wake = None;
        answer
    }
}

/// A lock that is waited for.
#[derive(Clone)]
pub struct Wanted {
    /// On whose behalf.
    pub holder: Arc<Holder>,
    /// What he wants.
    pub lock: Lock,
    /// His place in the order in which waits began.
    pub since: u64,
}

#[derive(Default)]
struct Waiting {
    begun: u64,
    requests: HashMap<Unique, (Arc<Cancel>, Wanted)>,
    early: VecDeque<Unique>,
    closed: bool,
}

/// Requests that wait for somebody else's lock.
#[derive(Default)]
pub struct Waits(Mutex<Waiting>);

impl Waits {
    /// Begins to wait; dropping the guard ends it. An INTERRUPT may have come before.
    pub fn begin(&self, unique: Unique, holder: &Arc<Holder>, lock_wanted: Lock) -> Wait<'_> {
        let cancel = Arc::new(Cancel::default());
        let mut waiting = lock(&self.0);
        waiting.begun += 1;
        let wanted = Wanted { holder: Arc::clone(holder), lock: lock_wanted, since: waiting.begun };
        if waiting.closed || waiting.early.contains(&unique) {
            cancel.set();
        }
        waiting.requests.insert(unique, (Arc::clone(&cancel), wanted.clone()));
        Wait { waits: self, unique, cancel, wanted }
    }

    /// INTERRUPT.
    pub fn interrupt(&self, unique: Unique) {
        let mut waiting = lock(&self.0);
        match waiting.requests.get(&unique) {
            Some((cancel, _)) => cancel.set(),
            None => {
                if waiting.early.len() == EARLY {
                    waiting.early.pop_front();
                }
                waiting.early.push_back(unique);
            }
        }
    }

    /// Whoever waits on a description that was replaced begins anew.
    pub fn replaced(&self, holder: &Arc<Holder>) {
        let waiting = lock(&self.0);
        let his = waiting.requests.values().filter(|(_, wanted)| Arc::ptr_eq(&wanted.holder, holder));
        his.for_each(|(cancel, _)| cancel.again());
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        lock(&self.0).requests.len()
    }

    /// Nobody is there any more to be told: every wait ends, and every later one at once.
    pub fn close(&self) {
        let mut waiting = lock(&self.0);
        waiting.closed = true;
        waiting.requests.values().for_each(|(cancel, _)| cancel.set());
    }

    /// What an owner waits for, in all its threads.
    pub fn of_owner(&self, owner: u64) -> Vec<Wanted> {
        let waiting = lock(&self.0);
        let his = waiting.requests.values().filter(|(_, wanted)| wanted.holder.key.owner == owner);
        his.map(|(_, wanted)| wanted.clone()).collect()
    }
}

/// A wait under way.
pub struct Wait<'c> {
    waits: &'c Waits,
    unique: Unique,
    cancel: Arc<Cancel>,
    /// What is waited for.
    pub wanted: Wanted,
}

impl Wait<'_> {
    /// For the thread that waits.
    pub fn cancel(&self) -> Arc<Cancel> {
        Arc::clone(&self.cancel)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        lock(&self.waits.0).requests.remove(&self.unique);
    }
}
