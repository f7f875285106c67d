//! Bytes to [`Request`], without a copy of names and data.
//!
//! A request comes in three parts, as FUSE-over-io_uring delivers it: the header; `op_in`, which is the operation's
//! first argument if that is a struct; and the payload, which is everything else (names, data, extensions).
//! [`split`] cuts what /dev/fuse delivers in one piece into the same three.

use std::ffi::CStr;

use zerocopy::FromBytes;

use super::abi::*;
use super::{Caller, Errno, Fh, ForgetList, NodeId, Op, Request, SetTime, Setattr, Unique};

/// Why bytes are not a request. Answer it with [`DecodeError::errno`] if [`is_answered`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Fewer bytes than the header or the operation's struct has.
    Short,
    /// `fuse_in_header.len` is not the number of bytes that came.
    BadLength,
    /// A name is unterminated or empty, contains a slash, or is `.` or `..`.
    BadName,
    /// Nanoseconds of a time to set are a second or more. To utimensat(2) such values are commands.
    BadTime,
    /// A size or count is not what the payload holds, or bytes are left over.
    BadSize,
    /// The extensions do not fill their `total_extlen` exactly.
    BadExtension,
}

impl DecodeError {
    /// EINVAL for a value that a caller might have chosen, EIO where kernel and daemon misunderstand each other.
    pub fn errno(self) -> Errno {
        match self {
            DecodeError::BadName | DecodeError::BadTime => Errno::EINVAL,
            _ => Errno::EIO,
        }
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DecodeError::Short => "the request is shorter than its arguments",
            DecodeError::BadLength => "the request's length is not the one in its header",
            DecodeError::BadName => "a name is empty, unterminated, has a slash, or is . or ..",
            DecodeError::BadTime => "a time has a billion nanoseconds or more",
            DecodeError::BadSize => "a size or count is not that of the payload",
            DecodeError::BadExtension => "the request's extensions are malformed",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Whether the kernel waits for a reply: to the others, even one with an error must not be written.
pub const fn is_answered(opcode: u32) -> bool {
    !matches!(opcode, opcode::FORGET | opcode::BATCH_FORGET | opcode::NOTIFY_REPLY)
}

/// Bytes of the struct that comes first in an operation's arguments; 0 if names or nothing do, or if the opcode is one
/// that is not decoded here.
pub const fn op_in_size(opcode: u32) -> usize {
    match opcode {
        opcode::FORGET => size_of::<ForgetIn>(),
        opcode::GETATTR => size_of::<GetattrIn>(),
        opcode::SETATTR => size_of::<SetattrIn>(),
        opcode::MKNOD => size_of::<MknodIn>(),
        opcode::MKDIR => size_of::<MkdirIn>(),
        opcode::RENAME => size_of::<RenameIn>(),
        opcode::RENAME2 => size_of::<Rename2In>(),
        opcode::LINK => size_of::<LinkIn>(),
        opcode::OPEN | opcode::OPENDIR => size_of::<OpenIn>(),
        opcode::CREATE | opcode::TMPFILE => size_of::<CreateIn>(),
        opcode::READ | opcode::READDIR | opcode::READDIRPLUS => size_of::<ReadIn>(),
        opcode::WRITE => size_of::<WriteIn>(),
        opcode::RELEASE | opcode::RELEASEDIR => size_of::<ReleaseIn>(),
        opcode::FSYNC | opcode::FSYNCDIR => size_of::<FsyncIn>(),
        opcode::SETXATTR => size_of::<SetxattrIn>(),
        opcode::GETXATTR | opcode::LISTXATTR => size_of::<GetxattrIn>(),
        opcode::FLUSH => size_of::<FlushIn>(),
        opcode::ACCESS => size_of::<AccessIn>(),
        opcode::INIT => size_of::<InitIn>(),
        opcode::INTERRUPT => size_of::<InterruptIn>(),
        opcode::BATCH_FORGET => size_of::<BatchForgetIn>(),
        opcode::FALLOCATE => size_of::<FallocateIn>(),
        opcode::LSEEK => size_of::<LseekIn>(),
        opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => size_of::<CopyFileRangeIn>(),
        opcode::STATX => size_of::<StatxIn>(),
        _ => 0,
    }
}

/// Cuts one request, as read from /dev/fuse, into header, `op_in` and payload.
pub fn split(buf: &[u8]) -> Result<(InHeader, &[u8], &[u8]), DecodeError> {
    let (header, body) = InHeader::read_from_prefix(buf).map_err(|_| DecodeError::Short)?;
    if header.len as usize != buf.len() {
        return Err(DecodeError::BadLength);
    }
    // Too short a body becomes too short an `op_in`, which `decode` refuses; an old kernel's INIT is rightly short.
    let (op_in, payload) = body.split_at(op_in_size(header.opcode).min(body.len()));
    Ok((header, op_in, payload))
}

/// Reads one request. `op_in` may be longer than the operation's struct, as the area of a ring entry is; `payload` has
/// its exact length. Neither needs alignment. SETXATTR has its long form ([`super::init::negotiate`] insists on it).
pub fn decode<'a>(header: &InHeader, op_in: &'a [u8], payload: &'a [u8]) -> Result<Request<'a>, DecodeError> {
    let (payload, supp_gid) = cut_extensions(header, payload)?;
    let mut args = Args { op_in, payload };
    let op = decode_op(header.opcode, &mut args)?;
    // Bytes left over mean that the layout was misread, and then nothing of it can be trusted.
    if !args.payload.is_empty() {
        return Err(DecodeError::BadSize);
    }
    Ok(Request {
        unique: Unique(header.unique),
        nodeid: NodeId(header.nodeid),
        caller: Caller { uid: header.uid, gid: header.gid, pid: header.pid, supp_gid },
        op,
    })
}

fn decode_op<'a>(opcode: u32, args: &mut Args<'a>) -> Result<Op<'a>, DecodeError> {
    Ok(match opcode {
        opcode::LOOKUP => Op::Lookup { name: args.name()? },
        opcode::FORGET => {
            let ForgetIn { nlookup } = args.fixed()?;
            Op::Forget { nlookup }
        }
        opcode::BATCH_FORGET => {
            let BatchForgetIn { count, .. } = args.fixed()?;
            Op::BatchForget(args.forgets(count)?)
        }
        opcode::GETATTR => {
            let GetattrIn { getattr_flags, fh, .. } = args.fixed()?;
            Op::Getattr { fh: when(getattr_flags, FUSE_GETATTR_FH, Fh(fh)) }
        }
        opcode::STATX => {
            let StatxIn { getattr_flags, fh, sx_flags, sx_mask, .. } = args.fixed()?;
            Op::Statx { fh: when(getattr_flags, FUSE_GETATTR_FH, Fh(fh)), sx_flags, sx_mask }
        }
        opcode::SETATTR => Op::Setattr(setattr(&args.fixed()?)?),
        opcode::READLINK => Op::Readlink,
        opcode::SYMLINK => Op::Symlink { name: args.name()?, target: args.string()? },
        opcode::MKNOD => {
            let MknodIn { mode, rdev, umask, .. } = args.fixed()?;
            Op::Mknod { name: args.name()?, mode, rdev, umask }
        }
        opcode::MKDIR => {
            let MkdirIn { mode, umask } = args.fixed()?;
            Op::Mkdir { name: args.name()?, mode, umask }
        }
        opcode::UNLINK => Op::Unlink { name: args.name()? },
        opcode::RMDIR => Op::Rmdir { name: args.name()? },
        opcode::RENAME => {
            let RenameIn { newdir } = args.fixed()?;
            Op::Rename { name: args.name()?, newdir: NodeId(newdir), newname: args.name()?, flags: 0 }
        }
        opcode::RENAME2 => {
            let Rename2In { newdir, flags, .. } = args.fixed()?;
            Op::Rename { name: args.name()?, newdir: NodeId(newdir), newname: args.name()?, flags }
        }
        opcode::LINK => {
            let LinkIn { oldnodeid } = args.fixed()?;
            Op::Link { oldnodeid: NodeId(oldnodeid), newname: args.name()? }
        }
        opcode::OPEN => {
            let OpenIn { flags, open_flags } = args.fixed()?;
            Op::Open { flags, kill_suidgid: open_flags & FUSE_OPEN_KILL_SUIDGID != 0 }
        }
        opcode::CREATE => {
            let CreateIn { flags, mode, umask, open_flags } = args.fixed()?;
            let kill_suidgid = open_flags & FUSE_OPEN_KILL_SUIDGID != 0;
            Op::Create { name: args.name()?, flags, mode, umask, kill_suidgid }
        }
        opcode::TMPFILE => {
            let CreateIn { flags, mode, umask, .. } = args.fixed()?;
            args.ignore();
            Op::Tmpfile { flags, mode, umask }
        }
        opcode::READ => {
            let ReadIn { fh, offset, size, flags, .. } = args.fixed()?;
            Op::Read { fh: Fh(fh), offset, size, flags }
        }
        opcode::WRITE => {
            let WriteIn { fh, offset, size, write_flags, flags, .. } = args.fixed()?;
            Op::Write {
                fh: Fh(fh),
                offset,
                data: args.data(size)?,
                flags,
                cache: write_flags & FUSE_WRITE_CACHE != 0,
                kill_suidgid: write_flags & FUSE_WRITE_KILL_SUIDGID != 0,
            }
        }
        opcode::STATFS => Op::Statfs,
        opcode::RELEASE => {
            let ReleaseIn { fh, flags, .. } = args.fixed()?;
            Op::Release { fh: Fh(fh), flags }
        }
        opcode::FSYNC => {
            let FsyncIn { fh, fsync_flags, .. } = args.fixed()?;
            Op::Fsync { fh: Fh(fh), datasync: fsync_flags & FUSE_FSYNC_FDATASYNC != 0 }
        }
        opcode::SETXATTR => {
            let SetxattrIn { size, flags, setxattr_flags, .. } = args.fixed()?;
            let acl_kill_sgid = setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID != 0;
            Op::Setxattr { name: args.xattr_name()?, value: args.data(size)?, flags, acl_kill_sgid }
        }
        opcode::GETXATTR => {
            let GetxattrIn { size, .. } = args.fixed()?;
            Op::Getxattr { name: args.xattr_name()?, size }
        }
        opcode::LISTXATTR => {
            let GetxattrIn { size, .. } = args.fixed()?;
            Op::Listxattr { size }
        }
        opcode::REMOVEXATTR => Op::Removexattr { name: args.xattr_name()? },
        opcode::FLUSH => {
            let FlushIn { fh, lock_owner, .. } = args.fixed()?;
            Op::Flush { fh: Fh(fh), lock_owner }
        }
        opcode::ACCESS => {
            let AccessIn { mask, .. } = args.fixed()?;
            Op::Access { mask }
        }
        opcode::OPENDIR => {
            let OpenIn { flags, .. } = args.fixed()?;
            Op::Opendir { flags }
        }
        opcode::READDIR => {
            let ReadIn { fh, offset, size, .. } = args.fixed()?;
            Op::Readdir { fh: Fh(fh), offset, size }
        }
        opcode::READDIRPLUS => {
            let ReadIn { fh, offset, size, .. } = args.fixed()?;
            Op::Readdirplus { fh: Fh(fh), offset, size }
        }
        opcode::RELEASEDIR => {
            let ReleaseIn { fh, .. } = args.fixed()?;
            Op::Releasedir { fh: Fh(fh) }
        }
        opcode::FSYNCDIR => {
            let FsyncIn { fh, fsync_flags, .. } = args.fixed()?;
            Op::Fsyncdir { fh: Fh(fh), datasync: fsync_flags & FUSE_FSYNC_FDATASYNC != 0 }
        }
        opcode::FALLOCATE => {
            let FallocateIn { fh, offset, length, mode, .. } = args.fixed()?;
            Op::Fallocate { fh: Fh(fh), offset, length, mode }
        }
        opcode::LSEEK => {
            let LseekIn { fh, offset, whence, .. } = args.fixed()?;
            Op::Lseek { fh: Fh(fh), offset, whence }
        }
        opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => {
            let CopyFileRangeIn { fh_in, off_in, nodeid_out, fh_out, off_out, len, flags } = args.fixed()?;
            Op::CopyFileRange {
                fh_in: Fh(fh_in),
                off_in,
                nodeid_out: NodeId(nodeid_out),
                fh_out: Fh(fh_out),
                off_out,
                len,
                flags,
                wide: opcode == opcode::COPY_FILE_RANGE_64,
            }
        }
        opcode::INTERRUPT => {
            let InterruptIn { unique } = args.fixed()?;
            Op::Interrupt { unique: Unique(unique) }
        }
        opcode::INIT => {
            args.ignore();
            Op::Init(args.init()?)
        }
        opcode::DESTROY => Op::Destroy,
        _ => {
            args.ignore();
            Op::Unsupported { opcode }
        }
    })
}

