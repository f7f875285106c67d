//! The tables of `core` against naive models, alone and under threads, and what `ops` makes of them on a host in memory.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod descriptors;
mod fake;
mod handles;
mod id_xattrs;
mod idmap;
mod linux;
mod names;
mod nodes;
mod serve;
mod threads;
