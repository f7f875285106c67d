//! Removals of names through this mount: whoever finds a file without a name asks whether one of them may have taken it.

use super::sync::atomic::{AtomicU64, Ordering};

/// How many removals there were.
pub struct Removals {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A point in time, as removals count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment(u64);

impl Removals {
    /// None yet.
    pub fn new() -> Removals {
        Removals { begun: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    /// Names are about to be removed; the answer is to be dropped once the nodes that lost them know of it.
    pub fn begin(&self) -> Removal<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Removal(self)
    }

    /// Now, for [`Removals::any_since`].
    pub fn now(&self) -> Moment {
        Moment(self.ended.load(Ordering::SeqCst))
    }

    /// True if a removal was under way at any time since then.
    pub fn any_since(&self, then: Moment) -> bool {
        self.begun.load(Ordering::SeqCst) != then.0
    }
}

impl Default for Removals {
    fn default() -> Removals {
        Removals::new()
    }
}

/// A removal under way.
pub struct Removal<'c>(&'c Removals);

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_overlaps_counts_and_nothing_else() {
        let removals = Removals::new();
        let before = removals.now();
        assert!(!removals.any_since(before));
        let (one, other) = (removals.begin(), removals.begin());
        let during = removals.now();
        assert!(removals.any_since(before) && removals.any_since(during));
        drop(one);
        let one_left = removals.now();
        assert!(removals.any_since(during) && removals.any_since(one_left));
        drop(other);
        let after = removals.now();
        assert!(removals.any_since(before) && removals.any_since(during) && removals.any_since(one_left));
        assert!(!removals.any_since(after));
    }
}
