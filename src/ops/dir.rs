//! Directories: OPENDIR, READDIR, READDIRPLUS.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::core::Core;
use crate::core::attr::{KIND_DIRECTORY, Stat};
use crate::core::handles::{File, Kind};
use crate::core::host::{DirBatch, FileHandle, Host, Result};
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::core::nodes::{Count, Counted, Sighting};
use crate::protocol::abi::EntryOut;
use crate::protocol::reply::Dirents;
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::backing::NO_FH;
use super::cache;
use super::data;
use super::entry::entry;
use super::os::Os;
use super::reach::{self, Live, reach};

/// OPENDIR.
pub async fn opendir<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, flags: u32) -> Result<Answer<'c>> {
    if core.config.no_opendir {
        // The kernel asks no more, and reads with [`NO_FH`].
        return Err(Errno::ENOSYS);
    }
    let node = reach(core, os, nodeid).await?;
    if node.pin.kind() != KIND_DIRECTORY {
        return Err(Errno::ENOTDIR);
    }
    let permit = reach::reserve(core, os).await?;
    let file = os.open(node.fd, flags & !(data::O_APPEND | data::O_DIRECT)).await?;
    let content = match core.config.cache_readdir {
        true => Some(os.stat(HostFd(file.as_raw_fd())).await?.content_key()),
        false => None,
    };
    let drops = content.filter(|&key| !node.pin.content_unchanged(key));
    let cache = cache::of_directory(core, drops.is_none());
    let file = core.handles.insert(permit, nodeid, file, Kind { directory: true, drops, ..Kind::default() });
    Ok(Answer::file(Reply::Open(data::open_out(core, &file, cache)), file))
}

/// What a request on a directory reads.
enum Directory<'c> {
    Open(File<'c>),
    /// To be opened for this request alone (`no_opendir`): readers that shared one would share its position.
    Anchor(Live<'c>),
}

impl<'c> Directory<'c> {
    async fn of<O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh) -> Result<Directory<'c>> {
        if fh != NO_FH || !core.config.no_opendir {
            let file = core.handles.get(fh)?;
            cache::is_read(core, nodeid, &file);
            return Ok(Directory::Open(file));
        }
        let node = reach(core, os, nodeid).await?;
        if node.pin.kind() != KIND_DIRECTORY {
            return Err(Errno::ENOTDIR);
        }
        Ok(Directory::Anchor(node))
    }

    /// Runs `f` with a descriptor to read from, where it may block.
    async fn with<R: Send + 'static, O: Os>(
        &self,
        os: &O,
        f: impl FnOnce(&O::Host, HostFd) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        const O_RDONLY: u32 = 0;
        match self {
            Directory::Open(file) => {
                let fd = file.fd();
                os.offload(move |host| f(host, fd)).await
            }
            Directory::Anchor(node) => {
                let anchor = node.fd;
                os.offload(move |host| {
                    let opened = host.open(anchor, O_RDONLY)?;
                    f(host, HostFd(opened.as_raw_fd()))
                })
                .await
            }
        }
    }
}

/// FSYNCDIR.
pub async fn fsync<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh, datasync: bool) -> Result<Answer<'c>> {
    match Directory::of(core, os, nodeid, fh).await? {
        Directory::Open(file) => os.fsync(&file, datasync).await?,
        anchor => anchor.with(os, move |host, fd| host.fsync(fd, datasync)).await?,
    }
    Ok(Reply::Ok.into())
}

/// READDIR: counts no lookup.
pub async fn readdir<'c, O: Os>(
    core: &'c Core,
    os: &O,
    nodeid: NodeId,
    (fh, offset, size): (Fh, u64, u32),
) -> Result<Answer<'c>> {
    if core.config.no_readdir {
        return Ok(Reply::Payload(0).into());
    }
    let dir = Directory::of(core, os, nodeid, fh).await?;
    let dev = core.nodes.pin(nodeid)?.dev();
    // The kernel's record is longer than the host's by at most a third, so that all of what is read fits.
    let bytes = size as usize / 4 * 3;
    let (batch, stat) = dir.with(os, move |host, fd| Ok((host.read_dir(fd, offset, bytes)?, host.stat(fd)?))).await?;
    let len = os.fill(|buf| {
        let room = buf.len().min(size as usize);
        let mut out = Dirents::new(&mut buf[..room]);
        for item in &batch.items {
            let ino = core.devices.shown_ino(dev, &stat, item.ino);
            if !out.push(ino, item.off, item.kind, batch.name(item).to_bytes()) {
                break;
            }
        }
        out.len()
    });
    whole(len, &batch)
}

