//! `ptfs-bench` as users have it: on the backing directory, ptfs, bindfs, mounts that lie, hang, fail and die, and under
//! the signals that end it. Whatever happens, nothing may be left.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod ends;
mod harness;
mod targets;
mod troubles;
mod usage;
