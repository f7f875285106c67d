//! The calls that a host must offer. `core` states them and never makes them: `sys` keeps the promise, `ops` asks.
//!
//! Every call may block unless it says otherwise, and answers with the host's errno.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use crate::protocol::abi::Kstatfs;
use crate::protocol::{Errno, SetTime};

use super::attr::Stat;
use super::idmap::Asker;
use super::ids::{HostFd, HostGid, HostUid};
use super::locks::{Cancel, Lock};

/// A host's answer.
pub type Result<T> = std::result::Result<T, Errno>;

/// The bytes of a file handle (name_to_handle_at(2)), or of a birth time where the filesystem has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHandle {
    /// `handle_type`; [`FileHandle::BTIME`] marks the substitute.
    pub kind: i32,
    len: u8,
    bytes: [u8; FileHandle::MAX],
}

impl FileHandle {
    /// `MAX_HANDLE_SZ` of fcntl.h.
    pub const MAX: usize = 128;
    /// Not a handle that opens anything, only a birth time to compare.
    pub const BTIME: i32 = i32::MIN;

    /// A handle of at most [`FileHandle::MAX`] bytes.
    pub fn new(kind: i32, bytes: &[u8]) -> Option<FileHandle> {
        let mut all = [0; FileHandle::MAX];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(FileHandle { kind, len: bytes.len() as u8, bytes: all })
    }

    /// What stands for a handle where there is none.
    pub fn from_btime(stat: &Stat) -> FileHandle {
        let time = stat.btime.unwrap_or_default();
        let mut bytes = [0; FileHandle::MAX];
        bytes[..8].copy_from_slice(&time.sec.to_ne_bytes());
        bytes[8..12].copy_from_slice(&time.nsec.to_ne_bytes());
        FileHandle { kind: FileHandle::BTIME, len: 12, bytes }
    }

    /// The bytes alone.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// One batch of directory entries with the host's own cookies.
#[derive(Debug, Default)]
pub struct DirBatch {
    /// All names, one after the other, each with its NUL.
    pub names: Vec<u8>,
    /// The entries in the host's order.
    pub items: Vec<DirItem>,
}

/// One directory entry.
#[derive(Clone, Copy, Debug)]
pub struct DirItem {
    /// The host's inode number.
    pub ino: u64,
    /// Where reading goes on after this entry.
    pub off: u64,
    /// `DT_*` of readdir(3).
    pub kind: u32,
    start: u32,
    end: u32,
}

impl DirBatch {
    /// Appends an entry.
    pub fn push(&mut self, ino: u64, off: u64, kind: u32, name: &CStr) {
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.items.push(DirItem { ino, off, kind, start, end: self.names.len() as u32 });
    }

    /// An entry's name.
    pub fn name(&self, item: &DirItem) -> &CStr {
        let bytes = self.names.get(item.start as usize..item.end as usize).unwrap_or_default();
        CStr::from_bytes_with_nul(bytes).unwrap_or_default()
    }
}

/// How a new object is made: for whom, and under which umask (a default ACL overrules it).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Making {
    /// Becomes the owner.
    pub uid: HostUid,
    /// The owner's group, unless the directory gives its own.
    pub gid: HostGid,
    /// The one supplementary group that matters: the directory's, if the caller is in it. Both decide over SGID.
    pub supp_gid: Option<HostGid>,
    /// With a root's capabilities.
    pub root: bool,
    /// The caller's umask.
    pub umask: u32,
}

/// What becomes of SUID and SGID bits when a file is written, truncated or given away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suid {
    /// The writer has CAP_FSETID: they stay.
    Keep,
    /// They go, but for SGID where nobody of the group may execute, if that is the writer's group.
    Clear {
        /// The writer's group.
        gid: HostGid,
    },
}

impl Suid {
    /// As a caller may. `kill`: the kernel says that it lacks CAP_FSETID.
    pub fn of(caller: &Asker, kill: bool) -> Suid {
        if caller.root && !kill { Suid::Keep } else { Suid::Clear { gid: caller.group() } }
    }
}

