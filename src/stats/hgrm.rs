//! The percentile format of HdrHistogram (`.hgrm`), which its plotters read.

use std::fmt::Write as _;

/// Steps for each halving of the distance to 100 %, as HdrHistogram's own writers have it.
const TICKS: f64 = 5.0;
/// The format's values are in microseconds here, ours in nanoseconds.
const UNIT: f64 = 1e3;

/// A distribution of (highest value of a bucket in nanoseconds, samples in it), ascending, with values in microseconds.
pub fn write(buckets: &[(u64, u64)]) -> String {
    let total: u64 = buckets.iter().map(|&(_, count)| count).sum();
    // Writing to a String cannot fail, here and below.
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let (mut percentile, mut below) = (0.0_f64, 0);
    for &(value, count) in buckets.iter().filter(|&&(_, count)| count > 0) {
        below += count;
        let reached = 100.0 * below as f64 / total as f64;
        let value = value as f64 / UNIT;
        while percentile <= reached && below < total {
            let part = percentile / 100.0;
            let _ = writeln!(text, "{value:12.3} {part:2.12} {below:10} {:14.2}", 1.0 / (1.0 - part));
            percentile = next(percentile);
        }
        if below == total {
            // The steps before 100 % that the last bucket takes in are one line, or they would never end.
            let _ = writeln!(text, "{value:12.3} {:2.12} {below:10}", 1.0);
        }
    }
    let _ = writeln!(text, "{}", summary(buckets, total));
    text
}

/// The steps get finer the nearer 100 % is.
fn next(percentile: f64) -> f64 {
    let halvings = (100.0 / (100.0 - percentile)).log2().floor() + 1.0;
    percentile + 100.0 / (TICKS * halvings.exp2())
}

fn summary(buckets: &[(u64, u64)], total: u64) -> String {
    let share = |count: u64| if total == 0 { 0.0 } else { count as f64 / total as f64 };
    let mean: f64 = buckets.iter().map(|&(value, count)| value as f64 / UNIT * share(count)).sum();
    let variance: f64 = buckets.iter().map(|&(value, count)| (value as f64 / UNIT - mean).powi(2) * share(count)).sum();
    let max = buckets.iter().rev().find(|&&(_, count)| count > 0).map_or(0.0, |&(value, _)| value as f64 / UNIT);
    format!(
        "#[Mean    = {mean:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {max:12.3}, Total count    = {total:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        variance.sqrt(),
        buckets.len(),
        1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value, percentile and count of each line.
    fn lines(text: &str) -> Vec<(f64, f64, u64)> {
        let lines = text.lines().skip(2).take_while(|line| !line.starts_with('#'));
        let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        fields.map(|f| (f[0].parse().unwrap(), f[1].parse().unwrap(), f[2].parse().unwrap())).collect()
    }

    #[test]
    fn every_line_is_a_true_statement() {
        // 1 us to 1,000 us, once each, and one straggler.
        let buckets: Vec<(u64, u64)> = (1..1000).map(|us| (us * 1000, 1)).chain([(5_000_000, 1)]).collect();
        let text = write(&buckets);
        let lines = lines(&text);
        assert!(lines.len() > 20, "{text}");
        for &(value, percentile, count) in &lines {
            let exact = buckets.iter().filter(|&&(ns, _)| ns as f64 / 1e3 <= value).count() as u64;
            assert_eq!(count, exact, "{text}");
            assert!(count as f64 >= percentile * 1000.0 - 1e-6, "{value} is reached by fewer\n{text}");
        }
        assert!(lines.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1), "{text}");
        assert_eq!(lines.last(), Some(&(5000.0, 1.0, 1000)));
        assert!(text.contains("#[Mean    =      504.500, StdDeviation   ="), "{text}");
        assert!(text.contains("#[Max     =     5000.000, Total count    =         1000]"), "{text}");
    }

    /// The steps of the original: 0, 10, ... 50, 55, ... 75, 77.5, ...
    #[test]
    fn steps_are_halved_with_the_distance() {
        let text = write(&(1..=10_000).map(|n| (n * 1000, 1)).collect::<Vec<_>>());
        let percentiles: Vec<f64> = lines(&text).iter().map(|&(_, percentile, _)| percentile).collect();
        let expected =
            [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.775, 0.8, 0.825, 0.85, 0.875, 0.8875];
        for (found, expected) in percentiles.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn the_ends_are_whole() {
        assert_eq!(lines(&write(&[])), []);
        assert!(write(&[]).contains("Total count    =            0]"));
        assert_eq!(lines(&write(&[(7000, 3), (9000, 0)])), [(7.0, 1.0, 3)]);
    }
}
