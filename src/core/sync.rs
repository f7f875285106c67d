//! Locks and counters of the tables: the standard ones, or loom's, which try all orders (`tests/loom.rs`).

#[cfg(ptfs_loom)]
pub use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(ptfs_loom))]
pub use std::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Locks, also after a panic of another: every table is consistent whenever its lock is free.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
