//! The table of latencies.

use std::fmt;
use std::time::Duration;

use super::OpKind;
use super::buckets::Histogram;
use super::phase::Phase;
use super::snapshot::{Snapshot, Tally};

const HEADINGS: [&str; 9] = ["count", "errors", "bytes", "mean", "p50", "p90", "p99", "p99.9", "max"];

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "operation", HEADINGS)?;
        for &kind in OpKind::ALL {
            if let Some(tally) = self.get(kind) {
                write_tally(f, kind.name(), tally)?;
            }
        }
        write_tally(f, "total", &self.total())
    }
}

fn write_tally(f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally) -> fmt::Result {
    writeln!(f)?;
    write_row(f, name, cells(tally.latency(), tally.errors().to_string(), tally.bytes().to_string()))?;
    for phase in Phase::ALL {
        if let Some(spent) = tally.phase(phase) {
            writeln!(f)?;
            write_row(f, &format!("  {}", phase.name()), cells(spent, "-".to_owned(), "-".to_owned()))?;
        }
    }
    Ok(())
}

fn cells(latency: &Histogram, errors: String, bytes: String) -> [String; HEADINGS.len()] {
    let human = |nanoseconds| human(Duration::from_nanos(nanoseconds));
    let quantile = |quantile| human(latency.quantile(quantile));
    [
        latency.count().to_string(),
        errors,
        bytes,
        human(latency.mean()),
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
}
