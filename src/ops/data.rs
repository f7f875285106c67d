//! Open files: OPEN to RELEASE.

use std::os::fd::AsRawFd;

use crate::core::Core;
use crate::core::attr::KIND_REGULAR;
use crate::core::handles::{Kind, Opened};
use crate::core::host::{Host, Result, Suid};
use crate::core::idmap::Asker;
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::protocol::abi::{CopyFileRangeOut, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, LseekOut, OpenOut, WriteOut};
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::os::Os;
use super::reach::{self, reach};

/// `O_ACCMODE`, `O_APPEND`, `O_TRUNC` and `O_DIRECT` as the client's kernel, which is this host's, defines them.
pub const ACCESS_MODE: u32 = 3;
/// See [`ACCESS_MODE`].
pub const O_WRONLY: u32 = 1;
/// See [`ACCESS_MODE`].
pub const O_APPEND: u32 = 0o2000;
/// See [`ACCESS_MODE`].
pub const O_TRUNC: u32 = 0o1000;
/// See [`ACCESS_MODE`]; its value differs between architectures.
pub const O_DIRECT: u32 = if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { 0o200000 } else { 0o40000 };

/// The flags for the backing file. O_APPEND travels with each write, since fcntl(2) may change it, and truncation comes
/// as SETATTR: the kernel asks for OPEN before it knows whether the file may be cut (ETXTBSY).
pub fn backing_flags(core: &Core, flags: u32) -> u32 {
    let flags = flags & !(O_APPEND | O_TRUNC);
    if core.config.allow_direct_io { flags } else { flags & !O_DIRECT }
}

/// `struct fuse_open_out`.
pub fn open_out(core: &Core, file: &Opened<'_>, keep_cache: bool) -> OpenOut {
    // Only what waits for a server has anything to say at close(2); local filesystems have no flush.
    let flush = if core.devices.all_local() { FOPEN_NOFLUSH } else { 0 };
    let keep = if keep_cache { FOPEN_KEEP_CACHE } else { 0 };
    OpenOut { fh: file.fh().0, open_flags: flush | keep, backing_id: 0 }
}

/// The bytes as the reply's body.
pub fn payload<'c, O: Os>(os: &O, bytes: &[u8]) -> Result<Answer<'c>> {
    os.fill(|buf| {
        buf.get_mut(..bytes.len()).ok_or(Errno::ERANGE)?.copy_from_slice(bytes);
        Ok(Reply::Payload(bytes.len() as u32).into())
    })
}

/// OPEN.
pub async fn open<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, flags: u32) -> Result<Answer<'c>> {
    let node = reach(core, os, nodeid).await?;
    // The kernel opens special files by itself; whoever asks us for one gets none.
    if node.pin.kind() != KIND_REGULAR {
        return Err(Errno(libc::ENXIO));
    }
    let permit = reach::reserve(core, os).await?;
    let (fd, backing) = (node.fd, backing_flags(core, flags));
    let (file, append_only) = match os.open(fd, backing).await {
        // The host's file may be for appending only, which must be said when it is opened.
        Err(Errno::EPERM) if flags & O_APPEND != 0 && flags & ACCESS_MODE != 0 => {
            (os.open(fd, backing | O_APPEND).await?, true)
        }
        file => (file?, false),
    };
    let stat = os.stat(HostFd(file.as_raw_fd())).await?;
    // Removed on the host within the entry timeout: whoever asks by name must get what is there now.
    if stat.nlink == 0 && !node.pin.is_removed() {
        return Err(Errno::ESTALE);
    }
    // The kernel's pages are good as long as the host's file is what it was at the last open.
    let keep_cache = node.pin.content_unchanged(stat.content_key());
    let (direct, writable) = (backing & O_DIRECT != 0, backing & ACCESS_MODE != 0);
    let file = core.handles.insert(permit, file, Kind { direct, writable, append_only, directory: false });
    Ok(Answer::file(Reply::Open(open_out(core, &file, keep_cache)), file))
}

/// READ.
pub async fn read<'c, O: Os>(core: &'c Core, os: &O, fh: Fh, offset: u64, size: u32) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    let len = os.read(&file, offset, size).await?;
    Ok(Reply::Payload(len as u32).into())
}

