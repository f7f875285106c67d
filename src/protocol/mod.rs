//! Bytes to values and values to bytes. Pure: no system calls, no I/O, no locks.
//!
//! The source of every layout and constant is `linux/fuse.h`, protocol 7.45.

pub mod abi;
pub mod decode;
mod errno;
mod ids;
pub mod init;
pub mod reply;
mod request;

pub use errno::Errno;
pub use ids::{Fh, NodeId, Unique};
pub use reply::Reply;
pub use request::{Caller, ForgetList, Labels, Op, Request, SetTime, Setattr};
