//! The mount table.

use std::io;
use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Major and minor number of the filesystem's device.
    pub device: (u32, u32),
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its type.
    pub fstype: String,
}

impl Entry {
    /// Whether a daemon serves it.
    pub fn is_fuse(&self) -> bool {
        self.fstype == "macfuse"
    }
}

/// Not done.
pub fn read() -> io::Result<Vec<Entry>> {
    super::unsupported()
}

/// The mount that an absolute path lies in.
pub fn covering<'t>(path: &Path, table: &'t [Entry]) -> Option<&'t Entry> {
    table.iter().rev().find(|entry| path.starts_with(&entry.point))
}
