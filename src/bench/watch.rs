//! What the machine's CPUs did meanwhile.

use std::fs;

/// `/proc/stat` counts in hundredths of a second (USER_HZ) on all architectures that Rust runs Linux on.
pub const TICKS: f64 = 100.0;

/// The CPUs' time since boot, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    total: f64,
    busy: f64,
    steal: f64,
}

/// Parts of all CPU time (0 to 1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Taken by the hypervisor.
    pub steal: f64,
    /// Used by others than those who used `known`.
    pub others: f64,
}

impl Moment {
    /// Now. All zeros where there is no `/proc/stat`.
    pub fn now() -> Moment {
        fs::read_to_string("/proc/stat").ok().and_then(|text| Moment::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Moment> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<f64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // Guests' time is in user's and nice's already.
        let [user, nice, system, idle, iowait, irq, softirq, steal] = *fields.first_chunk()?;
        let busy = user + nice + system + irq + softirq;
        Some(Moment { total: busy + idle + iowait + steal, busy, steal })
    }

    /// What happened between two moments, of which `known` seconds of CPU are accounted for.
    pub fn until(self, later: Moment, known: f64) -> Shares {
        let total = later.total - self.total;
        if total <= 0.0 {
            return Shares::default();
        }
        let others = (later.busy - self.busy - known * TICKS) / total;
        Shares { steal: ((later.steal - self.steal) / total).clamp(0.0, 1.0), others: others.clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_time() {
        let before = Moment::parse("cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 1\n").expect("a line");
        let after = Moment::parse("cpu  150 0 130 1100 0 0 0 20 0 0\n").expect("a line");
        let shares = before.until(after, 0.6);
        assert_eq!(shares, Shares { steal: 0.1, others: 0.1 });
        assert_eq!(after.until(after, 0.0), Shares::default());
        assert_eq!(Moment::parse("cpu 1 2 3\n"), None);
    }
}
