//! LOOKUP, GETATTR, STATX, ACCESS, SETATTR: names to nodes, and what a node is like.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crate::core::Core;
use crate::core::attr::{KIND_REGULAR, Stat};
use crate::core::host::{Host, Result, Suid};
use crate::core::idmap::Asker;
use crate::core::ids::{Dev, Fh, HostFd, HostGid, HostUid, NodeId};
use crate::core::nodes::Counted;
use crate::protocol::abi::{AttrOut, EntryOut, StatxOut};
use crate::protocol::{Errno, Reply, Setattr};

use super::answer::Answer;
use super::backing::NO_FH;
use super::data::{O_TRUNC, O_WRONLY};
use super::os::Os;
use super::reach::{self, Place, reach};
use super::seal;

/// LOOKUP.
pub async fn lookup<'c, O: Os>(core: &'c Core, os: &O, parent: NodeId, name: &CStr) -> Result<Answer<'c>> {
    let since = core.removals.now();
    let dir = reach(core, os, parent).await?;
    let fd = match os.anchor(dir.fd, name).await {
        Err(Errno::ENOENT) if !core.config.negative_timeout.is_zero() => return Ok(absent(core)),
        fd => fd?,
    };
    let stat = os.stat(HostFd(fd.as_raw_fd())).await?;
    let (node, dev) = reach::count(core, os, (parent, Some(name)), fd, &stat).await?;
    reach::found_nameless(core, os, &node, since).await;
    Ok(Answer::node(Reply::Entry(entry(core, &node, dev, &stat)), node))
}

/// No node, and for how long the kernel need not ask again.
fn absent<'c>(core: &Core) -> Answer<'c> {
    let (entry_valid, entry_valid_nsec) = timeout(core.config.negative_timeout);
    Reply::Entry(EntryOut { entry_valid, entry_valid_nsec, ..EntryOut::default() }).into()
}

/// The entry of a file just seen or made, counted. The parent is pinned by the caller.
pub async fn found<'c, O: Os>(
    core: &'c Core,
    os: &O,
    place: Place<'_>,
    fd: OwnedFd,
    stat: &Stat,
) -> Result<Answer<'c>> {
    let (node, dev) = reach::count(core, os, place, fd, stat).await?;
    Ok(Answer::node(Reply::Entry(entry(core, &node, dev, stat)), node))
}

/// `struct fuse_entry_out`.
pub fn entry(core: &Core, node: &Counted<'_>, dev: Dev, stat: &Stat) -> EntryOut {
    let (entry_valid, entry_valid_nsec) = timeout(core.config.entry_timeout_of(stat.kind()));
    let (attr_valid, attr_valid_nsec) = timeout(core.config.attr_timeout_of(stat.kind()));
    EntryOut {
        nodeid: node.nodeid().0,
        generation: node.nodeid().0 >> 32,
        entry_valid,
        attr_valid,
        entry_valid_nsec,
        attr_valid_nsec,
        attr: stat.attr(core.devices.shown_ino(dev, stat, stat.ino), &core.config.mapping),
    }
}

fn timeout(time: Duration) -> (u64, u32) {
    (time.as_secs(), time.subsec_nanos())
}

/// The stat of a node, through an open file if one is named: that works where the node itself is gone.
async fn stat<O: Os>(core: &Core, os: &O, nodeid: NodeId, fh: Option<Fh>) -> Result<(Stat, u64)> {
    let stat = match fh.filter(|&fh| fh != NO_FH) {
        Some(fh) => {
            let file = core.handles.get(fh)?;
            os.stat(file.fd()).await?
        }
        None => {
            let node = reach(core, os, nodeid).await?;
            os.stat(node.fd).await?
        }
    };
    let dev = core.devices.find(&stat).unwrap_or_default();
    Ok((stat, core.devices.shown_ino(dev, &stat, stat.ino)))
}

/// GETATTR.
pub async fn getattr<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Option<Fh>) -> Result<Answer<'c>> {
    let (stat, ino) = stat(core, os, nodeid, fh).await?;
    Ok(attr(core, &stat, ino))
}

fn attr<'c>(core: &Core, stat: &Stat, ino: u64) -> Answer<'c> {
    let (attr_valid, attr_valid_nsec) = timeout(core.config.attr_timeout_of(stat.kind()));
    Reply::Attr(AttrOut {
        attr_valid,
        attr_valid_nsec,
        attr: stat.attr(ino, &core.config.mapping),
        ..Default::default()
    })
    .into()
}

