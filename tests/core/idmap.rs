//! Mappings of ids: both ways, and what no mapping may be.

use proptest::prelude::*;

use ptfs::core::config::Config;
use ptfs::core::host::Making;
use ptfs::core::idmap::{IdMap, Identity, Squash, UNMAPPED, UNMAPPED_IN_ACL};
use ptfs::core::ids::{Fh, HostGid, HostUid, NodeId};
use ptfs::protocol::abi::{EntryOut, GetxattrOut};
use ptfs::protocol::{Caller, Errno, Op, Reply, Setattr};
use zerocopy::FromBytes;

use crate::fake::{Mount, ROOT, Reach};

fn map(text: &str) -> IdMap {
    text.parse().unwrap()
}

/// Ranges that lie one after the other on the host and, in another order, on the mount.
fn disjoint() -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
    let gap_and_length = (0u32..1000, 1u32..1_000_000, 0u32..1000);
    prop::collection::vec(gap_and_length, 1..8).prop_flat_map(|parts| {
        let mut at = 0;
        let hosts: Vec<(u32, u32)> = parts
            .iter()
            .map(|&(gap, length, _)| {
                at += gap + length;
                (at - length, length)
            })
            .collect();
        let gaps: Vec<u32> = parts.iter().map(|&(.., gap)| gap).collect();
        Just(hosts).prop_shuffle().prop_map(move |hosts| {
            let mut at = 0;
            let show = |((host, length), gap): ((u32, u32), &u32)| {
                at += gap + length;
                (host, at - length, length)
            };
            hosts.into_iter().zip(&gaps).map(show).collect()
        })
    })
}

fn text(ranges: &[(u32, u32, u32)]) -> String {
    ranges.iter().map(|(host, shown, length)| format!("{host}:{shown}:{length}")).collect::<Vec<_>>().join(":")
}

proptest! {
    #[test]
    fn what_is_shown_leads_back_and_nothing_else_is(ranges in disjoint(), id in 0u32..10_000_000) {
        let map = map(&text(&ranges));
        let inside = |start: fn(&(u32, u32, u32)) -> u32| {
            ranges.iter().any(|range| (start(range)..start(range) + range.2).contains(&id))
        };
        prop_assert_eq!(map.shown(id).is_some(), inside(|range| range.0));
        prop_assert_eq!(map.host(id).is_some(), inside(|range| range.1));
        if let Some(shown) = map.shown(id) {
            prop_assert_eq!(map.host(shown), Some(id));
        }
        if let Some(host) = map.host(id) {
            prop_assert_eq!(map.shown(host), Some(id));
        }
    }

    #[test]
    fn ends_of_ranges_are_mapped(ranges in disjoint()) {
        let map = map(&text(&ranges));
        for (host, shown, length) in ranges {
            for at in [0, length - 1] {
                prop_assert_eq!(map.shown(host + at), Some(shown + at));
            }
        }
    }

    #[test]
    fn one_id_is_never_mapped_twice(ranges in disjoint(), which: prop::sample::Index, at: prop::sample::Index) {
        let (host, shown, length) = ranges[which.index(ranges.len())];
        let at = at.index(length as usize) as u32;
        // Beyond all that disjoint() makes.
        let free = 100_000_000;
        let twice = format!("{}:{}:{free}:1", text(&ranges), host + at);
        prop_assert!(twice.parse::<IdMap>().unwrap_err().contains("twice"));
        let merged = format!("{}:{free}:{}:1", text(&ranges), shown + at);
        prop_assert!(merged.parse::<IdMap>().unwrap_err().contains("as one"));
    }
}

#[test]
fn no_mapping_changes_nothing() {
    let identity = Identity::default();
    assert_eq!(identity.owner(HostUid(UNMAPPED), HostGid(7)), (UNMAPPED, 7));
    let caller = Caller { uid: 5, gid: 6, pid: 1, supp_gid: Some(7) };
    let making = Making { uid: HostUid(5), gid: HostGid(6), supp_gid: Some(HostGid(7)), root: false, umask: 0o22 };
    assert_eq!(identity.asker(&caller).making(0o22), Some(making));
}

#[test]
fn ids_without_a_mapping_are_nobodys() {
    let identity = Identity { uids: map("100000:0:65536"), gids: map("7:8:1"), squash: None };
    assert_eq!(identity.owner(HostUid(100_000), HostGid(7)), (0, 8));
    assert_eq!(identity.owner(HostUid(0), HostGid(8)), (UNMAPPED, UNMAPPED));
    let root = identity.asker(&Caller { uid: 0, gid: 8, pid: 1, supp_gid: Some(9) });
    let making = Making { uid: HostUid(100_000), gid: HostGid(7), supp_gid: None, root: true, umask: 0 };
    assert_eq!(root.making(0), Some(making));
    for (uid, gid) in [(65536, 8), (0, 7)] {
        let stranger = identity.asker(&Caller { uid, gid, pid: 1, supp_gid: None });
        assert_eq!((stranger.making(0), stranger.root), (None, uid == 0));
        let Making { uid: HostUid(host_uid), gid: HostGid(host_gid), .. } = stranger.making_or_stranger();
        assert!(host_uid == UNMAPPED_IN_ACL || host_gid == UNMAPPED_IN_ACL);
    }
}

