//! The kernel's page cache.

use std::fs::File;
use std::io;

/// Not done.
pub fn resident(_file: &File) -> io::Result<(u64, u64)> {
    super::unsupported()
}

/// Not done.
pub fn forget(_file: &File) -> io::Result<()> {
    super::unsupported()
}

/// Not done.
pub fn forget_everything() -> io::Result<()> {
    super::unsupported()
}
