//! Open files: OPEN to RELEASE.

use std::os::fd::AsRawFd;

use crate::core::Core;
use crate::core::attr::KIND_REGULAR;
use crate::core::handles::{File, Kind, Opened};
use crate::core::host::{Host, Result, Suid};
use crate::core::idmap::Asker;
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::protocol::abi::{
    CopyFileRangeOut, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, LseekOut, OpenOut, WriteOut,
};
use crate::protocol::{Errno, Reply};
use crate::stats::Tick;

use super::answer::Answer;
use super::backing::{self, Backing, NO_FH};
use super::cache;
use super::lock;
use super::os::Os;
use super::reach::{self, reach};
use super::seal;

const O_RDONLY: u32 = 0;
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

/// `struct fuse_open_out`; `cache` is for [`super::cache`] to say.
pub fn open_out(core: &Core, file: &Opened<'_>, cache: u32) -> OpenOut {
    // Only what waits for a server has anything to say at close(2); local filesystems have no flush. But where the host
    // keeps locks, close(2) takes them away.
    let silent = core.devices.all_local() && (!core.config.posix_lock || file.directory());
    let flush = if silent { FOPEN_NOFLUSH } else { 0 };
    OpenOut { fh: file.fh().0, open_flags: flush | cache, backing_id: 0 }
}

/// The bytes as the reply's body.
pub fn payload<'c, O: Os>(os: &O, bytes: &[u8]) -> Result<Answer<'c>> {
    os.fill(|buf| {
        buf.get_mut(..bytes.len()).ok_or(Errno::ERANGE)?.copy_from_slice(bytes);
        Ok(Reply::Payload(bytes.len() as u32).into())
    })
}

/// OPEN. A thread that was told ESTALE, and has looked the name up again, is not told so once more.
pub async fn open<'c, O: Os>(core: &'c Core, os: &O, thread: u32, nodeid: NodeId, flags: u32) -> Result<Answer<'c>> {
    if core.config.no_open {
        // The kernel asks no more, and opens whatever it is asked for with [`NO_FH`].
        return Err(Errno::ENOSYS);
    }
    let found_again = core.retries.take(thread);
    let opened = open_found(core, os, nodeid, flags, found_again).await;
    if matches!(opened, Err(Errno::ESTALE)) {
        core.retries.tell(thread);
    }
    opened
}

async fn open_found<'c, O: Os>(
    core: &'c Core,
    os: &O,
    nodeid: NodeId,
    flags: u32,
    found_again: bool,
) -> Result<Answer<'c>> {
    let since = core.removals.now();
    let node = reach(core, os, nodeid).await?;
    // The kernel opens special files by itself; whoever asks us for one gets none.
    if node.pin.kind() != KIND_REGULAR {
        return Err(Errno(libc::ENXIO));
    }
    let permit = reach::reserve(core, os).await?;
    let Backing { file, kind, uncached } = backing::open(core, os, node.fd, flags).await?;
    let stat = os.stat(HostFd(file.as_raw_fd())).await?;
    // Removed on the host within the entry timeout: whoever asks by name must get what is there now. Who has found a file
    // before it was removed, as far as we know, opens it, as on the host.
    if stat.nlink == 0 && !found_again && !core.removals.any_since(since) && !node.pin.is_removed() {
        return Err(Errno::ESTALE);
    }
    let kept = cache::keeps_pages(core, &node.pin, &stat);
    let cache = if uncached { cache::UNCACHED } else { cache::of_file(core, kept) };
    if cache & FOPEN_DIRECT_IO == 0 {
        os.tick(if cache & FOPEN_KEEP_CACHE != 0 { Tick::PagesKept } else { Tick::PagesDropped });
    }
    let drops = if kept { None } else { Some(stat.content_key()) };
    let file = core.handles.insert(permit, nodeid, file, Kind { drops, ..kind });
    Ok(Answer::file(Reply::Open(open_out(core, &file, cache)), file))
}

/// READ.
pub async fn read<'c, O: Os>(
    core: &'c Core,
    os: &O,
    (nodeid, fh): (NodeId, Fh),
    offset: u64,
    size: u32,
) -> Result<Answer<'c>> {
    let file = backing::file(core, os, nodeid, fh, O_RDONLY).await?;
    cache::is_read(core, nodeid, &file);
    let len = os.read(&file, offset, size).await?;
    Ok(Reply::Payload(len as u32).into())
}

/// What WRITE asks.
#[allow(missing_docs, reason = "the fields are those of Op::Write")]
pub struct Write<'a> {
    pub nodeid: NodeId,
    pub fh: Fh,
    pub offset: u64,
    pub data: &'a [u8],
    pub flags: u32,
    pub cache: bool,
    pub kill_suidgid: bool,
}

