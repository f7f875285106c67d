//! `core::handles` against a plain map.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

use proptest::prelude::*;
use ptfs::core::handles::{File, Handles, Kind, Opened, Permit};
use ptfs::core::ids::{Fh, HostFd, NodeId};
use ptfs::core::nodes::Closing;
use ptfs::protocol::Errno;

use crate::descriptors::Descriptors;

const LIMIT: usize = 8;
const NODE: NodeId = NodeId(5);

#[derive(Clone, Debug)]
enum Step {
    Reserve { held: usize },
    GiveBack(usize),
    Insert { permit: usize, direct: bool, writable: bool, directory: bool },
    Settle { opened: usize, give: bool },
    Get(usize),
    Done(usize),
    Registered { file: usize, ring: usize },
    ClosesSlowly(usize),
    Release(usize),
    Foreign(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..64usize;
    prop_oneof![
        6 => (0..4usize).prop_map(|held| Step::Reserve { held }),
        1 => at().prop_map(Step::GiveBack),
        5 => (at(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(permit, direct, writable, directory)| Step::Insert { permit, direct, writable, directory }),
        4 => (at(), prop_oneof![3 => Just(true), 1 => Just(false)])
            .prop_map(|(opened, give)| Step::Settle { opened, give }),
        4 => at().prop_map(Step::Get),
        4 => at().prop_map(Step::Done),
        2 => (at(), 0..70usize).prop_map(|(file, ring)| Step::Registered { file, ring }),
        1 => at().prop_map(Step::ClosesSlowly),
        3 => at().prop_map(Step::Release),
        1 => any::<u64>().prop_map(Step::Foreign),
    ]
}

struct Open {
    fd: HostFd,
    kind: Kind,
    slow: bool,
    pins: usize,
    released: bool,
    rings: u64,
}

struct World<'h> {
    real: &'h Handles,
    fds: &'h Descriptors,
    permits: Vec<Permit<'h>>,
    opened: Vec<Opened<'h>>,
    files: Vec<File<'h>>,
    model: BTreeMap<Fh, Open>,
    ever: Vec<Fh>,
    dead: Vec<Closing>,
    unregister: Vec<(Fh, u64)>,
}

fn pick<T>(list: &[T], n: usize) -> Option<usize> {
    (!list.is_empty()).then(|| n % list.len())
}

impl World<'_> {
    fn run(&mut self, step: &Step) -> Option<()> {
        match *step {
            Step::Reserve { held } => match self.real.reserve(held) {
                Ok(permit) => {
                    assert!(self.model.len() + self.permits.len() + held < LIMIT);
                    self.permits.push(permit);
                }
                Err(errno) => {
                    assert!(errno == Errno::ENFILE && self.model.len() + self.permits.len() + held >= LIMIT);
                }
            },
            Step::GiveBack(n) => drop(self.permits.swap_remove(pick(&self.permits, n)?)),
            Step::Insert { permit, direct, writable, directory } => {
                let permit = self.permits.swap_remove(pick(&self.permits, permit)?);
                let (file, kind) =
                    (self.fds.fresh(), Kind { direct, writable, directory, append_only: false, drops: None });
                let fd = HostFd(file.as_raw_fd());
                let opened = self.real.insert(permit, NODE, file, kind);
                assert!(!self.ever.contains(&opened.fh()), "{:?} stood for another file", opened.fh());
                self.ever.push(opened.fh());
                self.model.insert(opened.fh(), Open { fd, kind, slow: writable, pins: 0, released: false, rings: 0 });
                self.opened.push(opened);
            }
            Step::Settle { opened, give } => {
                let opened = self.opened.swap_remove(pick(&self.opened, opened)?);
                match give {
                    true => opened.give(),
                    false => self.release(opened.fh()),
                }
            }
            Step::Get(n) => {
                let fh = self.ever[pick(&self.ever, n)?];
                let expected = self.model.get_mut(&fh).filter(|open| !open.released);
                match (self.real.get(fh), expected) {
                    (Ok(file), Some(open)) => {
                        open.pins += 1;
                        let seen = (file.fh(), file.fd(), file.direct(), file.directory());
                        assert_eq!(seen, (fh, open.fd, open.kind.direct, open.kind.directory));
                        self.files.push(file);
                    }
                    (answer, None) => assert_eq!(answer.err(), Some(Errno::EBADF)),
                    (Err(errno), Some(_)) => panic!("{fh:?}: {errno}"),
                }
            }
            Step::Done(n) => {
                let fh = self.files.swap_remove(pick(&self.files, n)?).fh();
                self.model.get_mut(&fh)?.pins -= 1;
                self.reap(fh);
            }
            Step::Registered { file, ring } => {
                let file = &self.files[pick(&self.files, file)?];
                file.registered_in(ring);
                self.model.get_mut(&file.fh())?.rings |= 1 << (ring % 64);
            }
            Step::ClosesSlowly(n) => {
                let file = &self.files[pick(&self.files, n)?];
                file.closes_slowly();
                self.model.get_mut(&file.fh())?.slow = true;
            }
            Step::Release(n) => {
                let fh = self.ever[pick(&self.ever, n)?];
                let known = self.model.get(&fh).is_some_and(|open| !open.released);
                assert_eq!(self.real.release(fh).err(), (!known).then_some(Errno::EBADF));
                self.release(fh);
            }
            Step::Foreign(fh) => {
                let known = self.model.contains_key(&Fh(fh));
                assert!(known || self.real.get(Fh(fh)).is_err_and(|e| e == Errno::EBADF));
            }
        }
        Some(())
    }

    fn release(&mut self, fh: Fh) {
        if let Some(open) = self.model.get_mut(&fh) {
            open.released = true;
            self.reap(fh);
        }
    }

    fn reap(&mut self, fh: Fh) {
        if self.model.get(&fh).is_none_or(|open| !open.released || open.pins > 0) {
            return;
        }
        let open = self.model.remove(&fh).unwrap();
        self.dead.push(Closing { fd: open.fd, may_block: open.slow });
        self.unregister.extend((open.rings != 0).then_some((fh, open.rings)));
    }

    fn compare(&mut self) {
        let dead = self.real.dead().take();
        self.fds.close(&dead);
        assert_eq!(dead, std::mem::take(&mut self.dead));
        assert_eq!(self.real.take_unregistered(), std::mem::take(&mut self.unregister));
        assert_eq!(self.real.len(), self.model.len() + self.permits.len());
        let written = self.model.values().any(|open| open.kind.writable);
        assert_eq!((self.real.is_written(NODE), self.real.is_written(NodeId(NODE.0 + 64))), (written, false));
        for file in &self.files {
            assert_eq!(file.fd(), self.model[&file.fh()].fd, "a file in use was closed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn handles_behave_as_a_map(steps in proptest::collection::vec(step(), 0..150)) {
        let (real, fds) = (Handles::new(LIMIT), Descriptors::new());
        let mut world = World {
            real: &real,
            fds: &fds,
            permits: Vec::new(),
            opened: Vec::new(),
            files: Vec::new(),
            model: BTreeMap::new(),
            ever: Vec::new(),
            dead: Vec::new(),
            unregister: Vec::new(),
        };
        for step in &steps {
            world.run(step);
            world.compare();
        }
        while world.run(&Step::Done(0)).is_some() {}
        while world.run(&Step::GiveBack(0)).is_some() {}
        while world.run(&Step::Settle { opened: 0, give: false }).is_some() {}
        for n in 0..world.ever.len() {
            world.run(&Step::Release(n));
        }
        world.compare();
        prop_assert!(real.is_empty());
        drop(world);
        fds.assert_none_left();
    }
}
