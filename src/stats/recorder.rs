//! Where samples go.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::buckets::{Counter, Latencies};
use super::clock::{MEASURED, Moment};
use super::phase::{Course, Phase, Subject};
use super::slow::SlowLog;
use super::snapshot::Tally;
use super::work::{LiveWork, Tick};
use super::{OpKind, Snapshot};
use crate::protocol::{Errno, Op};

/// Every errno of the platforms that ptfs knows is below; others count as 0.
const ERRNOS: usize = 160;

/// One worker's samples, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Lanes {
    work: LiveWork,
    operations: Operations,
}

/// By [`OpKind`], each allocated when the first of its kind comes.
struct Operations([OnceLock<Box<Lane>>; OpKind::COUNT]);

impl Default for Operations {
    fn default() -> Operations {
        Operations([const { OnceLock::new() }; OpKind::COUNT])
    }
}

impl Operations {
    fn filled(&self) -> impl Iterator<Item = (OpKind, &Lane)> {
        OpKind::ALL.iter().zip(&self.0).filter_map(|(&kind, lane)| Some((kind, &**lane.get()?)))
    }
}

/// One worker's samples of one kind of operation.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    /// Odd while a sample is recorded.
    steps: Counter,
    latency: Latencies,
    bytes: Counter,
    errors: OnceLock<Box<Errors>>,
    phases: [OnceLock<Box<Latencies>>; Phase::COUNT],
}

#[repr(align(128))]
struct Errors([Counter; ERRNOS]);

impl Default for Errors {
    fn default() -> Errors {
        Errors([const { Counter::new() }; ERRNOS])
    }
}

impl Lane {
    /// The operation itself comes first, and is read last: no part is ever counted more often than it.
    fn record(&self, total: u64, phases: &[u64; Phase::COUNT], errno: Option<Errno>, bytes: u64) {
        self.steps.add(1);
        self.latency.record(total);
        if bytes > 0 {
            self.bytes.add(bytes);
        }
        if let Some(Errno(errno)) = errno {
            let errors = &self.errors.get_or_init(Box::default).0;
            let at = usize::try_from(errno).ok().filter(|&errno| errno < ERRNOS).unwrap_or(0);
            errors[at].add(1);
        }
        for (lane, &spent) in self.phases.iter().zip(phases) {
            if spent > 0 {
                lane.get_or_init(Box::default).record(spent);
            }
        }
        self.steps.add(1);
    }

    /// Waits until all parts are there of what is there as a whole now. That takes nanoseconds, or as long as the worker
    /// has to wait for its CPU.
    fn settle(&self) {
        let steps = self.steps.get();
        while steps % 2 == 1 && self.steps.get() == steps {
            std::thread::yield_now();
        }
    }

    /// The operations, after [`Lane::add_parts`].
    fn add_whole(&self, tally: &mut Tally) {
        self.latency.add_to(&mut tally.latency);
    }

    /// What is known of the operations beside how long they took.
    fn add_parts(&self, tally: &mut Tally) {
        for (lane, sum) in self.phases.iter().zip(&mut tally.phases) {
            if let Some(lane) = lane.get() {
                lane.add_to(sum.get_or_insert_with(Latencies::empty));
            }
        }
        if let Some(errors) = self.errors.get() {
            let counts = errors.0.iter().map(Counter::get).enumerate().filter(|&(_, count)| count > 0);
            counts.for_each(|(errno, count)| *tally.errors.entry(errno as i32).or_default() += count);
        }
        tally.bytes += self.bytes.get();
    }
}

/// One worker's place to record in. It is not to be shared, and goes to another worker when it is dropped.
pub struct Recorder {
    stats: Arc<Stats>,
    lanes: Arc<Lanes>,
    /// As of the log of slow operations: looked at with each answer.
    threshold: u64,
    names: bool,
    one_thread: PhantomData<Cell<()>>,
}

impl Recorder {
    /// A request was reaped; `beside` are in service elsewhere that count with it.
    #[inline]
    pub fn began(&self, beside: u64) {
        if MEASURED {
            self.lanes.work.in_service.add(1);
            self.lanes.work.depth.record(self.lanes.work.in_service.get() + beside);
        }
    }

    /// What the request is that takes this course.
    #[inline]
    pub fn concerns(&self, course: &Course, op: &Op<'_>, subject: Subject) {
        if MEASURED {
            course.concerns(OpKind::of(op), subject);
            if self.names {
                course.names(name_of(op));
            }
        }
    }

