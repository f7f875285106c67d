//! The `ptfs` command as its operator sees it: start, messages, options, signals, and every way to end.
//!
//! Each test has directories and mounts of its own, and takes them down also when it fails. They need root: they mount,
//! look at what the kernel made of it, and become a plain user where that is the subject.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod background;
mod command_line;
mod dropin;
mod engines;
mod harness;
mod identity;
mod install;
mod life;
mod limits;
mod mount8;
mod observe;
mod options;
mod plain_user;
mod reports;
