//! The host's open file behind a request: how it is opened, and which one serves a request that names none.

use std::os::fd::OwnedFd;

use crate::core::Core;
use crate::core::attr::KIND_REGULAR;
use crate::core::handles::{File, Kind};
use crate::core::host::Result;
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::core::lazy::Access;
use crate::protocol::Errno;

use super::data::{ACCESS_MODE, O_APPEND, O_DIRECT, O_TRUNC, O_WRONLY};
use super::os::Os;
use super::reach::{self, reach};

const O_RDWR: u32 = 2;

/// What the kernel says in place of an `fh` when it was never asked for one.
pub const NO_FH: Fh = Fh(0);

/// The flags for the backing file. O_APPEND travels with each write, since fcntl(2) may change it, and truncation comes
/// as SETATTR: the kernel asks for OPEN before it knows whether the file may be cut (ETXTBSY). With a write-back cache
/// the kernel reads what is around a small write, also of files that were opened for writing alone. A file that serves
/// all who have opened the node (`no_open`) must take their unaligned writes too.
pub fn flags(core: &Core, flags: u32) -> u32 {
    let flags = flags & !(O_APPEND | O_TRUNC);
    let direct = core.config.allow_direct_io && !core.config.no_open;
    let flags = if direct { flags } else { flags & !O_DIRECT };
    match flags & ACCESS_MODE {
        O_WRONLY if core.config.writeback => flags & !ACCESS_MODE | O_RDWR,
        _ => flags,
    }
}

/// How to store a file that was opened with these flags of ours.
pub fn kind_of(backing: u32) -> Kind {
    Kind { direct: backing & O_DIRECT != 0, writable: backing & ACCESS_MODE != 0, ..Kind::default() }
}

/// A file that was just opened.
pub struct Backing {
    /// Ours to store or close.
    pub file: OwnedFd,
    /// How to store it.
    pub kind: Kind,
    /// The kernel must not collect writes for it.
    pub uncached: bool,
}

/// Opens what is behind an anchor as the client asks with `wanted`.
pub async fn open<O: Os>(core: &Core, os: &O, anchor: HostFd, wanted: u32) -> Result<Backing> {
    let backing = flags(core, wanted);
    let narrow = backing & !ACCESS_MODE | wanted & ACCESS_MODE;
    let (file, kind, uncached) = match os.open(anchor, backing).await {
        // May be written, but not read: then each write must come by itself.
        Err(Errno::EACCES) if narrow != backing => (os.open(anchor, narrow).await?, kind_of(narrow), true),
        // The host's file may be for appending only, which must be said when it is opened. Only a write that comes
        // when it is made is sure to belong at the end.
        Err(Errno::EPERM) if wanted & O_APPEND != 0 && wanted & ACCESS_MODE != 0 => {
            let kind = Kind { append_only: true, ..kind_of(backing) };
            (os.open(anchor, backing | O_APPEND).await?, kind, core.config.writeback)
        }
        file => (file?, kind_of(backing), false),
    };
    Ok(Backing { file, kind, uncached })
}

/// The open file of a request. Where files are not opened (`no_open`), the one that serves the node; `wanted` are the
/// flags to open it with.
pub async fn file<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh, wanted: u32) -> Result<File<'c>> {
    if fh != NO_FH || !core.config.no_open {
        return core.handles.get(fh);
    }
    let access = access(wanted);
    // Another request may have it closed in between.
    if let Some(file) = core.lazy.get(nodeid, access).and_then(|fh| core.handles.get(fh).ok()) {
        return Ok(file);
    }
    let node = reach(core, os, nodeid).await?;
    if node.pin.kind() != KIND_REGULAR {
        return Err(Errno::EBADF);
    }
    let permit = reach::reserve(core, os).await?;
    let Backing { file, kind, .. } = open(core, os, node.fd, wanted).await?;
    let opened = core.handles.insert(permit, nodeid, file, kind);
    let file = core.handles.get(opened.fh())?;
    keep(core, nodeid, wanted, opened);
    Ok(file)
}

/// An open file that serves any request on the node, if there is one.
pub fn any<'c>(core: &'c Core, nodeid: NodeId) -> Option<File<'c>> {
    let fh = core.lazy.get(nodeid, Access::Write).or_else(|| core.lazy.get(nodeid, Access::Read))?;
    core.handles.get(fh).ok()
}

/// Lets an open file serve a node from now on, and closes what has to make way.
pub fn keep(core: &Core, nodeid: NodeId, wanted: u32, opened: crate::core::handles::Opened<'_>) {
    let fh = opened.fh();
    opened.give();
    if let Some(old) = core.lazy.insert(nodeid, access(wanted), fh) {
        // Released meanwhile, if at all.
        let _ = core.handles.release(old);
    }
}

/// The kernel has no file of the node open any more.
pub fn forget(core: &Core, nodeid: NodeId) {
    if core.config.no_open {
        core.lazy.forget(nodeid).for_each(|fh| _ = core.handles.release(fh));
    }
}

fn access(wanted: u32) -> Access {
    if wanted & ACCESS_MODE == 0 { Access::Read } else { Access::Write }
}
