//! Directories: OPENDIR, READDIR, READDIRPLUS.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::core::Core;
use crate::core::attr::{KIND_DIRECTORY, Stat};
use crate::core::handles::Kind;
use crate::core::host::{DirBatch, FileHandle, Host, Result};
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::core::nodes::{Count, Counted, Sighting};
use crate::protocol::abi::EntryOut;
use crate::protocol::reply::Dirents;
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::data;
use super::entry::entry;
use super::os::Os;
use super::reach::{self, reach};

/// OPENDIR.
pub async fn opendir<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, flags: u32) -> Result<Answer<'c>> {
    let node = reach(core, os, nodeid).await?;
    if node.pin.kind() != KIND_DIRECTORY {
        return Err(Errno::ENOTDIR);
    }
    let permit = reach::reserve(core, os).await?;
    let file = os.open(node.fd, flags & !(data::O_APPEND | data::O_DIRECT)).await?;
    let file = core.handles.insert(permit, file, Kind { directory: true, ..Kind::default() });
    Ok(Answer::file(Reply::Open(data::open_out(core, &file, false)), file))
}

/// READDIR: counts no lookup.
pub async fn readdir<'c, O: Os>(
    core: &'c Core,
    os: &O,
    nodeid: NodeId,
    (fh, offset, size): (Fh, u64, u32),
) -> Result<Answer<'c>> {
    let file = core.handles.get(fh)?;
    let (fd, dev) = (file.fd(), core.nodes.pin(nodeid)?.dev());
    // The kernel's record is longer than the host's by at most a third, so that all of what is read fits.
    let bytes = size as usize / 4 * 3;
    let (batch, stat) = os.offload(move |host| Ok((host.read_dir(fd, offset, bytes)?, host.stat(fd)?))).await?;
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
    let node = reach(core, os, nodeid).await?;
    let file = core.handles.get(fh)?;
    let fd = file.fd();
    // The shortest record grows from the host's 24 bytes to 160, so that all of what is read fits.
    let bytes = size as usize / 160 * 24;
    // A long listing must not push out what is in use: beyond the budget its nodes hold handles, no descriptors.
    let room = core.config.fd_budget.saturating_sub(core.nodes.fds() + core.in_use());
    let listed = os.offload(move |host| {
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
