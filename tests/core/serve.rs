//! `ops::serve` on a host in memory: what becomes the kernel's with a reply, what does not, and budgets.

use std::ffi::CString;

use ptfs::core::attr::KIND_REGULAR;
use ptfs::core::config::Config;
use ptfs::core::ids::{Fh, NodeId};
use ptfs::protocol::abi::FOPEN_KEEP_CACHE;
use ptfs::protocol::{Errno, Op, Reply};

use crate::fake::{self, Mount, Reach, entries};

const ROOMY: usize = 1000;
const ALL: [Reach; 3] = [Reach::ByHandle, Reach::ByName, Reach::ByNameAndBirth];

fn numbered(n: u32) -> CString {
    CString::new(format!("{n:03}")).unwrap()
}

fn create(excl: u32) -> Op<'static> {
    Op::Create { name: c"new", flags: excl, mode: 0o644, umask: 0, kill_suidgid: false }
}

fn opened(reply: Reply) -> u64 {
    let (Reply::Open(out) | Reply::Create(_, out)) = reply else { panic!("{reply:?}") };
    out.fh
}

fn open(mount: &Mount, nodeid: NodeId) -> Result<u64, Errno> {
    mount.done(nodeid, Op::Open { flags: 0, kill_suidgid: false }).map(opened)
}

#[test]
fn what_is_not_committed_is_taken_back() {
    let mount = Mount::new(Reach::ByHandle, ROOMY);
    let (dir, _) = mount.mkdir(NodeId::ROOT, c"dir").unwrap();
    let (file, _) = mount.create(NodeId::ROOT, c"file").unwrap();
    mount.tree(|tree| tree.make(fake::ROOT, c"unseen", KIND_REGULAR)).unwrap();
    let fh = Fh(opened(mount.done(NodeId::ROOT, Op::Opendir { flags: 0 }).unwrap()));
    let before = (mount.core.nodes.len(), mount.core.nodes.fds(), mount.core.handles.len());
    let (name, mode, umask) = (c"new", 0o755, 0);
    for op in [
        Op::Lookup { name: c"unseen" },
        Op::Lookup { name: c"file" },
        Op::Mkdir { name, mode, umask },
        create(0),
        Op::Tmpfile { flags: 2, mode, umask },
        Op::Link { oldnodeid: file, newname: name },
        Op::Open { flags: 0, kill_suidgid: false },
        Op::Opendir { flags: 0 },
        Op::Readdirplus { fh, offset: 0, size: 4096 },
    ] {
        let nodeid = if matches!(op, Op::Open { .. }) { file } else { NodeId::ROOT };
        let answer = mount.ask(nodeid, op);
        assert!(answer.reply.errno().is_none() && !answer.gives_nothing(), "{op:?}: {:?}", answer.reply);
        drop(answer);
        assert_eq!((mount.core.nodes.len(), mount.core.nodes.fds(), mount.core.handles.len()), before, "{op:?}");
        mount.tree(|tree| [false, true].iter().for_each(|&is_dir| _ = tree.remove(fake::ROOT, name, is_dir)));
    }
    for nodeid in [dir, file] {
        mount.forget(nodeid, 1);
    }
    mount.release(fh.0).unwrap();
    mount.assert_clean();
}

