//! The Linux shim: how this kernel keeps the promises of `core::host`. All system calls but io_uring's are here.

pub mod adopt;
mod control;
pub mod cpu;
pub mod creds;
pub mod depth;
pub mod device;
pub mod fs;
pub mod interrupts;
pub mod limits;
pub mod load;
mod lock;
pub mod mount;
pub mod mountinfo;
pub mod pages;
pub mod process;
pub mod ready;
pub mod signal;
pub mod terminal;
pub mod told;
pub mod usage;
