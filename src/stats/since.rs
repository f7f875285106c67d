//! What happened between two looks at a mount.

use std::collections::BTreeMap;

use super::doc::{Document, Latency, Operation, Work};

impl Document {
    /// What came after `earlier`, a document of the same mount; what it holds is as of now. If the figures began anew
    /// meanwhile, it is all that came since then.
    pub fn since(&self, earlier: &Document) -> Document {
        let before = |now: &Operation| earlier.operations.iter().find(|then| then.op == now.op);
        let anew = self.mount.pid != earlier.mount.pid
            || self.seconds < earlier.seconds
            || self.operations.iter().any(|now| before(now).is_some_and(|then| now.count < then.count));
        if anew {
            return self.clone();
        }
        let operations = self.operations.iter().map(|now| match before(now) {
            Some(then) => now.since(then),
            None => now.clone(),
        });
        Document {
            seconds: self.seconds - earlier.seconds,
            operations: operations.filter(|operation| operation.count > 0).collect(),
            work: self.work.since(&earlier.work),
            ..self.clone()
        }
    }
}

impl Operation {
    fn since(&self, then: &Operation) -> Operation {
        let nothing = Latency::default();
        let errors = self.errors.iter().map(|(name, now)| {
            let before = then.errors.get(name).copied().unwrap_or(0);
            (name.clone(), now.saturating_sub(before))
        });
        let phases = self.phases.iter().map(|(name, now)| {
            let before = then.phases.get(name).unwrap_or(&nothing);
            (name.clone(), now.since(before))
        });
        Operation {
            op: self.op.clone(),
            count: self.count.saturating_sub(then.count),
            bytes: self.bytes.saturating_sub(then.bytes),
            errors: errors.filter(|&(_, count)| count > 0).collect(),
            latency: self.latency.since(&then.latency),
            phases: phases.filter(|(_, latency)| latency.total > 0).collect(),
        }
    }
}

impl Latency {
    fn since(&self, then: &Latency) -> Latency {
        let total = self.total.saturating_sub(then.total);
        Latency::of(difference(&self.buckets, &then.buckets), total)
    }

    /// Of samples in buckets that took `total` together: quantiles are the highest values of their buckets.
    pub fn of(buckets: Vec<(u64, u64)>, total: u64) -> Latency {
        let count: u64 = buckets.iter().map(|&(_, count)| count).sum();
        let at = |quantile: f64| {
            let rank = ((count as f64 * quantile).ceil() as u64).max(1);
            let mut below = 0;
            let reached = buckets.iter().find(|&&(_, count)| {
                below += count;
                below >= rank
            });
            reached.map_or(0, |&(value, _)| value)
        };
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        let max = buckets.last().map_or(0, |&(value, _)| value);
        Latency { count, total, mean: total / count.max(1), p50, p90, p99, p999, max, buckets }
    }

    /// The distribution of the samples of all.
    pub fn merged<'a>(all: impl Iterator<Item = &'a Latency>) -> Latency {
        let (mut buckets, mut total, mut max) = (BTreeMap::new(), 0, 0);
        for one in all {
            total += one.total;
            max = max.max(one.max);
            one.buckets.iter().for_each(|&(value, count)| *buckets.entry(value).or_insert(0) += count);
        }
        // Theirs may be exact, where a bucket is not.
        Latency { max, ..Latency::of(buckets.into_iter().collect(), total) }
    }
}

impl Work {
    fn since(&self, then: &Work) -> Work {
        Work {
            depth: difference(&self.depth, &then.depth),
            batches: difference(&self.batches, &then.batches),
            inline: self.inline.saturating_sub(then.inline),
            ring: self.ring.saturating_sub(then.ring),
            helper: self.helper.saturating_sub(then.helper),
            punted: self.punted.saturating_sub(then.punted),
            anchor_hits: self.anchor_hits.saturating_sub(then.anchor_hits),
            anchor_misses: self.anchor_misses.saturating_sub(then.anchor_misses),
            evicted: self.evicted.saturating_sub(then.evicted),
            pages_kept: self.pages_kept.saturating_sub(then.pages_kept),
            pages_dropped: self.pages_dropped.saturating_sub(then.pages_dropped),
        }
    }
}

/// The buckets of `now` without what was in those of `then`.
fn difference(now: &[(u64, u64)], then: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let then: BTreeMap<u64, u64> = then.iter().copied().collect();
    let left = now.iter().map(|&(value, count)| (value, count.saturating_sub(then.get(&value).copied().unwrap_or(0))));
    left.filter(|&(_, count)| count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::doc::samples;
    use super::*;

    #[test]
    fn only_what_came_later_is_left() {
        let then = samples::busy();
        let mut now = then.clone();
        now.seconds += 2.0;
        let read = now.operations.iter_mut().find(|operation| operation.op == "READ").expect("there");
        let latency = read.latency.clone();
        read.count += 10;
        read.bytes += 4096;
        *read.errors.entry("EIO".to_owned()).or_insert(0) += 1;
        read.latency =
            Latency::merged([&latency, &Latency::of(vec![(70_000, 9), (900_000, 1)], 1_500_000)].into_iter());
        now.work.punted += 3;
        let since = now.since(&then);
        assert_eq!(since.operations.len(), 1, "{since:?}");
        let read = &since.operations[0];
        assert_eq!((read.op.as_str(), read.count, read.bytes), ("READ", 10, 4096));
        assert_eq!(read.errors, BTreeMap::from([("EIO".to_owned(), 1)]));
        let latency = &read.latency;
        assert_eq!((latency.count, latency.total, latency.mean), (10, 1_500_000, 150_000));
        assert_eq!((latency.p50, latency.p90, latency.p99, latency.max), (70_000, 70_000, 900_000, 900_000));
        assert_eq!((since.work.punted, since.work.inline), (3, 0));
        assert!((since.seconds - 2.0).abs() < 1e-9);
        assert_eq!(since.holds, now.holds);
        assert!(then.since(&then).operations.is_empty());
    }

    #[test]
    fn figures_that_began_anew_are_whole() {
        let then = samples::busy();
        let mut now = then.clone();
        now.seconds = 0.5;
        now.operations.truncate(1);
        now.operations[0].count = 1;
        assert_eq!(now.since(&then), now);
        // Long ago, so that the time says nothing.
        now.seconds = then.seconds + 1.0;
        assert_eq!(now.since(&then), now);
    }
}
