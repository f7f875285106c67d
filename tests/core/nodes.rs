//! `core::nodes` against a map that recounts everything at every step.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, RawFd};

use proptest::prelude::*;
use ptfs::core::attr::{KIND_DIRECTORY, KIND_REGULAR};
use ptfs::core::host::FileHandle;
use ptfs::core::ids::{Dev, HostFd, NodeId};
use ptfs::core::nodes::{Closing, Count, Counted, Nodes, Pin, Recipe, Sighting};
use ptfs::protocol::Errno;

use crate::descriptors::Descriptors;

const FILES: usize = 20;

/// The numbers choose among what there is, modulo its length.
#[derive(Clone, Debug)]
enum Step {
    Count { file: usize, parent: usize, name: Option<u8>, fd: bool, handle: bool },
    Settle { counted: usize, give: bool },
    Forget { nodeid: usize, nlookup: u64 },
    Pin(usize),
    Unpin(usize),
    Find(usize),
    Victim,
    Evict(usize),
    Install(usize),
    Keep { pin: usize, removed: bool },
    Renamed { pin: usize, parent: usize, name: u8 },
    Replace(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..64usize;
    let name = || 0..4u8;
    prop_oneof![
        8 => (at(), at(), prop_oneof![1 => Just(None), 9 => name().prop_map(Some)], any::<bool>(), any::<bool>())
            .prop_map(|(file, parent, name, fd, handle)| Step::Count { file, parent, name, fd, handle }),
        4 => (at(), any::<bool>()).prop_map(|(counted, give)| Step::Settle { counted, give }),
        3 => (at(), prop_oneof![0..3u64, Just(u64::MAX)])
            .prop_map(|(nodeid, nlookup)| Step::Forget { nodeid, nlookup }),
        3 => at().prop_map(Step::Pin),
        4 => at().prop_map(Step::Unpin),
        1 => at().prop_map(Step::Find),
        3 => Just(Step::Victim),
        5 => at().prop_map(Step::Evict),
        2 => at().prop_map(Step::Install),
        2 => (at(), any::<bool>()).prop_map(|(pin, removed)| Step::Keep { pin, removed }),
        2 => (at(), at(), name()).prop_map(|(pin, parent, name)| Step::Renamed { pin, parent, name }),
        2 => at().prop_map(Step::Replace),
    ]
}

type Identity = (Dev, u64);

/// The first is the root's.
fn identity(file: usize) -> Identity {
    if file == 0 { (Dev(0), 1) } else { (Dev(file as u16 % 2), 10 + file as u64 / 2) }
}

fn kind(file: usize) -> u32 {
    if file.is_multiple_of(3) { KIND_DIRECTORY } else { KIND_REGULAR }
}

fn name(n: u8) -> CString {
    CString::new(vec![b'x'; 1 + 20 * n as usize]).unwrap()
}

struct Node {
    file: usize,
    handle: Option<FileHandle>,
    parent: NodeId,
    name: Vec<u8>,
    fd: Option<RawFd>,
    nlookup: u64,
    pins: u64,
    kept: bool,
    removed: bool,
}

#[derive(Default)]
struct Model {
    nodes: BTreeMap<NodeId, Node>,
    by_identity: HashMap<Identity, NodeId>,
    /// Every nodeid that there ever was.
    ever: Vec<NodeId>,
    dead: Vec<Closing>,
}

impl Model {
    fn node(&mut self, nodeid: NodeId) -> &mut Node {
        self.nodes.get_mut(&nodeid).unwrap()
    }

    fn insert(&mut self, nodeid: NodeId, node: Node) {
        assert!(!self.ever.contains(&nodeid), "{nodeid:?} stood for another file");
        self.ever.push(nodeid);
        self.by_identity.insert(identity(node.file), nodeid);
        self.nodes.insert(nodeid, node);
    }

