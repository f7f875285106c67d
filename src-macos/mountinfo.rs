//! The mount table.

use std::io;
use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The filesystem's device.
    pub device: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its type.
    pub fstype: String,
}

/// Not done.
pub fn read() -> io::Result<Vec<Entry>> {
    super::unsupported()
}

/// Not done.
pub fn of(_table: &[Entry], _path: &Path) -> Option<Entry> {
    None
}
