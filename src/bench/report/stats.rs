//! Medians, ratios and what they are worth.
//!
//! A figure of a cell is the median over its rounds. Targets are compared round by round: round 3 of one is divided by
//! round 3 of the base, which ran just before or after it, so that what slowed the machine meanwhile slowed both. The
//! ratio shown is the median of those, and its interval is a percentile bootstrap: rounds are drawn with replacement
//! [`RESAMPLES`] times, and 95 % of the medians of the draws lie in it. Few rounds make few different medians: with five
//! or less the interval is nearly the range of what was measured, and with one there is none. The draws are seeded, so
//! that a report made twice says the same.
//!
//! Percentiles are of all samples of all rounds together.

use serde::Serialize;

use crate::bench::result::{Load, Round};

/// How many times the bootstrap draws.
pub const RESAMPLES: usize = 4000;

/// A figure and what else it may be, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Interval {
    pub low: f64,
    pub mid: f64,
    pub high: f64,
}

/// The figure of a round by which targets are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Operations a second, for clients that ask as fast as they get answers.
    Rate,
    /// The median latency, where the rate is given.
    Latency,
}

impl Measure {
    /// The one that tells something under `load`.
    pub fn of(load: &Load) -> Measure {
        match load {
            Load::Open { .. } => Measure::Latency,
            Load::Closed { .. } | Load::Depth { .. } | Load::Job => Measure::Rate,
        }
    }

    /// What it was in `round`; nothing if nothing was answered well.
    pub fn in_round(self, round: &Round) -> Option<f64> {
        match self {
            Measure::Rate => rate(round),
            Measure::Latency => Distribution::of([round]).quantile(0.5).map(|ns| ns as f64),
        }
    }
}

/// Operations a second that were answered well.
pub fn rate(round: &Round) -> Option<f64> {
    let rate = round.operations as f64 / round.seconds;
    (rate > 0.0 && rate.is_finite()).then_some(rate)
}

/// The middle value, or the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    median_in(&mut values.to_vec())
}

fn median_in(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}

/// The ratios of `rounds` to the same rounds of `base`. A round that either lacks has none.
pub fn ratios(measure: Measure, rounds: &[Round], base: &[Round]) -> Vec<f64> {
    let pairs = rounds.iter().zip(base);
    pairs.filter_map(|(round, base)| Some(measure.in_round(round)? / measure.in_round(base)?)).collect()
}

/// The median and its bootstrap interval, which one value does not have.
pub fn bootstrap(values: &[f64], seed: u64) -> Option<Interval> {
    let mid = median(values)?;
    if values.len() < 2 {
        return None;
    }
    let mut random = Random::new(seed);
    let mut draw = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            draw.fill_with(|| values[random.below(values.len())]);
            median_in(&mut draw)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize];
    Some(Interval { low: at(0.025), mid, high: at(0.975) })
}

