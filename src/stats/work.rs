//! How an engine works: what happens, how often, and how much at once.

use super::buckets::{Counter, Histogram, Sizes};

macro_rules! ticks {
    ($($(#[$doc:meta])* $tick:ident),* $(,)?) => {
        /// What is counted each time that it happens.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Tick { $($(#[$doc])* $tick),* }

        impl Tick {
            pub(super) const COUNT: usize = [$(Tick::$tick),*].len();
        }
    };
}

ticks!(
    /// A host call on the thread that serves.
    Inline,
    /// A host call on the ring.
    Ring,
    /// A host call on a helper thread.
    Helper,
    /// A probe found that a call would block.
    Punted,
    /// A node was reached by a descriptor that was held.
    AnchorHit,
    /// A node's descriptor had to be opened again.
    AnchorMiss,
    /// A node's descriptor was given up for the budget.
    Evicted,
    /// An open kept the kernel's pages of the file.
    PagesKept,
    /// An open dropped them.
    PagesDropped,
);

/// One worker's part, which it alone writes.
#[derive(Debug, Default)]
pub(super) struct LiveWork {
    pub ticks: [Counter; Tick::COUNT],
    pub in_service: Counter,
    pub depth: Sizes,
    pub batches: Sizes,
}

/// What all workers did.
#[derive(Clone, Debug)]
pub struct Work {
    ticks: [u64; Tick::COUNT],
    in_flight: u64,
    depth: Histogram,
    batches: Histogram,
}

impl Default for Work {
    fn default() -> Work {
        Work { ticks: [0; Tick::COUNT], in_flight: 0, depth: Sizes::empty(), batches: Sizes::empty() }
    }
}

impl Work {
    pub(super) fn add(&mut self, live: &LiveWork) {
        self.ticks.iter_mut().zip(&live.ticks).for_each(|(sum, tick)| *sum += tick.get());
        self.in_flight += live.in_service.get();
        live.depth.add_to(&mut self.depth);
        live.batches.add_to(&mut self.batches);
    }

    /// What is in flight is so now, whatever was before.
    pub(super) fn subtract(&mut self, earlier: &Work) {
        self.ticks.iter_mut().zip(&earlier.ticks).for_each(|(sum, less)| *sum = sum.saturating_sub(*less));
        self.depth.subtract(&earlier.depth);
        self.batches.subtract(&earlier.batches);
    }

    /// How often that happened.
    pub fn ticks(&self, tick: Tick) -> u64 {
        self.ticks[tick as usize]
    }

    /// Requests in service at the moment of the snapshot.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Requests in service at the worker that reaped a new one, itself included.
    pub fn depth(&self) -> &Histogram {
        &self.depth
    }

    /// Entries submitted by each `io_uring_enter`.
    pub fn batches(&self) -> &Histogram {
        &self.batches
    }
}