    fn place(&mut self, nodeid: NodeId, parent: NodeId, name: &CStr) {
        let node = self.node(nodeid);
        (node.parent, node.name) = (parent, name.to_bytes_with_nul().to_vec());
        (node.kept, node.removed) = (false, false);
        self.reap();
    }

    fn forget(&mut self, nodeid: NodeId, nlookup: u64) {
        if let Some(node) = self.nodes.get_mut(&nodeid).filter(|_| nodeid != NodeId::ROOT) {
            node.nlookup = node.nlookup.saturating_sub(nlookup);
            self.reap();
        }
    }

    fn unpin(&mut self, nodeid: NodeId) {
        self.node(nodeid).pins -= 1;
        self.reap();
    }

    /// A record vanishes when nothing holds it: not the kernel, no request, no child.
    fn reap(&mut self) {
        loop {
            let parents: HashSet<NodeId> = self.nodes.values().map(|n| n.parent).collect();
            let idle = |(id, n): &(&NodeId, &Node)| n.nlookup == 0 && n.pins == 0 && !parents.contains(id);
            let Some(nodeid) = self.nodes.iter().find(idle).map(|(&id, _)| id) else { return };
            let node = self.nodes.remove(&nodeid).unwrap();
            if self.by_identity.get(&identity(node.file)) == Some(&nodeid) {
                self.by_identity.remove(&identity(node.file));
            }
            self.dead.extend(node.fd.map(|fd| Closing { fd: HostFd(fd), may_block: node.kept }));
        }
    }
}

struct World<'n> {
    real: &'n Nodes,
    fds: &'n Descriptors,
    model: Model,
    pins: Vec<Pin<'n>>,
    counted: Vec<Counted<'n>>,
    /// Counts the files that had the identity before.
    incarnation: [u8; FILES],
}

fn pick<T>(list: &[T], n: usize) -> Option<usize> {
    (!list.is_empty()).then(|| n % list.len())
}

impl<'n> World<'n> {
    fn handle(&self, file: usize) -> FileHandle {
        FileHandle::new(file as i32, &[7; 100][..1 + 20 * (self.incarnation[file] as usize % 5)]).unwrap()
    }