/// STATX.
pub async fn statx<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Option<Fh>) -> Result<Answer<'c>> {
    let (stat, ino) = stat(core, os, nodeid, fh).await?;
    let (attr_valid, attr_valid_nsec) = timeout(core.config.attr_timeout_of(stat.kind()));
    let stat = stat.statx(ino, &core.config.mapping);
    Ok(Reply::Statx(StatxOut { attr_valid, attr_valid_nsec, stat, ..Default::default() }).into())
}

/// ACCESS: asked for only where the host checks rights, not the client's kernel (`--squash-to`).
pub async fn access<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, mask: u32) -> Result<Answer<'c>> {
    let node = reach(core, os, nodeid).await?;
    let fd = node.fd;
    os.offload(move |host| host.access(fd, mask)).await?;
    Ok(Reply::Ok.into())
}

/// The owner and group that a file is to have. As on an idmapped mount, only ids of the host can be given.
fn owner(core: &Core, set: &Setattr) -> Result<(Option<HostUid>, Option<HostGid>)> {
    let identity = &core.config.mapping;
    let uid = set.uid.map(|uid| identity.uid(uid).ok_or(Errno::EOVERFLOW)).transpose()?;
    let gid = set.gid.map(|gid| identity.gid(gid).ok_or(Errno::EOVERFLOW)).transpose()?;
    Ok((uid, gid))
}

/// SETATTR.
pub async fn setattr<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    nodeid: NodeId,
    set: Setattr,
) -> Result<Answer<'c>> {
    let file = set.fh.filter(|&fh| fh != NO_FH).map(|fh| core.handles.get(fh)).transpose()?;
    let node = match &file {
        Some(_) => None,
        None => Some(reach(core, os, nodeid).await?),
    };
    let (fd, open) = match (&file, &node) {
        (Some(file), _) => (file.fd(), true),
        (None, Some(node)) => (node.fd, false),
        (None, None) => return Err(Errno::ESTALE),
    };
    // What is cut may be opened for it.
    if set.size.is_some() && node.as_ref().is_some_and(|node| node.pin.kind() != KIND_REGULAR) {
        return Err(Errno::EINVAL);
    }
    let (uid, gid) = owner(core, &set)?;
    let suid = Suid::of(&caller, set.kill_suidgid);
    let sealed = core.config.seal_size;
    // With a write-back cache the kernel says when it was written to: a daemon that does not own the file cannot tell the
    // host, which has just seen it be written.
    let written_back = core.config.writeback && set.fh.is_some() && set.atime.is_none();
    let stat = os
        .offload(move |host| {
            if let Some(size) = set.size.filter(|_| sealed) {
                seal::truncating(host.stat(fd)?.size, size)?;
            }
            host.with_suid(suid, || {
                if uid.is_some() || gid.is_some() {
                    host.with_suid(Suid::of(&caller, false), || host.chown(fd, uid, gid))?;
                } else if set.changes_nothing() {
                    // All that the kernel says of a chown(-1, -1), and of a write that is about to take SUID and SGID away.
                    // A stranger may not do the former; his WRITE sees to the latter by itself.
                    let caller = caller.making_or_stranger();
                    host.chown_nobody(&caller, fd).or_else(|e| if e == Errno::EPERM { Ok(()) } else { Err(e) })?;
                }
                match set.size {
                    // open(2) with O_TRUNC says no more than truncate(2), and sets the times of an empty file too.
                    Some(0) if !open => host.with_suid(suid, || host.open(fd, O_WRONLY | O_TRUNC).map(drop))?,
                    Some(size) if open => host.with_suid(suid, || host.ftruncate(fd, size))?,
                    Some(size) => host.with_suid(suid, || host.truncate(fd, size))?,
                    None => {}
                }
                host.with_suid(Suid::Keep, || set.mode.map_or(Ok(()), |mode| host.chmod(fd, mode)))?;
                if set.atime.is_some() || set.mtime.is_some() {
                    host.utimens(fd, set.atime, set.mtime).or_else(|e| match e {
                        Errno::EPERM if written_back => Ok(()),
                        e => Err(e),
                    })?;
                }
                host.stat(fd)
            })
        })
        .await?;
    let dev = core.devices.find(&stat).unwrap_or_default();
    Ok(attr(core, &stat, core.devices.shown_ino(dev, &stat, stat.ino)))
}