/// What is still to be read of a request's arguments.
struct Args<'a> {
    op_in: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Args<'a> {
    /// The operation's struct.
    fn fixed<T: FromBytes>(&self) -> Result<T, DecodeError> {
        T::read_from_prefix(self.op_in).map(|(value, _)| value).map_err(|_| DecodeError::Short)
    }

    /// The next bytes up to a NUL.
    fn string(&mut self) -> Result<&'a CStr, DecodeError> {
        let string = CStr::from_bytes_until_nul(self.payload).map_err(|_| DecodeError::BadName)?;
        self.payload = &self.payload[string.count_bytes() + 1..];
        Ok(string)
    }

    /// The next name of a directory entry. One that leads elsewhere would make an operation leave its parent; one that
    /// is too long is for the host to refuse.
    fn name(&mut self) -> Result<&'a CStr, DecodeError> {
        let name = self.string()?;
        match name.to_bytes() {
            b"" | b"." | b".." => Err(DecodeError::BadName),
            bytes if bytes.contains(&b'/') => Err(DecodeError::BadName),
            _ => Ok(name),
        }
    }

    /// The next name of an extended attribute, in which dots and slashes are letters.
    fn xattr_name(&mut self) -> Result<&'a CStr, DecodeError> {
        self.string().and_then(|name| if name.is_empty() { Err(DecodeError::BadName) } else { Ok(name) })
    }

    /// The next `size` bytes.
    fn data(&mut self, size: u32) -> Result<&'a [u8], DecodeError> {
        let (data, rest) = self.payload.split_at_checked(size as usize).ok_or(DecodeError::BadSize)?;
        self.payload = rest;
        Ok(data)
    }

    /// The next `count` pairs of BATCH_FORGET.
    fn forgets(&mut self, count: u32) -> Result<ForgetList<'a>, DecodeError> {
        let (list, rest) = <[ForgetOne]>::ref_from_prefix_with_elems(self.payload, count as usize)
            .map_err(|_| DecodeError::BadSize)?;
        self.payload = rest;
        Ok(ForgetList(list))
    }

    /// The arguments of INIT, zero where an old kernel ends early; a newer one's further fields are not ours to read.
    fn init(&self) -> Result<InitIn, DecodeError> {
        const OLDEST: usize = std::mem::offset_of!(InitIn, flags2);
        let mut bytes = [0; size_of::<InitIn>()];
        let len = self.op_in.len().min(bytes.len());
        bytes[..len].copy_from_slice(&self.op_in[..len]);
        if len < OLDEST { Err(DecodeError::Short) } else { Ok(zerocopy::transmute!(bytes)) }
    }

    /// The payload has nothing of meaning.
    fn ignore(&mut self) {
        self.payload = &[];
    }
}

