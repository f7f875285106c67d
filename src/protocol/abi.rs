//! The kernel's structs and constants, as `linux/fuse.h` 7.45 lays them out.
//!
//! A struct `Foo` here is `struct fuse_foo` there, field by field and in host byte order; reserved fields are kept,
//! so that a value and its bytes are the same thing (`IntoBytes` refuses hidden padding at compile time).
//! Flags keep the kernel's names, without `FUSE_` where a module says it.

use zerocopy::native_endian::U64;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Declares wire structs, each with its size in bytes: a field forgotten or widened does not compile.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident = $size:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[allow(missing_docs, reason = "a field without words is what its name says in linux/fuse.h")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size);

        impl Default for $name {
            /// All bytes zero.
            fn default() -> Self {
                Self::new_zeroed()
            }
        }
    )*};
}

// Framing.
wire! {
    /// Starts every request.
    InHeader = 40 {
        /// Bytes of the whole request, this header included.
        len: u32,
        opcode: u32,
        unique: u64,
        nodeid: u64,
        uid: u32,
        gid: u32,
        pid: u32,
        /// Length of the extensions at the end of the request, in units of 8 bytes.
        total_extlen: u16,
        padding: u16,
    }
    /// Starts every reply.
    OutHeader = 16 {
        /// Bytes of the whole reply, this header included.
        len: u32,
        /// 0 or a negated errno.
        error: i32,
        unique: u64,
    }
    /// Starts every extension of a request (`total_extlen`).
    ExtHeader = 8 {
        /// Bytes of the extension, this header included; a multiple of 8.
        size: u32,
        /// [`FUSE_EXT_GROUPS`]; up to 31 it is the `nr_secctx` of a `fuse_secctx_header`.
        r#type: u32,
    }
    /// The fixed part of the [`FUSE_EXT_GROUPS`] extension; `nr_groups` gids (u32) follow.
    SuppGroups = 4 {
        nr_groups: u32,
    }
}

// What several operations share.
wire! {
    /// Attributes of a node.
    Attr = 88 {
        ino: u64,
        /// Bytes.
        size: u64,
        /// Units of 512 bytes.
        blocks: u64,
        /// Seconds since the epoch, two's complement; so are `mtime` and `ctime`.
        atime: u64,
        mtime: u64,
        ctime: u64,
        atimensec: u32,
        mtimensec: u32,
        ctimensec: u32,
        /// File type and permission bits.
        mode: u32,
        nlink: u32,
        uid: u32,
        gid: u32,
        /// Linux `new_encode_dev`: minor 0..8, major 8..20, minor 20..32.
        rdev: u32,
        /// Preferred I/O size in bytes.
        blksize: u32,
        /// `FUSE_ATTR_*`.
        flags: u32,
    }
    /// A point in time, as statx(2) has it.
    SxTime = 16 {
        tv_sec: i64,
        tv_nsec: u32,
        reserved: i32,
    }
    /// The `struct statx` of Linux, bit for bit.
    Statx = 256 {
        /// `STATX_*`: which fields are valid.
        mask: u32,
        blksize: u32,
        /// `STATX_ATTR_*`.
        attributes: u64,
        nlink: u32,
        uid: u32,
        gid: u32,
        mode: u16,
        spare0: u16,
        ino: u64,
        size: u64,
        blocks: u64,
        attributes_mask: u64,
        atime: SxTime,
        btime: SxTime,
        ctime: SxTime,
        mtime: SxTime,
        rdev_major: u32,
        rdev_minor: u32,
        dev_major: u32,
        dev_minor: u32,
        spare2: [u64; 14],
    }
    /// Numbers of a whole filesystem; blocks are counted in `frsize` bytes.
    Kstatfs = 80 {
        blocks: u64,
        bfree: u64,
        bavail: u64,
        files: u64,
        ffree: u64,
        bsize: u32,
        namelen: u32,
        frsize: u32,
        padding: u32,
        spare: [u32; 6],
    }
}