    /// A living node to be the parent of `child`, of which it must not be a descendant.
    fn parent(&self, n: usize, child: Option<NodeId>) -> NodeId {
        let parent = *self.model.nodes.keys().nth(n % self.model.nodes.len()).unwrap();
        let mut above = parent;
        while above != NodeId::ROOT {
            if Some(above) == child {
                return NodeId::ROOT;
            }
            above = self.model.nodes[&above].parent;
        }
        parent
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Count { file, parent, name, fd, handle } => self.count(file % FILES, parent, name, fd, handle),
            Step::Settle { counted, give } => {
                let Some(at) = pick(&self.counted, counted) else { return };
                let counted = self.counted.swap_remove(at);
                if give {
                    counted.give();
                } else {
                    self.model.forget(counted.nodeid(), 1);
                }
            }
            Step::Forget { nodeid, nlookup } => {
                let nodeid = self.model.ever[nodeid % self.model.ever.len()];
                self.real.forget(nodeid, nlookup);
                self.model.forget(nodeid, nlookup);
            }
            Step::Pin(n) => {
                let nodeid = self.model.ever[n % self.model.ever.len()];
                match self.real.pin(nodeid) {
                    Ok(pin) => self.pinned(pin, Some(nodeid)),
                    Err(errno) => assert!(errno == Errno::ESTALE && !self.model.nodes.contains_key(&nodeid)),
                }
            }
            Step::Unpin(n) => {
                let Some(at) = pick(&self.pins, n) else { return };
                self.model.unpin(self.pins.swap_remove(at).nodeid());
            }
            Step::Find(file) => {
                let (dev, ino) = identity(file % FILES);
                let expected = self.model.by_identity.get(&(dev, ino)).copied();
                match self.real.find(dev, ino) {
                    Some(pin) => self.pinned(pin, expected),
                    None => assert_eq!(expected, None),
                }
            }
            Step::Victim => {
                let eligible =
                    |(id, n): &(&NodeId, &Node)| n.fd.is_some() && !n.kept && n.pins == 0 && **id != NodeId::ROOT;
                let eligible: Vec<NodeId> = self.model.nodes.iter().filter(eligible).map(|(id, _)| *id).collect();
                match self.real.victim() {
                    Some(pin) => {
                        assert!(eligible.contains(&pin.nodeid()));
                        let nodeid = pin.nodeid();
                        self.pinned(pin, Some(nodeid));
                    }
                    None => assert!(eligible.is_empty()),
                }
            }
            Step::Evict(n) => {
                let Some(at) = pick(&self.pins, n) else { return };
                let pin = self.pins.swap_remove(at);
                let nodeid = pin.nodeid();
                let handle = self.handle(self.model.nodes[&nodeid].file);
                pin.evict(&handle);
                let node = self.model.node(nodeid);
                if node.pins == 1 && !node.kept && nodeid != NodeId::ROOT && node.fd.is_some() {
                    node.handle.get_or_insert(handle);
                    let fd = HostFd(node.fd.take().unwrap());
                    self.model.dead.push(Closing { fd, may_block: false });
                }
                self.model.unpin(nodeid);
            }
            Step::Install(n) => {
                let Some(at) = pick(&self.pins, n) else { return };
                let node = &self.model.nodes[&self.pins[at].nodeid()];
                // No descriptor can be got of a file that was replaced.
                if node.fd.is_none() && node.handle != Some(self.handle(node.file)) {
                    return;
                }
                let fd = self.fds.fresh();
                let raw = fd.as_raw_fd();
                let pin = &mut self.pins[at];
                let got = pin.install(fd);
                let node = self.model.nodes.get_mut(&pin.nodeid()).unwrap();
                if node.fd.is_some() {
                    self.model.dead.push(Closing { fd: HostFd(raw), may_block: false });
                }
                assert_eq!((got.0, pin.fd()), (*node.fd.get_or_insert(raw), Some(got)));
            }
            Step::Keep { pin, removed } => {
                let mut held = self.pins.iter().filter(|p| p.nodeid() != NodeId::ROOT);
                let Some(pin) = held.nth(pin) else { return };
                let node = self.model.node(pin.nodeid());
                match removed && node.fd.is_some() {
                    true => pin.removed(),
                    false => pin.keep(),
                }
                node.kept |= node.fd.is_some();
                node.removed |= removed && node.fd.is_some();
            }
            Step::Renamed { pin, parent, name: n } => {
                let mut others = self.pins.iter().filter(|p| p.nodeid() != NodeId::ROOT);
                let Some(pin) = others.nth(pin) else { return };
                let parent = self.parent(parent, Some(pin.nodeid()));
                let hold = self.real.pin(parent).unwrap();
                pin.renamed(parent, &name(n));
                drop(hold);
                self.model.place(pin.nodeid(), parent, &name(n));
            }
            Step::Replace(file) => {
                // While a record holds a descriptor its inode cannot be reused.
                let file = 1 + file % (FILES - 1);
                if !self.model.nodes.values().any(|n| n.file == file && n.fd.is_some()) {
                    self.incarnation[file] += 1;
                }
            }
        }
    }

    fn pinned(&mut self, pin: Pin<'n>, expected: Option<NodeId>) {
        assert_eq!(Some(pin.nodeid()), expected);
        let node = self.model.node(pin.nodeid());
        assert_eq!(pin.fd().map(|fd| fd.0), node.fd);
        node.pins += 1;
        self.pins.push(pin);
    }

    fn count(&mut self, file: usize, parent: usize, named: Option<u8>, with_fd: bool, with_handle: bool) {
        let (dev, ino) = identity(file);
        let known = self.model.by_identity.get(&(dev, ino)).copied();
        let parent = self.parent(parent, known);
        // A new node needs a descriptor or a handle, and one without a name the descriptor.
        let handle = (with_handle || known.is_none() && !with_fd).then(|| self.handle(file));
        let name = named.or((!with_fd).then_some(0)).map(name);
        let fd = with_fd.then(|| self.fds.fresh());
        let raw = fd.as_ref().map(AsRawFd::as_raw_fd);
        let kind = kind(file);
        let seen = Sighting { dev, ino, kind, parent, name: name.as_deref(), handle: handle.as_ref() };
        let hold = self.real.pin(parent).unwrap();
        let count = self.real.count(&seen, fd);
        drop(hold);

        let without_fd = known.filter(|id| self.model.nodes[id].fd.is_none());
        let counted = match count {
            Count::NeedHandle(fd) => {
                assert!(without_fd.is_some() && handle.is_none(), "a handle was asked for");
                assert_eq!(fd.as_ref().map(AsRawFd::as_raw_fd), raw);
                return fd.into_iter().for_each(|fd| self.fds.take_back(fd));
            }
            Count::Node(counted) => counted,
        };
        assert!(without_fd.is_none() || handle.is_some(), "no handle was asked for");
        let replaced = without_fd.is_some_and(|id| self.model.nodes[&id].handle != handle);
        match known.filter(|_| !replaced) {
            Some(nodeid) => {
                assert_eq!(counted.nodeid(), nodeid);
                let node = self.model.nodes.get_mut(&nodeid).unwrap();
                node.nlookup += 1;
                match (raw, node.fd) {
                    (Some(raw), Some(_)) => self.model.dead.push(Closing { fd: HostFd(raw), may_block: false }),
                    (raw, _) => node.fd = node.fd.or(raw),
                }
                if let Some(name) = name.filter(|_| nodeid != NodeId::ROOT) {
                    self.model.place(nodeid, parent, &name);
                }
            }
            None => {
                let parent = if name.is_some() { parent } else { NodeId::ROOT };
                let nameless = name.is_none();
                let name = name.map_or(Vec::new(), CString::into_bytes_with_nul);
                let (nlookup, pins, kept, removed) = (1, 0, nameless, nameless);
                let node = Node { file, handle, parent, name, fd: raw, nlookup, pins, kept, removed };
                self.model.insert(counted.nodeid(), node);
            }
        }
        self.counted.push(counted);
    }

    fn compare(&mut self) {
        let mut dead = self.real.dead().take();
        self.fds.close(&dead);
        dead.sort_by_key(|c| c.fd.0);
        self.model.dead.sort_by_key(|c| c.fd.0);
        assert_eq!(dead, std::mem::take(&mut self.model.dead));

        let nodes = &self.model.nodes;
        let held = nodes.values().filter(|n| n.fd.is_some());
        let pinned = held.clone().filter(|n| n.kept).count() + 1;
        let totals = (self.real.len(), self.real.fds(), self.real.pinned_fds());
        assert_eq!(totals, (nodes.len(), held.count(), pinned), "len, fds, pinned_fds");

        for &nodeid in &self.model.ever {
            let Some(node) = nodes.get(&nodeid) else {
                assert!(self.real.pin(nodeid).is_err_and(|e| e == Errno::ESTALE));
                continue;
            };
            let pin = self.real.pin(nodeid).unwrap();
            let (dev, ino) = identity(node.file);
            let recipe = Recipe { dev, ino, handle: node.handle, parent: node.parent, name: node.name.clone() };
            assert_eq!((pin.fd().map(|fd| fd.0), pin.dev(), pin.kind()), (node.fd, dev, kind(node.file)));
            assert_eq!(pin.is_removed(), node.removed);
            assert_eq!(pin.recipe(), Some(recipe));
        }
        for pin in &self.pins {
            assert!(pin.fd().is_none_or(|fd| nodes[&pin.nodeid()].fd == Some(fd.0)), "a descriptor in use was lost");
        }
    }
}