/// `value` if `flags` has `flag`.
fn when<T>(flags: u32, flag: u32, value: T) -> Option<T> {
    (flags & flag != 0).then_some(value)
}

fn setattr(args: &SetattrIn) -> Result<Setattr, DecodeError> {
    let time = |now: u32, at: u32, seconds: u64, nanoseconds: u32| match args.valid {
        valid if valid & now != 0 => Ok(Some(SetTime::Now)),
        valid if valid & at == 0 => Ok(None),
        _ if nanoseconds >= 1_000_000_000 => Err(DecodeError::BadTime),
        _ => Ok(Some(SetTime::At(seconds.cast_signed(), nanoseconds))),
    };
    Ok(Setattr {
        fh: when(args.valid, FATTR_FH, Fh(args.fh)),
        mode: when(args.valid, FATTR_MODE, args.mode),
        uid: when(args.valid, FATTR_UID, args.uid),
        gid: when(args.valid, FATTR_GID, args.gid),
        size: when(args.valid, FATTR_SIZE, args.size),
        atime: time(FATTR_ATIME_NOW, FATTR_ATIME, args.atime, args.atimensec)?,
        mtime: time(FATTR_MTIME_NOW, FATTR_MTIME, args.mtime, args.mtimensec)?,
        kill_suidgid: args.valid & FATTR_KILL_SUIDGID != 0,
    })
}

