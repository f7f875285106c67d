//! Anchors by name under renames: operations through `serve` on a host in memory, with next to no descriptors, while the
//! host's other users may meddle. A node is its file for good, or ESTALE; without meddling it is never ESTALE.

use std::collections::BTreeMap;
use std::ffi::CStr;

use proptest::prelude::*;
use ptfs::core::attr::{KIND_DIRECTORY, KIND_REGULAR};
use ptfs::core::ids::{Fh, NodeId};
use ptfs::protocol::{Errno, Op, Reply};

use crate::fake::{self, Birth, EXCHANGE, Mount, NOREPLACE, Reach};

const NAMES: [&CStr; 4] = [c"a", c"b", c"c", c"d"];
const BUDGET: usize = 5;
/// Descriptors that a request may need beside the budget while it lasts: of the directories and nodes that it is about.
const IN_USE: usize = 4;

/// Directories and nodes are chosen among those that are known, modulo their number.
type Place = (usize, usize);

#[derive(Clone, Debug)]
enum Step {
    Lookup(Place),
    Mkdir(Place),
    Create(Place),
    Link(usize, Place),
    Unlink(Place),
    Rmdir(Place),
    Rename(Place, Place, u32),
    Readdirplus(usize),
    Getattr(usize),
    Forget(usize),
    Meddle(Meddling),
}

/// What the host's other users do: directories are numbered by birth.
#[derive(Clone, Debug)]
enum Meddling {
    Make(Place, bool),
    Remove(Place),
    Rename(Place, Place, u32),
}

fn place() -> impl Strategy<Value = Place> {
    (0..64usize, 0..NAMES.len())
}

fn flags() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 1 => Just(NOREPLACE), 2 => Just(EXCHANGE)]
}

fn meddling() -> impl Strategy<Value = Step> {
    let any = prop_oneof![
        (place(), any::<bool>()).prop_map(|(at, dir)| Meddling::Make(at, dir)),
        place().prop_map(Meddling::Remove),
        (place(), place(), flags()).prop_map(|(from, to, flags)| Meddling::Rename(from, to, flags)),
    ];
    any.prop_map(Step::Meddle)
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..64usize;
    prop_oneof![
        10 => place().prop_map(Step::Lookup),
        8 => place().prop_map(Step::Mkdir),
        4 => place().prop_map(Step::Create),
        3 => (node(), place()).prop_map(|(node, at)| Step::Link(node, at)),
        4 => place().prop_map(Step::Unlink),
        2 => place().prop_map(Step::Rmdir),
        10 => (place(), place(), flags()).prop_map(|(from, to, flags)| Step::Rename(from, to, flags)),
        2 => node().prop_map(Step::Readdirplus),
        8 => node().prop_map(Step::Getattr),
        4 => node().prop_map(Step::Forget),
    ]
}

struct Known {
    birth: Birth,
    nlookup: u64,
}

struct Kernel {
    mount: Mount,
    known: BTreeMap<NodeId, Known>,
    meddled: bool,
}

impl Kernel {
    fn new(reach: Reach) -> Kernel {
        let root = Known { birth: fake::ROOT, nlookup: 0 };
        Kernel { mount: Mount::new(reach, BUDGET), known: BTreeMap::from([(NodeId::ROOT, root)]), meddled: false }
    }

    fn node(&self, n: usize) -> NodeId {
        *self.known.keys().nth(n % self.known.len()).unwrap()
    }

    fn dir(&self, n: usize) -> NodeId {
        let is_dir = |id: &&NodeId| self.mount.tree(|tree| tree.is_dir(self.known[id].birth));
        let dirs: Vec<&NodeId> = self.known.keys().filter(is_dir).collect();
        *dirs[n % dirs.len()]
    }

    /// What the host has there.
    fn at(&self, dir: NodeId, name: &CStr) -> Result<Birth, Errno> {
        self.mount.tree(|tree| tree.find(self.known[&dir].birth, name))
    }

