//! Threads that were told to look a name up again, since the file that they had found was removed on the host.
//!
//! Their kernel does so once, and gives up if what it finds then has no name either when it is opened: the next file may
//! be gone already, and while rename(2) replaces a file on the host its name still leads to the old one, whose link count
//! is 0. On the host whoever has found a file opens it, and so it must be here the second time.

use std::collections::VecDeque;

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Mutex, lock};

/// More threads than can be between two requests of one open(2), on most machines. Who is forgotten is told once more.
const MOST: usize = 256;

/// Who was told.
#[derive(Default)]
pub struct Retries {
    len: AtomicUsize,
    told: Mutex<VecDeque<u32>>,
}

impl Retries {
    /// The thread is told to look again. Threads without a number are not told apart.
    pub fn tell(&self, thread: u32) {
        if thread == 0 {
            return;
        }
        let mut told = lock(&self.told);
        told.truncate(MOST - 1);
        told.push_front(thread);
        self.len.store(told.len(), Ordering::Release);
    }

    /// True if the thread was told to look again. It is told anew the next time.
    pub fn take(&self, thread: u32) -> bool {
        if self.len.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut told = lock(&self.told);
        let before = told.iter().position(|&other| other == thread).and_then(|at| told.remove(at));
        self.len.store(told.len(), Ordering::Release);
        before.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_again_is_told_once() {
        let retries = Retries::default();
        assert!(!retries.take(7));
        retries.tell(7);
        assert!(!retries.take(8), "another thread");
        assert!(retries.take(7));
        assert!(!retries.take(7), "the next open(2)");
    }

    #[test]
    fn threads_without_a_number_are_always_told_and_the_list_stays_short() {
        let retries = Retries::default();
        retries.tell(0);
        assert!(!retries.take(0));
        (1..=1000).for_each(|thread| retries.tell(thread));
        assert!(!retries.take(1000 - MOST as u32));
        assert!(retries.take(1000) && retries.take(1001 - MOST as u32));
    }
}
