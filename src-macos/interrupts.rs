//! Signals that ask a command to stop: here they end it.

use std::io;

/// None can be had here.
pub enum Interrupts {}

impl Interrupts {
    /// Not done.
    pub fn catch() -> io::Result<Interrupts> {
        super::unsupported()
    }

    /// Waits for the next one.
    pub fn wait(&mut self) -> io::Result<&'static str> {
        match *self {}
    }
}
