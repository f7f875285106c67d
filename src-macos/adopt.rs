//! Ending processes of others.

use std::io;
use std::time::Duration;

/// There is nothing of the kind.
pub fn adopt_orphans() -> io::Result<()> {
    super::unsupported()
}

/// One process; none can be had here.
pub enum Process {}

impl Process {
    /// Not done.
    pub fn open(_pid: u32) -> io::Result<Process> {
        super::unsupported()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        match *self {}
    }

    /// Asks it to end, or makes it.
    pub fn end(&self, _by_force: bool) -> io::Result<()> {
        match *self {}
    }

    /// Waits for its end.
    pub fn wait(&self, _timeout: Duration) -> io::Result<bool> {
        match *self {}
    }
}
