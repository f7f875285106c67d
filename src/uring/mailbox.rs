//! How another thread tells a worker, which sleeps in its ring, that something is done.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Slots whose offloaded call is done. The eventfd is written only while the worker sleeps.
pub struct Mailbox {
    done: Mutex<Vec<usize>>,
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> io::Result<Mailbox> {
        // SAFETY: takes plain numbers.
        let event = match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) } {
            -1 => return Err(io::Error::last_os_error()),
            // SAFETY: the descriptor was just made for us.
            fd => unsafe { OwnedFd::from_raw_fd(fd) },
        };
        Ok(Mailbox { done: Mutex::default(), asleep: AtomicBool::new(false), event })
    }

    /// What the worker's ring reads to be woken.
    pub fn event(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Reports a slot, from any thread.
    pub fn post(&self, slot: usize) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        self.wake();
    }

    /// Wakes the worker if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the kernel reads eight bytes.
            unsafe { libc::write(self.event(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Announces that the worker goes to sleep; false if there is something to do first.
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = self.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// Takes all reported slots into `to`.
    pub fn take(&self, to: &mut Vec<usize>) {
        self.asleep.store(false, Ordering::SeqCst);
        to.append(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A sleeper that is never woken would hang this test: the event is all that it waits for.
    #[test]
    fn no_post_is_missed_by_a_sleeper() {
        const POSTS: usize = 20_000;
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let poster = Arc::clone(&mailbox);
        let thread = std::thread::spawn(move || (0..POSTS).for_each(|slot| poster.post(slot)));
        let mut seen = Vec::new();
        while seen.len() < POSTS {
            if mailbox.may_sleep() {
                let mut count = [0u8; 8];
                // SAFETY: the kernel writes eight bytes.
                let n = unsafe { libc::read(mailbox.event(), count.as_mut_ptr().cast(), 8) };
                assert_eq!(n, 8);
            }
            mailbox.take(&mut seen);
        }
        thread.join().unwrap();
        assert!(seen.iter().copied().eq(0..POSTS));
    }
}