fn root(fds: &Descriptors) -> (Nodes, Closing) {
    let fd = fds.fresh();
    let closing = Closing { fd: HostFd(fd.as_raw_fd()), may_block: false };
    let (dev, ino) = identity(0);
    (Nodes::new(dev, ino, fd), closing)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn nodes_behave_as_a_map(steps in proptest::collection::vec(step(), 0..150)) {
        let fds = Descriptors::new();
        let (real, root) = root(&fds);
        let mut world = World {
            real: &real,
            fds: &fds,
            model: Model::default(),
            pins: Vec::new(),
            counted: Vec::new(),
            incarnation: [0; FILES],
        };
        let (parent, name, fd) = (NodeId::ROOT, Vec::new(), Some(root.fd.0));
        let (file, handle, nlookup, pins, kept, removed) = (0, None, 1, 1, false, false);
        let node = Node { file, handle, parent, name, fd, nlookup, pins, kept, removed };
        world.model.insert(NodeId::ROOT, node);
        for step in &steps {
            world.run(step);
            world.compare();
        }
        while !world.pins.is_empty() {
            world.run(&Step::Unpin(0));
        }
        while !world.counted.is_empty() {
            world.run(&Step::Settle { counted: 0, give: true });
        }
        for nodeid in world.model.ever.clone() {
            real.forget(nodeid, u64::MAX);
            world.model.forget(nodeid, u64::MAX);
        }
        world.compare();
        prop_assert_eq!((real.len(), real.fds(), real.pinned_fds()), (1, 1, 1));
        drop(world);
        fds.close(&[root]);
        fds.assert_none_left();
    }
}