#[test]
fn squashed_callers_are_one() {
    let squash = Some("1000:100".parse().unwrap());
    let identity = Identity { uids: map("1000:0:1"), squash, ..Identity::default() };
    for uid in [0, 5] {
        let asker = identity.asker(&Caller { uid, gid: 0, pid: 1, supp_gid: Some(9) });
        let making = Making { uid: HostUid(1000), gid: HostGid(100), supp_gid: None, root: false, umask: 0 };
        assert_eq!((asker.making(0), asker.root), (Some(making), false));
    }
    for wrong in ["", "5", "5:", ":5", "a:b", "1:2:3", "-1:5", "1:4294967295"] {
        assert!(wrong.parse::<Squash>().unwrap_err().contains("UID:GID"), "{wrong}");
    }
    assert!("0:5".parse::<Squash>().unwrap_err().contains("root"));
}

#[test]
fn a_wrong_mapping_says_what_is_wrong() {
    for (text, words) in [
        ("", "'' is not an id"),
        ("1:2", "in threes"),
        ("1:2:3:4", "in threes"),
        ("1:2:x", "'x' is not an id"),
        ("-1:2:3", "'-1' is not an id"),
        ("+1:2:3", "'+1' is not an id"),
        ("4294967296:0:1", "'4294967296' is not an id"),
        ("1:2:0", "1:2:0 maps nothing"),
        ("4294967295:0:1", "beyond the last id"),
        ("0:4294967294:1", "beyond the last id"),
        ("1:0:4294967295", "beyond the last id"),
        ("0:10:5:4:20:5", "0:10:5 and 4:20:5 map one id of the host twice"),
        ("0:10:5:20:14:5", "0:10:5 and 20:14:5 show two ids of the host as one"),
    ] {
        let error = text.parse::<IdMap>().unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    assert_eq!(map("0:0:4294967294").shown(4_294_967_293), Some(4_294_967_293));
}

const CAPS: &std::ffi::CStr = c"security.capability";
const ACL: &std::ffi::CStr = c"system.posix_acl_access";

/// A mount on which the host's ids from 1000 on are those from 0 on.
fn shifted() -> Mount {
    let identity = Identity { uids: map("1000:0:10"), gids: map("1000:0:10"), squash: None };
    let mount = Mount::with_config(
        Reach::ByHandle,
        Config { xattr: true, mapping: identity, fd_budget: 100, ..Config::default() },
    );
    mount.mkdir(NodeId::ROOT, c"dir").unwrap();
    mount.create(NodeId::ROOT, c"file").unwrap();
    mount
}

#[test]
fn every_reply_shows_mapped_owners() {
    let mount = shifted();
    let (file, birth) = mount.lookup(NodeId::ROOT, c"file").unwrap();
    assert_eq!(mount.tree(|tree| tree.owner(birth)), (HostUid(1000), HostGid(1000)));
    let Ok(Reply::Attr(attr)) = mount.done(file, Op::Getattr { fh: None }) else { panic!() };
    let Ok(Reply::Statx(statx)) = mount.done(file, Op::Statx { fh: None, sx_flags: 0, sx_mask: 0 }) else { panic!() };
    let Ok(Reply::Entry(entry)) = mount.done(NodeId::ROOT, Op::Lookup { name: c"file" }) else { panic!() };
    let link = Op::Link { oldnodeid: file, newname: c"link" };
    let Ok(Reply::Entry(linked)) = mount.done(NodeId::ROOT, link) else { panic!() };
    let Ok(Reply::Open(open)) = mount.done(NodeId::ROOT, Op::Opendir { flags: 0 }) else { panic!() };
    let listing = Op::Readdirplus { fh: Fh(open.fh), offset: 2, size: 4096 };
    mount.done(NodeId::ROOT, listing).unwrap();
    let listed = EntryOut::read_from_prefix(&mount.payload.borrow()).unwrap().0;
    for (uid, gid) in [
        (attr.attr.uid, attr.attr.gid),
        (statx.stat.uid, statx.stat.gid),
        (entry.attr.uid, entry.attr.gid),
        (linked.attr.uid, linked.attr.gid),
        (listed.attr.uid, listed.attr.gid),
    ] {
        assert_eq!((uid, gid), (0, 0));
    }
    // The root of the tree is the host's root's.
    let Ok(Reply::Attr(root)) = mount.done(NodeId::ROOT, Op::Getattr { fh: None }) else { panic!() };
    assert_eq!((root.attr.uid, root.attr.gid), (UNMAPPED, UNMAPPED));
}

#[test]
fn who_is_nobody_on_the_host_makes_nothing() {
    let mount = shifted();
    let (file, _) = mount.lookup(NodeId::ROOT, c"file").unwrap();
    let (name, mode, umask, flags) = (c"new", 0o644, 0, 0);
    for (uid, gid) in [(10, 0), (0, 10), (1000, 1000)] {
        for op in [
            Op::Create { name, flags, mode, umask, kill_suidgid: false },
            Op::Tmpfile { flags, mode, umask },
            Op::Mkdir { name, mode, umask },
            Op::Mknod { name, mode, rdev: 0, umask },
            Op::Symlink { name, target: c"x" },
            Op::Link { oldnodeid: file, newname: name },
            Op::Rename { name: c"file", newdir: NodeId::ROOT, newname: name, flags: 0 },
            Op::Rename { name: c"file", newdir: NodeId::ROOT, newname: name, flags: 4 },
        ] {
            let answer = mount.ask_as(Caller { uid, gid, pid: 1, supp_gid: None }, NodeId::ROOT, op);
            assert_eq!(answer.reply, Reply::Err(Errno::EOVERFLOW), "{op:?}");
        }
        assert_eq!(mount.tree(|tree| tree.find(ROOT, name)), Err(Errno::ENOENT));
    }
}

#[test]
fn only_ids_of_the_host_are_taken() {
    let mount = shifted();
    let (file, birth) = mount.lookup(NodeId::ROOT, c"file").unwrap();
    let chown = |uid, gid| mount.done(file, Op::Setattr(Setattr { uid, gid, ..Setattr::default() }));
    let Ok(Reply::Attr(attr)) = chown(Some(3), Some(4)) else { panic!() };
    assert_eq!((attr.attr.uid, attr.attr.gid), (3, 4));
    chown(None, Some(5)).unwrap();
    assert_eq!(mount.tree(|tree| tree.owner(birth)), (HostUid(1003), HostGid(1005)));
    for (uid, gid) in [(Some(10), None), (None, Some(65534)), (Some(1), Some(10))] {
        assert_eq!(chown(uid, gid), Err(Errno::EOVERFLOW));
    }
    assert_eq!(mount.tree(|tree| tree.owner(birth)), (HostUid(1003), HostGid(1005)));

    let acl = |uid: u32| [&[2, 0, 0, 0, 2, 0, 7, 0][..], &uid.to_le_bytes()].concat();
    let set = |name, value: &[u8]| mount.done(file, Op::Setxattr { name, value, flags: 0, acl_kill_sgid: false });
    assert_eq!(set(ACL, &acl(1)), Ok(Reply::Ok));
    assert_eq!(mount.tree(|tree| tree.xattr(birth, ACL).cloned()), Some(acl(1001)));
    assert_eq!(set(ACL, &acl(10)), Err(Errno::EINVAL));
    assert_eq!(mount.done(file, Op::Getxattr { name: ACL, size: 100 }), Ok(Reply::Payload(12)));
    assert_eq!(mount.payload.borrow()[..12], acl(1));
    // No other attribute has ids.
    assert_eq!(set(c"user.acl", &acl(10)), Ok(Reply::Ok));
    assert_eq!(mount.tree(|tree| tree.xattr(birth, c"user.acl").cloned()), Some(acl(10)));
}

/// The host's root is a uid like any other here, which takes 4 bytes to say.
#[test]
fn a_capability_may_change_its_length() {
    let mount = shifted();
    let (file, birth) = mount.lookup(NodeId::ROOT, c"file").unwrap();
    let [short, long] = [(2, 20), (3, 24)].map(|(revision, len)| [vec![0, 0, 0, revision], vec![0; len - 4]].concat());
    let set = |value| mount.done(file, Op::Setxattr { name: CAPS, value, flags: 0, acl_kill_sgid: false });
    let get = |size| mount.done(file, Op::Getxattr { name: CAPS, size });
    set(&short).unwrap();
    let stored = mount.tree(|tree| tree.xattr(birth, CAPS).cloned()).unwrap();
    assert_eq!(stored, [&long[..20], &1000u32.to_le_bytes()].concat());
    assert_eq!(get(0), Ok(Reply::Xattr(GetxattrOut { size: 20, padding: 0 })));
    assert_eq!(get(19), Err(Errno::ERANGE));
    assert_eq!(get(20), Ok(Reply::Payload(20)));
    assert_eq!(mount.payload.borrow()[..20], short);
    set(&[&long[..20], &3u32.to_le_bytes()].concat()).unwrap();
    assert_eq!(get(0), Ok(Reply::Xattr(GetxattrOut { size: 24, padding: 0 })));
    assert_eq!(get(20), Err(Errno::ERANGE));
}

#[test]
fn a_mapping_is_read_in_the_form_of_libfuse_fs() {
    let both: Identity = "uidmapping=1000:0:1:5:7:2,gidmapping=100:0:1".parse().unwrap();
    assert_eq!((both.uid(0), both.uid(8), both.gid(0)), (Some(HostUid(1000)), Some(HostUid(6)), Some(HostGid(100))));
    assert_eq!((both.uid(1), both.gid(1)), (None, None));
    let one: Identity = "gidmapping=100:0:1".parse().unwrap();
    assert_eq!((one.uid(1), one.gid(1)), (Some(HostUid(1)), None));
    for bad in ["", "uidmapping", "uidmapping=", "uidmapping=1:2", "pidmapping=1:2:3", "uidmapping=0:0:1,"] {
        assert!(bad.parse::<Identity>().is_err(), "{bad}");
    }
}
