//! Where samples go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{OpKind, Snapshot, Tally};
use crate::protocol::Errno;

/// One worker's samples, on cache lines of their own (128 bytes: CPUs fetch lines in pairs).
#[repr(align(128))]
pub struct Recorder {
    tallies: Mutex<[Option<Box<Tally>>; OpKind::COUNT]>,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder { tallies: Mutex::new([const { None }; OpKind::COUNT]) }
    }

    /// Counts one operation: how long it took, how it failed, how many bytes of file data it moved. Allocates at the
    /// first sample of each kind and never again.
    pub fn record(&self, kind: OpKind, latency: Duration, errno: Option<Errno>, bytes: u64) {
        let mut tallies = lock(&self.tallies);
        tallies[kind as usize].get_or_insert_default().record(latency, errno.is_some(), bytes);
    }
}

/// The recorders of all workers.
#[derive(Default)]
pub struct Stats {
    workers: Mutex<Vec<Arc<Recorder>>>,
}

impl Stats {
    /// A recorder for one more worker.
    pub fn register(&self) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::new());
        lock(&self.workers).push(Arc::clone(&recorder));
        recorder
    }

    /// What all workers have recorded so far. Each kind is as of a slightly different moment.
    pub fn snapshot(&self) -> Snapshot {
        let workers = lock(&self.workers).clone();
        let mut snapshot = Snapshot::default();
        for worker in workers {
            for &kind in OpKind::ALL {
                if let Some(tally) = &lock(&worker.tallies)[kind as usize] {
                    snapshot.add(kind, tally);
                }
            }
        }
        snapshot
    }
}

/// Every update leaves the data whole, so a worker that panicked elsewhere does not take its figures away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_do_not_share_a_cache_line() {
        assert_eq!(align_of::<Recorder>(), 128);
        assert_eq!(size_of::<Recorder>() % 128, 0);
    }

    #[test]
    fn samples_of_all_workers_are_merged() {
        let stats = Stats::default();
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let recorder = stats.register();
                scope.spawn(move || {
                    for sample in 0..1000 {
                        let errno = (sample % 10 == 0).then_some(Errno::ENOENT);
                        recorder.record(OpKind::Read, Duration::from_micros(sample + 1), errno, worker);
                    }
                });
            }
        });
        let snapshot = stats.snapshot();
        let read = snapshot.get(OpKind::Read).expect("recorded");
        assert_eq!((read.count(), read.errors(), read.bytes()), (4000, 400, 6000));
        assert!(snapshot.get(OpKind::Write).is_none());
    }

    #[test]
    fn a_panic_under_the_lock_loses_nothing() {
        let stats = Stats::default();
        let recorder = stats.register();
        recorder.record(OpKind::Open, Duration::from_micros(5), None, 0);
        let poisoner = Arc::clone(&recorder);
        let outcome = std::thread::spawn(move || {
            let _guard = poisoner.tallies.lock();
            panic!("poison the lock");
        });
        assert!(outcome.join().is_err());
        recorder.record(OpKind::Open, Duration::from_micros(5), None, 0);
        assert_eq!(stats.snapshot().get(OpKind::Open).map(Tally::count), Some(2));
    }
}
