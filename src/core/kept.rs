//! Descriptors that stay until FORGET, and who waits for that.
//!
//! The kernel says FORGET a little after a removal, and closing the descriptor then frees the file, which takes its time: who
//! removes many files must not run ahead until no descriptor is left. But a file that a client goes on using stays for as long as it likes, so nobody waits long when none goes.

use std::time::Duration;

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, lock};

/// When none has gone for so long, those that are left are taken to be in use.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many descriptors stay until FORGET, or are being closed.
pub struct Kept {
    count: AtomicUsize,
    /// Given up, and not closed yet.
    closing: AtomicUsize,
    /// So many of them are in use, as far as is known.
    used: AtomicUsize,
    waiting: AtomicUsize,
    /// Somebody waits until no more than so many are leaving.
    enough: AtomicUsize,
    gone: Condvar,
    lock: Mutex<()>,
}

impl Kept {
    /// The root's, which stays for good.
    pub fn root() -> Kept {
        Kept {
            count: AtomicUsize::new(1),
            closing: AtomicUsize::new(0),
            used: AtomicUsize::new(1),
            waiting: AtomicUsize::new(0),
            enough: AtomicUsize::new(0),
            gone: Condvar::new(),
            lock: Mutex::new(()),
        }
    }

    /// Those that stay.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Those whose FORGET should be on its way, and those that are being closed.
    pub fn leaving(&self) -> usize {
        let all = self.count() + self.closing.load(Ordering::SeqCst);
        all.saturating_sub(self.used.load(Ordering::SeqCst))
    }

    /// One more.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// One less.
    pub fn remove(&self) {
        let left = self.count.fetch_sub(1, Ordering::SeqCst).saturating_sub(1);
        self.used.fetch_min(left, Ordering::SeqCst);
        self.tell();
    }

    /// Some descriptor is to be closed by somebody else.
    pub fn closing(&self) {
        self.closing.fetch_add(1, Ordering::SeqCst);
    }

    /// It is closed.
    pub fn closed(&self) {
        self.closing.fetch_sub(1, Ordering::SeqCst);
        self.tell();
    }

    fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 && self.leaving() <= self.enough.load(Ordering::SeqCst) {
            drop(lock(&self.lock));
            self.gone.notify_all();
        }
    }

    /// Blocks until no more than `most` are leaving, or none seems to be.
    pub fn wait(&self, most: usize) {
        // Both under the lock: the last one who goes must not take back what the next has asked for.
        let mut guard = lock(&self.lock);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.enough.fetch_max(most, Ordering::SeqCst);
        loop {
            let before = self.leaving();
            if before <= most {
                break;
            }
            let (woken, timeout) =
                self.gone.wait_timeout(guard, PATIENCE).unwrap_or_else(std::sync::PoisonError::into_inner);
            guard = woken;
            if timeout.timed_out() && self.leaving() >= before {
                self.used.store(self.count(), Ordering::SeqCst);
                break;
            }
        }
        if self.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.enough.store(0, Ordering::SeqCst);
        }
        drop(guard);
    }
}

#[cfg(all(test, not(ptfs_loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn with(count: usize) -> Kept {
        let kept = Kept::root();
        (0..count).for_each(|_| kept.add());
        kept
    }

    #[test]
    fn who_waits_goes_on_once_enough_are_gone() {
        let kept = with(100);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                kept.wait(50);
                kept.leaving()
            });
            for _ in 0..60 {
                kept.remove();
            }
            let left = waiter.join().expect("no panic");
            assert!((40..=50).contains(&left), "{left}");
        });
        assert_eq!((kept.count(), kept.leaving()), (41, 40));
    }

    #[test]
    fn nobody_waits_twice_for_what_stays() {
        let kept = with(10);
        kept.wait(5);
        assert_eq!((kept.count(), kept.leaving()), (11, 0));
        let start = Instant::now();
        kept.wait(0);
        assert!(start.elapsed() < PATIENCE);
        // Those that come after them are waited for.
        kept.add();
        assert_eq!(kept.leaving(), 1);
        (0..9).for_each(|_| kept.remove());
        kept.add();
        assert_eq!((kept.count(), kept.leaving()), (4, 1));
        kept.closing();
        assert_eq!((kept.count(), kept.leaving()), (4, 2));
        kept.closed();
        assert_eq!((kept.count(), kept.leaving()), (4, 1));
    }
}