// Nodes and names.
wire! {
    /// Reply of LOOKUP, MKNOD, MKDIR, SYMLINK, LINK: one lookup is counted, unless `nodeid` is 0 (no such name).
    EntryOut = 128 {
        nodeid: u64,
        generation: u64,
        /// Seconds that the name may be cached.
        entry_valid: u64,
        /// Seconds that the attributes may be cached.
        attr_valid: u64,
        entry_valid_nsec: u32,
        attr_valid_nsec: u32,
        attr: Attr,
    }
    /// FORGET.
    ForgetIn = 8 {
        nlookup: u64,
    }
    /// BATCH_FORGET: `count` times [`ForgetOne`] follow.
    BatchForgetIn = 8 {
        count: u32,
        dummy: u32,
    }
    /// One node of BATCH_FORGET. Alignment 1, so that a list can be borrowed from any place in a buffer.
    ForgetOne = 16 {
        nodeid: U64,
        nlookup: U64,
    }
    /// GETATTR.
    GetattrIn = 16 {
        /// [`FUSE_GETATTR_FH`].
        getattr_flags: u32,
        dummy: u32,
        fh: u64,
    }
    /// Reply of GETATTR and SETATTR.
    AttrOut = 104 {
        /// Seconds that the attributes may be cached.
        attr_valid: u64,
        attr_valid_nsec: u32,
        dummy: u32,
        attr: Attr,
    }
    /// STATX.
    StatxIn = 24 {
        /// [`FUSE_GETATTR_FH`].
        getattr_flags: u32,
        reserved: u32,
        fh: u64,
        /// `AT_STATX_*`.
        sx_flags: u32,
        /// `STATX_*`: what is asked for.
        sx_mask: u32,
    }
    /// Reply of STATX.
    StatxOut = 288 {
        /// Seconds that the attributes may be cached.
        attr_valid: u64,
        attr_valid_nsec: u32,
        flags: u32,
        spare: [u64; 2],
        stat: Statx,
    }
    /// SETATTR.
    SetattrIn = 88 {
        /// `FATTR_*`: which fields are to be set.
        valid: u32,
        padding: u32,
        fh: u64,
        size: u64,
        lock_owner: u64,
        /// Seconds since the epoch, two's complement; so are `mtime` and `ctime`.
        atime: u64,
        mtime: u64,
        ctime: u64,
        atimensec: u32,
        mtimensec: u32,
        ctimensec: u32,
        mode: u32,
        unused4: u32,
        uid: u32,
        gid: u32,
        unused5: u32,
    }
    /// MKNOD: a name follows.
    MknodIn = 16 {
        mode: u32,
        /// Encoded as [`Attr::rdev`].
        rdev: u32,
        umask: u32,
        padding: u32,
    }
    /// MKDIR: a name follows.
    MkdirIn = 8 {
        mode: u32,
        umask: u32,
    }
    /// RENAME: the old and the new name follow.
    RenameIn = 8 {
        newdir: u64,
    }
    /// RENAME2: the old and the new name follow.
    Rename2In = 16 {
        newdir: u64,
        /// `RENAME_*` of renameat2(2).
        flags: u32,
        padding: u32,
    }
    /// LINK: the new name follows.
    LinkIn = 8 {
        oldnodeid: u64,
    }
}

// Open files.
wire! {
    /// OPEN and OPENDIR.
    OpenIn = 8 {
        /// `O_*` of Linux.
        flags: u32,
        /// [`FUSE_OPEN_KILL_SUIDGID`].
        open_flags: u32,
    }
    /// CREATE and TMPFILE: a name follows.
    CreateIn = 16 {
        /// `O_*` of Linux.
        flags: u32,
        mode: u32,
        umask: u32,
        /// [`FUSE_OPEN_KILL_SUIDGID`].
        open_flags: u32,
    }
    /// Reply of OPEN and OPENDIR; that of CREATE and TMPFILE has it behind an [`EntryOut`].
    OpenOut = 16 {
        fh: u64,
        /// `FOPEN_*`.
        open_flags: u32,
        /// Names the backing file under [`FOPEN_PASSTHROUGH`].
        backing_id: i32,
    }
    /// RELEASE and RELEASEDIR.
    ReleaseIn = 24 {
        fh: u64,
        flags: u32,
        release_flags: u32,
        lock_owner: u64,
    }
    /// FLUSH: one close(2) of perhaps many.
    FlushIn = 24 {
        fh: u64,
        unused: u32,
        padding: u32,
        lock_owner: u64,
    }
    /// READ, READDIR and READDIRPLUS.
    ReadIn = 40 {
        fh: u64,
        /// Bytes; in a directory the `off` of the last entry seen.
        offset: u64,
        /// Bytes wanted at most.
        size: u32,
        read_flags: u32,
        lock_owner: u64,
        /// `O_*` of the open file.
        flags: u32,
        padding: u32,
    }
    /// WRITE: `size` bytes follow.
    WriteIn = 40 {
        fh: u64,
        offset: u64,
        size: u32,
        /// `FUSE_WRITE_*`.
        write_flags: u32,
        lock_owner: u64,
        /// `O_*` of the open file.
        flags: u32,
        padding: u32,
    }
    /// Reply of WRITE, and of COPY_FILE_RANGE.
    WriteOut = 8 {
        size: u32,
        padding: u32,
    }
    /// FSYNC and FSYNCDIR.
    FsyncIn = 16 {
        fh: u64,
        /// [`FUSE_FSYNC_FDATASYNC`].
        fsync_flags: u32,
        padding: u32,
    }
    /// FALLOCATE.
    FallocateIn = 32 {
        fh: u64,
        offset: u64,
        length: u64,
        /// `FALLOC_FL_*`.
        mode: u32,
        padding: u32,
    }
    /// LSEEK.
    LseekIn = 24 {
        fh: u64,
        offset: u64,
        /// `SEEK_DATA` or `SEEK_HOLE`; the kernel does the others itself.
        whence: u32,
        padding: u32,
    }
    /// Reply of LSEEK.
    LseekOut = 8 {
        offset: u64,
    }
    /// COPY_FILE_RANGE and COPY_FILE_RANGE_64.
    CopyFileRangeIn = 56 {
        fh_in: u64,
        off_in: u64,
        nodeid_out: u64,
        fh_out: u64,
        off_out: u64,
        len: u64,
        flags: u64,
    }
    /// Reply of COPY_FILE_RANGE_64.
    CopyFileRangeOut = 8 {
        bytes_copied: u64,
    }
    /// The fixed part of a directory entry; the name follows, then zeros up to a multiple of 8.
    Dirent = 24 {
        ino: u64,
        /// Where the next READDIR goes on.
        off: u64,
        namelen: u32,
        /// `DT_*` of readdir(3).
        r#type: u32,
    }
}

