//! ACLs and capabilities under a mapping, byte for byte.

use proptest::prelude::*;

use ptfs::core::id_xattrs::IdXattr;
use ptfs::core::idmap::Identity;

fn identity() -> Identity {
    Identity { uids: "100:0:50:7:1000:1".parse().unwrap(), gids: "200:0:50".parse().unwrap(), squash: None }
}

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry =
        |&(tag, perm, id): &(u16, u16, u32)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    [2u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

/// With its revision, and the root's uid if that has one.
fn capability(revision: u32, root: Option<u32>) -> Vec<u8> {
    let words = [revision << 24 | 1, 0x400, 2, 3, 4].into_iter().chain(root);
    words.flat_map(u32::to_le_bytes).collect()
}

const NONE: u32 = u32::MAX;

#[test]
fn the_attributes_with_ids_are_known() {
    assert_eq!(IdXattr::named(c"system.posix_acl_access"), Some(IdXattr::Acl));
    assert_eq!(IdXattr::named(c"system.posix_acl_default"), Some(IdXattr::Acl));
    assert_eq!(IdXattr::named(c"security.capability"), Some(IdXattr::Capability));
    assert_eq!(IdXattr::named(c"user.x"), None);
}

#[test]
fn acls_name_users_and_groups() {
    let entries = |user, group, other| {
        acl(&[(1, 7, NONE), (2, 6, user), (2, 6, 1000), (4, 5, NONE), (8, 4, group), (16, 7, NONE), (32, 1, other)])
    };
    let host = acl(&[(1, 7, NONE), (2, 6, 149), (2, 6, 7), (4, 5, NONE), (8, 4, 200), (16, 7, NONE), (32, 1, NONE)]);
    assert_eq!(IdXattr::Acl.shown(&identity(), host.clone()), entries(49, 0, NONE));
    assert_eq!(IdXattr::Acl.host(&identity(), entries(49, 0, NONE)), Some(host));
    for wrong in [entries(50, 0, NONE), entries(0, 50, NONE), entries(NONE - 1, 0, NONE)] {
        assert_eq!(IdXattr::Acl.host(&identity(), wrong), None);
    }
    assert_eq!(
        IdXattr::Acl.shown(&identity(), acl(&[(2, 6, 99), (8, 6, 7)])),
        acl(&[(2, 6, NONE - 1), (8, 6, NONE - 1)])
    );
}

#[test]
fn capabilities_belong_to_a_root() {
    let cap = IdXattr::Capability;
    for (host, shown) in [
        (capability(3, Some(100)), capability(2, None)),
        (capability(3, Some(120)), capability(3, Some(20))),
        (capability(3, Some(7)), capability(3, Some(1000))),
    ] {
        assert_eq!(cap.shown(&identity(), host.clone()), shown);
        assert_eq!(cap.host(&identity(), shown), Some(host));
    }
    // The host's own root is nobody here, and gives nobody capabilities.
    assert_eq!(cap.shown(&identity(), capability(2, None)), capability(3, Some(NONE)));
    assert_eq!(cap.host(&identity(), capability(3, Some(50))), None);
    let zero = Identity { uids: "0:5:1".parse().unwrap(), ..Identity::default() };
    assert_eq!(cap.shown(&zero, capability(2, None)), capability(3, Some(5)));
    assert_eq!(cap.host(&zero, capability(3, Some(5))), Some(capability(2, None)));
    assert_eq!(cap.host(&zero, capability(2, None)), None);
}

proptest! {
    /// What is no ACL or capability is the host's to refuse; nothing panics.
    #[test]
    fn other_bytes_pass(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for kind in [IdXattr::Acl, IdXattr::Capability] {
            kind.shown(&identity(), bytes.clone());
            kind.host(&identity(), bytes.clone());
        }
        if let Some(version) = bytes.get_mut(3) {
            *version = 9;
        }
        for kind in [IdXattr::Acl, IdXattr::Capability] {
            prop_assert_eq!(kind.shown(&identity(), bytes.clone()), bytes.clone());
            prop_assert_eq!(kind.host(&identity(), bytes.clone()), Some(bytes.clone()));
        }
    }
}
