//! How operations are asked for, and what is measured of them.

mod closed;
mod depth;
mod job;
mod measured;
mod open;
mod sweep;
mod threads;

use std::time::Duration;

use super::result::Load;
use super::stop::Stop;
use super::workload::Prepared;
use super::workload::operation::Clients;

pub use measured::{Measured, Ran, told};
pub use sweep::{Point, Sweep, search};

/// Runs one round. Wrong bytes and wrong attributes are no errors, but [`Measured::wrong`].
///
/// An error means that it could not be run at all. A round that is stopped answers with what it has.
pub fn run(prepared: &Prepared, load: Load, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    measure(prepared, load, duration, stop).map(Ran::complete)
}

/// [`run`], but for what comes after the round: what was written is still to be read back.
pub fn measure(prepared: &Prepared, load: Load, duration: Duration, stop: &Stop) -> Result<Ran, String> {
    match load {
        Load::Job => job::run(prepared, duration, stop).map(Ran::from),
        Load::Depth { depth } => depth::run(prepared, depth, duration, stop),
        Load::Closed { .. } | Load::Open { .. } => measure_clients(prepared, load, duration, stop),
    }
}

/// [`run`], for clients of any origin: closed and open loops.
pub fn clients(source: &dyn Clients, load: Load, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    measure_clients(source, load, duration, stop).map(Ran::complete)
}

fn measure_clients(source: &dyn Clients, load: Load, duration: Duration, stop: &Stop) -> Result<Ran, String> {
    match load {
        Load::Closed { clients } => closed::run(source, clients, duration, stop),
        Load::Open { clients, rate } => open::run(source, clients, rate, duration, stop),
        Load::Depth { .. } | Load::Job => Err("neither a closed nor an open loop".to_owned()),
    }
}
