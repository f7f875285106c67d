//! Operations that make, move and remove names.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use crate::core::Core;
use crate::core::attr::{KIND_DIRECTORY, Stat};
use crate::core::handles::Opened;
use crate::core::host::{Host, Making, Result};
use crate::core::idmap::Asker;
use crate::core::ids::{HostFd, NodeId};
use crate::core::nodes::{Count, Counted, Sighting};
use crate::protocol::abi::{EntryOut, OpenOut};
use crate::protocol::{Errno, Labels, Reply};

use super::answer::Answer;
use super::backing;
use super::cache;
use super::data;
use super::entry::{entry, found};
use super::os::Os;
use super::reach::{self, Behind, behind, reach};

/// RENAME_EXCHANGE of renameat2(2).
const RENAME_EXCHANGE: u32 = 2;
const RENAME_WHITEOUT: u32 = 4;

/// MKDIR, MKNOD, SYMLINK: `make` does it on the host.
pub async fn make<'c, O: Os>(
    core: &'c Core,
    os: &O,
    parent: NodeId,
    name: &CStr,
    labels: Labels<'_>,
    make: impl FnOnce(&O::Host, HostFd, &CStr) -> Result<()> + Send + 'static,
) -> Result<Answer<'c>> {
    let dir = reach(core, os, parent).await?;
    let (at, owned, labels) = (dir.fd, name.to_owned(), own(labels));
    let made = os.offload(move |host| {
        make(host, at, &owned)?;
        let fd = host.anchor(at, &owned)?;
        let raw = HostFd(fd.as_raw_fd());
        let stat = host.stat(raw)?;
        label(host, raw, &labels).inspect_err(|_| {
            // It must not stay with a label that nobody asked for.
            let _ = if stat.kind() == KIND_DIRECTORY { host.rmdir(at, &owned) } else { host.unlink(at, &owned) };
        })?;
        Ok((fd, stat))
    });
    let (fd, stat) = made.await?;
    found(core, os, (parent, Some(name)), fd, &stat).await
}

fn own(labels: Labels<'_>) -> Vec<(CString, Vec<u8>)> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn label<H: Host>(host: &H, fd: HostFd, labels: &[(CString, Vec<u8>)]) -> Result<()> {
    labels.iter().try_for_each(|(name, value)| host.setxattr(fd, name, value, 0))
}

/// CREATE.
pub async fn create<'c, O: Os>(
    core: &'c Core,
    os: &O,
    parent: NodeId,
    name: &CStr,
    (making, labels): (Making, Labels<'_>),
    (flags, mode): (u32, u32),
) -> Result<Answer<'c>> {
    const O_EXCL: u32 = 0o200;
    let dir = reach(core, os, parent).await?;
    let permit = reach::reserve(core, os).await?;
    let backing = backing::flags(core, flags);
    let (at, owned, labels) = (dir.fd, name.to_owned(), own(labels));
    let made = os.offload(move |host| {
        let file = host.create(&making, at, &owned, backing, mode)?;
        label(host, HostFd(file.as_raw_fd()), &labels).inspect_err(|_| {
            let _ = host.unlink(at, &owned);
        })?;
        with_anchor(host, file)
    });
    let made = made.await;
    let (file, fd, stat) = match made {
        // It appeared behind the kernel's back, which has not checked the right to open it: let it look again.
        Err(Errno::EEXIST) if flags & O_EXCL == 0 => return Err(Errno::ESTALE),
        made => made?,
    };
    let (node, dev) = reach::count(core, os, (parent, Some(name)), fd, &stat).await?;
    let file = core.handles.insert(permit, node.nodeid(), file, backing::kind_of(backing));
    Ok(created(core, entry(core, &node, dev, &stat), node, file, flags))
}

/// TMPFILE.
pub async fn tmpfile<'c, O: Os>(
    core: &'c Core,
    os: &O,
    parent: NodeId,
    (making, labels): (Making, Labels<'_>),
    (flags, mode): (u32, u32),
) -> Result<Answer<'c>> {
    let dir = reach(core, os, parent).await?;
    let permit = reach::reserve(core, os).await?;
    let backing = backing::flags(core, flags);
    let (at, labels) = (dir.fd, own(labels));
    let made = os.offload(move |host| {
        let file = host.tmpfile(&making, at, backing, mode)?;
        label(host, HostFd(file.as_raw_fd()), &labels)?;
        with_anchor(host, file)
    });
    let (file, fd, stat) = made.await?;
    let (node, dev) = reach::count(core, os, (parent, None), fd, &stat).await?;
    let file = core.handles.insert(permit, node.nodeid(), file, backing::kind_of(backing));
    Ok(created(core, entry(core, &node, dev, &stat), node, file, flags))
}

