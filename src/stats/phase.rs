//! Where the time of one request goes.

use std::cell::{Cell, RefCell};

use super::OpKind;
use super::clock::{MEASURED, Moment};

/// A part of the time from reaping a request to its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// The request, or the end of its call, is known, and others that were reaped with it come first.
    Queue,
    /// A host call on the thread that serves.
    Inline,
    /// A host call on the ring, until it is reaped.
    Ring,
    /// A host call on a helper thread, until that is noticed.
    Helper,
    /// A wait for another client's lock.
    Lock,
    /// The rest, which is the daemon's own work.
    Own,
}

impl Phase {
    /// All of them, in order; `phase as usize` is its index here.
    pub const ALL: [Phase; Phase::COUNT] =
        [Phase::Queue, Phase::Inline, Phase::Ring, Phase::Helper, Phase::Lock, Phase::Own];
    /// The number of phases.
    pub const COUNT: usize = 6;

    /// The name in documents and tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Queue => "queue",
            Phase::Inline => "inline",
            Phase::Ring => "ring",
            Phase::Helper => "helper",
            Phase::Lock => "lock",
            Phase::Own => "own",
        }
    }
}

/// What is told of a request that was slow, beside its times.
#[derive(Clone, Copy, Default, Debug)]
pub struct Subject {
    /// `fuse_in_header.unique`.
    pub unique: u64,
    /// `fuse_in_header.nodeid`.
    pub nodeid: u64,
    /// `fuse_in_header.pid`.
    pub pid: u32,
}

/// The service of one request, from reaping to its answer. Its thread alone uses it.
#[derive(Debug)]
pub struct Course {
    /// `None` between requests.
    reaped: Cell<Option<Moment>>,
    /// When the request was last left waiting.
    left: Cell<Option<Moment>>,
    /// For what it waits.
    waiting: Cell<Phase>,
    /// Nanoseconds of all phases but the last.
    spent: [Cell<u64>; Phase::Own as usize],
    kind: Cell<OpKind>,
    subject: Cell<Subject>,
    name: RefCell<Option<Box<[u8]>>>,
}

impl Default for Course {
    fn default() -> Course {
        Course {
            reaped: Cell::new(None),
            left: Cell::new(None),
            waiting: Cell::new(Phase::Ring),
            spent: Default::default(),
            kind: Cell::new(OpKind::Unsupported),
            subject: Cell::default(),
            name: RefCell::default(),
        }
    }
}

impl Course {
    /// A request was reaped, and is looked at `now`.
    #[inline]
    pub fn begin(&self, reaped: Moment, now: Moment) {
        if MEASURED {
            self.reaped.set(Some(reaped));
            self.concerns(OpKind::Unsupported, Subject::default());
            self.spent.iter().for_each(|spent| spent.set(0));
            self.spend(Phase::Queue, now.since(reaped));
        }
    }

    /// Which request it is.
    #[inline]
    pub(super) fn concerns(&self, kind: OpKind, subject: Subject) {
        self.kind.set(kind);
        self.subject.set(subject);
    }

    /// A name that the request is about, for those who log it.
    pub(super) fn names(&self, name: Option<&[u8]>) {
        self.name.replace(name.map(Box::from));
    }

    /// Runs a host call here.
    #[inline]
    pub fn inline<R>(&self, call: impl FnOnce() -> R) -> R {
        self.during(Phase::Inline, call)
    }

    /// Runs what belongs to a phase here.
    #[inline]
    pub fn during<R>(&self, phase: Phase, call: impl FnOnce() -> R) -> R {
        let start = Moment::now();
        let result = call();
        if MEASURED {
            self.spend(phase, Moment::now().since(start));
        }
        result
    }

    /// The request is about to be left waiting for what belongs to a phase.
    #[inline]
    pub fn waits(&self, phase: Phase) {
        if MEASURED {
            self.waiting.set(phase);
        }
    }

    /// It is left waiting.
    #[inline]
    pub fn leave(&self, now: Moment) {
        if MEASURED {
            self.left.set(Some(now));
        }
    }

    /// What it waited for was reaped, and it is looked at `now`.
    #[inline]
    pub fn resume(&self, reaped: Moment, now: Moment) {
        if let Some(left) = self.left.take() {
            self.spend(self.waiting.get(), reaped.since(left));
            self.spend(Phase::Queue, now.since(reaped));
        }
    }

    #[inline]
    fn spend(&self, phase: Phase, nanoseconds: u64) {
        if let Some(spent) = self.spent.get(phase as usize) {
            spent.set(spent.get() + nanoseconds);
        }
    }

    /// The answer is given: how long it all took, unless nothing was begun.
    pub(super) fn end(&self, now: Moment) -> Option<Took> {
        let total = now.since(self.reaped.take()?);
        let mut phases = [0; Phase::COUNT];
        let mut rest = total;
        for (took, spent) in phases.iter_mut().zip(&self.spent) {
            *took = spent.get();
            rest = rest.saturating_sub(*took);
        }
        phases[Phase::Own as usize] = rest;
        Some(Took { kind: self.kind.get(), total, phases })
    }

    pub(super) fn subject(&self) -> Subject {
        self.subject.get()
    }

    pub(super) fn take_name(&self) -> Option<Box<[u8]>> {
        self.name.take()
    }
}

/// How long a request took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub kind: OpKind,
    pub total: u64,
    pub phases: [u64; Phase::COUNT],
}
