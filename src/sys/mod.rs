//! The Linux shim: how this kernel keeps the promises of `core::host`. All system calls but io_uring's are here.

mod control;
pub mod cpu;
pub mod creds;
pub mod depth;
pub mod device;
pub mod fs;
pub mod limits;
pub mod load;
mod lock;
pub mod mount;
pub mod process;
pub mod signal;