    /// An answer that the host's state does not explain: only meddling does, and only as ESTALE; or there is no
    /// descriptor left, since so many files were removed that the kernel has not forgotten.
    fn stale(&self, errno: Errno) -> bool {
        let nodes = &self.mount.core.nodes;
        if errno == Errno::ENFILE {
            assert!(nodes.pinned_fds() + self.mount.core.handles.len() >= BUDGET, "ENFILE within the budget");
            return true;
        }
        assert!(self.meddled || errno != Errno::ESTALE, "a node was lost");
        errno == Errno::ESTALE
    }

    fn counted(&mut self, nodeid: NodeId, birth: Birth) {
        let twice = self.known.iter().find(|(id, known)| known.birth == birth && **id != nodeid);
        assert!(twice.is_none(), "{nodeid:?} and {:?} are one file", twice.unwrap().0);
        let known = self.known.entry(nodeid).or_insert(Known { birth, nlookup: 0 });
        assert_eq!(known.birth, birth, "{nodeid:?} became another file");
        known.nlookup += 1;
    }

    fn check(&self, nodeid: NodeId) {
        match self.mount.getattr(nodeid) {
            Ok(birth) => assert_eq!(birth, self.known[&nodeid].birth, "{nodeid:?} is another file"),
            Err(errno) => assert!(self.stale(errno), "{nodeid:?}: {errno}"),
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Lookup((dir, name)) => {
                let (dir, name) = (self.dir(dir), NAMES[name]);
                match self.mount.lookup(dir, name) {
                    Ok((nodeid, birth)) => {
                        assert_eq!(self.at(dir, name), Ok(birth));
                        self.counted(nodeid, birth);
                    }
                    Err(errno) => assert!(self.at(dir, name) == Err(errno) || self.stale(errno), "{errno}"),
                }
            }
            Step::Mkdir((dir, name)) => self.make((dir, name), |mount, dir, name| mount.mkdir(dir, name)),
            Step::Create((dir, name)) => self.make((dir, name), |mount, dir, name| mount.create(dir, name)),
            Step::Link(node, at) => {
                let oldnodeid = self.node(node);
                let birth = self.known[&oldnodeid].birth;
                self.make(at, |mount, dir, newname| {
                    let made = mount.entry(dir, Op::Link { oldnodeid, newname });
                    assert!(made.is_err() || made == Ok((oldnodeid, birth)), "a link to another file");
                    made
                });
            }
            Step::Unlink((dir, name)) => self.remove(self.dir(dir), NAMES[name], false),
            Step::Rmdir((dir, name)) => self.remove(self.dir(dir), NAMES[name], true),
            Step::Rename((dir, name), (newdir, newname), flags) => {
                let (dir, name, newdir, newname) = (self.dir(dir), NAMES[name], self.dir(newdir), NAMES[newname]);
                let (moved, target) = (self.at(dir, name), self.at(newdir, newname));
                match self.mount.done(dir, Op::Rename { name, newdir, newname, flags }) {
                    Ok(reply) => {
                        assert_eq!((reply, self.at(newdir, newname)), (Reply::Ok, moved));
                        if flags == EXCHANGE {
                            assert_eq!(self.at(dir, name), target);
                        }
                    }
                    Err(errno) => {
                        assert_eq!((self.at(dir, name), self.at(newdir, newname)), (moved, target));
                        self.stale(errno);
                    }
                }
            }
            Step::Readdirplus(dir) => self.list(self.dir(dir)),
            Step::Getattr(node) => self.check(self.node(node)),
            Step::Forget(node) => {
                let nodeid = self.node(node);
                if nodeid != NodeId::ROOT {
                    let Known { nlookup, .. } = self.known.remove(&nodeid).unwrap();
                    self.mount.forget(nodeid, nlookup - 1);
                    assert!(self.mount.core.nodes.pin(nodeid).is_ok(), "one lookup was not counted");
                    self.mount.forget(nodeid, 1);
                }
            }
            Step::Meddle(ref meddling) => {
                self.meddled = true;
                self.mount.tree(|tree| meddling.run(tree));
            }
        }
    }

