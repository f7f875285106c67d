//! GETLK, SETLK, SETLKW: locks of fcntl(2) and flock(2), passed on to the host.

use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;
use crate::core::handles::File;
use crate::core::host::{Host, Result};
use crate::core::ids::{Fh, HostFd, NodeId, Unique};
use crate::core::locks::{Holder, Key, Lock, LockType, Wanted};
use crate::core::nodes::Closing;
use crate::protocol::abi::{FileLock, LkOut};
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::data::{O_APPEND, O_WRONLY};
use super::os::Os;

/// `F_RDLCK`, `F_WRLCK` and `F_UNLCK` of Linux, whose protocol this is.
const TYPES: [LockType; 3] = [LockType::Read, LockType::Write, LockType::Unlock];
const O_RDONLY: u32 = 0;
const O_RDWR: u32 = 2;
/// So many owners are followed from one who waits to the next, as the kernel does (`MAX_DEADLK_ITERATIONS`).
const MOST_IN_A_RING: usize = 10;
/// How often a refused lock looks again, 2 ms apart.
const PATIENCE: usize = 5;

/// What the three ask.
pub struct Ask {
    /// An open file of the owner's.
    pub fh: Fh,
    /// `fuse_lk_in.owner`.
    pub owner: u64,
    /// The lock.
    pub lk: FileLock,
    /// Of flock(2).
    pub flock: bool,
}

impl Ask {
    fn key(&self, nodeid: NodeId) -> Key {
        Key { nodeid, owner: self.owner, flock: self.flock }
    }

    fn lock(&self) -> Result<Lock> {
        let kind = *TYPES.get(self.lk.r#type as usize).ok_or(Errno::EINVAL)?;
        let FileLock { start, end, .. } = self.lk;
        Ok(Lock { kind, start, end: end.min(Lock::END), pid: None, flock: self.flock })
    }
}

/// On the spot where that waits for nothing but memory.
async fn quick<O: Os, R: Send + 'static>(
    core: &Core,
    os: &O,
    f: impl FnOnce(&O::Host) -> Result<R> + Send + 'static,
) -> Result<R> {
    if core.devices.all_local() { os.inline(f) } else { os.offload(f).await }
}

async fn set<O: Os>(core: &Core, os: &O, holder: &Holder, lock: Lock) -> Result<()> {
    let fd = holder.fd();
    quick(core, os, move |host| host.lock(fd, &lock)).await
}

async fn held_by<O: Os>(core: &Core, os: &O, holder: &Holder) -> Result<Vec<Lock>> {
    let fd = holder.fd();
    quick(core, os, move |host| host.locks_of(fd)).await
}

/// Closes a description that nobody uses any more.
fn let_go<O: Os>(os: &O, holder: Arc<Holder>) {
    if let Some(holder) = Arc::into_inner(holder) {
        os.close(Closing { fd: HostFd(holder.into_file().into_raw_fd()), may_block: true });
    }
}

/// GETLK.
pub async fn getlk<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, ask: Ask) -> Result<Answer<'c>> {
    let (file, lock, key) = (core.handles.get(ask.fh)?, ask.lock()?, ask.key(nodeid));
    let holder = core.locks.get(&key);
    // No lock is on the file's own description, so that for it all others' are in the way.
    let fd = holder.as_ref().map_or(file.fd(), |holder| holder.fd());
    let mut found = quick(core, os, move |host| host.lock_in_the_way(fd, &lock)).await?;
    for _ in 0..PATIENCE {
        if found.is_none() || !somebody_leaves(core, os, &key).await {
            break;
        }
        found = quick(core, os, move |host| host.lock_in_the_way(fd, &lock)).await?;
    }
    let lk = match found {
        None => FileLock { r#type: 2, ..ask.lk },
        Some(found) => {
            let pid = match found.pid {
                Some(pid) => pid,
                None => owner_of(core, os, &key, &found).await.map_or(0, |holder| holder.pid),
            };
            FileLock { start: found.start, end: found.end, r#type: found.kind as u32, pid }
        }
    };
    Ok(Reply::Lock(LkOut { lk }).into())
}

/// Which client another's lock on the file is.
async fn owner_of<O: Os>(core: &Core, os: &O, key: &Key, found: &Lock) -> Option<Arc<Holder>> {
    for other in core.locks.others(key) {
        let held = held_by(core, os, &other).await.unwrap_or_default();
        if held.iter().any(|lock| (lock.kind, lock.start, lock.end) == (found.kind, found.start, found.end)) {
            return Some(other);
        }
    }
    None
}

/// SETLK and SETLKW (`wait`), by a request of a thread.
pub async fn setlk<'c, O: Os>(
    core: &'c Core,
    os: &O,
    by: (Unique, u32),
    nodeid: NodeId,
    ask: Ask,
    wait: bool,
) -> Result<Answer<'c>> {
    let (file, lock, key) = (core.handles.get(ask.fh)?, ask.lock()?, ask.key(nodeid));
    if !file.locked() {
        file.locks();
    }
    loop {
        let holder = match lock.kind {
            LockType::Unlock => core.locks.get(&key),
            kind => Some(holder(core, os, key, &file, &ask, kind).await?),
        };
        let Some(holder) = holder else { return Ok(Reply::Ok.into()) };
        if !core.locks.used(&holder, ask.fh) {
            continue;
        }
        let taken = match lock.kind {
            LockType::Unlock => set(core, os, &holder, lock).await.map(|()| true),
            _ => take(core, os, by, &holder, lock, wait).await,
        }?;
        // Another thread of the owner's may have had the description replaced, or closed the file: then this lock is
        // nobody's, and is asked for anew.
        if !taken || !core.locks.holds(&holder) {
            let _ = set(core, os, &holder, Lock { kind: LockType::Unlock, ..lock }).await;
            continue;
        }
        if lock.kind == LockType::Unlock && lock.is_whole() {
            core.locks.remove_idle(holder).into_iter().for_each(|holder| let_go(os, holder));
        }
        return Ok(Reply::Ok.into());
    }
}

