//! The codec against golden bytes: every struct, every operation in one piece and in three, every reply.
//!
//! Bytes are written as text (see `hex.rs`) in little endian, the order of every machine that this runs on. The values
//! in `structs.rs` were confirmed by a C compiler against `linux/fuse.h` 7.45.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hex;
mod props;
mod replies;
mod requests;
mod structs;