/// `O_*` and `RENAME_*` values travel as the client's kernel sends them: they are this host's own.
#[allow(missing_docs, reason = "each call is the system call of its name")]
pub trait Host: Send + Sync + 'static {
    /// Opens `name` in `dir` as an anchor (O_PATH | O_NOFOLLOW), beneath it and never through a magic link.
    fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd>;
    /// [`Host::anchor`] if it needs no disk, else EAGAIN. Never blocks.
    fn anchor_cached(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd>;
    /// Makes an anchor of an open file.
    fn reanchor(&self, file: HostFd) -> Result<OwnedFd>;
    /// Opens what is behind an anchor: a regular file or a directory, as the caller knows.
    fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd>;
    fn stat(&self, fd: HostFd) -> Result<Stat>;
    /// EOPNOTSUPP where the filesystem has none. Does not block on a held fd.
    fn handle_of(&self, fd: HostFd) -> Result<FileHandle>;
    /// Opens an anchor by handle; `mount` is any descriptor on the filesystem that is not an anchor.
    fn by_handle(&self, mount: HostFd, handle: &FileHandle) -> Result<OwnedFd>;
    /// True if calls on this filesystem wait for nothing but a local disk.
    fn is_local(&self, fd: HostFd) -> bool;

    /// O_CREAT | O_EXCL.
    fn create(&self, making: &Making, dir: HostFd, name: &CStr, flags: u32, mode: u32) -> Result<OwnedFd>;
    fn tmpfile(&self, making: &Making, dir: HostFd, flags: u32, mode: u32) -> Result<OwnedFd>;
    fn mkdir(&self, making: &Making, dir: HostFd, name: &CStr, mode: u32) -> Result<()>;
    fn mknod(&self, making: &Making, dir: HostFd, name: &CStr, mode: u32, rdev: (u32, u32)) -> Result<()>;
    fn symlink(&self, making: &Making, dir: HostFd, name: &CStr, target: &CStr) -> Result<()>;
    fn link(&self, anchor: HostFd, dir: HostFd, name: &CStr) -> Result<()>;
    fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()>;
    fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()>;
    fn rename(&self, dir: HostFd, name: &CStr, newdir: HostFd, newname: &CStr, flags: u32) -> Result<()>;
    /// [`Host::rename`] with RENAME_WHITEOUT.
    fn whiteout(&self, making: &Making, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()>;
    fn readlink(&self, anchor: HostFd) -> Result<Vec<u8>>;

    /// Whether whoever runs this may read, write or execute (`R_OK` and its kin).
    fn access(&self, fd: HostFd, mask: u32) -> Result<()>;
    fn chmod(&self, fd: HostFd, mode: u32) -> Result<()>;
    fn chown(&self, fd: HostFd, uid: Option<HostUid>, gid: Option<HostGid>) -> Result<()>;
    /// chown(-1, -1), which takes SUID and SGID away from a file that has them, if the caller owns it.
    fn chown_nobody(&self, caller: &Making, fd: HostFd) -> Result<()>;
    /// By name of the anchor: unlike [`Host::ftruncate`] it leaves the times alone where the size stays.
    fn truncate(&self, anchor: HostFd, size: u64) -> Result<()>;
    /// `file` is open for writing.
    fn ftruncate(&self, file: HostFd, size: u64) -> Result<()>;
    fn utimens(&self, fd: HostFd, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()>;

    /// Fills `buf` from `offset`; less only at the end of the file.
    fn read(&self, file: HostFd, buf: &mut [u8], offset: u64) -> Result<usize>;
    /// Writes what it can; less than all only if an error cut it short.
    fn write(&self, file: HostFd, buf: &[u8], offset: u64, append: bool) -> Result<usize>;
    fn fsync(&self, file: HostFd, datasync: bool) -> Result<()>;
    /// What close(2) would report, without closing.
    fn flush(&self, file: HostFd) -> Result<()>;
    fn fallocate(&self, file: HostFd, mode: u32, offset: u64, length: u64) -> Result<()>;
    fn lseek(&self, file: HostFd, offset: u64, whence: u32) -> Result<u64>;
    fn copy_file_range(&self, from: (HostFd, u64), to: (HostFd, u64), len: u64, flags: u64) -> Result<u64>;
    /// Entries after cookie `offset` that fill up to `bytes` of the host's own records; empty at the end.
    fn read_dir(&self, dir: HostFd, offset: u64, bytes: usize) -> Result<DirBatch>;
    fn statfs(&self, fd: HostFd) -> Result<Kstatfs>;

    fn setxattr(&self, fd: HostFd, name: &CStr, value: &[u8], flags: u32) -> Result<()>;
    /// With an empty `value` the size alone.
    fn getxattr(&self, fd: HostFd, name: &CStr, value: &mut [u8]) -> Result<usize>;
    /// `root`: for somebody with CAP_SYS_ADMIN, to whom alone some filesystems list `trusted.` names.
    fn listxattr(&self, fd: HostFd, list: &mut [u8], root: bool) -> Result<usize>;
    fn removexattr(&self, fd: HostFd, name: &CStr) -> Result<()>;

    /// Sets or takes away a lock of the open file description, without waiting: EAGAIN if another's is in the way.
    fn lock(&self, file: HostFd, lock: &Lock) -> Result<()>;
    /// [`Host::lock`] that waits for others; EINTR when `cancel` ends that.
    fn lock_wait(&self, file: HostFd, lock: &Lock, cancel: &Cancel) -> Result<()>;
    /// Whether a signal waits for that thread, which it cannot be told of before its call ends.
    fn has_signal(&self, thread: u32) -> bool;
    /// A lock of others that is in the way of this one.
    fn lock_in_the_way(&self, file: HostFd, lock: &Lock) -> Result<Option<Lock>>;
    /// The locks that the open file description holds.
    fn locks_of(&self, file: HostFd) -> Result<Vec<Lock>>;

    /// The `events` of poll(2) that are there now.
    fn poll(&self, file: HostFd, events: u32) -> Result<u32>;
    /// ioctl(2) with an argument in memory, which may be written to.
    fn ioctl(&self, file: HostFd, command: u32, argument: &mut [u8]) -> Result<u32>;

    /// Runs `f` with the right to keep SUID and SGID bits on writes, CAP_FSETID, or without.
    fn with_suid<R>(&self, suid: Suid, f: impl FnOnce() -> R) -> R;
}