#[test]
fn readdirplus_counts_what_it_lists_and_readdir_nothing() {
    for (reach, budget) in ALL.into_iter().flat_map(|reach| [(reach, 10), (reach, ROOMY)]) {
        let mount = Mount::new(reach, budget);
        let (dir, dir_birth) = mount.mkdir(NodeId::ROOT, c"dir").unwrap();
        for n in 0..100 {
            mount.tree(|tree| tree.make(dir_birth, &numbered(n), KIND_REGULAR)).unwrap();
        }
        let fh = Fh(opened(mount.done(dir, Op::Opendir { flags: 0 }).unwrap()));

        let reply = mount.done(dir, Op::Readdir { fh, offset: 0, size: 4096 }).unwrap();
        assert!(reply.moved() > 0 && mount.core.nodes.len() == 2);

        // In two goes: a record is 160 bytes, of which half do not fit at once.
        let mut listed = Vec::new();
        loop {
            let (offset, size) = (listed.len() as u64, 60 * 160);
            let Reply::Payload(len) = mount.done(dir, Op::Readdirplus { fh, offset, size }).unwrap() else { panic!() };
            let more = entries(&mount.payload.borrow(), len);
            if more.is_empty() {
                break;
            }
            listed.extend(more);
            assert!(mount.core.nodes.fds() < budget, "a listing takes no more than there is");
        }
        assert_eq!(listed[0], (c".".to_owned(), NodeId(0)));
        assert_eq!(listed[1], (c"..".to_owned(), NodeId(0)));
        assert_eq!((listed.len(), mount.core.nodes.len()), (102, 102));
        for (name, nodeid) in &listed[2..] {
            let (again, birth) = mount.lookup(dir, name).unwrap();
            assert_eq!((again, mount.getattr(again)), (*nodeid, Ok(birth)), "{name:?}");
            mount.forget(*nodeid, 1);
            assert!(mount.core.nodes.pin(*nodeid).is_ok());
            mount.forget(*nodeid, 1);
            assert!(mount.core.nodes.pin(*nodeid).is_err());
        }
        let small = mount.ask(dir, Op::Readdirplus { fh, offset: 2, size: 150 });
        assert!(small.gives_nothing());
        drop(small);
        mount.release(fh.0).unwrap();
        mount.forget(dir, 1);
        mount.assert_clean();
    }
}

#[test]
fn open_files_come_before_anchors_and_end_at_the_budget() {
    for reach in ALL {
        let mount = Mount::new(reach, 20);
        let files: Vec<NodeId> = (0..40).map(|n| mount.create(NodeId::ROOT, &numbered(n)).unwrap().0).collect();
        assert!(mount.core.nodes.fds() <= 20);
        let open_files: Vec<u64> = files.iter().map_while(|&nodeid| open(&mount, nodeid).ok()).collect();
        // All but one, which is the root's.
        assert_eq!(open_files.len(), 19);
        assert_eq!(open(&mount, files[30]), Err(Errno::ENFILE));
        assert_eq!(mount.done(NodeId::ROOT, create(0)), Err(Errno::ENFILE));
        assert_eq!(mount.tree(|tree| tree.find(fake::ROOT, c"new")), Err(Errno::ENOENT), "refused and yet made");
        // The rest goes on, and so does opening once there is room.
        files.iter().for_each(|&nodeid| assert!(mount.getattr(nodeid).is_ok()));
        mount.release(open_files[0]).unwrap();
        let again = open(&mount, files[30]).unwrap();
        for fh in open_files[1..].iter().chain([&again]) {
            mount.release(*fh).unwrap();
        }
        files.iter().for_each(|&nodeid| mount.forget(nodeid, 1));
        mount.assert_clean();
    }
}

/// Within the entry timeout the kernel sends RENAME, UNLINK and GETATTR without a LOOKUP before each.
#[test]
fn the_budget_holds_without_lookups() {
    const BUDGET: usize = 16;
    let within = |mount: &Mount, when| {
        let (fds, pinned) = (mount.core.nodes.fds(), mount.core.nodes.pinned_fds());
        assert!(fds <= BUDGET.max(pinned) + 4, "{when}: {fds} descriptors of {BUDGET}, {pinned} of them pinned");
    };
    for reach in ALL {
        let mount = Mount::new(reach, BUDGET);
        let mut nodes = Vec::new();
        for n in 0..60 {
            let (dir, birth) = mount.mkdir(NodeId::ROOT, &numbered(n)).unwrap();
            nodes.push((dir, mount.create(dir, c"file").unwrap().0, birth));
        }
        for (n, (dir, file, _)) in (0..).zip(&nodes) {
            let (name, newname) = (&*numbered(n), &*numbered(n + 100));
            let rename = |nodeid, name, newname| {
                let op = Op::Rename { name, newdir: nodeid, newname, flags: 0 };
                assert_eq!(mount.done(nodeid, op), Ok(Reply::Ok));
                within(&mount, "after a rename");
            };
            rename(NodeId::ROOT, name, newname);
            rename(*dir, c"file", c"new");
            assert!(mount.getattr(*file).is_ok());
        }
        mount.evict_all();
        for (_, _, birth) in &nodes {
            mount.tree(|tree| tree.remove(*birth, c"new", false)).unwrap();
        }
        for (_, file, _) in &nodes {
            assert_eq!(mount.getattr(*file), Err(Errno::ESTALE));
            within(&mount, "after ESTALE");
        }
        for (dir, file, _) in nodes {
            mount.forget(file, 1);
            mount.forget(dir, 1);
        }
        mount.assert_clean();
    }
}

