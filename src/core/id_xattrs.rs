//! Extended attributes with ids in them: POSIX ACLs and file capabilities. Values that are none of these are left as
//! they are, for the host to refuse.

use std::ffi::CStr;

use super::idmap::{Identity, UNMAPPED, UNMAPPED_IN_ACL};

/// What an attribute's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdXattr {
    /// `linux/posix_acl_xattr.h`: a version, then entries of a tag, permissions and an id.
    Acl,
    /// `linux/capability.h`: a user namespace's root owns the capabilities, in version 2 always uid 0.
    Capability,
}

const ACL_VERSION: u32 = 2;
const ACL_USER: u16 = 2;
const ACL_GROUP: u16 = 8;

const CAP_REVISION_MASK: u32 = 0xff00_0000;
const CAP_REVISION_2: u32 = 0x0200_0000;
const CAP_REVISION_3: u32 = 0x0300_0000;
const CAP_SIZE_2: usize = 20;
const CAP_SIZE_3: usize = 24;

impl IdXattr {
    /// The attributes whose ids the kernel itself translates on an idmapped mount.
    pub fn named(name: &CStr) -> Option<IdXattr> {
        match name.to_bytes() {
            b"system.posix_acl_access" | b"system.posix_acl_default" => Some(IdXattr::Acl),
            b"security.capability" => Some(IdXattr::Capability),
            _ => None,
        }
    }

    /// The host's value, as the mount shows it.
    pub fn shown(self, identity: &Identity, value: Vec<u8>) -> Vec<u8> {
        let shown = match self {
            IdXattr::Acl => map_acl(
                value,
                |uid| Some(identity.uids.shown(uid).unwrap_or(UNMAPPED_IN_ACL)),
                |gid| Some(identity.gids.shown(gid).unwrap_or(UNMAPPED_IN_ACL)),
            ),
            IdXattr::Capability => map_capability(value, |uid| Some(identity.uids.shown(uid).unwrap_or(UNMAPPED))),
        };
        shown.unwrap_or_default()
    }

    /// A client's value in the host's ids; `None` if one of its ids is not the host's.
    pub fn host(self, identity: &Identity, value: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            IdXattr::Acl => map_acl(value, |uid| identity.uids.host(uid), |gid| identity.gids.host(gid)),
            IdXattr::Capability => map_capability(value, |uid| identity.uids.host(uid)),
        }
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

type Map<'a> = &'a dyn Fn(u32) -> Option<u32>;

fn map_acl(mut value: Vec<u8>, uid: impl Fn(u32) -> Option<u32>, gid: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let Some((version, entries)) = value.split_at_mut_checked(4) else { return Some(value) };
    if word(version) != Some(ACL_VERSION) {
        return Some(value);
    }
    for entry in entries.chunks_exact_mut(8) {
        let map: Map<'_> = match u16::from_le_bytes([entry[0], entry[1]]) {
            ACL_USER => &uid,
            ACL_GROUP => &gid,
            _ => continue,
        };
        let id = map(word(&entry[4..])?)?;
        entry[4..].copy_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

fn map_capability(mut value: Vec<u8>, uid: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let Some(magic) = word(&value) else { return Some(value) };
    let root = match (magic & CAP_REVISION_MASK, value.len()) {
        (CAP_REVISION_2, CAP_SIZE_2) => 0,
        (CAP_REVISION_3, CAP_SIZE_3) => word(&value[CAP_SIZE_2..])?,
        _ => return Some(value),
    };
    let (revision, root) = match uid(root)? {
        0 => (CAP_REVISION_2, None),
        root => (CAP_REVISION_3, Some(root)),
    };
    value.truncate(CAP_SIZE_2);
    value[..4].copy_from_slice(&(magic & !CAP_REVISION_MASK | revision).to_le_bytes());
    value.extend(root.into_iter().flat_map(u32::to_le_bytes));
    Some(value)
}
