//! Where the time of every operation went: one recorder per worker, merged when somebody asks.
//!
//! A worker alone writes to its [`Recorder`], by plain loads and stores; nothing is shared between workers, and nobody
//! is waited for. A snapshot reads while workers write: each number is whole, and a part (an errno, a phase) is never
//! ahead of the operation that it is part of.

mod buckets;
mod clock;
pub mod doc;
mod document;
pub mod hgrm;
mod kind;
mod phase;
pub mod prometheus;
mod recorder;
pub mod sheet;
pub mod since;
mod slow;
mod snapshot;
mod table;
mod work;

pub use buckets::Histogram;
pub use clock::Moment;
pub use kind::OpKind;
pub use phase::{Course, Phase, Subject};
pub use recorder::{Recorder, Stats};
pub use slow::{SlowLog, SlowOp};
pub use snapshot::{Snapshot, Tally};
pub use table::human;
pub use work::{Tick, Work};