#[test]
fn a_deep_tree_is_reached_within_the_budget() {
    const BUDGET: usize = 16;
    for reach in ALL {
        let mount = Mount::new(reach, BUDGET);
        let mut path = vec![NodeId::ROOT];
        for _ in 0..100 {
            path.push(mount.mkdir(path[path.len() - 1], c"deeper").unwrap().0);
        }
        let last = path[path.len() - 1];
        mount.evict_all();
        mount.most_fds.set(Some(0));
        let birth = mount.getattr(last).unwrap();
        assert_eq!(birth, fake::ROOT + 100);
        let most = mount.most_fds.take().unwrap();
        assert!(most <= BUDGET + 4, "{reach:?}: {most} descriptors at once");
        // An ancestor moves: all are found again, and parents that the kernel forgot still lead to their children.
        let rename = Op::Rename { name: c"deeper", newdir: path[50], newname: c"moved", flags: 0 };
        assert_eq!(mount.done(path[70], rename), Ok(Reply::Ok));
        path[1..100].iter().for_each(|&nodeid| mount.forget(nodeid, 1));
        mount.evict_all();
        assert_eq!((mount.getattr(last), mount.core.nodes.len()), (Ok(birth), 81));
        mount.forget(last, 1);
        mount.assert_clean();
    }
}

#[test]
fn a_name_that_appears_during_creation_is_looked_up_again() {
    const O_EXCL: u32 = 0o200;
    let mount = Mount::new(Reach::ByHandle, ROOMY);
    mount.tree(|tree| tree.make(fake::ROOT, c"new", KIND_REGULAR)).unwrap();
    assert_eq!(mount.done(NodeId::ROOT, create(0)), Err(Errno::ESTALE));
    assert_eq!(mount.done(NodeId::ROOT, create(O_EXCL)), Err(Errno::EEXIST));
    mount.assert_clean();
}

#[test]
fn an_unlinked_file_lives_until_it_is_forgotten() {
    for reach in ALL {
        let mount = Mount::new(reach, 10);
        let (file, birth) = mount.create(NodeId::ROOT, c"file").unwrap();
        let (name, newname) = (c"file", c"other");
        // Unlinked while it is open, while it is not, and as the target of a rename; with and without a descriptor.
        let fh = open(&mount, file).unwrap();
        mount.evict_all();
        mount.done(NodeId::ROOT, Op::Unlink { name }).unwrap();
        mount.evict_all();
        assert_eq!(mount.getattr(file), Ok(birth));
        let again = open(&mount, file).unwrap();
        let (other, other_birth) = mount.create(NodeId::ROOT, name).unwrap();
        let (third, _) = mount.create(NodeId::ROOT, newname).unwrap();
        mount.evict_all();
        mount.done(NodeId::ROOT, Op::Rename { name: newname, newdir: NodeId::ROOT, newname: name, flags: 0 }).unwrap();
        mount.evict_all();
        assert_eq!((mount.getattr(file), mount.getattr(other)), (Ok(birth), Ok(other_birth)));
        // A new name makes it an ordinary file again.
        assert_eq!(mount.core.nodes.pinned_fds(), 3);
        let tmpfile = Op::Tmpfile { flags: 2, mode: 0o600, umask: 0 };
        let Reply::Create(entry, open) = mount.done(NodeId::ROOT, tmpfile).unwrap() else { panic!("no file") };
        let nameless = NodeId(entry.nodeid);
        assert_eq!(mount.core.nodes.pinned_fds(), 4);
        let linked = mount.entry(NodeId::ROOT, Op::Link { oldnodeid: nameless, newname: c"named" });
        assert_eq!((linked, mount.core.nodes.pinned_fds()), (Ok((nameless, entry.attr.size)), 3));
        mount.evict_all();
        assert_eq!(mount.getattr(nameless), Ok(entry.attr.size));
        [fh, again, open.fh].into_iter().for_each(|fh| _ = mount.release(fh).unwrap());
        [(file, 1), (other, 1), (third, 1), (nameless, 2)].into_iter().for_each(|(nodeid, n)| mount.forget(nodeid, n));
        mount.assert_clean();
    }
}

