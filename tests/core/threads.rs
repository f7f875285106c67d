//! The tables under threads: whatever the order, what was given and taken back leaves nothing.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use ptfs::core::handles::{Handles, Kind};
use ptfs::core::host::FileHandle;
use ptfs::core::ids::{Dev, HostFd, NodeId};
use ptfs::core::nodes::{Closing, Count, Counted, Nodes, Pin, Sighting};
use ptfs::protocol::Errno;

use crate::descriptors::Descriptors;

const THREADS: u64 = 4;
const ROUNDS: usize = 20_000;

/// xorshift64: reproducible, as far as threads are.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn take<T>(&mut self, list: &mut Vec<T>) -> Option<T> {
        (!list.is_empty()).then(|| list.swap_remove(self.below(list.len())))
    }
}

fn on_threads(work: impl Fn(Random) + Sync) {
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let work = &work;
            scope.spawn(move || work(Random(thread.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
    });
}

fn handle(ino: u64) -> FileHandle {
    FileHandle::new(1, &ino.to_ne_bytes()).unwrap()
}

fn see<'n>(nodes: &'n Nodes, fds: &Descriptors, ino: u64, parent: NodeId, name: usize) -> Counted<'n> {
    let (names, handle) = ([c"a", c"b", c"a name too long for the smallest cell"], handle(ino));
    let mut seen = Sighting { dev: Dev(0), ino, kind: 0, parent, name: Some(names[name]), handle: None };
    match nodes.count(&seen, Some(fds.fresh())) {
        Count::Node(counted) => counted,
        Count::NeedHandle(fd) => {
            seen.handle = Some(&handle);
            let Count::Node(counted) = nodes.count(&seen, fd) else { panic!("the handle was there") };
            counted
        }
    }
}

/// Directories 2 to 4 below the root, files 5 to 8 with names in all of them.
#[test]
fn nodes_are_counted_exactly() {
    let fds = Descriptors::new();
    let fd = fds.fresh();
    let root = Closing { fd: HostFd(fd.as_raw_fd()), may_block: false };
    let nodes = Nodes::new(Dev(0), 1, fd);
    on_threads(|mut random| {
        let (mut pins, mut given): (Vec<Pin<'_>>, Vec<NodeId>) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            match random.below(8) {
                0..3 => {
                    let dir = see(&nodes, &fds, 2 + random.below(3) as u64, NodeId::ROOT, 0);
                    let hold = nodes.pin(dir.nodeid()).unwrap();
                    let ino = 5 + random.below(4) as u64;
                    let file = see(&nodes, &fds, ino, dir.nodeid(), random.below(3));
                    assert_eq!(nodes.pin(file.nodeid()).unwrap().recipe().map(|r| r.ino), Some(ino));
                    drop(hold);
                    for counted in [dir, file] {
                        if random.below(2) == 0 {
                            given.push(counted.nodeid());
                            counted.give();
                        }
                    }
                }
                3 => given.last().into_iter().for_each(|&id| pins.push(nodes.pin(id).unwrap())),
                4 => drop(random.take(&mut pins)),
                5 => {
                    if let Some(victim) = nodes.victim() {
                        let ino = victim.recipe().unwrap().ino;
                        victim.evict(&handle(ino));
                    }
                }
                6 => {
                    if let Some(mut pin) = random.take(&mut pins).filter(|pin| pin.fd().is_none()) {
                        let fd = pin.install(fds.fresh());
                        assert_eq!(pin.fd(), Some(fd));
                    }
                }
                _ => random.take(&mut given).into_iter().for_each(|id| nodes.forget(id, 1)),
            }
            fds.close(&nodes.dead().take());
        }
        drop(pins);
        given.into_iter().for_each(|id| nodes.forget(id, 1));
    });
    fds.close(&nodes.dead().take());
    assert_eq!((nodes.len(), nodes.fds(), nodes.pinned_fds()), (1, 1, 1));
    assert!(nodes.victim().is_none());
    fds.close(&[root]);
    fds.assert_none_left();
}

#[test]
fn handles_are_closed_once() {
    const LIMIT: usize = 12;
    let (handles, fds, refused) = (Handles::new(LIMIT), Descriptors::new(), AtomicUsize::new(0));
    on_threads(|mut random| {
        let (mut open, mut files) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            match random.below(5) {
                0 | 1 => match handles.reserve(0) {
                    Ok(permit) => {
                        let fd = fds.fresh();
                        let raw = fd.as_raw_fd();
                        let opened = handles.insert(permit, NodeId::ROOT, fd, Kind::default());
                        assert_eq!(handles.get(opened.fh()).unwrap().fd().0, raw);
                        if random.below(4) > 0 {
                            open.push((opened.fh(), raw));
                            opened.give();
                        }
                    }
                    Err(errno) => {
                        assert_eq!(errno, Errno::ENFILE);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                },
                2 => {
                    if let Some(&(fh, raw)) = open.last() {
                        let file = handles.get(fh).unwrap();
                        assert_eq!(file.fd().0, raw);
                        file.registered_in(random.below(64));
                        files.push(file);
                    }
                }
                3 => drop(random.take(&mut files)),
                _ => {
                    if let Some((fh, _)) = random.take(&mut open) {
                        handles.release(fh).unwrap();
                        assert_eq!(handles.release(fh), Err(Errno::EBADF));
                    }
                }
            }
            fds.close(&handles.dead().take());
            let mut told = handles.take_unregistered();
            told.sort();
            assert!(told.windows(2).all(|pair| pair[0].0 != pair[1].0) && told.iter().all(|t| t.1 != 0));
        }
        drop(files);
        open.into_iter().for_each(|(fh, _)| handles.release(fh).unwrap());
    });
    fds.close(&handles.dead().take());
    assert!(handles.is_empty() && refused.into_inner() > 0);
    fds.assert_none_left();
}
