//! What an operator can see of a mount while it serves.

mod facts;
pub mod slow;

pub use facts::Observed;
