//! Operations that took long, on their way to whoever logs them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::OpKind;
use super::phase::{Course, Phase, Subject, Took};
use crate::protocol::Errno;

/// So many wait to be logged; more are only counted.
const WAITING: usize = 256;

/// One operation that took long.
#[derive(Clone, Debug)]
pub struct SlowOp {
    /// Which.
    pub kind: OpKind,
    /// Whose, and on what.
    pub subject: Subject,
    /// A name that it is about, if names are wanted.
    pub name: Option<Box<[u8]>>,
    /// How it failed.
    pub errno: Option<Errno>,
    /// Of file data, read or written.
    pub bytes: u64,
    /// From reaping to the answer.
    pub total: Duration,
    phases: [u64; Phase::COUNT],
}

impl SlowOp {
    /// The time spent in a phase, if any was.
    pub fn phase(&self, phase: Phase) -> Option<Duration> {
        Some(self.phases[phase as usize]).filter(|&spent| spent > 0).map(Duration::from_nanos)
    }
}

/// Takes slow operations from workers, who never wait for it, and keeps them for one who logs.
#[derive(Debug)]
pub struct SlowLog {
    threshold: u64,
    names: bool,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<SlowOp>,
    lost: u64,
    closed: bool,
}

impl SlowLog {
    /// For operations that take at least `threshold`; `names`: with the names that they are about.
    pub fn new(threshold: Duration, names: bool) -> SlowLog {
        let threshold = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
        SlowLog { threshold, names, state: Mutex::default(), news: Condvar::new() }
    }

    /// In nanoseconds.
    pub(super) fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Whether workers are to keep names.
    pub(super) fn wants_names(&self) -> bool {
        self.names
    }

    #[cold]
    pub(super) fn offer(&self, course: &Course, took: &Took, errno: Option<Errno>, bytes: u64) {
        let slow = SlowOp {
            kind: took.kind,
            subject: course.subject(),
            name: course.take_name(),
            errno,
            bytes,
            total: Duration::from_nanos(took.total),
            phases: took.phases,
        };
        let mut state = self.lock();
        match state.waiting.len() {
            WAITING.. => state.lost += 1,
            _ => state.waiting.push_back(slow),
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits for slow operations, and tells how many more there were than fit; `None` when the log was closed and all is
    /// taken.
    pub fn take(&self) -> Option<(Vec<SlowOp>, u64)> {
        let quiet = |state: &mut State| state.waiting.is_empty() && state.lost == 0 && !state.closed;
        let mut state = self.news.wait_while(self.lock(), quiet).unwrap_or_else(PoisonError::into_inner);
        let (slow, lost) = (state.waiting.drain(..).collect::<Vec<_>>(), std::mem::take(&mut state.lost));
        (!slow.is_empty() || lost > 0).then_some((slow, lost))
    }

    /// No more will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
