//! The closed loop: a client asks when its last answer has come.

use std::time::{Duration, Instant};

use super::measured::{Ran, Record};
use super::threads::{Together, look_back, together};
use crate::bench::stop::Stop;
use crate::bench::workload::operation::{Clients, Operation};

/// `clients` of `source` ask for `duration`, and once at least. A request in flight at its end is waited for.
pub fn run(source: &dyn Clients, clients: u32, duration: Duration, stop: &Stop) -> Result<Ran, String> {
    let Together { began, ended, record, clients } = together(source, clients, |began, operation, record| {
        ask(operation, record, began + duration, stop);
    })?;
    Ok(Ran { measured: record.measured(ended - began, 0), look_back: look_back(clients) })
}

fn ask(operation: &mut dyn Operation, record: &mut Record, end: Instant, stop: &Stop) {
    while !stop.is_set() && operation.next() {
        let began = Instant::now();
        let answer = operation.run();
        let ended = Instant::now();
        if record.answered(ended - began, answer) {
            record.wrong_if(operation.check());
        }
        if ended >= end {
            break;
        }
    }
}
