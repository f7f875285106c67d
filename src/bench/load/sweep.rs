//! Raising the rate until the server no longer keeps up.

use super::measured::Measured;
use crate::bench::result::Load;
use crate::bench::stop::Stop;

/// What is to be known of a measurement at one rate.
pub trait Point {
    /// Operations a second that were answered.
    fn rate(&self) -> f64;
    /// Nanoseconds that this part of them (0 to 1) took at most.
    fn quantile(&self, part: f64) -> u64;
}

impl Point for Measured {
    fn rate(&self) -> f64 {
        Measured::rate(self)
    }

    fn quantile(&self, part: f64) -> u64 {
        Measured::quantile(self, part)
    }
}

/// The points of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep<P> {
    /// By rate, ascending.
    pub points: Vec<(Load, P)>,
    /// Of those, the last that kept up. None if none did.
    pub knee: Option<usize>,
}

/// The first rate, as a part of what a closed loop reaches.
const FIRST: f64 = 0.25;
/// From one rate to the next.
const STEP: f64 = 1.4;
/// At 1.4 each, 12 steps reach more than ten times the closed loop's rate: no server does.
const STEPS: usize = 12;
/// Between the last rate that was kept up and the first that was not.
const FINER: usize = 3;
/// So much of the rate must be reached.
const REACHED: f64 = 0.95;
/// p99 may grow to so many times what it was at the first rate,
const GROWTH: u64 = 10;
/// and is fine in any case below this, so that a few microseconds more are no knee.
const FINE: u64 = 1_000_000;

/// Raises the rate until the knee. `base_rate` is what a closed loop reaches; `measure` measures at a rate, or has it
/// end there.
pub fn search<P: Point>(
    clients: u32,
    base_rate: f64,
    stop: &Stop,
    mut measure: impl FnMut(f64) -> Option<P>,
) -> Sweep<P> {
    let mut found = Found { points: Vec::new(), limit: FINE };
    let mut rate = base_rate * FIRST;
    let (mut good, mut bad) = (None, None);
    for _ in 0..STEPS {
        match found.try_rate(rate, stop, &mut measure) {
            Some(true) => good = Some(rate),
            Some(false) => bad = Some(rate),
            None => break,
        }
        if bad.is_some() {
            break;
        }
        rate *= STEP;
    }
    if let (Some(good), Some(bad)) = (good, bad) {
        for step in 1..=FINER {
            let part = step as f64 / (FINER + 1) as f64;
            let rate = good * f64::powf(bad / good, part);
            // The rates beyond are worse still.
            if found.try_rate(rate, stop, &mut measure) != Some(true) {
                break;
            }
        }
    }
    found.sweep(clients)
}

struct Found<P> {
    points: Vec<(f64, P, bool)>,
    /// p99 beyond this is no keeping up.
    limit: u64,
}

impl<P: Point> Found<P> {
    /// Whether the server keeps up; None if that was not measured.
    fn try_rate(&mut self, rate: f64, stop: &Stop, measure: &mut impl FnMut(f64) -> Option<P>) -> Option<bool> {
        if stop.is_set() {
            return None;
        }
        let measured = measure(rate).filter(|_| !stop.is_set())?;
        let p99 = measured.quantile(0.99);
        if self.points.is_empty() {
            self.limit = FINE.max(p99.saturating_mul(GROWTH));
        }
        let kept_up = measured.rate() >= rate * REACHED && p99 <= self.limit;
        self.points.push((rate, measured, kept_up));
        Some(kept_up)
    }

    fn sweep(mut self, clients: u32) -> Sweep<P> {
        self.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // What lies beyond the first that did not keep up is luck.
        let good = self.points.iter().take_while(|(_, _, kept_up)| *kept_up).count();
        let point = |(rate, measured, _)| (Load::Open { clients, rate }, measured);
        Sweep { points: self.points.into_iter().map(point).collect(), knee: good.checked_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::measured::Record;
    use std::time::Duration;

    /// A server that keeps up with `capacity` requests a second in `quiet` each.
    fn server(capacity: f64, quiet: Duration) -> impl FnMut(f64) -> Option<Measured> {
        move |rate| {
            let mut record = Record::new().expect("a record");
            let reached = rate.min(capacity);
            for _ in 0..reached as u64 {
                record.answered(if rate > capacity { quiet * 1000 } else { quiet }, Ok(0));
            }
            Some(record.measured(Duration::from_secs(1), 0))
        }
    }

    fn rates(sweep: &Sweep<Measured>) -> Vec<f64> {
        let rate = |load: &Load| if let Load::Open { rate, .. } = load { *rate } else { f64::NAN };
        sweep.points.iter().map(|(load, _)| rate(load)).collect()
    }

    #[test]
    fn the_knee_is_found_to_a_tenth() {
        for capacity in [3_000.0, 8_000.0, 11_000.0, 20_000.0] {
            let measure = server(capacity, Duration::from_micros(100));
            let sweep = search(1, 10_000.0, &Stop::new(), measure);
            let rates = rates(&sweep);
            assert!(rates.is_sorted(), "{rates:?}");
            let knee = rates[sweep.knee.expect("a knee")];
            assert!(knee <= capacity && knee > capacity * 0.9, "{knee} of {capacity}");
        }
    }

    #[test]
    fn a_server_that_never_keeps_up_has_no_knee_and_one_that_always_does_ends() {
        let slow = search(1, 10_000.0, &Stop::new(), server(10.0, Duration::from_micros(100)));
        assert_eq!((slow.points.len(), slow.knee), (1, None));
        let fast = search(1, 100.0, &Stop::new(), server(1e9, Duration::from_micros(100)));
        assert_eq!((fast.points.len(), fast.knee), (STEPS, Some(STEPS - 1)));
    }

    #[test]
    fn late_answers_are_no_keeping_up_though_the_rate_is_reached() {
        let quiet = Duration::from_micros(200);
        let measure = |rate: f64| {
            let mut record = Record::new().ok()?;
            (0..rate as u64).for_each(|_| _ = record.answered(if rate > 8_000.0 { quiet * 20 } else { quiet }, Ok(0)));
            Some(record.measured(Duration::from_secs(1), 0))
        };
        let sweep = search(1, 10_000.0, &Stop::new(), measure);
        let knee = rates(&sweep)[sweep.knee.expect("a knee")];
        assert!((7_000.0..=8_000.0).contains(&knee), "{knee}");
    }

    #[test]
    fn the_end_keeps_what_was_measured() {
        let stop = Stop::new();
        let mut left = 3;
        let mut inner = server(1e9, Duration::from_micros(100));
        let measure = |rate| {
            left -= 1;
            if left == 0 {
                stop.set();
            }
            inner(rate)
        };
        assert_eq!(search(1, 10_000.0, &stop, measure).points.len(), 2);
    }
}
