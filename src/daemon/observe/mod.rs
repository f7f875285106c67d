//! What an operator can see of a mount while it serves.

mod facts;

pub use facts::Observed;
