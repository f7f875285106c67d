//! The operations of the model, as data: a step means something in any state, so any part of a sequence can run.

use std::fmt;

use super::support::sys::{ROOT, User};

/// Open descriptors that a sequence can name.
pub const SLOTS: usize = 6;
/// Mappings that a sequence can name.
pub const MAPS: usize = 2;

/// The callers. 1000 and 1001 share group 2000 only.
pub const USERS: [User; 3] =
    [ROOT, User { uid: 1000, gid: 1000, groups: &[1000, 2000] }, User { uid: 1001, gid: 1001, groups: &[2000] }];

/// One operation, by whom, under which umask.
#[derive(Clone)]
pub struct Step {
    pub who: usize,
    pub umask: u32,
    /// Afterwards compare the touched files' contents too: reading fills caches, so not each time.
    pub look: bool,
    pub op: Op,
}

/// A path beneath the working directory, or a slot; see `sys::At`.
#[derive(Clone)]
pub enum Target {
    Path(P),
    Link(P),
    Fd(usize),
    Empty(usize),
}

#[derive(Clone, Debug)]
pub enum Op {
    Open { slot: usize, path: P, flags: Flags, mode: Octal },
    Close { slot: usize },
    Dup { slot: usize, from: usize },
    Read { slot: usize, len: usize, vector: bool },
    Write { slot: usize, len: usize, fill: u8, vector: bool },
    Pread { slot: usize, at: i64, len: usize },
    Pwrite { slot: usize, at: i64, len: usize, fill: u8 },
    Seek { slot: usize, at: i64, whence: Whence },
    Truncate { on: Target, len: i64 },
    Fallocate { slot: usize, mode: i32, at: i64, len: i64 },
    Fsync { slot: usize, data: bool },
    Copy { from: usize, from_at: i64, to: usize, to_at: i64, len: usize },
    Map { map: usize, slot: usize, write: bool, private: bool },
    MapRead { map: usize, at: usize, len: usize },
    MapWrite { map: usize, at: usize, len: usize, fill: u8 },
    Unmap { map: usize },
    Mkdir { path: P, mode: Octal },
    Rmdir { path: P },
    Unlink { path: P },
    Rename { from: P, to: P, flags: u32 },
    Link { from: P, to: P, follow: bool },
    LinkFd { slot: usize, to: P, by_proc: bool },
    Symlink { target: P, path: P },
    Readlink { path: P },
    Mknod { path: P, mode: Octal, dev: u64 },
    Chmod { on: Target, mode: Octal },
    Chown { on: Target, uid: i32, gid: i32 },
    Utimens { on: Target, atime: (i64, i64), mtime: (i64, i64) },
    Access { path: P, mode: i32, flags: i32 },
    Stat { on: Target },
    Statx { on: Target },
    Setxattr { on: Target, name: P, value: P, flags: i32 },
    Getxattr { on: Target, name: P, size: usize },
    Listxattr { on: Target, size: usize },
    Removexattr { on: Target, name: P },
    Readdir { on: Target, size: usize },
    Seekdir { on: Target, skip: usize },
    Statfs { on: Target },
    Lock { slot: usize, owner: Owner, kind: LockKind, at: i64, len: i64 },
    Getlock { slot: usize, owner: Owner, kind: LockKind, at: i64, len: i64 },
    Flags { slot: usize },
    Setflags { slot: usize, noatime: bool },
    Poll { slot: usize, events: i16 },
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner {
    /// The process's: any close of the file takes it away.
    Process,
    /// The open file's.
    File,
    /// The open file's, by flock(2).
    Flock,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LockKind {
    Read,
    Write,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Whence {
    Set,
    Cur,
    End,
    Data,
    Hole,
}

impl Op {
    /// The paths whose state the operation may change or depend on.
    pub fn paths(&self) -> Vec<&P> {
        match self {
            Op::Open { path, .. }
            | Op::Mkdir { path, .. }
            | Op::Rmdir { path }
            | Op::Unlink { path }
            | Op::Symlink { path, .. }
            | Op::Readlink { path }
            | Op::Mknod { path, .. }
            | Op::Access { path, .. } => vec![path],
            Op::Rename { from, to, .. } | Op::Link { from, to, .. } => vec![from, to],
            Op::LinkFd { to, .. } => vec![to],
            _ => match self.target() {
                Some(Target::Path(path) | Target::Link(path)) => vec![path],
                _ => vec![],
            },
        }
    }

    /// The same for descriptors.
    pub fn slots(&self) -> Vec<usize> {
        match self {
            Op::Open { slot, .. }
            | Op::Read { slot, .. }
            | Op::Write { slot, .. }
            | Op::Pread { slot, .. }
            | Op::Pwrite { slot, .. }
            | Op::Seek { slot, .. }
            | Op::Fallocate { slot, .. }
            | Op::Fsync { slot, .. }
            | Op::Map { slot, .. }
            | Op::Lock { slot, .. }
            | Op::Getlock { slot, .. }
            | Op::Flags { slot }
            | Op::Setflags { slot, .. }
            | Op::Poll { slot, .. }
            | Op::LinkFd { slot, .. } => vec![*slot],
            Op::Dup { slot, from } => vec![*slot, *from],
            Op::Copy { from, to, .. } => vec![*from, *to],
            _ => match self.target() {
                Some(Target::Fd(slot) | Target::Empty(slot)) => vec![*slot],
                _ => vec![],
            },
        }
    }

    /// The mapping that it writes to.
    pub fn map(&self) -> Option<usize> {
        if let Op::MapWrite { map, .. } = self { Some(*map) } else { None }
    }

    fn target(&self) -> Option<&Target> {
        match self {
            Op::Truncate { on, .. }
            | Op::Chmod { on, .. }
            | Op::Chown { on, .. }
            | Op::Utimens { on, .. }
            | Op::Stat { on }
            | Op::Statx { on }
            | Op::Setxattr { on, .. }
            | Op::Getxattr { on, .. }
            | Op::Listxattr { on, .. }
            | Op::Removexattr { on, .. }
            | Op::Readdir { on, .. }
            | Op::Seekdir { on, .. }
            | Op::Statfs { on } => Some(on),
            _ => None,
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let uid = USERS[self.who].uid;
        write!(f, "uid {uid:<4} umask {:03o}{} {:?}", self.umask, if self.look { " look" } else { "" }, self.op)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Path(path) => write!(f, "{path:?}"),
            Target::Link(path) => write!(f, "{path:?} (nofollow)"),
            Target::Fd(slot) => write!(f, "fd {slot}"),
            Target::Empty(slot) => write!(f, "fd {slot} (AT_EMPTY_PATH)"),
        }
    }
}

/// Bytes of a path, name or value; printed with runs of one byte abridged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct P(pub Vec<u8>);

impl From<&str> for P {
    fn from(text: &str) -> P {
        P(text.into())
    }
}
impl AsRef<[u8]> for P {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
impl fmt::Debug for P {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "\"")?;
        let mut shown = 0;
        for run in self.0.chunk_by(|a, b| a == b) {
            let one = run[0].escape_ascii();
            match run.len() {
                n @ 0..=8 => write!(f, "{}", one.to_string().repeat(n))?,
                n => write!(f, "{{{one}*{n}}}")?,
            }
            shown += 1;
            if shown > 60 {
                write!(f, "...{} bytes", self.0.len())?;
                break;
            }
        }
        write!(f, "\"")
    }
}

#[derive(Clone, Copy)]
pub struct Octal(pub u32);
impl fmt::Debug for Octal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:#o}", self.0)
    }
}

