//! Distributions as HdrHistogram's plotters and scripts read them (`.hgrm`).

use std::fmt::{self, Write};

/// Lines for each halving of the distance to 100 %, as HdrHistogram's own tools have it.
const TICKS: f64 = 5.0;

/// Writes a distribution, given in nanoseconds as (highest value of a bucket, samples) in ascending order, in
/// HdrHistogram's percentile format, with values in microseconds.
pub fn write(out: &mut impl Write, buckets: &[(u64, u64)]) -> fmt::Result {
    let total: u64 = buckets.iter().map(|&(_, count)| count).sum();
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let (mut below, mut percentile) = (0, 0.0_f64);
    for &(value, count) in buckets {
        below += count;
        while below < total && below as f64 / total as f64 >= percentile {
            let distance = 1.0 / (1.0 - percentile);
            writeln!(out, "{:12.3} {percentile:2.12} {below:10} {distance:14.2}", microseconds(value))?;
            percentile += 1.0 / (TICKS * 2.0_f64.powf(distance.log2().floor() + 1.0));
        }
    }
    let max = buckets.last().map_or(0, |&(value, _)| value);
    if total > 0 {
        writeln!(out, "{:12.3} {:2.12} {total:10}", microseconds(max), 1.0)?;
    }
    let (mean, deviation) = moments(buckets, total);
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(out, "#[Max     = {:12.3}, Total count    = {total:12}]", microseconds(max))?;
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", buckets.len(), 1)
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// Mean and standard deviation, in microseconds.
fn moments(buckets: &[(u64, u64)], total: u64) -> (f64, f64) {
    let mean_of = |f: &dyn Fn(f64) -> f64| {
        let sum: f64 = buckets.iter().map(|&(value, count)| f(microseconds(value)) * count as f64).sum();
        sum / total.max(1) as f64
    };
    let mean = mean_of(&|value| value);
    (mean, mean_of(&|value| (value - mean).powi(2)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(buckets: &[(u64, u64)]) -> String {
        let mut out = String::new();
        write(&mut out, buckets).unwrap();
        out
    }

    /// The lines of figures, as (value, percentile, count).
    fn rows(text: &str) -> Vec<(f64, f64, u64)> {
        text.lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn each_line_is_a_percentile_of_the_samples() {
        let samples: Vec<u64> = (1..=1000).map(|n| n * 1000).collect();
        let buckets: Vec<(u64, u64)> = samples.iter().map(|&ns| (ns, 1)).collect();
        let text = written(&buckets);
        let rows = rows(&text);
        for &(value, percentile, count) in &rows {
            let exact = samples[((percentile * 1000.0).ceil().max(1.0) as usize) - 1] as f64 / 1e3;
            assert!((value - exact).abs() <= 1.0, "{value} at {percentile}, not {exact}");
            assert_eq!(count as f64, value);
        }
        assert!(rows.is_sorted_by(|a, b| a.1 < b.1), "{text}");
        assert_eq!(rows.last(), Some(&(1000.0, 1.0, 1000)));
        assert!(text.contains("#[Mean    =      500.500, StdDeviation   =      288.675]"), "{text}");
        assert!(text.contains("#[Max     =     1000.000, Total count    =         1000]"), "{text}");
    }

    #[test]
    fn one_sample_and_none_are_written_too() {
        assert_eq!(rows(&written(&[(2500, 1)])), [(2.5, 1.0, 1)]);
        assert_eq!(rows(&written(&[])), []);
        assert!(written(&[]).contains("Total count    =            0"));
    }
}
