//! ptfs serves a host directory through FUSE.
//!
//! The rooms and their order are drawn in ARCHITECTURE.md; a test holds the order. `protocol`, `core`, `ops` and `stats`
//! know nothing of the platform: the lines below are the only ones that do.

pub mod core;
pub mod ops;
pub mod protocol;
pub mod stats;

#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod pool;
#[cfg(target_os = "linux")]
pub mod sys;
#[cfg(target_os = "linux")]
pub mod uring;
