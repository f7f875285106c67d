//! [`Reply`] to bytes, and the packing of directory entries.

use zerocopy::IntoBytes;

use super::abi::{
    AttrOut, CopyFileRangeOut, Dirent, EntryOut, GetxattrOut, InitOut, IoctlOut, LkOut, LseekOut, OpenOut, OutHeader,
    PollOut, StatfsOut, StatxOut, WriteOut,
};
use super::{Errno, Unique};

/// The answer to a request. Built by value and encoded last, for its payload buffer may be that of the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    /// The operation has no answer (FORGET, BATCH_FORGET, INTERRUPT): write neither header nor body.
    None,
    /// Done, and nothing to say.
    Ok,
    /// Failed.
    Err(Errno),
    /// LOOKUP, MKNOD, MKDIR, SYMLINK, LINK.
    Entry(EntryOut),
    /// GETATTR, SETATTR.
    Attr(AttrOut),
    /// STATX.
    Statx(StatxOut),
    /// OPEN, OPENDIR.
    Open(OpenOut),
    /// CREATE, TMPFILE.
    Create(EntryOut, OpenOut),
    /// WRITE, COPY_FILE_RANGE.
    Write(WriteOut),
    /// STATFS.
    Statfs(StatfsOut),
    /// GETXATTR and LISTXATTR, to a size of 0.
    Xattr(GetxattrOut),
    /// LSEEK.
    Lseek(LseekOut),
    /// GETLK.
    Lock(LkOut),
    /// POLL.
    Poll(PollOut),
    /// IOCTL; that many bytes of data already lie in the payload, behind the room for the struct.
    Ioctl(IoctlOut, u32),
    /// COPY_FILE_RANGE_64.
    Copied(CopyFileRangeOut),
    /// INIT.
    Init(InitOut),
    /// That many bytes already lie at the start of the payload: READ, READDIR, READLINK, GETXATTR...
    Payload(u32),
}

impl Reply {
    /// The error, if it is one.
    pub fn errno(&self) -> Option<Errno> {
        match *self {
            Reply::Err(errno) => Some(errno),
            _ => None,
        }
    }

    /// Bytes of data that the operation moved, for statistics.
    pub fn moved(&self) -> u64 {
        match self {
            Reply::Payload(len) => (*len).into(),
            Reply::Write(out) => out.size.into(),
            Reply::Copied(out) => out.bytes_copied,
            _ => 0,
        }
    }

    /// Writes the body at the start of `payload` and gives its length in bytes. EIO if `payload` is too short for it;
    /// then nothing was written, and an error can be sent instead.
    pub fn encode(&self, payload: &mut [u8]) -> Result<usize, Errno> {
        let (body, more): (&[u8], &[u8]) = match self {
            Reply::None | Reply::Ok | Reply::Err(_) => (&[], &[]),
            Reply::Entry(body) => (body.as_bytes(), &[]),
            Reply::Attr(body) => (body.as_bytes(), &[]),
            Reply::Statx(body) => (body.as_bytes(), &[]),
            Reply::Open(body) => (body.as_bytes(), &[]),
            Reply::Create(entry, open) => (entry.as_bytes(), open.as_bytes()),
            Reply::Write(body) => (body.as_bytes(), &[]),
            Reply::Statfs(body) => (body.as_bytes(), &[]),
            Reply::Xattr(body) => (body.as_bytes(), &[]),
            Reply::Lseek(body) => (body.as_bytes(), &[]),
            Reply::Copied(body) => (body.as_bytes(), &[]),
            Reply::Lock(body) => (body.as_bytes(), &[]),
            Reply::Poll(body) => (body.as_bytes(), &[]),
            Reply::Ioctl(body, data) => {
                let all = payload.get_mut(..size_of::<IoctlOut>() + *data as usize).ok_or(Errno::EIO)?;
                all[..size_of::<IoctlOut>()].copy_from_slice(body.as_bytes());
                return Ok(all.len());
            }
            Reply::Init(body) => (body.as_bytes(), &[]),
            Reply::Payload(len) => {
                let len = *len as usize;
                return if len <= payload.len() { Ok(len) } else { Err(Errno::EIO) };
            }
        };
        let len = body.len() + more.len();
        let (start, end) = payload.get_mut(..len).ok_or(Errno::EIO)?.split_at_mut(body.len());
        start.copy_from_slice(body);
        end.copy_from_slice(more);
        Ok(len)
    }

    /// The header of this reply to the request `unique` (bit 63 as it came), with a body of `body` bytes.
    pub fn header(&self, unique: Unique, body: usize) -> OutHeader {
        // No body comes near 4 GiB: `encode` gives at most what a u32 or a struct says.
        let len = (size_of::<OutHeader>() + body) as u32;
        OutHeader { len, error: self.errno().map_or(0, |errno| -errno.0), unique: unique.0 }
    }
}

/// Packs the entries of READDIR or READDIRPLUS at the start of a buffer of the size that the request allows.
#[derive(Debug)]
pub struct Dirents<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> Dirents<'b> {
    /// Nothing packed yet.
    pub fn new(buf: &'b mut [u8]) -> Dirents<'b> {
        Dirents { buf, len: 0 }
    }

    /// Bytes packed, for [`Reply::Payload`].
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was packed: to the kernel, the end of the directory.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that [`Dirents::push`] takes for a name of that many.
    pub const fn size(name_len: usize) -> usize {
        (size_of::<Dirent>() + name_len).next_multiple_of(8)
    }

    /// Bytes that [`Dirents::push_plus`] takes for a name of that many.
    pub const fn size_plus(name_len: usize) -> usize {
        size_of::<EntryOut>() + Dirents::size(name_len)
    }

    /// Whether `size` bytes more will go in: ask with [`Dirents::size_plus`] before an entry's lookup is counted.
    pub fn fits(&self, size: usize) -> bool {
        size <= self.buf.len() - self.len
    }

    /// Adds an entry: `off` is where the next READDIR goes on, `kind` is `DT_*`. False, and nothing is written, if it
    /// does not fit.
    pub fn push(&mut self, ino: u64, off: u64, kind: u32, name: &[u8]) -> bool {
        self.pack(&[], ino, off, kind, name)
    }

    /// Adds an entry of READDIRPLUS; a `nodeid` of 0 in `entry` counts no lookup.
    pub fn push_plus(&mut self, entry: &EntryOut, ino: u64, off: u64, kind: u32, name: &[u8]) -> bool {
        self.pack(entry.as_bytes(), ino, off, kind, name)
    }

    fn pack(&mut self, entry: &[u8], ino: u64, off: u64, kind: u32, name: &[u8]) -> bool {
        let size = Dirents::size(name.len());
        let Ok(namelen) = u32::try_from(name.len()) else { return false };
        if !self.fits(entry.len() + size) {
            return false;
        }
        let dirent = Dirent { ino, off, namelen, r#type: kind };
        let padding = &[0; 8][..size - size_of::<Dirent>() - name.len()];
        for part in [entry, dirent.as_bytes(), name, padding] {
            self.buf[self.len..][..part.len()].copy_from_slice(part);
            self.len += part.len();
        }
        true
    }
}