/// WRITE.
pub async fn write<'c, O: Os>(core: &'c Core, os: &O, caller: Asker, w: Write<'_>) -> Result<Answer<'c>> {
    let file = backing::file(core, os, w.nodeid, w.fh, O_WRONLY | w.flags & O_APPEND).await?;
    let suid = Suid::of(&caller, w.kill_suidgid);
    // With a write-back cache the kernel knows where the end is, and the host does not yet.
    let append = w.flags & O_APPEND != 0 && !w.cache && (file.append_only() || !core.config.writeback);
    if file.append_only() && !append {
        // The host would append it, wherever it belongs.
        return Err(Errno::EPERM);
    }
    if core.config.seal_size {
        let size = os.stat(file.fd()).await?.size;
        seal::storing(size, if append { size } else { w.offset }, w.data.len() as u64)?;
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

/// FSYNC.
pub async fn fsync<'c, O: Os>(
    core: &'c Core,
    os: &O,
    (nodeid, fh): (NodeId, Fh),
    datasync: bool,
) -> Result<Answer<'c>> {
    // What was written by another descriptor is written back by any; only its own is sure to tell of errors.
    let served = if fh == NO_FH { backing::any(core, nodeid) } else { None };
    let file: File<'c> = match served {
        Some(file) => file,
        None => backing::file(core, os, nodeid, fh, O_RDONLY).await?,
    };
    os.fsync(&file, datasync).await?;
    Ok(Reply::Ok.into())
}

/// FLUSH: one for each close(2).
pub async fn flush<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh, lock_owner: u64) -> Result<Answer<'c>> {
    let file =
        if fh == NO_FH && core.config.no_open { backing::any(core, nodeid) } else { Some(core.handles.get(fh)?) };
    lock::flushed(core, os, nodeid, fh, lock_owner).await;
    if let Some(file) = file
        && !core.devices.all_local()
    {
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
    (nodeid, fh): (NodeId, Fh),
    mode: u32,
    range: (u64, u64),
) -> Result<Answer<'c>> {
    let file = backing::file(core, os, nodeid, fh, O_WRONLY).await?;
    if core.config.seal_size {
        seal::allocating(os.stat(file.fd()).await?.size, mode, range)?;
    }
    os.fallocate(&file, mode, range, Suid::of(&caller, false)).await?;
    Ok(Reply::Ok.into())
}

/// LSEEK: the kernel asks for SEEK_DATA and SEEK_HOLE only. What it has not written back yet, the host takes for a hole:
/// with a write-back cache it has to do by itself, and then finds no holes.
pub async fn lseek<'c, O: Os>(
    core: &'c Core,
    os: &O,
    (nodeid, fh): (NodeId, Fh),
    offset: u64,
    whence: u32,
) -> Result<Answer<'c>> {
    if core.config.writeback {
        return Err(Errno::ENOSYS);
    }
    let file = backing::file(core, os, nodeid, fh, O_RDONLY).await?;
    let fd = file.fd();
    let offset = os.offload(move |host| host.lseek(fd, offset, whence)).await?;
    Ok(Reply::Lseek(LseekOut { offset }).into())
}

/// COPY_FILE_RANGE, and COPY_FILE_RANGE_64 (`wide`).
pub async fn copy_file_range<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    (nodeid_in, fh_in, off_in): (NodeId, Fh, u64),
    (nodeid_out, fh_out, off_out): (NodeId, Fh, u64),
    (len, flags, wide): (u64, u64, bool),
) -> Result<Answer<'c>> {
    let from = backing::file(core, os, nodeid_in, fh_in, O_RDONLY).await?;
    let to = backing::file(core, os, nodeid_out, fh_out, O_WRONLY).await?;
    let (fd_in, fd_out, suid) = (from.fd(), to.fd(), Suid::of(&caller, false));
    // The narrow reply counts in 32 bits; a short copy is always a good answer.
    let len = if wide { len } else { len.min(0x7fff_f000) };
    let sealed = core.config.seal_size;
    let copied = os
        .offload(move |host| {
            if sealed {
                let rest = host.stat(fd_in)?.size.saturating_sub(off_in);
                seal::storing(host.stat(fd_out)?.size, off_out, len.min(rest))?;
            }
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
pub async fn release<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh) -> Result<Answer<'c>> {
    // Of a file that was made before the kernel had asked for any OPEN.
    if fh == NO_FH && core.config.no_open {
        return Ok(Reply::Ok.into());
    }
    let file = core.handles.get(fh)?;
    if file.locked() {
        lock::released(core, os, nodeid, fh).await;
    }
    // RELEASE comes once: whatever the host says of the file, its handle goes.
    if os.stat(file.fd()).await.map_or(true, |stat| stat.nlink == 0) {
        file.closes_slowly();
    }
    drop(file);
    core.handles.release(fh)?;
    Ok(Reply::Ok.into())
}