/// Takes the lock; false if the wait for it must begin anew.
async fn take<O: Os>(
    core: &Core,
    os: &O,
    by: (Unique, u32),
    holder: &Arc<Holder>,
    lock: Lock,
    wait: bool,
) -> Result<bool> {
    let mut answer = set(core, os, holder, lock).await;
    if wait && answer == Err(Errno::EAGAIN) {
        return wait_for(core, os, by, holder, lock).await;
    }
    for _ in 0..PATIENCE {
        if answer != Err(Errno::EAGAIN) || !somebody_leaves(core, os, &holder.key).await {
            break;
        }
        answer = set(core, os, holder, lock).await;
    }
    answer.map(|()| true)
}

/// RELEASE comes some time after close(2), and locks that are a file's own last until then, though on the host they are
/// gone when close(2) returns. So whoever is refused because of a file that was closed looks again after a while, if
/// there was one.
async fn somebody_leaves<O: Os>(core: &Core, os: &O, key: &Key) -> bool {
    if !core.locks.others(key).iter().any(|other| other.is_leaving()) {
        return false;
    }
    let slept = os.offload(|_| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    });
    slept.await.is_ok()
}

/// The owner's description, fit for such a lock.
async fn holder<O: Os>(
    core: &Core,
    os: &O,
    key: Key,
    file: &File<'_>,
    ask: &Ask,
    kind: LockType,
) -> Result<Arc<Holder>> {
    let old = core.locks.get(&key);
    if let Some(holder) = &old
        && holder.permits(kind)
    {
        return Ok(Arc::clone(holder));
    }
    if core.nodes.pinned_fds() + core.in_use() >= core.config.fd_budget {
        return Err(Errno::ENOLCK);
    }
    let write = file.writable() || old.as_ref().is_some_and(|old| old.mode.1);
    let (description, mode) = describe(os, file.fd(), write).await?;
    let new = HostFd(description.as_raw_fd());
    let mut moved = Vec::new();
    if let Some(old) = &old {
        // Taken anew before they are let go of, so that nobody comes between.
        move_locks(core, os, old, new, &mut moved).await?;
    }
    let (holder, spare) = core.locks.put(Holder::new(key, ask.lk.pid, mode, description), old.as_ref());
    if let Some(spare) = spare {
        if let Some(old) = old.filter(|old| Arc::ptr_eq(old, &spare)) {
            // What other threads of the owner's have taken in the meantime; later ones see that it is replaced.
            move_locks(core, os, &old, new, &mut moved).await?;
            core.waits.replaced(&old);
        }
        // Closing it may take a while.
        let _ = set(core, os, &spare, Lock::none(key.flock)).await;
        let_go(os, spare);
    }
    if holder.permits(kind) { Ok(holder) } else { Err(Errno::EBADF) }
}