/// What WRITE asks.
#[allow(missing_docs, reason = "the fields are those of Op::Write")]
pub struct Write<'a> {
    pub fh: Fh,
    pub offset: u64,
    pub data: &'a [u8],
    pub flags: u32,
    pub cache: bool,
    pub kill_suidgid: bool,
}

/// WRITE.
pub async fn write<'c, O: Os>(core: &'c Core, os: &O, caller: Asker, w: Write<'_>) -> Result<Answer<'c>> {
    let file = core.handles.get(w.fh)?;
    let suid = Suid::of(&caller, w.kill_suidgid);
    let append = w.flags & O_APPEND != 0 && !w.cache;
    if file.append_only() && !append {
        // The host would append it, wherever it belongs.
        return Err(Errno::EPERM);
    }
    let mut written = match os.write(&file, w.data, w.offset, append, suid).await {
        // Written back from a mapping, the end of the file need not be aligned as O_DIRECT wants it.
        Err(Errno::EINVAL) if file.direct() && w.cache => {
            let (fd, data, offset) = (file.fd(), w.data.to_vec(), w.offset);
            os.offload(move |host| {
                let buffered = host.open(fd, O_WRONLY)?;
                host.with_suid(suid, || host.write(HostFd(buffered.as_raw_fd()), &data, offset, false))
            })
            .await?
        }
        written => written?,
    };
    // Written back from a mapping, the kernel takes less for all: whoever waits in msync(2) must have the error.
    while w.cache && written < w.data.len() {
        match os.write(&file, &w.data[written..], w.offset + written as u64, false, suid).await? {
            0 => return Err(Errno::EIO),
            more => written += more,
        }
    }
    Ok(Reply::Write(WriteOut { size: written as u32, ..Default::default() }).into())
}

/// FSYNC and FSYNCDIR.
pub async fn fsync<'c, O: Os>(core: &'c Core, os: &O, fh: Fh, datasync: bool) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    os.fsync(&file, datasync).await?;
    Ok(Reply::Ok.into())
}

/// FLUSH: one for each close(2).
pub async fn flush<'c, O: Os>(core: &'c Core, os: &O, fh: Fh) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    if !core.devices.all_local() {
        let fd = file.fd();
        os.offload(move |host| host.flush(fd)).await?;
    }
    Ok(Reply::Ok.into())
}

/// FALLOCATE.
pub async fn fallocate<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    fh: Fh,
    mode: u32,
    range: (u64, u64),
) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    os.fallocate(&file, mode, range, Suid::of(&caller, false)).await?;
    Ok(Reply::Ok.into())
}

/// LSEEK: the kernel asks for SEEK_DATA and SEEK_HOLE only.
pub async fn lseek<'c, O: Os>(core: &'c Core, os: &O, fh: Fh, offset: u64, whence: u32) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    let fd = file.fd();
    let offset = os.offload(move |host| host.lseek(fd, offset, whence)).await?;
    Ok(Reply::Lseek(LseekOut { offset }).into())
}

/// COPY_FILE_RANGE, and COPY_FILE_RANGE_64 (`wide`).
pub async fn copy_file_range<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    (fh_in, off_in): (Fh, u64),
    (fh_out, off_out): (Fh, u64),
    (len, flags, wide): (u64, u64, bool),
) -> Result<Answer<'c>> {
    let (from, to) = (core.handles.get(fh_in)?, core.handles.get(fh_out)?);
    let (fd_in, fd_out, suid) = (from.fd(), to.fd(), Suid::of(&caller, false));
    // The narrow reply counts in 32 bits; a short copy is always a good answer.
    let len = if wide { len } else { len.min(0x7fff_f000) };
    let copied = os
        .offload(move |host| {
            host.with_suid(suid, || host.copy_file_range((fd_in, off_in), (fd_out, off_out), len, flags))
        })
        .await?;
    Ok(match wide {
        true => Reply::Copied(CopyFileRangeOut { bytes_copied: copied }),
        false => Reply::Write(WriteOut { size: copied as u32, ..Default::default() }),
    }
    .into())
}

/// RELEASE and RELEASEDIR.
pub async fn release<'c, O: Os>(core: &'c Core, os: &O, fh: Fh) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    // RELEASE comes once: whatever the host says of the file, its handle goes.
    if os.stat(file.fd()).await.map_or(true, |stat| stat.nlink == 0) {
        file.closes_slowly();
    }
    drop(file);
    core.handles.release(fh)?;
    Ok(Reply::Ok.into())
}
