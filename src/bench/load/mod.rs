//! How operations are asked for, and what is measured of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::result::Load;
use super::stop::Stop;
use super::workload::Prepared;

/// What one round has found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations that were answered well.
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

/// The points of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// By rate, ascending.
    pub points: Vec<(Load, Measured)>,
    /// Of those, the last that kept up. None if the first did not.
    pub knee: Option<usize>,
}

/// Runs one round.
pub fn run(prepared: &Prepared, load: Load, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    let _ = (prepared, load, duration, stop);
    Err("not built yet".to_owned())
}

/// Raises the rate until the knee. `base_rate` is what a closed loop reaches.
pub fn sweep(
    prepared: &Prepared,
    clients: u32,
    duration: Duration,
    stop: &Stop,
    base_rate: f64,
) -> Result<Sweep, String> {
    let _ = (prepared, clients, duration, stop, base_rate);
    Err("not built yet".to_owned())
}
