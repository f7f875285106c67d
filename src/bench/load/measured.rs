//! What is written down while a load runs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::protocol::Errno;

/// What one round has found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations that were answered.
    pub operations: u64,
    /// Bytes of file data.
    pub bytes: u64,
    /// Answers with an errno, by its name.
    pub errors: BTreeMap<String, u64>,
    /// What it took.
    pub seconds: f64,
    /// Nanoseconds an operation.
    pub latency: Histogram<u64>,
    /// What was answered, but not as it should have been: the first few in words, then how many more.
    pub wrong: Vec<String>,
    /// Arrivals of an open loop that were never begun. `latency` has them with the time that they had waited.
    pub late: u64,
}

/// A round that was measured.
pub struct Ran {
    /// But for what comes to light afterwards.
    pub measured: Measured,
    /// Reads back what was written, and says what is wrong with it. That belongs to no figure of the round.
    pub look_back: Box<dyn FnOnce() -> Vec<String>>,
}

impl Ran {
    /// With what comes to light.
    pub fn complete(mut self) -> Measured {
        self.measured.wrong.extend(told((self.look_back)()));
        self.measured
    }
}

impl From<Measured> for Ran {
    fn from(measured: Measured) -> Ran {
        Ran { measured, look_back: Box::new(Vec::new) }
    }
}

/// The first few of these lines, and how many more there are.
pub fn told(mut wrong: Vec<String>) -> Vec<String> {
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    wrong.extend((more > 0).then(|| format!("and {more} more")));
    wrong
}

/// An operation that takes longer is counted as one that took an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// So many wrong answers are told in words.
const TOLD: usize = 8;

/// One client's notes.
#[derive(Debug)]
pub struct Record {
    operations: u64,
    bytes: u64,
    errors: BTreeMap<i32, u64>,
    latency: Histogram<u64>,
    wrong: Vec<String>,
    more_wrong: u64,
}

impl Record {
    pub fn new() -> Result<Record, String> {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).map_err(|error| error.to_string())?;
        Ok(Record { operations: 0, bytes: 0, errors: BTreeMap::new(), latency, wrong: Vec::new(), more_wrong: 0 })
    }

    /// True if it was answered well, as far as an errno tells. Errors have no latency: a fast refusal is no fast answer.
    pub fn answered(&mut self, took: Duration, answer: Result<u64, Errno>) -> bool {
        match answer {
            Ok(bytes) => {
                self.operations += 1;
                self.bytes += bytes;
                self.waited(took, 1);
                true
            }
            Err(errno) => {
                *self.errors.entry(errno.0).or_default() += 1;
                false
            }
        }
    }

    pub fn waited(&mut self, took: Duration, times: u64) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.latency.saturating_record_n(nanoseconds, times);
    }

    pub fn wrong(&mut self, what: String) {
        if self.wrong.len() < TOLD {
            self.wrong.push(what);
        } else {
            self.more_wrong += 1;
        }
    }

    pub fn wrong_if(&mut self, check: Result<(), String>) {
        if let Err(what) = check {
            self.wrong(what);
        }
    }

    pub fn add(&mut self, other: Record) {
        self.operations += other.operations;
        self.bytes += other.bytes;
        for (errno, count) in other.errors {
            *self.errors.entry(errno).or_default() += count;
        }
        // Both have the same bounds, so nothing can be out of them.
        let _ = self.latency.add(other.latency);
        other.wrong.into_iter().for_each(|what| self.wrong(what));
        self.more_wrong += other.more_wrong;
    }

    pub fn measured(mut self, elapsed: Duration, late: u64) -> Measured {
        if self.more_wrong > 0 {
            self.wrong.push(format!("and {} more", self.more_wrong));
        }
        Measured {
            operations: self.operations,
            bytes: self.bytes,
            errors: self.errors.into_iter().map(|(errno, count)| (Errno(errno).name(), count)).collect(),
            seconds: elapsed.as_secs_f64(),
            latency: self.latency,
            wrong: self.wrong,
            late,
        }
    }
}

impl Measured {
    /// A latency in nanoseconds.
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }

    /// Operations a second.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.operations as f64 / self.seconds } else { 0.0 }
    }
}
