//! Extended attributes, POSIX ACLs among them, and STATFS.

use std::borrow::Cow;
use std::ffi::CStr;

use crate::core::Core;
use crate::core::host::{Host, Result, Suid};
use crate::core::id_xattrs::IdXattr;
use crate::core::idmap::Asker;
use crate::core::ids::NodeId;
use crate::protocol::abi::{GetxattrOut, StatfsOut};
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::data;
use super::os::Os;
use super::reach::reach;

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of linux/limits.h.
const LARGEST: u32 = 65536;
const S_ISGID: u32 = 0o2000;
/// The one ACL that is also the mode: changing it may take SGID away.
const ACCESS_ACL: &CStr = c"system.posix_acl_access";

/// SETXATTR. `acl_kill_sgid`: the caller may not keep SGID on a file whose ACL it sets. The kernel says so of a default
/// ACL too, with which the host leaves the mode alone.
pub async fn setxattr<'c, O: Os>(
    core: &'c Core,
    os: &O,
    nodeid: NodeId,
    (name, value): (&CStr, &[u8]),
    flags: u32,
    acl_kill_sgid: bool,
) -> Result<Answer<'c>> {
    // By the client's name for it: that is what its kernel looks into.
    let kind = mapped(core, name);
    let name = &*to_host(core, name)?;
    let node = reach(core, os, nodeid).await?;
    let kill_sgid = acl_kill_sgid && name == ACCESS_ACL;
    let value = match kind {
        // As on an idmapped mount.
        Some(kind) => kind.host(&core.config.mapping, value.to_vec()).ok_or(Errno::EINVAL)?,
        None => value.to_vec(),
    };
    let (fd, name) = (node.fd, name.to_owned());
    os.offload(move |host| {
        // Whether an ACL takes SGID away is for the caller's rights to say, which the kernel has looked at.
        host.with_suid(Suid::Keep, || host.setxattr(fd, &name, &value, flags))?;
        if kill_sgid {
            let mode = host.stat(fd)?.mode;
            if mode & S_ISGID != 0 {
                host.chmod(fd, mode & !S_ISGID)?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(Reply::Ok.into())
}

/// GETXATTR.
pub async fn getxattr<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, name: &CStr, size: u32) -> Result<Answer<'c>> {
    let kind = mapped(core, name);
    // What is hidden is not there, for whoever only looks.
    let name = to_host(core, name).map_err(|e| if e == Errno::EPERM { Errno(libc::ENODATA) } else { e })?;
    let node = reach(core, os, nodeid).await?;
    let (fd, kind, name) = (node.fd, kind, name.into_owned());
    let Some(kind) = kind else { return answer(os, size, move |host, buf| host.getxattr(fd, &name, buf)).await };
    let value = os.offload(move |host| {
        let mut value = vec![0; LARGEST as usize];
        let len = host.getxattr(fd, &name, &mut value)?;
        value.truncate(len);
        Ok(value)
    });
    // Its length may be another.
    let value = kind.shown(&core.config.mapping, value.await?);
    match size {
        0 => Ok(length(value.len())),
        _ if value.len() > size as usize => Err(Errno::ERANGE),
        _ => data::payload(os, &value),
    }
}

/// What a value with ids in it is, if the mount shows ids in another way than the host.
fn mapped(core: &Core, name: &CStr) -> Option<IdXattr> {
    if core.config.mapping.shows_all_as_is() { None } else { IdXattr::named(name) }
}

fn length<'c>(len: usize) -> Answer<'c> {
    Reply::Xattr(GetxattrOut { size: len as u32, ..Default::default() }).into()
}

/// The host's name for what the client calls `name`.
fn to_host<'n>(core: &Core, name: &'n CStr) -> Result<Cow<'n, CStr>> {
    match &core.config.xattrmap {
        _ if !core.config.xattr => Err(Errno::ENOSYS),
        Some(map) => map.to_host(name),
        None => Ok(Cow::Borrowed(name)),
    }
}

/// LISTXATTR. Who may see `trusted.` names is for the host's filesystem to say; what a map makes such a name is root's.
pub async fn listxattr<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    nodeid: NodeId,
    size: u32,
) -> Result<Answer<'c>> {
    if !core.config.xattr {
        return Err(Errno::ENOSYS);
    }
    let node = reach(core, os, nodeid).await?;
    let (fd, root) = (node.fd, caller.root);
    let Some(map) = core.config.xattrmap.clone() else {
        return answer(os, size, move |host, buf| host.listxattr(fd, buf, root)).await;
    };
    answer(os, size, move |host, buf| {
        let mut all = vec![0; LARGEST as usize];
        let len = host.listxattr(fd, &mut all, true)?;
        let names = all[..len].split(|&b| b == 0).filter(|name| !name.is_empty());
        let shown = names.filter_map(|name| map.to_client(name));
        let mut visible = Vec::with_capacity(len);
        for name in shown.filter(|name| root || !name.starts_with(b"trusted.")) {
            visible.extend_from_slice(name);
            visible.push(0);
        }
        if !buf.is_empty() {
            buf.get_mut(..visible.len()).ok_or(Errno::ERANGE)?.copy_from_slice(&visible);
        }
        Ok(visible.len())
    })
    .await
}

/// A value of at most `size` bytes, or with size 0 its length alone.
async fn answer<'c, O: Os>(
    os: &O,
    size: u32,
    get: impl FnOnce(&O::Host, &mut [u8]) -> Result<usize> + Send + 'static,
) -> Result<Answer<'c>> {
    let (value, len) = os
        .offload(move |host| {
            let mut value = vec![0; size.min(LARGEST) as usize];
            let len = get(host, &mut value)?;
            value.truncate(len);
            Ok((value, len))
        })
        .await?;
    match size {
        0 => Ok(length(len)),
        _ => data::payload(os, &value),
    }
}

/// REMOVEXATTR. Of an access ACL it may take SGID away, about which the kernel says nothing here.
pub async fn removexattr<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    nodeid: NodeId,
    name: &CStr,
) -> Result<Answer<'c>> {
    let name = &*to_host(core, name)?;
    let node = reach(core, os, nodeid).await?;
    let suid = if name == ACCESS_ACL { Suid::of(&caller, false) } else { Suid::Keep };
    let (fd, name) = (node.fd, name.to_owned());
    os.offload(move |host| host.with_suid(suid, || host.removexattr(fd, &name))).await?;
    Ok(Reply::Ok.into())
}

/// STATFS.
pub async fn statfs<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId) -> Result<Answer<'c>> {
    let node = reach(core, os, nodeid).await?;
    let fd = node.fd;
    let st = os.offload(move |host| host.statfs(fd)).await?;
    Ok(Reply::Statfs(StatfsOut { st }).into())
}