    /// Counts the operation that ends `now`: how it failed, how many bytes of file data it moved. Allocates at the first
    /// sample of each kind and phase, and never again.
    pub fn ended(&self, course: &Course, now: Moment, errno: Option<Errno>, bytes: u64) {
        if !MEASURED {
            return;
        }
        let in_service = &self.lanes.work.in_service;
        in_service.set(in_service.get().saturating_sub(1));
        let Some(took) = course.end(now) else { return };
        let lane = self.lanes.operations.0[took.kind as usize].get_or_init(Box::default);
        lane.record(took.total, &took.phases, errno, bytes);
        if took.total >= self.threshold
            && let Some(slow) = &self.stats.slow
        {
            slow.offer(course, &took, errno, bytes);
        }
    }

    /// Counts what happened.
    #[inline]
    pub fn tick(&self, tick: Tick) {
        if MEASURED {
            self.lanes.work.ticks[tick as usize].add(1);
        }
    }

    /// Counts the entries that one `io_uring_enter` submitted.
    #[inline]
    pub fn batch(&self, entries: usize) {
        if MEASURED {
            self.lanes.work.batches.record(entries as u64);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.lanes.work.in_service.set(0);
        lock(&self.stats.idle).push(Arc::clone(&self.lanes));
    }
}

/// The name by which a request's object is found, if it comes with one.
fn name_of<'r>(op: &Op<'r>) -> Option<&'r [u8]> {
    match *op {
        Op::Lookup { name }
        | Op::Create { name, .. }
        | Op::Mkdir { name, .. }
        | Op::Mknod { name, .. }
        | Op::Symlink { name, .. }
        | Op::Unlink { name }
        | Op::Rmdir { name }
        | Op::Rename { name, .. }
        | Op::Setxattr { name, .. }
        | Op::Getxattr { name, .. }
        | Op::Removexattr { name } => Some(name.to_bytes()),
        Op::Link { newname, .. } => Some(newname.to_bytes()),
        _ => None,
    }
}

/// What all workers of a mount record, and since when.
pub struct Stats {
    /// One for each worker that is or was.
    lanes: Mutex<Vec<Arc<Lanes>>>,
    /// Those of workers that have ended.
    idle: Mutex<Vec<Arc<Lanes>>>,
    /// What is not to be told any more: workers go on counting from where they were.
    base: Mutex<Base>,
    slow: Option<SlowLog>,
}

struct Base {
    since: Instant,
    before: Snapshot,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats::new(None)
    }
}

impl Stats {
    /// Nothing recorded yet. Slow operations go to `slow`, and have to be taken from there.
    pub fn new(slow: Option<SlowLog>) -> Stats {
        let base = Base { since: Instant::now(), before: Snapshot::default() };
        Stats { lanes: Mutex::default(), idle: Mutex::default(), base: Mutex::new(base), slow }
    }

    /// A recorder for one more worker.
    pub fn register(self: &Arc<Stats>) -> Recorder {
        let left = lock(&self.idle).pop();
        let lanes = left.unwrap_or_else(|| {
            let lanes = Arc::<Lanes>::default();
            lock(&self.lanes).push(Arc::clone(&lanes));
            lanes
        });
        let (threshold, names) = match &self.slow {
            Some(slow) => (slow.threshold(), slow.wants_names()),
            None => (u64::MAX, false),
        };
        Recorder { stats: Arc::clone(self), lanes, threshold, names, one_thread: PhantomData }
    }

    /// What all workers have recorded since the start or the last reset. Each kind is as of a slightly different moment.
    pub fn snapshot(&self) -> Snapshot {
        let base = lock(&self.base);
        let mut snapshot = self.everything();
        snapshot.subtract(&base.before);
        snapshot.covers(base.since.elapsed());
        snapshot
    }

    /// Begins anew, and tells what was recorded until now. Workers do not notice.
    pub fn reset(&self) -> Snapshot {
        let mut base = lock(&self.base);
        let mut until_now = self.everything();
        let mut before = until_now.clone();
        self.complete(&mut before);
        until_now.subtract(&base.before);
        until_now.covers(base.since.elapsed());
        *base = Base { since: Instant::now(), before };
        until_now
    }

    /// Where slow operations wait to be logged.
    pub fn slow(&self) -> Option<&SlowLog> {
        self.slow.as_ref()
    }

