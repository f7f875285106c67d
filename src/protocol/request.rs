//! A request as a value: what the kernel asks, with its names and data borrowed from the buffer that carried it.

use std::ffi::CStr;

use super::{Fh, NodeId, Unique};

/// One request. Borrowed parts live in the payload buffer and die when the reply is written there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request<'a> {
    /// Names this request in its reply and in INTERRUPT.
    pub unique: Unique,
    /// The node that the request is about (0 where there is none).
    pub nodeid: NodeId,
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub op: Op<'a>,
}

/// The process behind a request, as `fuse_in_header` gives it. Kernel housekeeping has pid 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Filesystem uid.
    pub uid: u32,
    /// Filesystem gid.
    pub gid: u32,
    /// Thread group id in the daemon's pid namespace, 0 where it has none.
    pub pid: u32,
    /// The one supplementary group that matters at creation (`FUSE_EXT_GROUPS`): the parent's, if the caller is in it.
    pub supp_gid: Option<u32>,
}

/// A time to set: `FATTR_ATIME` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The host's current time (`FATTR_ATIME_NOW`, `FATTR_MTIME_NOW`).
    Now,
    /// Seconds (two's complement) and nanoseconds since the epoch.
    At(i64, u32),
}

/// What SETATTR changes; `None` leaves a field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setattr {
    /// An open file to act on (ftruncate, fchmod...).
    pub fh: Option<Fh>,
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size in bytes.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
    /// `FATTR_KILL_SUIDGID`: the caller lacks CAP_FSETID.
    pub kill_suidgid: bool,
}

impl Setattr {
    /// True if it names no attribute at all.
    pub fn changes_nothing(&self) -> bool {
        let Setattr { fh: _, mode, uid, gid, size, atime, mtime, kill_suidgid: _ } = *self;
        (mode, uid, gid, size, atime, mtime) == (None, None, None, None, None, None)
    }
}

/// The operation and its arguments, named as in `linux/fuse.h`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[rustfmt::skip] // one operation a line
#[allow(missing_docs, reason = "the fields are those of the struct fuse_*_in of the same name")]
pub enum Op<'a> {
    Lookup {
        name: &'a CStr,
    },
    Forget {
        nlookup: u64,
    },
    BatchForget(ForgetList<'a>),
    Getattr {
        fh: Option<Fh>,
    },
    Statx {
        fh: Option<Fh>,
        sx_flags: u32,
        sx_mask: u32,
    },
    Setattr(Setattr),
    Readlink,
    Symlink {
        name: &'a CStr,
        target: &'a CStr,
    },
    Mknod {
        name: &'a CStr,
        mode: u32,
        rdev: u32,
        umask: u32,
    },
    Mkdir {
        name: &'a CStr,
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a CStr,
    },
    Rmdir {
        name: &'a CStr,
    },
    /// RENAME (flags 0) and RENAME2.
    Rename {
        name: &'a CStr,
        newdir: NodeId,
        newname: &'a CStr,
        flags: u32,
    },
    Link {
        oldnodeid: NodeId,
        newname: &'a CStr,
    },
    Open {
        flags: u32,
        kill_suidgid: bool,
    },
    Create {
        name: &'a CStr,
        flags: u32,
        mode: u32,
        umask: u32,
        kill_suidgid: bool,
    },
    /// The kernel's name for it is meaningless and dropped.
    Tmpfile {
        flags: u32,
        mode: u32,
        umask: u32,
    },
    Read {
        fh: Fh,
        offset: u64,
        size: u32,
        flags: u32,
    },
    /// `cache`: written back from the page cache (`FUSE_WRITE_CACHE`), so `fh` may be any writable one of the node.
    Write {
        fh: Fh,
        offset: u64,
        data: &'a [u8],
        flags: u32,
        cache: bool,
        kill_suidgid: bool,
    },
    Statfs,
    Release {
        fh: Fh,
        flags: u32,
    },
    Fsync {
        fh: Fh,
        datasync: bool,
    },
    Setxattr {
        name: &'a CStr,
        value: &'a [u8],
        flags: u32,
        acl_kill_sgid: bool,
    },
    /// `size` 0 asks for the value's size only.
    Getxattr {
        name: &'a CStr,
        size: u32,
    },
    Listxattr {
        size: u32,
    },
    Removexattr {
        name: &'a CStr,
    },
    Flush {
        fh: Fh,
        lock_owner: u64,
    },
    Access {
        mask: u32,
    },
    Opendir {
        flags: u32,
    },
    Readdir {
        fh: Fh,
        offset: u64,
        size: u32,
    },
    Readdirplus {
        fh: Fh,
        offset: u64,
        size: u32,
    },
    Releasedir {
        fh: Fh,
    },
    Fsyncdir {
        fh: Fh,
        datasync: bool,
    },
    Fallocate {
        fh: Fh,
        offset: u64,
        length: u64,
        mode: u32,
    },
    Lseek {
        fh: Fh,
        offset: u64,
        whence: u32,
    },
    /// COPY_FILE_RANGE and COPY_FILE_RANGE_64 (`wide`), which differ in the reply alone.
    CopyFileRange {
        fh_in: Fh,
        off_in: u64,
        nodeid_out: NodeId,
        fh_out: Fh,
        off_out: u64,
        len: u64,
        flags: u64,
        wide: bool,
    },
    Interrupt {
        unique: Unique,
    },
    /// INIT; its arguments go to [`super::init::negotiate`].
    Init(super::abi::InitIn),
    Destroy,
    /// An opcode that is not answered (yet): ENOSYS.
    Unsupported {
        opcode: u32,
    },
}

/// The body of BATCH_FORGET: pairs of nodeid and nlookup, checked to be whole when decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForgetList<'a>(pub(super) &'a [super::abi::ForgetOne]);

impl ForgetList<'_> {
    /// Each node with the number of lookups to take back.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.0.iter().map(|one| (NodeId(one.nodeid.get()), one.nlookup.get()))
    }
}