/// A request on a bind mount can meet the root as a child, even of its own child: it stays the root.
#[test]
fn the_root_is_nobodys_child() {
    let fds = Descriptors::new();
    let (nodes, root) = root(&fds);
    let count = |file, parent| {
        let (dev, ino) = identity(file);
        let seen = Sighting { dev, ino, kind: kind(file), parent, name: Some(c"n"), handle: None };
        let Count::Node(counted) = nodes.count(&seen, Some(fds.fresh())) else { panic!("a handle was asked for") };
        counted
    };
    let child = count(1, NodeId::ROOT);
    let again = count(0, child.nodeid());
    assert_eq!(again.nodeid(), NodeId::ROOT);
    let pin = nodes.pin(NodeId::ROOT).unwrap();
    pin.keep();
    pin.renamed(child.nodeid(), c"m");
    assert_eq!(pin.recipe().unwrap().parent, NodeId::ROOT);
    drop((again, child));
    pin.evict(&FileHandle::new(1, b"root").unwrap());
    nodes.forget(NodeId::ROOT, u64::MAX);
    assert_eq!((nodes.len(), nodes.fds(), nodes.pinned_fds()), (1, 1, 1));
    assert_eq!(nodes.pin(NodeId::ROOT).unwrap().fd(), Some(root.fd));
    fds.close(&nodes.dead().take());
    fds.close(&[root]);
    fds.assert_none_left();
}

/// A directory bound onto its own subdirectory, or two that changed places on the host between two lookups, are each
/// other's parent: still they are forgotten.
#[test]
fn nodes_in_a_circle_are_forgotten() {
    let fds = Descriptors::new();
    let (nodes, root) = root(&fds);
    let count = |file, parent| {
        let (dev, ino) = identity(file);
        let hold = nodes.pin(parent).unwrap();
        let seen = Sighting { dev, ino, kind: kind(file), parent, name: Some(c"n"), handle: None };
        let Count::Node(counted) = nodes.count(&seen, Some(fds.fresh())) else { panic!("a handle was asked for") };
        drop(hold);
        counted
    };
    let a = count(3, NodeId::ROOT);
    let itself = count(3, a.nodeid());
    let b = count(6, a.nodeid());
    let a_again = count(3, b.nodeid());
    drop((a, b, a_again, itself));
    assert_eq!((nodes.len(), nodes.fds()), (1, 1));
    fds.close(&nodes.dead().take());
    fds.close(&[root]);
    fds.assert_none_left();
}
