//! Histograms with a bucket for every 1/32 of an octave: kept by one writer, read by anybody.
//!
//! The lowest values, up to 64 steps of `1 << SHIFT`, have a bucket each; beyond, every octave is cut in 32. So a bucket
//! is at most 1/32 of its values wide.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of an octave, as a power of two.
const SUB: u32 = 5;

/// The bucket of a value.
const fn index(value: u64, shift: u32) -> usize {
    let steps = value >> shift;
    let octave = (steps | 1 << SUB).ilog2() - SUB;
    ((octave as usize) << SUB) + (steps >> octave) as usize
}

/// The value in the middle of a bucket.
fn middle(index: usize, shift: u32) -> u64 {
    let lowest = index.checked_sub(1).map_or(0, |below| highest(below, shift) + 1);
    lowest + (highest(index, shift) - lowest) / 2
}

/// The highest value of a bucket.
const fn highest(index: usize, shift: u32) -> u64 {
    let octave = ((index >> SUB) as u32).saturating_sub(1);
    let steps = index as u64 - ((octave as u64) << SUB);
    ((steps + 1) << (octave + shift)) - 1
}

/// A number that one thread alone writes, so that no instruction has to lock the bus; others may read it at any time.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// For the writer alone. Whoever reads what was added sees all that was added before to whatever counter.
    #[inline]
    pub fn add(&self, more: u64) {
        self.set(self.0.load(Ordering::Relaxed).wrapping_add(more));
    }

    /// For the writer alone.
    #[inline]
    pub fn set(&self, value: u64) {
        // Plain stores on x86; the order is what lets a reader trust that a part is not ahead of its whole.
        self.0.store(value, Ordering::Release);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A histogram that one thread writes. It starts on a cache line of its own and shares none (128 bytes: CPUs fetch lines
/// in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub struct Counts<const SHIFT: u32, const N: usize> {
    max: Counter,
    buckets: [Counter; N],
}

/// Nanoseconds, from 4 to 100 s; longer ones count as 100 s.
pub type Latencies = Counts<2, 975>;
/// Small numbers, exact up to 63; from 8191 on all are one.
pub type Sizes = Counts<0, 288>;

impl<const SHIFT: u32, const N: usize> Default for Counts<SHIFT, N> {
    fn default() -> Self {
        Counts { max: Counter::new(), buckets: [const { Counter::new() }; N] }
    }
}

impl<const SHIFT: u32, const N: usize> Counts<SHIFT, N> {
    /// What all higher values count as.
    pub const MOST: u64 = highest(N - 1, SHIFT);

    /// For the writer alone.
    #[inline]
    pub fn record(&self, value: u64) {
        let value = value.min(Self::MOST);
        // In this order, so that a reader who finds the value in its bucket finds its maximum too.
        if value > self.max.get() {
            self.max.set(value);
        }
        if let Some(bucket) = self.buckets.get(index(value, SHIFT)) {
            bucket.add(1);
        }
    }

    /// Adds what was recorded so far to `sum`. What is being recorded meanwhile is in it or not, as a whole.
    pub fn add_to(&self, sum: &mut Histogram) {
        debug_assert_eq!((sum.shift, sum.buckets.len()), (SHIFT, N));
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        sum.max = sum.max.max(self.max.get());
    }

    /// An empty histogram of the same buckets.
    pub fn empty() -> Histogram {
        Histogram { shift: SHIFT, max: 0, buckets: vec![0; N] }
    }
}

/// A histogram to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    shift: u32,
    /// The highest value ever, which may be from before a reset.
    max: u64,
    buckets: Vec<u64>,
}