/// SplitMix64: small, good enough to draw rounds, and the same everywhere.
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to `n`, without `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

/// The samples of some rounds: (highest value of a bucket, samples up to and with it), ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    cumulative: Vec<(u64, u64)>,
}

impl Distribution {
    /// The samples of all of them together.
    pub fn of<'a>(rounds: impl IntoIterator<Item = &'a Round>) -> Distribution {
        let mut buckets: Vec<(u64, u64)> = rounds.into_iter().flat_map(|round| round.latency.iter().copied()).collect();
        buckets.sort_unstable();
        let mut cumulative: Vec<(u64, u64)> = Vec::with_capacity(buckets.len());
        let mut total = 0_u64;
        for (value, samples) in buckets.into_iter().filter(|&(_, samples)| samples > 0) {
            total = total.saturating_add(samples);
            match cumulative.last_mut() {
                Some(last) if last.0 == value => last.1 = total,
                _ => cumulative.push((value, total)),
            }
        }
        Distribution { cumulative }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.cumulative.last().map_or(0, |&(_, total)| total)
    }

    /// The nanoseconds that a share of `quantile` (0 to 1) did not exceed. Nothing if there are too few samples for
    /// one of them to lie above it.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        if count as f64 * (1.0 - quantile) < 1.0 - 1e-9 && quantile > 0.5 {
            return None;
        }
        let rank = ((count as f64 * quantile).ceil() as u64).max(1);
        let at = self.cumulative.partition_point(|&(_, below)| below < rank);
        self.cumulative.get(at).map(|&(value, _)| value)
    }

    /// The longest, in nanoseconds.
    pub fn max(&self) -> Option<u64> {
        self.cumulative.last().map(|&(value, _)| value)
    }

    /// (value, samples) as they came, merged.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let mut before = 0;
        let samples = |&(value, below): &(u64, u64)| (value, below - std::mem::replace(&mut before, below));
        self.cumulative.iter().map(samples).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(operations: u64, seconds: f64, latency: &[(u64, u64)]) -> Round {
        Round { operations, seconds, latency: latency.to_vec(), ..Round::default() }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds = |rates: &[u64]| rates.iter().map(|&rate| round(rate, 1.0, &[])).collect::<Vec<_>>();
        // The machine halves and doubles; the target is at a quarter of the base all the time.
        let (target, base) = (rounds(&[100, 50, 200]), rounds(&[400, 200, 800]));
        assert_eq!(ratios(Measure::Rate, &target, &base), [0.25; 3]);
        assert_eq!(ratios(Measure::Rate, &target[..2], &base), [0.25; 2]);
        assert_eq!(ratios(Measure::Rate, &rounds(&[100, 0]), &base), [0.25]);
        assert_eq!(rate(&round(5, 0.0, &[])), None);
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut random = Random::new(7);
        let mut covered = 0;
        for seed in 0..200 {
            // Skewed, with a median of 1.
            let values: Vec<f64> = (0..21).map(|_| (2.0 * (random.unit() - 0.5)).exp()).collect();
            let interval = bootstrap(&values, seed).unwrap();
            assert!(interval.low <= interval.mid && interval.mid <= interval.high);
            covered += u32::from(interval.low <= 1.0 && 1.0 <= interval.high);
        }
        assert!((180..=199).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn the_interval_is_the_same_each_time_and_narrows_with_rounds() {
        let values = |n: usize| (0..n).map(|i| 1.0 + (i * 7 % n) as f64 / n as f64).collect::<Vec<_>>();
        assert_eq!(bootstrap(&values(9), 1), bootstrap(&values(9), 1));
        let width = |n| bootstrap(&values(n), 1).map(|interval| interval.high - interval.low).unwrap();
        assert!(width(100) < width(10) / 2.0);
        assert_eq!(bootstrap(&[1.0], 1), None);
        assert_eq!(bootstrap(&[2.0; 4], 1), Some(Interval { low: 2.0, mid: 2.0, high: 2.0 }));
    }

    #[test]
    fn quantiles_are_those_of_all_samples() {
        let mut random = Random::new(3);
        let mut samples: Vec<u64> = (0..5000).map(|_| 100 + 10 * random.below(1000) as u64).collect();
        let rounds: Vec<Round> = samples
            .chunks(1000)
            .map(|part| {
                let mut part = part.to_vec();
                part.sort_unstable();
                let buckets = part.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64));
                Round { latency: buckets.collect(), ..Round::default() }
            })
            .collect();
        samples.sort_unstable();
        let all = Distribution::of(&rounds);
        assert_eq!(all.count(), 5000);
        for quantile in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999] {
            let rank = ((quantile * 5000.0_f64).ceil() as usize).max(1);
            assert_eq!(all.quantile(quantile), Some(samples[rank - 1]), "{quantile}");
        }
        assert_eq!(all.max(), samples.last().copied());
        let merged: u64 = all.buckets().iter().map(|&(_, samples)| samples).sum();
        assert_eq!((merged, Distribution::of(&[round(0, 1.0, &all.buckets())])), (5000, all));
    }

    #[test]
    fn a_percentile_beyond_the_samples_is_not_made_up() {
        let some = Distribution::of(&[round(100, 1.0, &[(10, 99), (20, 1)])]);
        assert_eq!((some.quantile(0.99), some.quantile(0.999), some.max()), (Some(10), None, Some(20)));
        let one = Distribution::of(&[round(1, 1.0, &[(10, 1)])]);
        assert_eq!((one.quantile(0.5), one.quantile(0.99)), (Some(10), None));
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