/// The answer to CREATE and TMPFILE.
fn created<'c>(core: &'c Core, entry: EntryOut, node: Counted<'c>, file: Opened<'c>, flags: u32) -> Answer<'c> {
    // A file that is new has no pages to drop, and whoever writes it meanwhile has some to keep.
    let cache = cache::of_file(core, true);
    let out = data::open_out(core, &file, cache);
    if !core.config.no_open {
        return Answer::created(Reply::Create(entry, out), node, file);
    }
    // No RELEASE will come for it.
    backing::keep(core, node.nodeid(), flags, file);
    Answer::node(Reply::Create(entry, OpenOut { fh: backing::NO_FH.0, ..out }), node)
}

fn with_anchor<H: Host>(host: &H, file: OwnedFd) -> Result<(OwnedFd, OwnedFd, Stat)> {
    let raw = HostFd(file.as_raw_fd());
    let (anchor, stat) = (host.reanchor(raw)?, host.stat(raw)?);
    Ok((file, anchor, stat))
}

/// LINK.
pub async fn link<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    oldnodeid: NodeId,
    (parent, name): (NodeId, &CStr),
) -> Result<Answer<'c>> {
    making(&caller, 0)?;
    let (node, dir) = (reach(core, os, oldnodeid).await?, reach(core, os, parent).await?);
    let (from, at, owned) = (node.fd, dir.fd, name.to_owned());
    let linked = os.offload(move |host| {
        host.link(from, at, &owned)?;
        host.stat(from)
    });
    let stat = linked.await?;
    let dev = node.pin.dev();
    let seen = Sighting { dev, ino: stat.ino, kind: stat.kind(), parent, name: Some(name), handle: None };
    match core.nodes.count(&seen, None) {
        Count::Node(counted) => Ok(Answer::node(Reply::Entry(entry(core, &counted, dev, &stat)), counted)),
        // The node is pinned and holds its descriptor, unless another file has its identity now.
        Count::NeedHandle(_) => Err(Errno::ESTALE),
    }
}

/// UNLINK and RMDIR.
pub async fn remove<'c, O: Os>(
    core: &'c Core,
    os: &O,
    parent: NodeId,
    name: &CStr,
    directory: bool,
) -> Result<Answer<'c>> {
    let dir = reach(core, os, parent).await?;
    reach::keep_pace(core, os).await;
    let _removal = core.removals.begin();
    let gone = behind(core, os, dir.fd, name).await;
    match directory {
        true => os.rmdir(dir.fd, name).await?,
        false => os.unlink(dir.fd, name).await?,
    }
    gone.lost_a_name(core, os).await;
    Ok(Reply::Ok.into())
}

/// RENAME and RENAME2.
pub async fn rename<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    (parent, name): (NodeId, &CStr),
    (newparent, newname): (NodeId, &CStr),
    flags: u32,
) -> Result<Answer<'c>> {
    let (dir, newdir) = (reach(core, os, parent).await?, reach(core, os, newparent).await?);
    reach::keep_pace(core, os).await;
    let _removal = core.removals.begin();
    let moved = behind(core, os, dir.fd, name).await;
    let target = behind(core, os, newdir.fd, newname).await;
    // A name that is not there yet is made, too.
    if matches!(target, Behind::Nothing) {
        making(&caller, 0)?;
    }
    if flags & RENAME_WHITEOUT != 0 {
        // What it leaves behind is made, and belongs to the caller.
        let (from, to) = ((dir.fd, name.to_owned()), (newdir.fd, newname.to_owned()));
        let making = making(&caller, 0)?;
        os.offload(move |host| host.whiteout(&making, (from.0, &from.1), (to.0, &to.1), flags)).await?;
    } else {
        os.rename((dir.fd, name), (newdir.fd, newname), flags).await?;
    }
    // Two names of one file: rename(2) does nothing.
    let same = moved.node().zip(target.node()).is_some_and(|(a, b)| a.pin.nodeid() == b.pin.nodeid());
    if same && flags & RENAME_EXCHANGE == 0 {
        return Ok(Reply::Ok.into());
    }
    if flags & RENAME_EXCHANGE == 0 {
        target.lost_a_name(core, os).await;
    } else if let Some(target) = target.node() {
        target.pin.renamed(parent, name);
    }
    if let Some(moved) = moved.node() {
        moved.pin.renamed(newparent, newname);
    }
    Ok(Reply::Ok.into())
}

/// For whom something is made. As on an idmapped mount, nobody makes anything whose ids are not the host's.
pub fn making(caller: &Asker, umask: u32) -> Result<Making> {
    caller.making(umask).ok_or(Errno::EOVERFLOW)
}

/// READLINK.
pub async fn readlink<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId) -> Result<Answer<'c>> {
    let node = reach(core, os, nodeid).await?;
    let fd = node.fd;
    let target = os.offload(move |host| host.readlink(fd)).await?;
    data::payload(os, &target)
}
