//! How long every operation took: one recorder per worker, merged when somebody asks.
//!
//! A worker alone writes to its [`Recorder`], so its lock is uncontended and its cache lines stay on its CPU. A
//! snapshot takes that lock for one histogram at a time; no worker ever waits for a whole table.

pub mod doc;
pub mod hgrm;
mod kind;
mod recorder;
mod snapshot;

pub use kind::OpKind;
pub use recorder::{Recorder, Stats};
pub use snapshot::{Snapshot, Tally};