/// Flags of open, printed by name.
#[derive(Clone, Copy)]
pub struct Flags(pub i32);

pub const OPEN_FLAGS: [(&str, i32); 13] = [
    ("O_TMPFILE", libc::O_TMPFILE),
    ("O_CREAT", libc::O_CREAT),
    ("O_EXCL", libc::O_EXCL),
    ("O_TRUNC", libc::O_TRUNC),
    ("O_APPEND", libc::O_APPEND),
    ("O_DIRECTORY", libc::O_DIRECTORY),
    ("O_NOFOLLOW", libc::O_NOFOLLOW),
    ("O_PATH", libc::O_PATH),
    ("O_DIRECT", libc::O_DIRECT),
    ("O_SYNC", libc::O_SYNC),
    ("O_DSYNC", libc::O_DSYNC),
    ("O_NOATIME", libc::O_NOATIME),
    ("O_NONBLOCK", libc::O_NONBLOCK),
];

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", ["O_RDONLY", "O_WRONLY", "O_RDWR", "3"][(self.0 & libc::O_ACCMODE) as usize])?;
        let mut rest = self.0 & !libc::O_ACCMODE;
        for (name, bits) in OPEN_FLAGS {
            if rest & bits == bits {
                rest &= !bits;
                write!(f, "|{name}")?;
            }
        }
        if rest != 0 { write!(f, "|{rest:#o}") } else { Ok(()) }
    }
}