/// An empty answer means the end of the directory: it must not stand for a buffer too small for the first entry.
fn whole<'c>(len: usize, batch: &DirBatch) -> Result<Answer<'c>> {
    if len == 0 && !batch.items.is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(Reply::Payload(len as u32).into())
}

/// What READDIRPLUS found behind one name: `fd` while the budget has room, else the handle.
struct Seen {
    stat: Stat,
    fd: Option<OwnedFd>,
    handle: Option<FileHandle>,
}

fn see<H: Host>(host: &H, dir: HostFd, name: &std::ffi::CStr, hold: bool) -> Option<Seen> {
    let fd = host.anchor(dir, name).ok()?;
    let raw = HostFd(fd.as_raw_fd());
    let stat = host.stat(raw).ok()?;
    if hold {
        return Some(Seen { stat, fd: Some(fd), handle: None });
    }
    let handle = host.handle_of(raw).unwrap_or_else(|_| FileHandle::from_btime(&stat));
    Some(Seen { stat, fd: None, handle: Some(handle) })
}

/// READDIRPLUS: counts a lookup of every entry but `.` and `..`.
pub async fn readdirplus<'c, O: Os>(
    core: &'c Core,
    os: &O,
    nodeid: NodeId,
    (fh, offset, size): (Fh, u64, u32),
) -> Result<Answer<'c>> {
    if core.config.no_readdir {
        return Ok(Reply::Payload(0).into());
    }
    let node = reach(core, os, nodeid).await?;
    let dir = Directory::of(core, os, nodeid, fh).await?;
    // The shortest record grows from the host's 24 bytes to 160, so that all of what is read fits.
    let bytes = size as usize / 160 * 24;
    // A long listing must not push out what is in use: beyond the budget its nodes hold handles, no descriptors.
    let room = core.config.fd_budget.saturating_sub(core.nodes.fds() + core.in_use());
    let listed = dir.with(os, move |host, fd| {
        let batch = host.read_dir(fd, offset, bytes)?;
        let mut held = 0;
        let seen: Vec<Option<Seen>> = batch
            .items
            .iter()
            .map(|item| match batch.name(item).to_bytes() {
                b"." | b".." => None,
                _ => {
                    held += 1;
                    see(host, fd, batch.name(item), held <= room)
                }
            })
            .collect();
        Ok((batch, seen, host.stat(fd)?))
    });
    let (batch, mut seen, dir_stat) = listed.await?;
    let dev = node.pin.dev();
    let mut packed: Vec<(EntryOut, Option<Counted<'c>>)> = Vec::with_capacity(seen.len());
    for (item, seen) in batch.items.iter().zip(&mut seen) {
        packed.push(match seen.take() {
            Some(seen) => adopt(core, os, nodeid, batch.name(item), seen).await?,
            None => (EntryOut::default(), None),
        });
    }
    let mut counted = Vec::with_capacity(packed.len());
    let len = os.fill(|buf| {
        let room = buf.len().min(size as usize);
        let mut out = Dirents::new(&mut buf[..room]);
        for (item, (entry, node)) in batch.items.iter().zip(packed) {
            let ino = core.devices.shown_ino(dev, &dir_stat, item.ino);
            if !out.push_plus(&entry, ino, item.off, item.kind, batch.name(item).to_bytes()) {
                break;
            }
            counted.extend(node);
        }
        out.len()
    });
    let Answer { reply, .. } = whole(len, &batch)?;
    Ok(Answer::entries(reply, counted))
}

async fn adopt<'c, O: Os>(
    core: &'c Core,
    os: &O,
    parent: NodeId,
    name: &std::ffi::CStr,
    seen: Seen,
) -> Result<(EntryOut, Option<Counted<'c>>)> {
    let Seen { stat, fd, handle } = seen;
    let (node, dev) = match fd {
        Some(fd) => reach::count(core, os, (parent, Some(name)), fd, &stat).await?,
        None => {
            let Some(dev) = core.devices.find(&stat) else { return Ok((EntryOut::default(), None)) };
            let sighting =
                Sighting { dev, ino: stat.ino, kind: stat.kind(), parent, name: Some(name), handle: handle.as_ref() };
            match core.nodes.count(&sighting, None) {
                Count::Node(node) => (node, dev),
                Count::NeedHandle(_) => return Ok((EntryOut::default(), None)),
            }
        }
    };
    Ok((entry(core, &node, dev, &stat), Some(node)))
}