/// Takes the extensions off the payload's end: gives what is before them, and the group that they carry.
fn cut_extensions<'a>(header: &InHeader, payload: &'a [u8]) -> Result<(&'a [u8], Option<u32>), DecodeError> {
    let start = payload.len().checked_sub(8 * usize::from(header.total_extlen)).ok_or(DecodeError::BadExtension)?;
    let (payload, mut extensions) = payload.split_at(start);
    let mut supp_gid = None;
    while !extensions.is_empty() {
        let extension = next_extension(&mut extensions).ok_or(DecodeError::BadExtension)?;
        if extension.0 == FUSE_EXT_GROUPS {
            supp_gid = first_group(extension.1).ok_or(DecodeError::BadExtension)?;
        }
    }
    Ok((payload, supp_gid))
}

/// Takes one extension off the front: its type and body.
fn next_extension<'a>(extensions: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (ExtHeader { size, r#type }, _) = ExtHeader::read_from_prefix(extensions).ok()?;
    let (extension, rest) = extensions.split_at_checked(size as usize)?;
    *extensions = rest;
    // A size below that of the header itself would not let this end.
    let body = extension.get(size_of::<ExtHeader>()..)?;
    size.is_multiple_of(8).then_some((r#type, body))
}

/// The first of a list of groups, which must be whole.
fn first_group(list: &[u8]) -> Option<Option<u32>> {
    let (SuppGroups { nr_groups }, groups) = SuppGroups::read_from_prefix(list).ok()?;
    let groups = groups.get(..4usize.checked_mul(nr_groups as usize)?)?;
    Some(u32::read_from_prefix(groups).ok().map(|(gid, _)| gid))
}