    fn make(&mut self, (dir, name): Place, make: impl Fn(&Mount, NodeId, &CStr) -> Result<(NodeId, Birth), Errno>) {
        let (dir, name) = (self.dir(dir), NAMES[name]);
        match make(&self.mount, dir, name) {
            Ok((nodeid, birth)) => {
                assert_eq!(self.at(dir, name), Ok(birth), "made elsewhere");
                self.counted(nodeid, birth);
            }
            // CREATE says it of a name that is there, so that the kernel looks again.
            Err(Errno::ESTALE) if self.at(dir, name).is_ok() => {}
            Err(errno) => drop(self.stale(errno)),
        }
    }

    fn remove(&mut self, dir: NodeId, name: &CStr, directory: bool) {
        let before = self.at(dir, name);
        let op = if directory { Op::Rmdir { name } } else { Op::Unlink { name } };
        match self.mount.done(dir, op) {
            Ok(_) => assert!(before.is_ok() && self.at(dir, name) == Err(Errno::ENOENT), "removed elsewhere"),
            Err(errno) => {
                assert_eq!(self.at(dir, name), before);
                self.stale(errno);
            }
        }
    }

    fn list(&mut self, dir: NodeId) {
        let open = match self.mount.done(dir, Op::Opendir { flags: 0 }) {
            Ok(Reply::Open(open)) => open,
            Ok(reply) => panic!("{reply:?}"),
            Err(errno) => return assert!(self.stale(errno), "{errno}"),
        };
        let list = Op::Readdirplus { fh: Fh(open.fh), offset: 0, size: 4096 };
        if let Ok(Reply::Payload(len)) = self.mount.done(dir, list) {
            let entries = fake::entries(&self.mount.payload.borrow(), len);
            for (name, nodeid) in entries.iter().filter(|(_, nodeid)| nodeid.0 != 0) {
                let birth = self.at(dir, name).unwrap();
                self.counted(*nodeid, birth);
            }
        }
        self.mount.release(open.fh).unwrap();
    }

    fn within_budget(&self) {
        let (nodes, open) = (&self.mount.core.nodes, self.mount.core.handles.len());
        let most = BUDGET.max(nodes.pinned_fds() + open) + IN_USE;
        assert!(nodes.fds() + open <= most, "{} descriptors, {most} at most", nodes.fds() + open);
    }
}

impl Meddling {
    fn run(&self, tree: &mut fake::Tree) {
        let dirs = tree.dirs();
        let dir = |n: usize| dirs[n % dirs.len()];
        // Whether it comes to anything is no matter.
        let _ = match *self {
            Meddling::Make((at, name), true) => tree.make(dir(at), NAMES[name], KIND_DIRECTORY).map(drop),
            Meddling::Make((at, name), false) => tree.make(dir(at), NAMES[name], KIND_REGULAR).map(drop),
            Meddling::Remove((at, name)) => {
                let is_dir = tree.find(dir(at), NAMES[name]).is_ok_and(|birth| tree.is_dir(birth));
                tree.remove(dir(at), NAMES[name], is_dir)
            }
            Meddling::Rename((at, name), (to, newname), flags) => {
                tree.rename((dir(at), NAMES[name]), (dir(to), NAMES[newname]), flags)
            }
        };
    }
}

fn play(reach: Reach, steps: &[Step]) {
    let mut kernel = Kernel::new(reach);
    for step in steps {
        kernel.run(step);
        kernel.within_budget();
    }
    for _ in 0..2 {
        kernel.known.keys().for_each(|&nodeid| kernel.check(nodeid));
        kernel.mount.evict_all();
    }
    while kernel.known.len() > 1 {
        kernel.run(&Step::Forget(1));
    }
    kernel.mount.assert_clean();
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![1 => Just(Reach::ByHandle), 2 => Just(Reach::ByName), 2 => Just(Reach::ByNameAndBirth)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nodes_are_found_after_renames(reach in reach(), steps in proptest::collection::vec(step(), 0..120)) {
        play(reach, &steps);
    }

    #[test]
    fn nodes_are_themselves_or_stale(
        reach in reach(),
        steps in proptest::collection::vec(prop_oneof![5 => step(), 1 => meddling()], 0..120),
    ) {
        play(reach, &steps);
    }
}