// The filesystem, and attributes by name.
wire! {
    /// Reply of STATFS.
    StatfsOut = 80 {
        st: Kstatfs,
    }
    /// SETXATTR, as `FUSE_SETXATTR_EXT` has it: name and value follow.
    SetxattrIn = 16 {
        /// Bytes of the value.
        size: u32,
        /// `XATTR_CREATE`, `XATTR_REPLACE`.
        flags: u32,
        /// [`FUSE_SETXATTR_ACL_KILL_SGID`].
        setxattr_flags: u32,
        padding: u32,
    }
    /// GETXATTR (a name follows) and LISTXATTR.
    GetxattrIn = 8 {
        /// Bytes wanted at most; 0 asks for the size.
        size: u32,
        padding: u32,
    }
    /// Reply of GETXATTR and LISTXATTR to a `size` of 0.
    GetxattrOut = 8 {
        size: u32,
        padding: u32,
    }
    /// ACCESS.
    AccessIn = 8 {
        /// `R_OK`, `W_OK` and `X_OK`.
        mask: u32,
        padding: u32,
    }
}

// The session.
wire! {
    /// INIT. Kernels before `FUSE_INIT_EXT` send the first 16 bytes.
    InitIn = 64 {
        major: u32,
        minor: u32,
        /// Bytes.
        max_readahead: u32,
        /// [`init_flags`], bits 0 to 31.
        flags: u32,
        /// [`init_flags`], bits 32 to 63.
        flags2: u32,
        unused: [u32; 11],
    }
    /// Reply of INIT.
    InitOut = 64 {
        major: u32,
        minor: u32,
        /// Bytes.
        max_readahead: u32,
        /// [`init_flags`], bits 0 to 31.
        flags: u32,
        /// Requests.
        max_background: u16,
        /// Requests.
        congestion_threshold: u16,
        /// Bytes.
        max_write: u32,
        /// Granularity of timestamps in nanoseconds.
        time_gran: u32,
        max_pages: u16,
        map_alignment: u16,
        /// [`init_flags`], bits 32 to 63.
        flags2: u32,
        max_stack_depth: u32,
        /// Seconds.
        request_timeout: u16,
        unused: [u16; 11],
    }
    /// INTERRUPT.
    InterruptIn = 8 {
        unique: u64,
    }
}

// FUSE-over-io_uring.
wire! {
    /// What kernel and daemon tell each other about one ring entry.
    UringEntInOut = 32 {
        flags: u64,
        /// To be repeated in [`UringCmdReq`] with the reply.
        commit_id: u64,
        /// Bytes used of the payload buffer.
        payload_sz: u32,
        padding: u32,
        reserved: u64,
    }
    /// The first buffer of a ring entry; the second is the payload.
    UringReqHeader = 288 {
        /// An [`InHeader`], then an [`OutHeader`] in its place.
        in_out: [u8; 128],
        /// The first argument of the operation, if it is a struct.
        op_in: [u8; 128],
        ring_ent_in_out: UringEntInOut,
    }
    /// The command area of the SQE (its first 24 of 80 bytes).
    UringCmdReq = 24 {
        flags: u64,
        commit_id: u64,
        /// The queue, which is the number of a CPU.
        qid: u16,
        padding: [u8; 6],
    }
}