/// Takes on `new` what `old` holds, but for what was `moved` before. Only read locks can be in the way of read locks, so
/// that the owner gets what he had.
async fn move_locks<O: Os>(core: &Core, os: &O, old: &Holder, new: HostFd, moved: &mut Vec<Lock>) -> Result<()> {
    for lock in held_by(core, os, old).await? {
        if !moved.contains(&lock) {
            quick(core, os, move |host| host.lock(new, &lock)).await?;
            moved.push(lock);
        }
    }
    Ok(())
}

/// Opens a description of the file: with both rights where one is to write, so that it takes locks of either kind.
async fn describe<O: Os>(os: &O, file: HostFd, write: bool) -> Result<(std::os::fd::OwnedFd, (bool, bool))> {
    if !write {
        return Ok((os.open(file, O_RDONLY).await?, (true, false)));
    }
    let mut refused = None;
    // The host may have the file for appending only, or let the daemon's user write but not read.
    for (flags, read) in [(O_RDWR, true), (O_RDWR | O_APPEND, true), (O_WRONLY, false), (O_WRONLY | O_APPEND, false)] {
        match os.open(file, flags).await {
            Ok(description) => return Ok((description, (read, true))),
            Err(errno) => refused = refused.or(Some(errno)),
        }
    }
    Err(refused.unwrap_or(Errno::EBADF))
}

/// Waits for the lock; false if the wait must begin anew, on another description.
async fn wait_for<O: Os>(
    core: &Core,
    os: &O,
    (unique, pid): (Unique, u32),
    holder: &Arc<Holder>,
    lock: Lock,
) -> Result<bool> {
    let wait = core.waits.begin(unique, holder, lock);
    // As on the host, where flock(2) knows no such thing. After it has begun: of those who close a ring at the same time
    // the last sees all others.
    if !lock.flock && is_ring(core, os, &wait.wanted).await {
        return Err(Errno::EDEADLK);
    }
    // FUSE-over-io_uring tells nothing of a signal that came before the request was taken off its queue, and whoever was
    // interrupted once is deaf to all that comes later.
    if os.inline(|host| host.has_signal(pid)) {
        return Err(Errno::EINTR);
    }
    if !core.locks.holds(holder) {
        return Ok(false);
    }
    let (cancel, holder) = (wait.cancel(), Arc::clone(holder));
    match os.park(move |host| host.lock_wait(holder.fd(), &lock, &cancel)).await {
        Err(Errno::EINTR) if wait.cancel().is_again() => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// Whether the one who has the lock waits, perhaps by way of others, for the one who wants it, who was the last to begin.
/// Two owners of one process are open files, whose locks another of its threads may let go of.
async fn is_ring<O: Os>(core: &Core, os: &O, wanted: &Wanted) -> bool {
    let (owner, pid) = (wanted.holder.key.owner, wanted.holder.pid);
    let mut next = wanted.clone();
    for _ in 0..MOST_IN_A_RING {
        let (fd, lock) = (next.holder.fd(), next.lock);
        let Ok(Some(found)) = quick(core, os, move |host| host.lock_in_the_way(fd, &lock)).await else { return false };
        if found.pid.is_some() {
            return false; // a process of the host
        }
        let Some(other) = owner_of(core, os, &next.holder.key, &found).await else { return false };
        if other.key.owner == owner {
            return true;
        }
        if other.pid == pid {
            return false;
        }
        match core.waits.of_owner(other.key.owner).into_iter().find(|wanted| !wanted.lock.flock) {
            Some(waiting) if waiting.since < wanted.since => next = waiting,
            _ => return false,
        }
    }
    false
}

/// FLUSH: whoever closes a file, however often it is open, loses all his locks of fcntl(2) on it.
pub async fn flushed<O: Os>(core: &Core, os: &O, nodeid: NodeId, fh: Fh, owner: u64) {
    if core.locks.is_empty() {
        return;
    }
    core.locks.closed(nodeid, fh);
    let Some(holder) = core.locks.get(&Key { nodeid, owner, flock: false }) else { return };
    // A lock that cannot be taken back goes with its description.
    let _ = set(core, os, &holder, Lock::none(false)).await;
    core.locks.remove_idle(holder).into_iter().for_each(|holder| let_go(os, holder));
}

/// RELEASE: the locks that were taken through the file, which by then are flock(2)'s and those of open files.
pub async fn released<O: Os>(core: &Core, os: &O, nodeid: NodeId, fh: Fh) {
    for holder in core.locks.remove_of(nodeid, fh) {
        let _ = set(core, os, &holder, Lock::none(holder.key.flock)).await;
        let_go(os, holder);
    }
}