    /// Parts may be missing of the last operations.
    fn everything(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for lanes in lock(&self.lanes).iter() {
            for (kind, lane) in lanes.operations.filled() {
                let tally = snapshot.tally_mut(kind);
                lane.add_parts(tally);
                lane.add_whole(tally);
            }
            snapshot.work.add(&lanes.work);
        }
        snapshot
    }

    /// Reads the parts again, so that none are missing, and some of later operations are there: they must not turn up
    /// once the operations of the snapshot are gone. They are told nowhere; the operations themselves are.
    fn complete(&self, snapshot: &mut Snapshot) {
        snapshot.clear_parts();
        for lanes in lock(&self.lanes).iter() {
            for (kind, lane) in lanes.operations.filled() {
                lane.settle();
                lane.add_parts(snapshot.tally_mut(kind));
            }
        }
    }
}

/// Every update leaves the data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(unmeasured)))]
mod tests {
    use super::*;
    use crate::stats::doc::Document;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// One GETATTR with an inline call that takes no time, or a READ that moves bytes, or what fails.
    fn serve(recorder: &Recorder, course: &Course, op: &Op<'_>, errno: Option<Errno>, bytes: u64) {
        recorder.began(0);
        let reaped = Moment::now();
        course.begin(reaped, Moment::now());
        recorder.concerns(course, op, Subject::default());
        course.inline(|| std::hint::black_box(()));
        course.waits(Phase::Ring);
        course.leave(Moment::now());
        let reaped = Moment::now();
        course.resume(reaped, Moment::now());
        recorder.ended(course, Moment::now(), errno, bytes);
    }

    fn tell(snapshot: &Snapshot) -> Document {
        Document::new(snapshot, Default::default(), Default::default())
    }

