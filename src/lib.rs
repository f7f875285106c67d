//! ptfs serves a host directory through FUSE.
//!
//! The `ptfs` command is [`daemon::main`]; a program that wants a mount of its own asks [`Mount::builder`] for it.
//!
//! The rooms and their order are drawn in ARCHITECTURE.md; a test holds the order. `protocol`, `core`, `ops`, `stats` and
//! `bench` know nothing of the platform: the lines below are the only ones that do.

pub mod bench;
pub mod core;
pub mod ops;
pub mod protocol;
pub mod stats;

#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod pool;
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[cfg_attr(target_os = "macos", path = "../src-macos/mod.rs")]
pub mod sys;
#[cfg(target_os = "linux")]
pub mod uring;

#[cfg(target_os = "linux")]
pub use daemon::embedded::{Builder, Mount, MountError, Unmount};
