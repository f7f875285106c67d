//! The tables of `core` in every order that threads can bring about. `tests/run loom` builds with `--cfg loom`.
#![cfg(ptfs_loom)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};

use loom::sync::Arc;
use loom::thread;
use ptfs::core::attr::{KIND_DIRECTORY, KIND_REGULAR};
use ptfs::core::handles::{Handles, Kind};
use ptfs::core::host::FileHandle;
use ptfs::core::ids::{Dev, NodeId};
use ptfs::core::nodes::{Count, Counted, Nodes, Sighting};
use ptfs::protocol::Errno;

fn fd() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// Every order with at most three switches that no thread had to make: without a bound they take hours.
fn all_orders(model: impl Fn() + Sync + Send + 'static) {
    // Alone, lest another test open a file under the number that is wrongly closed.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(model);
}

fn nodes() -> Arc<Nodes> {
    Arc::new(Nodes::new(Dev(0), 1, fd()))
}

fn see(nodes: &Nodes, ino: u64, kind: u32, parent: NodeId) -> Counted<'_> {
    let handle = FileHandle::new(1, &ino.to_ne_bytes()).unwrap();
    let seen = Sighting { dev: Dev(0), ino, kind, parent, name: Some(c"name"), handle: Some(&handle) };
    match nodes.count(&seen, Some(fd())) {
        Count::Node(counted) => counted,
        Count::NeedHandle(_) => panic!("the handle was there"),
    }
}

fn known(nodes: &Nodes, ino: u64, kind: u32, parent: NodeId) -> NodeId {
    let counted = see(nodes, ino, kind, parent);
    let nodeid = counted.nodeid();
    counted.give();
    nodeid
}

fn close_dead(nodes: &Nodes) {
    let dead = nodes.dead().take();
    // SAFETY: the table gave them up, each once.
    dead.iter().for_each(|closing| drop(unsafe { OwnedFd::from_raw_fd(closing.fd.0) }));
}

/// The root alone is left.
fn assert_clean(nodes: &Nodes) {
    close_dead(nodes);
    assert_eq!((nodes.len(), nodes.fds(), nodes.pinned_fds()), (1, 1, 1));
    let root = nodes.pin(NodeId::ROOT).unwrap().fd().unwrap();
    // SAFETY: the table never gives the root up, and is at its end.
    drop(unsafe { OwnedFd::from_raw_fd(root.0) });
}

/// A new file is seen in two directories at once, of which each is forgotten as soon as it is not needed.
#[test]
fn a_file_seen_in_two_places_keeps_neither() {
    all_orders(|| {
        let nodes = nodes();
        let threads: Vec<_> = [2, 3]
            .map(|dir| {
                let nodes = Arc::clone(&nodes);
                thread::spawn(move || {
                    let dir = see(&nodes, dir, KIND_DIRECTORY, NodeId::ROOT);
                    drop(see(&nodes, 4, KIND_REGULAR, dir.nodeid()));
                })
            })
            .into();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_clean(&nodes);
    });
}

/// Each of two directories is seen in the other at once, as when they change places on the host meanwhile.
#[test]
fn directories_seen_in_each_other_are_forgotten() {
    all_orders(|| {
        let nodes = nodes();
        let dirs = [2, 3].map(|ino| known(&nodes, ino, KIND_DIRECTORY, NodeId::ROOT));
        let threads: Vec<_> = [(2, dirs[1]), (3, dirs[0])]
            .map(|(ino, parent)| {
                let nodes = Arc::clone(&nodes);
                thread::spawn(move || drop(see(&nodes, ino, KIND_DIRECTORY, parent)))
            })
            .into();
        threads.into_iter().for_each(|t| t.join().unwrap());
        dirs.iter().for_each(|&dir| nodes.forget(dir, 1));
        assert_clean(&nodes);
    });
}

/// A descriptor is evicted while a request uses the node and another forgets it.
#[test]
fn a_descriptor_in_use_is_not_given_up() {
    all_orders(|| {
        let nodes = nodes();
        let nodeid = known(&nodes, 2, KIND_REGULAR, NodeId::ROOT);
        let user = {
            let nodes = Arc::clone(&nodes);
            thread::spawn(move || {
                let Ok(mut pin) = nodes.pin(nodeid) else { return };
                let raw = match pin.fd() {
                    Some(fd) => fd,
                    None => pin.install(fd()),
                };
                // Loom tries orders of what it knows of: this comes before or after an eviction, fcntl(2) with it.
                drop(nodes.pin(nodeid));
                // SAFETY: asks for flags, and changes nothing.
                assert!(unsafe { libc::fcntl(raw.0, libc::F_GETFD) } >= 0, "closed while in use");
            })
        };
        let evictor = {
            let nodes = Arc::clone(&nodes);
            thread::spawn(move || {
                if let Some(victim) = nodes.victim() {
                    victim.evict(&FileHandle::new(1, &2u64.to_ne_bytes()).unwrap());
                }
                close_dead(&nodes);
            })
        };
        nodes.forget(nodeid, 1);
        user.join().unwrap();
        evictor.join().unwrap();
        assert_clean(&nodes);
    });
}

/// A file is released while two requests use it.
#[test]
fn a_handle_is_closed_once_and_last() {
    all_orders(|| {
        let handles = Arc::new(Handles::new(4));
        let opened = handles.insert(handles.reserve(0).unwrap(), NodeId::ROOT, fd(), Kind::default());
        let fh = opened.fh();
        opened.give();
        let threads: Vec<_> = (0..2)
            .map(|ring| {
                let handles = Arc::clone(&handles);
                thread::spawn(move || match handles.get(fh) {
                    Ok(file) => {
                        file.registered_in(ring);
                        assert!(handles.dead().take().is_empty(), "closed while in use");
                    }
                    Err(errno) => assert_eq!(errno, Errno::EBADF),
                })
            })
            .collect();
        handles.release(fh).unwrap();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let dead = handles.dead().take();
        assert_eq!((dead.len(), handles.len()), (1, 0));
        // SAFETY: the table gave it up.
        drop(unsafe { OwnedFd::from_raw_fd(dead[0].fd.0) });
        assert!(handles.take_unregistered().len() <= 1);
    });
}
