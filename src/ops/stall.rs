//! A fault to be injected: operations that take longer than they must, so that it can be seen whether reports say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::os::Os;
use crate::protocol::Op;
use crate::stats::OpKind;

/// Every so many operations of one kind, one stalls in a backing call.
#[derive(Debug)]
pub struct Stall {
    kind: OpKind,
    time: Duration,
    every: u64,
    seen: AtomicU64,
}

impl Stall {
    /// The `every`th one stalls for `time`, and so on.
    pub fn new(kind: OpKind, time: Duration, every: u64) -> Stall {
        Stall { kind, time, every: every.max(1), seen: AtomicU64::new(0) }
    }

    /// Holds the operation up if it is its turn.
    pub async fn hold<O: Os>(&self, os: &O, op: &Op<'_>) {
        if OpKind::of(op) != self.kind || !(self.seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every) {
            return;
        }
        let time = self.time;
        let slept = os.offload(move |_| {
            std::thread::sleep(time);
            Ok(())
        });
        // Whatever became of the sleep, the operation goes on.
        let _ = slept.await;
    }
}
