//! Merged samples, and the table that shows them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::OpKind;

/// Latencies are kept from 100 ns to 100 s, to two significant digits, in 23 KiB; longer ones count as 100 s.
const LOWEST: u64 = 100;
const HIGHEST: u64 = 100_000_000_000;
const DIGITS: u8 = 2;

/// The samples of one kind of operation.
#[derive(Clone)]
pub struct Tally {
    nanoseconds: Histogram<u64>,
    errors: u64,
    bytes: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        let nanoseconds = Histogram::new_with_bounds(LOWEST, HIGHEST, DIGITS)
            .unwrap_or_else(|error| unreachable!("the bounds are constants: {error:?}"));
        Tally { nanoseconds, errors: 0, bytes: 0 }
    }
}

impl Tally {
    pub(super) fn record(&mut self, latency: Duration, failed: bool, bytes: u64) {
        self.nanoseconds.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.errors += u64::from(failed);
        self.bytes += bytes;
    }

    fn add(&mut self, other: &Tally) {
        let added = self.nanoseconds.add(&other.nanoseconds);
        added.unwrap_or_else(|error| unreachable!("all histograms have the same bounds: {error:?}"));
        self.errors += other.errors;
        self.bytes += other.bytes;
    }

    /// Operations, failed ones included.
    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// Operations that were answered with an errno.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Bytes of file data read or written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The mean latency.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.mean() as u64)
    }

    /// The latency that a share of `quantile` (0 to 1) of all operations did not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.nanoseconds.value_at_quantile(quantile))
    }
}

/// The samples of all workers up to one moment. [`fmt::Display`] gives the table.
#[derive(Clone)]
pub struct Snapshot {
    tallies: [Option<Box<Tally>>; OpKind::COUNT],
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot { tallies: [const { None }; OpKind::COUNT] }
    }
}

impl Snapshot {
    /// The samples of `kind`, if there are any.
    pub fn get(&self, kind: OpKind) -> Option<&Tally> {
        self.tallies[kind as usize].as_deref()
    }

    /// The samples of all kinds together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.tallies.iter().flatten().for_each(|tally| total.add(tally));
        total
    }

    pub(super) fn add(&mut self, kind: OpKind, tally: &Tally) {
        self.tallies[kind as usize].get_or_insert_default().add(tally);
    }
}

const HEADINGS: [&str; 9] = ["count", "errors", "bytes", "mean", "p50", "p90", "p99", "p99.9", "max"];

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "operation", HEADINGS)?;
        for &kind in OpKind::ALL {
            if let Some(tally) = self.get(kind) {
                writeln!(f)?;
                write_row(f, kind.name(), cells(tally))?;
            }
        }
        writeln!(f)?;
        write_row(f, "total", cells(&self.total()))
    }
}

fn cells(tally: &Tally) -> [String; HEADINGS.len()] {
    let quantile = |quantile| human(tally.quantile(quantile));
    [
        tally.count().to_string(),
        tally.errors().to_string(),
        tally.bytes().to_string(),
        human(tally.mean()),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
    ]
}

fn write_row<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, cells: [T; HEADINGS.len()]) -> fmt::Result {
    write!(f, "{name:<15}")?;
    for (cell, heading) in cells.iter().zip(HEADINGS) {
        let width = match heading {
            "count" => 12,
            "bytes" => 17,
            _ => 9,
        };
        write!(f, " {cell:>width$}")?;
    }
    Ok(())
}

/// Three significant digits and a unit: `640ns`, `12.3us`, `4.56ms`, `99.0s`.
pub fn human(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos() as f64;
    let (scale, unit) = match nanoseconds {
        // The bounds are where rounding to three digits reaches the next unit.
        n if n < 999.5 => return format!("{n:.0}ns"),
        n if n < 999.5e3 => (1e3, "us"),
        n if n < 999.5e6 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = nanoseconds / scale;
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that spread over all magnitudes from 100 ns to 100 s.
    fn samples(count: usize) -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count).map(|_| 10_u64.pow(2 + (next() % 9) as u32) * (100 + next() % 900) / 100).collect()
    }

    #[test]
    fn agrees_with_sorting_all_samples() {
        let mut sorted = samples(10_000);
        let mut tally = Tally::default();
        sorted.iter().for_each(|&ns| tally.record(Duration::from_nanos(ns), false, 1));
        sorted.sort_unstable();

        let within = |got: Duration, exact: u64| {
            let (got, exact) = (got.as_nanos() as f64, exact as f64);
            assert!((got - exact).abs() <= exact * 0.01 + 64.0, "got {got}, exact {exact}");
        };
        for quantile in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0_f64] {
            let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
            within(tally.quantile(quantile), sorted[rank - 1].min(HIGHEST));
        }
        let saturated: u128 = sorted.iter().map(|&ns| u128::from(ns.min(HIGHEST))).sum();
        within(tally.mean(), (saturated / sorted.len() as u128) as u64);
        assert_eq!((tally.count(), tally.bytes()), (10_000, 10_000));
    }

    #[test]
    fn extremes_saturate() {
        let mut tally = Tally::default();
        tally.record(Duration::ZERO, true, 0);
        tally.record(Duration::MAX, true, 0);
        assert_eq!((tally.count(), tally.errors()), (2, 2));
        assert!(tally.quantile(1.0) >= Duration::from_secs(99));
        assert!(tally.quantile(1.0) <= Duration::from_secs(101));
    }

    #[test]
    fn durations_keep_three_digits_and_carry_into_the_next_unit() {
        let shown = |ns| human(Duration::from_nanos(ns));
        assert_eq!(shown(0), "0ns");
        assert_eq!(shown(640), "640ns");
        assert_eq!(shown(12_345), "12.3us");
        assert_eq!(shown(999_499), "999us");
        assert_eq!(shown(999_500), "1.00ms");
        assert_eq!(shown(9_994), "9.99us");
        assert_eq!(shown(9_995), "10.0us");
        assert_eq!(shown(99_950_000), "100ms");
        assert_eq!(shown(100_000_000_000), "100s");
    }

    #[test]
    fn the_table_is_aligned_and_shows_what_happened() {
        let mut snapshot = Snapshot::default();
        let mut tally = Tally::default();
        tally.record(Duration::from_micros(12), true, 4096);
        snapshot.add(OpKind::CopyFileRange, &tally);
        snapshot.add(OpKind::Read, &tally);
        let table = snapshot.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{table}");
        assert!(lines[1].starts_with("READ ") && lines[1].contains("12.0us"), "{table}");
        assert!(lines[3].starts_with("total ") && lines[3].contains("8192"), "{table}");
    }
}