/// The host's other users remove a file and make another, which gets its inode number at once.
#[test]
fn a_file_that_took_over_an_inode_number_is_another() {
    for reach in ALL {
        let mount = Mount::new(reach, ROOMY);
        let (dir, dir_birth) = mount.mkdir(NodeId::ROOT, c"dir").unwrap();
        let (old, birth) = mount.create(dir, c"file").unwrap();
        let ino = mount.tree(|tree| tree.ino(birth));
        mount.evict_all();
        let new_birth = mount.tree(|tree| {
            tree.remove(dir_birth, c"file", false).unwrap();
            tree.make(dir_birth, c"file", KIND_REGULAR).unwrap()
        });
        assert_eq!(mount.tree(|tree| tree.ino(new_birth)), ino, "this host uses numbers again");
        assert_eq!(mount.getattr(old), Err(Errno::ESTALE));
        assert_eq!(open(&mount, old), Err(Errno::ESTALE));
        let (new, found) = mount.lookup(dir, c"file").unwrap();
        assert!(new != old && found == new_birth);
        assert_eq!((mount.getattr(old), mount.getattr(new)), (Err(Errno::ESTALE), Ok(new_birth)));
        // What is removed now is the new one, and the old one's FORGET leaves it alone.
        mount.done(dir, Op::Unlink { name: c"file" }).unwrap();
        mount.forget(old, 1);
        mount.evict_all();
        assert_eq!(mount.getattr(new), Ok(new_birth));
        mount.forget(new, 1);
        mount.forget(dir, 1);
        mount.assert_clean();
    }
}

/// A file that is held when the host's other users remove it keeps its descriptor, which is all there is of it.
#[test]
fn a_held_file_that_was_removed_on_the_host_is_never_another() {
    for reach in ALL {
        let mount = Mount::new(reach, 4);
        let (file, birth) = mount.create(NodeId::ROOT, c"file").unwrap();
        mount.tree(|tree| tree.remove(fake::ROOT, c"file", false)).unwrap();
        for n in 0..10 {
            mount.mkdir(NodeId::ROOT, &numbered(n)).unwrap();
        }
        assert_eq!(mount.getattr(file), Ok(birth));
        let (new, _) = mount.create(NodeId::ROOT, c"file").unwrap();
        assert_ne!(new, file);
        // By its name it is another now, so that whoever opens it is to look again.
        assert_eq!(open(&mount, file), Err(Errno::ESTALE));
    }
}

/// RELEASE comes once, and what is over the budget must go, whatever a host says whose server is gone.
#[test]
fn a_host_that_answers_nothing_leaks_nothing() {
    for reach in ALL {
        let mount = Mount::new(reach, ROOMY);
        let files: Vec<NodeId> = (0..4).map(|n| mount.create(NodeId::ROOT, &numbered(n)).unwrap().0).collect();
        let open_files: Vec<u64> = files.iter().map(|&nodeid| open(&mount, nodeid).unwrap()).collect();
        mount.broken.set(true);
        files.iter().for_each(|&nodeid| assert_eq!(mount.getattr(nodeid), Err(Errno::EIO)));
        open_files.iter().for_each(|&fh| _ = mount.release(fh).unwrap());
        assert!(mount.core.handles.is_empty());
        mount.broken.set(false);
        files.iter().for_each(|&nodeid| mount.forget(nodeid, 1));
        mount.assert_clean();
    }
}

#[test]
fn stale_names_of_nodes_and_files_are_refused() {
    let mount = Mount::new(Reach::ByName, ROOMY);
    let (file, _) = mount.create(NodeId::ROOT, c"file").unwrap();
    let fh = open(&mount, file).unwrap();
    mount.release(fh).unwrap();
    assert_eq!(mount.release(fh), Err(Errno::EBADF));
    assert_eq!(mount.done(file, Op::Getattr { fh: Some(Fh(fh)) }), Err(Errno::EBADF));
    mount.forget(file, 1);
    let (other, _) = mount.create(NodeId::ROOT, c"other").unwrap();
    for stale in [file, NodeId(0), NodeId(u64::MAX), NodeId(other.0 ^ 1 << 32), NodeId(1 << 32 | 1)] {
        assert_eq!(mount.getattr(stale), Err(Errno::ESTALE), "{stale:?}");
        mount.forget(stale, u64::MAX);
    }
    assert!(mount.getattr(other).is_ok() && mount.getattr(NodeId::ROOT).is_ok());
    assert_eq!(mount.done(other, Op::Opendir { flags: 0 }), Err(Errno::ENOTDIR));
    mount.forget(other, 1);
    mount.assert_clean();
}

