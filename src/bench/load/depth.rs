//! One client that keeps many requests in flight.

use std::io;
use std::time::{Duration, Instant};

use super::measured::{Measured, Record};
use crate::bench::stop::Stop;
use crate::bench::workload::{Prepared, Transfer, Transfers};
use crate::sys::depth::{self, Source};

/// Keeps `depth` reads or writes in flight for `duration`.
pub fn run(prepared: &Prepared, depth: u32, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    let (files, transfers) = Transfers::new(prepared, depth)?;
    let block = transfers.block();
    let began = Instant::now();
    let asker = Asker { transfers, record: Record::new()?, end: began + duration, stop: stop.clone(), last: began };
    let mut asker = depth::run(files, depth as usize, block, asker)
        .map_err(|error| format!("io_uring, which a queue depth needs: {error}"))?;
    for what in asker.transfers.finish() {
        asker.record.wrong(what);
    }
    Ok(asker.record.measured(asker.last - began, 0))
}

struct Asker {
    transfers: Transfers,
    record: Record,
    end: Instant,
    stop: Stop,
    last: Instant,
}

impl Source for Asker {
    type Ticket = (Transfer, Instant);

    fn next(&mut self, buffer: &mut [u8]) -> Option<(depth::Transfer, Self::Ticket)> {
        if self.stop.is_set() || Instant::now() >= self.end {
            return None;
        }
        let transfer = self.transfers.next(buffer)?;
        let place = transfer.place;
        let write = self.transfers.write();
        let asked = depth::Transfer { file: place.file as usize, offset: place.offset, write };
        Some((asked, (transfer, Instant::now())))
    }

    fn done(&mut self, (transfer, began): Self::Ticket, answer: io::Result<usize>, buffer: &[u8]) {
        self.last = Instant::now();
        self.transfers.landed(transfer);
        let bytes = answer.map_err(Into::into);
        if self.record.answered(self.last - began, bytes.map(|bytes| bytes as u64))
            && let Ok(bytes) = bytes
        {
            self.record.wrong_if(self.transfers.done(transfer, bytes, buffer));
        }
    }
}
