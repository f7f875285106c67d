//! What load on a mount needs of a kernel.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::OFlags;

use super::unsupported;

/// Opens a file past the page cache: here that is no flag of open(2).
pub fn direct() -> io::Result<OFlags> {
    unsupported()
}

/// Has sleeps of this thread end when they should.
pub fn sharpen_sleep() -> io::Result<()> {
    unsupported()
}

/// What a stat says that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Its number.
    pub ino: u64,
}

/// Stats and has the server asked even if it need not be: no call here does that.
pub fn stat_forced(_dir: BorrowedFd<'_>, _name: Option<&CStr>) -> rustix::io::Result<Seen> {
    Err(rustix::io::Errno::NOTSUP)
}

/// A shared mapping of a file that may shrink at any time. There is no copy here that answers EFAULT.
pub struct Mapping(());

impl Mapping {
    /// Maps the first `length` bytes.
    pub fn new(_file: &File, _length: usize, _writable: bool) -> io::Result<Mapping> {
        unsupported()
    }

    /// Copies from `offset` on.
    pub fn read(&self, _offset: usize, _buffer: &mut [u8]) -> io::Result<usize> {
        unsupported()
    }

    /// Copies to `offset`.
    pub fn write(&self, _offset: usize, _bytes: &[u8]) -> io::Result<usize> {
        unsupported()
    }
}
