//! One client that keeps many requests in flight.

use std::io;
use std::time::{Duration, Instant};

use super::measured::{Ran, Record};
use crate::bench::stop::Stop;
use crate::bench::workload::{Prepared, Transfer, Transfers};
use crate::sys::depth::{self, Source};

/// Keeps `depth` reads or writes in flight for `duration`.
pub fn run(prepared: &Prepared, depth: u32, duration: Duration, stop: &Stop) -> Result<Ran, String> {
    if depth == 0 {
        return Err("a queue depth of 0: nothing would be asked".to_owned());
    }
    let (files, transfers) = Transfers::new(prepared, depth)?;
    let block = transfers.block();
    let asker = Asker { transfers, record: Record::new()?, duration, stop: stop.clone(), times: None };
    let asker = depth::run(files, depth as usize, block, asker)
        .map_err(|error| format!("io_uring, which a queue depth needs: {error}"))?;
    let elapsed = asker.times.map_or(Duration::ZERO, |(began, ended)| ended - began);
    let (measured, transfers) = (asker.record.measured(elapsed, 0), asker.transfers);
    Ok(Ran { measured, look_back: Box::new(move || transfers.finish()) })
}

struct Asker {
    transfers: Transfers,
    record: Record,
    duration: Duration,
    stop: Stop,
    /// When the first was asked, and when the last was answered.
    times: Option<(Instant, Instant)>,
}

impl Source for Asker {
    type Ticket = (Transfer, Instant);

    fn next(&mut self, buffer: &mut [u8]) -> Option<(depth::Transfer, Self::Ticket)> {
        let now = Instant::now();
        let (began, _) = *self.times.get_or_insert((now, now));
        if self.stop.is_set() || now - began > self.duration {
            return None;
        }
        let transfer = self.transfers.next(buffer)?;
        let place = transfer.place;
        let write = self.transfers.write();
        let asked = depth::Transfer { file: place.file as usize, offset: place.offset, write };
        Some((asked, (transfer, Instant::now())))
    }

    fn done(&mut self, (transfer, began): Self::Ticket, answer: io::Result<usize>, buffer: &[u8]) {
        let now = Instant::now();
        if let Some((_, ended)) = &mut self.times {
            *ended = now;
        }
        self.transfers.landed(transfer);
        let bytes = answer.map_err(Into::into);
        if self.record.answered(now - began, bytes.map(|bytes| bytes as u64))
            && let Ok(bytes) = bytes
        {
            self.record.wrong_if(self.transfers.done(transfer, bytes, buffer));
        }
    }
}