impl Histogram {
    /// Adds another of the same buckets.
    pub fn add(&mut self, other: &Histogram) {
        debug_assert_eq!((self.shift, self.buckets.len()), (other.shift, other.buckets.len()));
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, more)| *mine += more);
        self.max = self.max.max(other.max);
    }

    /// Takes away what was there at an earlier time.
    pub fn subtract(&mut self, earlier: &Histogram) {
        debug_assert_eq!((self.shift, self.buckets.len()), (earlier.shift, earlier.buckets.len()));
        self.buckets.iter_mut().zip(&earlier.buckets).for_each(|(mine, less)| *mine = mine.saturating_sub(*less));
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum, to half the width of a bucket for each. A sum that was kept beside the buckets would be of a slightly
    /// different moment, and after a reset of a few values it could be far off.
    pub fn total(&self) -> u64 {
        let filled = self.buckets.iter().enumerate().filter(|&(_, &count)| count > 0);
        filled.fold(0, |sum, (at, &count)| middle(at, self.shift).saturating_mul(count).saturating_add(sum))
    }

    /// Their mean, as exact as [`Histogram::total`].
    pub fn mean(&self) -> u64 {
        self.total().checked_div(self.count()).unwrap_or(0)
    }

    /// The highest of them; after a reset to the width of a bucket.
    pub fn max(&self) -> u64 {
        let last = self.buckets.iter().rposition(|&count| count > 0);
        last.map_or(0, |last| highest(last, self.shift).min(self.max))
    }

    /// The value that a share of `quantile` (0 to 1) of them does not exceed, to the width of a bucket.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((quantile * self.count() as f64).ceil() as u64).max(1);
        let mut below = 0;
        let reached = self.buckets.iter().position(|count| {
            below += count;
            below >= rank
        });
        reached.map_or(self.max(), |at| highest(at, self.shift).min(self.max()))
    }

    /// The buckets that are not empty, ascending: the highest value of each, and how many values it has.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let buckets = self.buckets.iter().enumerate().filter(|&(_, &count)| count > 0);
        buckets.map(|(at, &count)| (highest(at, self.shift), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let (counts, mut histogram) = (Latencies::default(), Latencies::empty());
        values.iter().for_each(|&value| counts.record(value));
        counts.add_to(&mut histogram);
        histogram
    }

    /// All magnitudes alike.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0_u32..64, any::<u64>()).prop_map(|(shift, value)| value >> shift), 1..300)
    }

    /// A recorded value may be told as the highest of its bucket.
    fn near(told: u64, exact: u64) -> bool {
        let exact = exact.min(Latencies::MOST);
        (exact..=exact + exact / 32 + 3).contains(&told)
    }

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        for (shift, last) in [(0, 287), (2, 974)] {
            for at in 0..last {
                assert_eq!((index(highest(at, shift), shift), index(highest(at, shift) + 1, shift)), (at, at + 1));
            }
        }
        assert_eq!((index(0, 2), Sizes::MOST), (0, 8191));
        assert!((100_000_000_000..102_000_000_000).contains(&Latencies::MOST));
    }

    proptest! {
        #[test]
        fn agrees_with_sorting_all_values(mut values in values(), quantile in 0.0_f64..=1.0) {
            let histogram = of(&values);
            let saturated: Vec<u64> = values.iter().map(|&value| value.min(Latencies::MOST)).collect();
            values.sort_unstable();
            let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
            prop_assert!(near(histogram.quantile(quantile), values[rank - 1]));
            prop_assert_eq!(histogram.count(), values.len() as u64);
            let (total, exact) = (histogram.total(), saturated.iter().sum::<u64>());
            prop_assert!(total.abs_diff(exact) <= exact / 64 + 2 * values.len() as u64, "{total} {exact}");
            prop_assert_eq!(Some(histogram.max()), saturated.iter().max().copied());
            prop_assert_eq!(histogram.quantile(1.0), histogram.max());
            prop_assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), histogram.count());
            for &(top, count) in &histogram.buckets().collect::<Vec<_>>() {
                let inside = saturated.iter().filter(|&&value| highest(index(value, 2), 2) == top).count();
                prop_assert_eq!(count, inside as u64);
            }
        }

        #[test]
        fn merging_is_recording_all(one in values(), other in values()) {
            let mut merged = of(&one);
            merged.add(&of(&other));
            prop_assert_eq!(merged, of(&[one, other].concat()));
        }

        #[test]
        fn what_came_before_a_reset_is_gone(before in values(), after in values()) {
            let mut since = of(&[before.clone(), after.clone()].concat());
            since.subtract(&of(&before));
            let alone = of(&after);
            prop_assert_eq!(&since.buckets, &alone.buckets);
            prop_assert_eq!((since.count(), since.mean()), (alone.count(), alone.mean()));
            prop_assert!(near(since.max(), alone.max()));
            prop_assert!(near(since.quantile(0.5), alone.quantile(0.5)));
        }
    }

    #[test]
    fn nothing_recorded_is_nothing_told() {
        let empty = Latencies::empty();
        assert_eq!((empty.count(), empty.mean(), empty.max(), empty.quantile(0.99)), (0, 0, 0, 0));
    }

    #[test]
    fn writers_do_not_share_a_cache_line() {
        assert!(align_of::<Latencies>() == 128 && size_of::<Latencies>().is_multiple_of(128));
    }
}
