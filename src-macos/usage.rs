//! What processes have spent.

use std::io;
use std::time::Duration;

/// As getrusage(2) has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// CPU time in its own code.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Context switches because it waited.
    pub voluntary: u64,
    /// Context switches because its time was up.
    pub involuntary: u64,
}

/// Not done.
pub fn spent() -> io::Result<[Spent; 2]> {
    super::unsupported()
}

/// Not done.
pub fn cpu_time(_pid: u32) -> io::Result<Duration> {
    super::unsupported()
}
