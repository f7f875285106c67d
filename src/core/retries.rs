//! Threads that were told to look a name up again, since the file that they had found was removed on the host.
//!
//! Their kernel does so once, and gives up if the next file is gone as well by the time it is opened. On the host whoever
//! has found a file opens it: the second one is to be opened, wherever its name is by then.

use std::collections::VecDeque;

use super::ids::NodeId;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Mutex, lock};

/// More threads than can be between two requests of one open(2), on most machines. Who is forgotten is told once more.
const MOST: usize = 256;

/// Who was told, and of which node.
#[derive(Default)]
pub struct Retries {
    len: AtomicUsize,
    told: Mutex<VecDeque<(u32, NodeId)>>,
}

impl Retries {
    /// The thread is told to look again for what it took for `nodeid`. Threads without a number are not told apart.
    pub fn tell(&self, thread: u32, nodeid: NodeId) {
        if thread == 0 {
            return;
        }
        let mut told = lock(&self.told);
        told.truncate(MOST - 1);
        told.push_front((thread, nodeid));
        self.len.store(told.len(), Ordering::Release);
    }

    /// True if the thread was told to look again and has found another node since. It is told anew the next time.
    pub fn take(&self, thread: u32, nodeid: NodeId) -> bool {
        if self.len.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut told = lock(&self.told);
        let Some(before) = told.iter().position(|&(other, _)| other == thread).and_then(|at| told.remove(at)) else {
            return false;
        };
        self.len.store(told.len(), Ordering::Release);
        before.1 != nodeid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_found_another_file_is_told_once() {
        let (retries, old, new) = (Retries::default(), NodeId(2), NodeId(3));
        assert!(!retries.take(7, old));
        retries.tell(7, old);
        assert!(!retries.take(8, new), "another thread");
        assert!(retries.take(7, new));
        assert!(!retries.take(7, new), "the next open(2)");
        retries.tell(7, old);
        assert!(!retries.take(7, old), "it did not look again");
    }

    #[test]
    fn threads_without_a_number_are_always_told_and_the_list_stays_short() {
        let retries = Retries::default();
        retries.tell(0, NodeId(2));
        assert!(!retries.take(0, NodeId(3)));
        (1..=1000).for_each(|thread| retries.tell(thread, NodeId(2)));
        assert!(!retries.take(1000 - MOST as u32, NodeId(3)));
        assert!(retries.take(1000, NodeId(3)) && retries.take(1001 - MOST as u32, NodeId(3)));
    }
}
