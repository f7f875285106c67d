//! The closed loop: a client asks when its last answer has come.

use std::time::{Duration, Instant};

use super::measured::{Measured, Record};
use super::threads::together;
use crate::bench::stop::Stop;
use crate::bench::workload::operation::{Clients, Operation};

/// `clients` of `source` ask for `duration`. A request in flight at its end is waited for.
pub fn run(source: &dyn Clients, clients: u32, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    let (began, ended, record) = together(source, clients, |began, operation, record| {
        ask(operation, record, began + duration, stop);
    })?;
    Ok(record.measured(ended - began, 0))
}

fn ask(operation: &mut dyn Operation, record: &mut Record, end: Instant, stop: &Stop) {
    while !stop.is_set() && operation.next() {
        let began = Instant::now();
        if began >= end {
            break;
        }
        let answer = operation.run();
        if record.answered(began.elapsed(), answer) {
            record.wrong_if(operation.check());
        }
    }
}