    #[test]
    fn samples_of_all_workers_are_merged() {
        let stats = Arc::new(Stats::default());
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let recorder = stats.register();
                scope.spawn(move || {
                    let course = Course::default();
                    for sample in 0..1000 {
                        let errno = (sample % 10 == 0).then_some(Errno::ENOENT);
                        serve(&recorder, &course, &Op::Readlink, errno, worker);
                        recorder.tick(Tick::Punted);
                    }
                });
            }
        });
        let snapshot = stats.snapshot();
        let readlink = snapshot.get(OpKind::Readlink).expect("recorded");
        assert_eq!((readlink.count(), readlink.errors(), readlink.bytes()), (4000, 400, 6000));
        assert!(snapshot.get(OpKind::Write).is_none());
        let document = tell(&snapshot);
        assert_eq!(document.operations.len(), 1);
        assert_eq!(document.operations[0].errors, [("ENOENT".to_owned(), 400)].into());
        assert_eq!((document.work.punted, document.work.depth), (4000, vec![(1, 4000)]));
        assert_eq!(document.holds.in_flight, 0);
    }

    /// What a reader may rely on while workers go on.
    fn is_whole(document: &Document) {
        for operation in &document.operations {
            let count = |latency: &crate::stats::doc::Latency| {
                assert_eq!(latency.count, latency.buckets.iter().map(|(_, count)| count).sum::<u64>());
                assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
                latency.count
            };
            assert_eq!(count(&operation.latency), operation.count);
            assert!(operation.phases.values().all(|phase| count(phase) <= operation.count), "{operation:?}");
            assert!(operation.errors.values().sum::<u64>() <= operation.count);
            assert!(operation.bytes <= 100 * operation.count);
        }
    }

    /// Ends workers, also when the test fails.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_snapshot_under_load_is_whole_and_never_goes_back() {
        let (stats, stop) = (Arc::new(Stats::default()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (recorder, stop) = (stats.register(), &stop);
                scope.spawn(move || {
                    let course = Course::default();
                    while !stop.load(Ordering::Relaxed) {
                        serve(&recorder, &course, &Op::Readlink, Some(Errno::EIO), 100);
                        serve(&recorder, &course, &Op::Statfs, None, 0);
                    }
                });
            }
            let _stops = Stop(&stop);
            let mut before = tell(&stats.snapshot());
            let enough = |document: &Document| document.operations.iter().map(|op| op.count).sum::<u64>() > 50_000;
            let mut looks = 0;
            while looks < 300 || !enough(&before) {
                let now = tell(&stats.snapshot());
                is_whole(&now);
                assert!(now.holds.in_flight <= 3);
                for old in &before.operations {
                    let new = now.operations.iter().find(|op| op.op == old.op).expect("it was there");
                    assert!(new.count >= old.count && new.bytes >= old.bytes && new.latency.max >= old.latency.max);
                    assert!(old.phases.iter().all(|(name, phase)| new.phases[name].count >= phase.count));
                }
                (before, looks) = (now, looks + 1);
            }
        });
    }

    #[test]
    fn resets_under_load_lose_nothing_and_tell_nothing_twice() {
        const EACH: u64 = 20_000;
        let stats = Arc::new(Stats::default());
        let mut told = 0;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let recorder = stats.register();
                    scope.spawn(move || {
                        let course = Course::default();
                        (0..EACH).for_each(|_| serve(&recorder, &course, &Op::Readlink, None, 1));
                    })
                })
                .collect();
            while !workers.iter().all(|worker| worker.is_finished()) {
                let part = stats.reset();
                is_whole(&tell(&part));
                told += part.get(OpKind::Readlink).map_or(0, Tally::count);
            }
        });
        told += stats.reset().get(OpKind::Readlink).map_or(0, Tally::count);
        assert_eq!(told, 3 * EACH);
        assert!(stats.snapshot().get(OpKind::Readlink).is_none());
        assert_eq!(tell(&stats.snapshot()).work.depth, []);
    }

    #[test]
    fn a_worker_that_ends_leaves_its_place_to_the_next() {
        let stats = Arc::new(Stats::default());
        for _ in 0..100 {
            let recorder = stats.register();
            recorder.began(0);
            serve(&recorder, &Course::default(), &Op::Readlink, None, 0);
        }
        assert_eq!(lock(&stats.lanes).len(), 1);
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.total().count(), snapshot.work().in_flight()), (100, 0));
        assert_eq!(snapshot.work().depth().buckets().collect::<Vec<_>>(), [(1, 100), (2, 100)]);
    }

    #[test]
    fn phases_add_up_to_the_whole() {
        let stats = Arc::new(Stats::default());
        let (recorder, course) = (stats.register(), Course::default());
        let sleep = || std::thread::sleep(std::time::Duration::from_millis(5));
        recorder.began(0);
        let reaped = Moment::now();
        sleep();
        course.begin(reaped, Moment::now());
        recorder.concerns(&course, &Op::Statfs, Subject::default());
        course.inline(sleep);
        for phase in [Phase::Ring, Phase::Helper, Phase::Lock] {
            course.waits(phase);
            course.leave(Moment::now());
            sleep();
            let reaped = Moment::now();
            course.resume(reaped, Moment::now());
        }
        sleep();
        recorder.ended(&course, Moment::now(), None, 0);
        let document = tell(&stats.snapshot());
        let operation = &document.operations[0];
        assert_eq!(operation.phases.len(), Phase::COUNT);
        assert!(operation.phases.values().all(|phase| phase.count == 1 && phase.max >= 5_000_000), "{operation:?}");
        let (sum, total) = (operation.phases.values().map(|phase| phase.total).sum::<u64>(), operation.latency.total);
        assert!(sum.abs_diff(total) < total / 16, "{operation:?}");
    }

    #[test]
    fn what_is_slow_is_kept_for_those_who_log_it() {
        use std::time::Duration;
        let stats = Arc::new(Stats::new(Some(SlowLog::new(Duration::from_millis(2), true))));
        let (recorder, course) = (stats.register(), Course::default());
        let lookup = Op::Lookup { name: c"name" };
        let one = |slow: bool| {
            recorder.began(0);
            let now = Moment::now();
            course.begin(now, now);
            recorder.concerns(&course, &lookup, Subject { unique: 7, nodeid: 8, pid: 9 });
            if slow {
                course.inline(|| std::thread::sleep(Duration::from_millis(2)));
            }
            recorder.ended(&course, Moment::now(), Some(Errno::ENOENT), 0);
        };
        one(true);
        let log = stats.slow().expect("given");
        let (slow, lost) = log.take().expect("one");
        let first = &slow[0];
        assert_eq!((slow.len(), lost, first.kind, first.name.as_deref()), (1, 0, OpKind::Lookup, Some(&b"name"[..])));
        assert_eq!((first.subject.unique, first.subject.nodeid, first.subject.pid), (7, 8, 9));
        assert!(first.phase(Phase::Inline) >= Some(Duration::from_millis(2)) && first.phase(Phase::Ring).is_none());
        assert!(first.total >= Duration::from_millis(2));
        (0..300).for_each(|_| one(true));
        let (slow, lost) = log.take().expect("many");
        assert_eq!((slow.len(), lost), (256, 44));
        log.close();
        assert!(log.take().is_none());
    }
}
