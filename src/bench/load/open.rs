//! The open loop: requests arrive at a constant rate, whether or not answers come.
//!
//! The latency of a request counts from the moment at which it was to arrive, not from that at which a client had time
//! for it. So a server that stalls for a second is charged with every request that came in that second, as its users
//! would charge it; a closed loop sends it a single one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::measured::{Ran, Record};
use super::threads::{Together, look_back, together};
use crate::bench::stop::Stop;
use crate::bench::workload::operation::{Clients, Operation};
use crate::sys::load::sharpen_sleep;

/// What `Instant` can tell apart.
const FASTEST: f64 = 1e9;
/// The last part of a wait is spent looking at the clock, because a sleep may end late by about that much.
const SPIN: Duration = Duration::from_micros(50);
/// Nobody sleeps longer without a look at `Stop`.
const NAP: Duration = Duration::from_millis(100);
/// Arrivals that were never begun are written down in so many groups at most.
const GROUPS: u64 = 10_000;

/// When requests arrive, and which was taken last.
struct Schedule {
    interval: f64,
    total: u64,
    next: AtomicU64,
    /// A client has nothing left to ask for: no more arrive.
    exhausted: AtomicBool,
}

impl Schedule {
    fn new(rate: f64, duration: Duration) -> Result<Schedule, String> {
        if !(rate > 0.0 && rate <= FASTEST) {
            return Err(format!("{rate} is no rate: more than 0 and at most {FASTEST} a second"));
        }
        let total = (rate * duration.as_secs_f64()).ceil() as u64;
        Ok(Schedule { interval: 1.0 / rate, total, next: AtomicU64::new(0), exhausted: AtomicBool::new(false) })
    }

    /// How long after the beginning arrival `number` comes.
    fn at(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 * self.interval)
    }

    fn take(&self) -> Option<Duration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then(|| self.at(number))
    }

    /// Writes down those that were due by `end` and never begun; how many there are.
    fn note_late(&self, end: Duration, record: &mut Record) -> u64 {
        let first = self.next.load(Ordering::Relaxed).min(self.total);
        let late = self.total - first;
        if self.exhausted.load(Ordering::Relaxed) || late == 0 {
            return 0;
        }
        let group = late.div_ceil(GROUPS);
        for start in (first..self.total).step_by(group as usize) {
            // As if all came when the last of its group did: never more than they have waited.
            let last = (start + group).min(self.total) - 1;
            record.waited(end.saturating_sub(self.at(last)), last - start + 1);
        }
        late
    }
}

/// `clients` of `source` take `rate` requests a second together, for `duration`.
pub fn run(source: &dyn Clients, clients: u32, rate: f64, duration: Duration, stop: &Stop) -> Result<Ran, String> {
    let schedule = Schedule::new(rate, duration)?;
    let Together { began, ended, mut record, clients } = together(source, clients, |began, operation, record| {
        // Without it, latencies of a quiet server are some 50 us longer.
        let _ = sharpen_sleep();
        ask(operation, record, &schedule, began, duration, stop);
    })?;
    let late = if stop.is_set() { 0 } else { schedule.note_late((ended - began).max(duration), &mut record) };
    Ok(Ran { measured: record.measured(ended - began, late), look_back: look_back(clients) })
}

fn ask(
    operation: &mut dyn Operation,
    record: &mut Record,
    schedule: &Schedule,
    began: Instant,
    duration: Duration,
    stop: &Stop,
) {
    while began.elapsed() < duration && !schedule.exhausted.load(Ordering::Relaxed) {
        if !operation.next() {
            schedule.exhausted.store(true, Ordering::Relaxed);
            return;
        }
        let Some(due) = schedule.take().map(|after| began + after) else { return };
        if !wait_until(due, stop) {
            return;
        }
        let answer = operation.run();
        if record.answered(due.elapsed(), answer) {
            record.wrong_if(operation.check());
        }
    }
}

/// False if the end was asked for.
fn wait_until(due: Instant, stop: &Stop) -> bool {
    loop {
        if stop.is_set() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left <= SPIN {
            break;
        }
        thread::sleep((left - SPIN).min(NAP));
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_begun_has_waited() {
        let schedule = Schedule::new(1000.0, Duration::from_secs(10)).expect("a rate");
        assert_eq!(schedule.total, 10_000);
        schedule.next.store(5_000, Ordering::Relaxed);
        let mut record = Record::new().expect("a record");
        assert_eq!(schedule.note_late(Duration::from_secs(12), &mut record), 5_000);
        let measured = record.measured(Duration::from_secs(12), 5_000);
        assert_eq!((measured.operations, measured.latency.len()), (0, 5_000));
        let seconds = |quantile| measured.quantile(quantile) as f64 / 1e9;
        assert!((seconds(0.0) - 2.0).abs() < 0.02, "{}", seconds(0.0));
        assert!((seconds(0.5) - 4.5).abs() < 0.02, "{}", seconds(0.5));
        assert!((seconds(1.0) - 7.0).abs() < 0.02, "{}", seconds(1.0));
    }

    #[test]
    fn millions_that_were_never_begun_are_counted_in_groups() {
        let schedule = Schedule::new(1e9, Duration::from_secs(60)).expect("a rate");
        let mut record = Record::new().expect("a record");
        let late = schedule.note_late(Duration::from_secs(60), &mut record);
        assert_eq!(late, 60_000_000_000);
        assert_eq!(record.measured(Duration::from_secs(60), late).latency.len(), late);
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert!(Schedule::new(rate, Duration::from_secs(1)).is_err(), "{rate}");
        }
    }

    #[test]
    fn a_wait_ends_on_time_or_when_it_is_told() {
        let due = Instant::now() + Duration::from_millis(30);
        assert!(wait_until(due, &Stop::new()));
        assert!(Instant::now() >= due);
        let stop = Stop::new();
        stop.set();
        assert!(!wait_until(Instant::now() + Duration::from_secs(3600), &stop));
    }
}
