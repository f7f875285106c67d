//! Many reads and writes in flight from one thread: io_uring, which is not here.

use std::fs::File;
use std::io;

use super::unsupported;

/// One read or write.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Its number among the files.
    pub file: usize,
    /// Where.
    pub offset: u64,
    /// A write.
    pub write: bool,
}

/// Says what is asked for, and hears what was answered. Called from one thread.
pub trait Source {
    /// What a slot remembers while its transfer is in flight.
    type Ticket;
    /// The next transfer; a write's bytes go to `buffer`. None ends the slot that asked.
    fn next(&mut self, buffer: &mut [u8]) -> Option<(Transfer, Self::Ticket)>;
    /// The answer to it, and for a read what was read.
    fn done(&mut self, ticket: Self::Ticket, answer: io::Result<usize>, buffer: &[u8]);
}

/// Keeps `depth` transfers of `block` bytes in flight until the source has no more, and returns it.
pub fn run<S: Source + 'static>(_files: Vec<File>, _depth: usize, _block: usize, _source: S) -> io::Result<S> {
    unsupported()
}
