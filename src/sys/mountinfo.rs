//! The mount table. Reading it asks no filesystem anything, so it cannot hang.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A line of it: see proc_pid_mountinfo(5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// `major:minor` of the filesystem's device.
    pub device: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// `ext4`, `fuse.ptfs`.
    pub fstype: String,
}

/// All mounts that this process sees, in the order of mounting.
pub fn read() -> io::Result<Vec<Entry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The mount that an absolute path without links lies in: the last one of the longest path.
pub fn of(table: &[Entry], path: &Path) -> Option<Entry> {
    let holding = table.iter().filter(|entry| path.starts_with(&entry.point));
    holding.max_by_key(|entry| entry.point.components().count()).cloned()
}

/// What a `mountinfo` says; lines that make no sense are left out.
pub fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|&byte| byte == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let (device, point) = (fields.get(2)?, fields.get(4)?);
    // Between them are as many optional fields as the kernel likes.
    let dash = fields.iter().position(|field| *field == b"-")?;
    let fstype = fields.get(dash + 1)?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(Entry { device: text(device), point: unescape(point), fstype: text(fstype) })
}

/// Takes back the kernel's `\040` for blanks, line ends and backslashes.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                path.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                path.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"23 28 0:22 / / rw - ext4 /dev/x rw\n\
        49 27 0:45 / /mnt/a\\040b\\134c rw,nosuid shared:1 - fuse.ptfs /src rw,user_id=0\n\
        50 27 0:46 /sub /mnt/\\1 rw - fuse.bindfs /src rw\n\
        nonsense\n\n";

    #[test]
    fn lines_are_read() {
        let table = parse(TABLE);
        let points: Vec<_> =
            table.iter().map(|entry| (entry.point.as_path(), &*entry.device, &*entry.fstype)).collect();
        assert_eq!(
            points,
            [
                (Path::new("/"), "0:22", "ext4"),
                (Path::new(r"/mnt/a b\c"), "0:45", "fuse.ptfs"),
                (Path::new(r"/mnt/\1"), "0:46", "fuse.bindfs")
            ]
        );
    }

    #[test]
    fn the_longest_path_holds() {
        let table = parse(TABLE);
        let fstype = |path| of(&table, Path::new(path)).map(|entry| entry.fstype);
        assert_eq!(fstype(r"/mnt/a b\c/d").as_deref(), Some("fuse.ptfs"));
        assert_eq!(fstype(r"/mnt/a b\cd").as_deref(), Some("ext4"));
        assert_eq!(fstype("relative"), None);
    }
}