/// Two directories change places on the host, each below the other in turn: nothing is lost for it.
#[test]
fn directories_that_changed_places_are_forgotten() {
    let mount = Mount::new(Reach::ByHandle, ROOMY);
    let (a, a_birth) = mount.mkdir(NodeId::ROOT, c"a").unwrap();
    let (b, b_birth) = mount.mkdir(a, c"b").unwrap();
    mount.tree(|tree| {
        tree.rename((a_birth, c"b"), (fake::ROOT, c"b"), 0).unwrap();
        tree.rename((fake::ROOT, c"a"), (b_birth, c"a"), 0).unwrap();
    });
    assert_eq!(mount.lookup(b, c"a"), Ok((a, a_birth)));
    assert_eq!(mount.tree(|tree| tree.find(fake::ROOT, c"b")), Ok(b_birth));
    mount.forget(a, 2);
    mount.forget(b, 1);
    mount.assert_clean();
}

/// A removal waits while so many FORGETs are on their way; what clients go on using is waited for once.
#[test]
fn removals_do_not_run_ahead_of_forgets() {
    const BUDGET: usize = 64;
    let mount = Mount::new(Reach::ByHandle, BUDGET);
    let (kept, most) = (mount.core.nodes.kept(), BUDGET / 8 + 1);
    let made: Vec<NodeId> = (0..30).map(|n| mount.create(NodeId::ROOT, &numbered(n)).unwrap().0).collect();
    for n in 0..20 {
        assert_eq!(mount.done(NodeId::ROOT, Op::Unlink { name: &numbered(n) }), Ok(Reply::Ok));
        assert!(kept.leaving() <= most, "{n}: {} are leaving", kept.leaving());
    }
    assert_eq!(
        mount.done(
            NodeId::ROOT,
            Op::Rename { name: &numbered(20), newdir: NodeId::ROOT, newname: &numbered(21), flags: 0 }
        ),
        Ok(Reply::Ok)
    );
    assert!(kept.leaving() <= most, "{} are leaving", kept.leaving());
    made.into_iter().for_each(|nodeid| mount.forget(nodeid, 1));
    assert_eq!(kept.leaving(), 0);
    mount.assert_clean();
}

/// The kernel drops what it keeps when it acts upon the answer to an open, which no other open waits for.
#[test]
fn pages_are_kept_once_those_before_are_known_to_be_gone() {
    let config = Config { fd_budget: ROOMY, cache_readdir: true, ..Config::default() };
    let mount = Mount::with_config(Reach::ByHandle, config);
    let (dir, _) = mount.mkdir(NodeId::ROOT, c"dir").unwrap();
    let (file, _) = mount.create(NodeId::ROOT, c"file").unwrap();
    let open = |nodeid, flags| {
        let op = if nodeid == dir { Op::Opendir { flags } } else { Op::Open { flags, kill_suidgid: false } };
        let Ok(Reply::Open(out)) = mount.done(nodeid, op) else { panic!("not open") };
        (Fh(out.fh), out.open_flags & FOPEN_KEEP_CACHE != 0)
    };
    for nodeid in [file, dir] {
        let (first, second) = (open(nodeid, 0), open(nodeid, 0));
        assert!(!first.1 && !second.1, "both at once");
        let read = match nodeid == dir {
            true => Op::Readdir { fh: second.0, offset: 0, size: 4096 },
            false => Op::Read { fh: second.0, offset: 0, size: 1, flags: 0 },
        };
        mount.done(nodeid, read).unwrap();
        let third = open(nodeid, 0);
        assert!(third.1, "unchanged since");
        for (fh, _) in [first, second, third] {
            mount.release(fh.0).unwrap();
        }
    }
    // Others' writes are under way.
    let (other, _) = mount.create(NodeId::ROOT, c"other").unwrap();
    let (writer, reader) = (open(other, 1), open(other, 0));
    assert!(!writer.1 && reader.1);
    mount.release(writer.0.0).unwrap();
    let late = open(other, 0);
    assert!(!late.1, "the first look after the last writer");
    for (fh, _) in [reader, late] {
        mount.release(fh.0).unwrap();
    }
    [dir, file, other].into_iter().for_each(|nodeid| mount.forget(nodeid, 1));
    mount.assert_clean();
}
