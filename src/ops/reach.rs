//! From a nodeid to a descriptor, and from a file just seen to its node.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::core::Core;
use crate::core::attr::{KIND_DIRECTORY, KIND_REGULAR, Stat};
use crate::core::config::InodeHandles;
use crate::core::host::{FileHandle, Host, Result};
use crate::core::ids::{Dev, HostFd, NodeId};
use crate::core::nodes::{Count, Counted, Pin, Sighting};
use crate::protocol::Errno;
use crate::stats::Tick;

use super::os::Os;

/// A node with a descriptor that is good for the request.
pub struct Live<'c> {
    /// The node.
    pub pin: Pin<'c>,
    /// Its anchor.
    pub fd: HostFd,
}

/// The node's anchor: from the table, by its file handle, or by name. ESTALE if the file is not there any more.
pub async fn reach<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId) -> Result<Live<'c>> {
    let pin = core.nodes.pin(nodeid)?;
    match pin.fd() {
        Some(fd) => {
            os.tick(Tick::AnchorHit);
            Ok(Live { pin, fd })
        }
        None => {
            os.tick(Tick::AnchorMiss);
            revive(core, os, pin).await
        }
    }
}

#[cold]
async fn revive<'c, O: Os>(core: &'c Core, os: &O, mut pin: Pin<'c>) -> Result<Live<'c>> {
    let recipe = pin.recipe().ok_or(Errno::ESTALE)?;
    if let (Some(mount), Some(handle)) = (core.devices.mount(recipe.dev), recipe.handle)
        && handle.kind != FileHandle::BTIME
    {
        let fd = os.offload(move |host| host.by_handle(mount, &handle)).await?;
        let fd = pin.install(fd);
        return Ok(Live { pin, fd });
    }
    // By name: up to an ancestor that holds a descriptor, then down again, checking each step's identity.
    let mut path = vec![(pin, recipe)];
    let mut above = loop {
        let Some((_, recipe)) = path.last() else { return Err(Errno::ESTALE) };
        if path.len() > 4096 {
            return Err(Errno::ESTALE);
        }
        let parent = core.nodes.pin(recipe.parent)?;
        match parent.fd() {
            Some(fd) => break Live { pin: parent, fd },
            None => {
                let recipe = parent.recipe().ok_or(Errno::ESTALE)?;
                path.push((parent, recipe));
            }
        }
    };
    while let Some((mut pin, recipe)) = path.pop() {
        let name = CStr::from_bytes_with_nul(&recipe.name).map_err(|_| Errno::ESTALE)?;
        let gone = |e| if e == Errno::ENOENT || e == Errno::ENOTDIR { Errno::ESTALE } else { e };
        let fd = os.anchor(above.fd, name).await.map_err(gone)?;
        let stat = os.stat(HostFd(fd.as_raw_fd())).await?;
        let same = core.devices.find(&stat) == Some(recipe.dev)
            && stat.ino == recipe.ino
            && recipe.handle == Some(handle_of(os, HostFd(fd.as_raw_fd()), &stat));
        if !same {
            return Err(Errno::ESTALE);
        }
        let fd = pin.install(fd);
        above = Live { pin, fd };
        // However deep it is: what was passed on the way down may go again.
        trim(core, os).await;
    }
    Ok(above)
}

fn handle_of<O: Os>(os: &O, fd: HostFd, stat: &Stat) -> FileHandle {
    os.inline(|host| host.handle_of(fd)).unwrap_or_else(|_| FileHandle::from_btime(stat))
}

/// Gives up cached descriptors, old ones first, until the budget holds again.
pub async fn trim<O: Os>(core: &Core, os: &O) {
    for _ in 0..256 {
        if !core.over_budget() {
            break;
        }
        let Some(victim) = core.nodes.victim() else { break };
        let Some(fd) = victim.fd() else { continue };
        match os.stat(fd).await {
            // Removed behind our back: its handle would be ESTALE, so the descriptor is all there is of it.
            Ok(stat) if stat.nlink == 0 => victim.keep(),
            Ok(stat) => {
                os.tick(Tick::Evicted);
                victim.evict(&handle_of(os, fd, &stat));
            }
            // A server that does not know it any more must not keep the rest from being given up.
            Err(_) => match os.inline(|host| host.handle_of(fd)) {
                Ok(handle) => {
                    os.tick(Tick::Evicted);
                    victim.evict(&handle);
                }
                Err(_) => victim.keep(),
            },
        }
    }
    close_dead(core, os);
}

