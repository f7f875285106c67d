//! What was recorded, merged.

use std::collections::BTreeMap;
use std::time::Duration;

use super::OpKind;
use super::buckets::{Histogram, Latencies};
use super::phase::Phase;
use super::work::Work;

/// The samples of one kind of operation.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(super) latency: Histogram,
    pub(super) phases: [Option<Histogram>; Phase::COUNT],
    /// By number; 0 stands for those that no platform knows.
    pub(super) errors: BTreeMap<i32, u64>,
    pub(super) bytes: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { latency: Latencies::empty(), phases: Default::default(), errors: BTreeMap::new(), bytes: 0 }
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.latency.add(&other.latency);
        for (mine, more) in self.phases.iter_mut().zip(&other.phases) {
            if let Some(more) = more {
                mine.get_or_insert_with(Latencies::empty).add(more);
            }
        }
        other.errors.iter().for_each(|(&errno, count)| *self.errors.entry(errno).or_default() += count);
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, earlier: &Tally) {
        self.latency.subtract(&earlier.latency);
        for (mine, less) in self.phases.iter_mut().zip(&earlier.phases) {
            if let (Some(mine), Some(less)) = (mine, less) {
                mine.subtract(less);
            }
        }
        for (errno, count) in &mut self.errors {
            *count = count.saturating_sub(earlier.errors.get(errno).copied().unwrap_or(0));
        }
        self.errors.retain(|_, count| *count > 0);
        self.bytes = self.bytes.saturating_sub(earlier.bytes);
    }

    /// Operations, failed ones included.
    pub fn count(&self) -> u64 {
        self.latency.count()
    }

    /// Operations that were answered with an errno.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// How often each errno was answered.
    pub fn errors_by_number(&self) -> &BTreeMap<i32, u64> {
        &self.errors
    }

    /// Bytes of file data read or written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nanoseconds from reaping to the answer.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Nanoseconds in one phase, of those operations that spent time in it.
    pub fn phase(&self, phase: Phase) -> Option<&Histogram> {
        self.phases[phase as usize].as_ref().filter(|histogram| histogram.count() > 0)
    }

    /// The mean latency.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.latency.mean())
    }

    /// The latency that a share of `quantile` (0 to 1) of all operations did not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.quantile(quantile))
    }
}

/// The samples of all workers up to one moment. [`std::fmt::Display`] gives the table.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tallies: [Option<Box<Tally>>; OpKind::COUNT],
    pub(super) work: Work,
    covers: Duration,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot { tallies: [const { None }; OpKind::COUNT], work: Work::default(), covers: Duration::ZERO }
    }
}

impl Snapshot {
    /// The samples of `kind`, if there are any.
    pub fn get(&self, kind: OpKind) -> Option<&Tally> {
        self.tallies[kind as usize].as_deref()
    }

    /// The samples of all kinds together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.tallies.iter().flatten().for_each(|tally| total.add(tally));
        total
    }

    /// How the engine worked.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The time in which all this came.
    pub fn covered(&self) -> Duration {
        self.covers
    }

    pub(super) fn covers(&mut self, time: Duration) {
        self.covers = time;
    }

    /// Leaves of the operations but how long they took.
    pub(super) fn clear_parts(&mut self) {
        for tally in self.tallies.iter_mut().flatten() {
            **tally = Tally { latency: std::mem::replace(&mut tally.latency, Latencies::empty()), ..Tally::default() };
        }
    }

    pub(super) fn tally_mut(&mut self, kind: OpKind) -> &mut Tally {
        self.tallies[kind as usize].get_or_insert_default()
    }

    /// Takes away what was there at an earlier time.
    pub(super) fn subtract(&mut self, earlier: &Snapshot) {
        for (mine, less) in self.tallies.iter_mut().zip(&earlier.tallies) {
            if let (Some(tally), Some(less)) = (&mut *mine, less) {
                tally.subtract(less);
            }
            mine.take_if(|tally| tally.count() == 0);
        }
        self.work.subtract(&earlier.work);
    }
}