/// Declares constants under names that are `$prefix` and the name in `linux/fuse.h`.
macro_rules! constants {
    ($type:ty, $prefix:literal; $($(#[$doc:meta])* $name:ident = $value:expr,)*) => {$(
        #[doc = concat!("`", $prefix, stringify!($name), "`.")]
        $(#[doc = ""] #[$doc])*
        pub const $name: $type = $value;
    )*};
}

/// [`InHeader::opcode`].
pub mod opcode {
    constants! { u32, "FUSE_";
        LOOKUP = 1,
        /// Not answered.
        FORGET = 2,
        GETATTR = 3,
        SETATTR = 4,
        READLINK = 5,
        SYMLINK = 6,
        MKNOD = 8,
        MKDIR = 9,
        UNLINK = 10,
        RMDIR = 11,
        RENAME = 12,
        LINK = 13,
        OPEN = 14,
        READ = 15,
        WRITE = 16,
        STATFS = 17,
        RELEASE = 18,
        FSYNC = 20,
        SETXATTR = 21,
        GETXATTR = 22,
        LISTXATTR = 23,
        REMOVEXATTR = 24,
        FLUSH = 25,
        INIT = 26,
        OPENDIR = 27,
        READDIR = 28,
        RELEASEDIR = 29,
        FSYNCDIR = 30,
        GETLK = 31,
        SETLK = 32,
        SETLKW = 33,
        ACCESS = 34,
        CREATE = 35,
        INTERRUPT = 36,
        BMAP = 37,
        DESTROY = 38,
        IOCTL = 39,
        POLL = 40,
        /// Not answered.
        NOTIFY_REPLY = 41,
        /// Not answered.
        BATCH_FORGET = 42,
        FALLOCATE = 43,
        READDIRPLUS = 44,
        RENAME2 = 45,
        LSEEK = 46,
        COPY_FILE_RANGE = 47,
        SETUPMAPPING = 48,
        REMOVEMAPPING = 49,
        SYNCFS = 50,
        TMPFILE = 51,
        STATX = 52,
        COPY_FILE_RANGE_64 = 53,
    }
}

/// The flags of INIT; bits 32 to 63 travel in `flags2`.
pub mod init_flags {
    constants! { u64, "FUSE_";
        ASYNC_READ = 1 << 0,
        POSIX_LOCKS = 1 << 1,
        FILE_OPS = 1 << 2,
        ATOMIC_O_TRUNC = 1 << 3,
        EXPORT_SUPPORT = 1 << 4,
        BIG_WRITES = 1 << 5,
        DONT_MASK = 1 << 6,
        SPLICE_WRITE = 1 << 7,
        SPLICE_MOVE = 1 << 8,
        SPLICE_READ = 1 << 9,
        FLOCK_LOCKS = 1 << 10,
        HAS_IOCTL_DIR = 1 << 11,
        AUTO_INVAL_DATA = 1 << 12,
        DO_READDIRPLUS = 1 << 13,
        READDIRPLUS_AUTO = 1 << 14,
        ASYNC_DIO = 1 << 15,
        WRITEBACK_CACHE = 1 << 16,
        NO_OPEN_SUPPORT = 1 << 17,
        PARALLEL_DIROPS = 1 << 18,
        HANDLE_KILLPRIV = 1 << 19,
        POSIX_ACL = 1 << 20,
        ABORT_ERROR = 1 << 21,
        MAX_PAGES = 1 << 22,
        CACHE_SYMLINKS = 1 << 23,
        NO_OPENDIR_SUPPORT = 1 << 24,
        EXPLICIT_INVAL_DATA = 1 << 25,
        MAP_ALIGNMENT = 1 << 26,
        SUBMOUNTS = 1 << 27,
        HANDLE_KILLPRIV_V2 = 1 << 28,
        SETXATTR_EXT = 1 << 29,
        INIT_EXT = 1 << 30,
        INIT_RESERVED = 1 << 31,
        SECURITY_CTX = 1 << 32,
        HAS_INODE_DAX = 1 << 33,
        CREATE_SUPP_GROUP = 1 << 34,
        HAS_EXPIRE_ONLY = 1 << 35,
        DIRECT_IO_ALLOW_MMAP = 1 << 36,
        PASSTHROUGH = 1 << 37,
        NO_EXPORT_SUPPORT = 1 << 38,
        HAS_RESEND = 1 << 39,
        ALLOW_IDMAP = 1 << 40,
        OVER_IO_URING = 1 << 41,
        REQUEST_TIMEOUT = 1 << 42,
    }
}

constants! { u32, "";
    /// The major version spoken here.
    FUSE_KERNEL_VERSION = 7,
    /// The newest minor version known here.
    FUSE_KERNEL_MINOR_VERSION = 45,

    /// [`SetattrIn::valid`], as all of this prefix.
    FATTR_MODE = 1 << 0,
    FATTR_UID = 1 << 1,
    FATTR_GID = 1 << 2,
    FATTR_SIZE = 1 << 3,
    FATTR_ATIME = 1 << 4,
    FATTR_MTIME = 1 << 5,
    FATTR_FH = 1 << 6,
    FATTR_ATIME_NOW = 1 << 7,
    FATTR_MTIME_NOW = 1 << 8,
    FATTR_LOCKOWNER = 1 << 9,
    FATTR_CTIME = 1 << 10,
    FATTR_KILL_SUIDGID = 1 << 11,

    /// [`OpenOut::open_flags`], as all of this prefix: bypass the page cache.
    FOPEN_DIRECT_IO = 1 << 0,
    /// Do not drop the file's cached pages at this open.
    FOPEN_KEEP_CACHE = 1 << 1,
    FOPEN_NONSEEKABLE = 1 << 2,
    /// The kernel may cache this directory's entries.
    FOPEN_CACHE_DIR = 1 << 3,
    FOPEN_STREAM = 1 << 4,
    /// No FLUSH at close.
    FOPEN_NOFLUSH = 1 << 5,
    FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6,
    /// Reads and writes go straight to the backing file.
    FOPEN_PASSTHROUGH = 1 << 7,

    /// [`WriteIn::write_flags`], as all of this prefix: from the page cache, with a guessed `fh`.
    FUSE_WRITE_CACHE = 1 << 0,
    FUSE_WRITE_LOCKOWNER = 1 << 1,
    FUSE_WRITE_KILL_SUIDGID = 1 << 2,

    /// `getattr_flags`: `fh` is valid.
    FUSE_GETATTR_FH = 1 << 0,
    /// [`FsyncIn::fsync_flags`]: data only.
    FUSE_FSYNC_FDATASYNC = 1 << 0,
    /// `open_flags` of a request: the open truncates, and the caller lacks CAP_FSETID.
    FUSE_OPEN_KILL_SUIDGID = 1 << 0,
    /// [`SetxattrIn::setxattr_flags`]: clear SGID with the new ACL.
    FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0,
    /// [`ExtHeader::type`]: [`SuppGroups`].
    FUSE_EXT_GROUPS = 32,

    /// `cmd_op` of the SQE that registers a ring entry and fetches its first request.
    FUSE_IO_URING_CMD_REGISTER = 1,
    /// `cmd_op` of the SQE that gives a reply and fetches the next request.
    FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2,

    /// ioctl(2): ties a fresh fd of /dev/fuse to a mount. `_IOR(229, 0, uint32_t)` as x86, ARM and RISC-V encode it.
    FUSE_DEV_IOC_CLONE = 0x8004_e500,
}

constants! { u64, "";
    /// [`InHeader::unique`]: the kernel sends this request again.
    FUSE_UNIQUE_RESEND = 1 << 63,
}

constants! { usize, "";
    /// The kernel refuses to read requests into less, in bytes.
    FUSE_MIN_READ_BUFFER = 8192,
    /// Bytes of [`EntryOut`] before 7.9, as all `COMPAT` sizes a length that an older peer uses.
    FUSE_COMPAT_ENTRY_OUT_SIZE = 120,
    FUSE_COMPAT_ATTR_OUT_SIZE = 96,
    FUSE_COMPAT_MKNOD_IN_SIZE = 8,
    FUSE_COMPAT_WRITE_IN_SIZE = 24,
    FUSE_COMPAT_STATFS_SIZE = 48,
    FUSE_COMPAT_SETXATTR_IN_SIZE = 8,
    FUSE_COMPAT_INIT_OUT_SIZE = 8,
    FUSE_COMPAT_22_INIT_OUT_SIZE = 24,
    /// Bytes of [`UringReqHeader::in_out`].
    FUSE_URING_IN_OUT_HEADER_SZ = 128,
    /// Bytes of [`UringReqHeader::op_in`].
    FUSE_URING_OP_IN_OUT_SZ = 128,
}