/// Closes what the tables gave up.
fn close_dead<O: Os>(core: &Core, os: &O) {
    for closing in core.take_dead() {
        os.close(closing);
    }
}

/// Room for one more open file: cached anchors make way for it, ENFILE if that is not enough.
pub async fn reserve<'c, O: Os>(core: &'c Core, os: &O) -> Result<crate::core::handles::Permit<'c>> {
    let permit = core.handles.reserve(core.nodes.pinned_fds() + core.locks.len())?;
    trim(core, os).await;
    Ok(permit)
}

/// Which filesystem a file is on; a new one is opened for file handles, by its topmost directory seen.
pub async fn device_of<O: Os>(core: &Core, os: &O, fd: HostFd, stat: &Stat) -> Result<Dev> {
    if let Some(dev) = core.devices.find(stat) {
        return Ok(dev);
    }
    let how = core.config.inode_handles;
    let (mount, local) = os.offload(move |host| Ok((mount_of(host, fd, how)?, host.is_local(fd)))).await?;
    core.devices.add(stat, mount, local).ok_or(Errno::ENFILE)
}

/// A descriptor that opens the file handles of the filesystem of `fd`, if that is wanted and permitted and there are any.
/// EOPNOTSUPP if nothing else will do.
pub fn mount_of<H: Host>(host: &H, fd: HostFd, how: InodeHandles) -> Result<Option<OwnedFd>> {
    match how {
        InodeHandles::Never => Ok(None),
        InodeHandles::Auto => Ok(opener(host, fd)),
        InodeHandles::Always => opener(host, fd).map(Some).ok_or(Errno::EOPNOTSUPP),
    }
}

fn opener<H: Host>(host: &H, fd: HostFd) -> Option<OwnedFd> {
    const O_RDONLY: u32 = 0;
    if !matches!(host.stat(fd).ok()?.kind(), KIND_DIRECTORY | KIND_REGULAR) {
        return None;
    }
    let handle = host.handle_of(fd).ok()?;
    let mount = host.open(fd, O_RDONLY).ok()?;
    host.by_handle(HostFd(mount.as_raw_fd()), &handle).ok()?;
    Some(mount)
}

/// Where a file was found.
pub type Place<'a> = (NodeId, Option<&'a CStr>);

/// Counts one lookup of the file that `fd` anchors.
pub async fn count<'c, O: Os>(
    core: &'c Core,
    os: &O,
    (parent, name): Place<'_>,
    fd: OwnedFd,
    stat: &Stat,
) -> Result<(Counted<'c>, Dev)> {
    let raw = HostFd(fd.as_raw_fd());
    let dev = device_of(core, os, raw, stat).await?;
    let mut seen = Sighting { dev, ino: stat.ino, kind: stat.kind(), parent, name, handle: None };
    let counted = match core.nodes.count(&seen, Some(fd)) {
        Count::Node(counted) => counted,
        Count::NeedHandle(fd) => {
            let handle = handle_of(os, raw, stat);
            seen.handle = Some(&handle);
            match core.nodes.count(&seen, fd) {
                Count::Node(counted) => counted,
                Count::NeedHandle(_) => return Err(Errno::EIO),
            }
        }
    };
    Ok((counted, dev))
}

/// The node that `name` in `dir` stands for, with a descriptor, if the kernel knows it: removing it must not lose it.
pub async fn known<'c, O: Os>(core: &'c Core, os: &O, dir: HostFd, name: &CStr) -> Option<Live<'c>> {
    let fd = os.anchor(dir, name).await.ok()?;
    let raw = HostFd(fd.as_raw_fd());
    let stat = os.stat(raw).await.ok()?;
    let mut pin = core.nodes.find(core.devices.find(&stat)?, stat.ino)?;
    if pin.fd().is_none() && pin.recipe()?.handle != Some(handle_of(os, raw, &stat)) {
        return None;
    }
    let fd = match pin.fd() {
        Some(fd) => fd,
        None => pin.install(fd),
    };
    Some(Live { pin, fd })
}

impl Live<'_> {
    /// One of its names was removed. If it has no other, or could not be reached by another, it keeps its descriptor.
    pub async fn lost_a_name<O: Os>(&self, core: &Core, os: &O) {
        let gone = match os.stat(self.fd).await {
            Ok(stat) => stat.nlink == 0 || stat.kind() == KIND_DIRECTORY,
            Err(_) => true,
        };
        if gone || core.devices.mount(self.pin.dev()).is_none() {
            self.pin.removed();
        }
    }
}
