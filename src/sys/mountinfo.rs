//! `/proc/self/mountinfo`: what is mounted where, told without asking whoever serves it. See proc(5).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Major and minor number of the filesystem's device.
    pub device: (u32, u32),
    /// Where it is mounted.
    pub point: PathBuf,
    /// `fuse.ptfs`.
    pub fstype: String,
    /// What is said to be mounted.
    pub source: String,
    /// Of FUSE: who mounted it.
    pub owner: Option<u32>,
}

impl Entry {
    /// Whether a daemon serves it.
    pub fn is_fuse(&self) -> bool {
        self.fstype == "fuse" || self.fstype.starts_with("fuse.")
    }
}

/// All mounts that this process can see, in the order of mounting.
pub fn read() -> io::Result<Vec<Entry>> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("/proc/self/mountinfo: {error}"));
    Ok(parse(&fs::read("/proc/self/mountinfo").map_err(failed)?))
}

/// The mount that an absolute path without links lies in.
pub fn covering<'t>(path: &Path, table: &'t [Entry]) -> Option<&'t Entry> {
    let covers = table.iter().filter(|entry| path.starts_with(&entry.point));
    // The last of those that are equally deep, which hides the others.
    covers.max_by_key(|entry| entry.point.components().count())
}

fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|&byte| byte == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let (before, after) = fields.split_at(fields.iter().position(|field| *field == b"-")?);
    let [_, _, device, _, point, ..] = before else { return None };
    let [_, fstype, source, options, ..] = after else { return None };
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let device = text(device);
    let (major, minor) = device.split_once(':')?;
    let owner = text(options).split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
    Some(Entry {
        device: (major.parse().ok()?, minor.parse().ok()?),
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        fstype: text(fstype),
        source: text(&unescape(source)),
        owner,
    })
}

/// Takes back the kernel's `\040` for blanks, line ends and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_apart() {
        let table = b"23 28 0:22 / /sys rw - sysfs sysfs rw\n\
            49 27 0:45 / /mnt/a\\040b\\134c rw,nosuid shared:1 - fuse.ptfs /src\\040x rw,user_id=1000,group_id=0\n\
            50 27 0:45 /sub /mnt/\\1 rw - fuse.ptfs /src rw\n\
            51 27 10:1048575 / /no rw - ext4 - rw\n\nnonsense - \n";
        let entries = parse(table);
        assert_eq!(entries.len(), 4, "{entries:?}");
        let view = &entries[1];
        assert_eq!((view.device, view.point.as_path()), ((0, 45), std::path::Path::new(r"/mnt/a b\c")));
        assert_eq!((view.fstype.as_str(), view.source.as_str(), view.owner), ("fuse.ptfs", "/src x", Some(1000)));
        assert_eq!(entries[2].point, PathBuf::from(r"/mnt/\1"));
        assert_eq!((entries[3].device, entries[3].is_fuse(), entries[3].owner), ((10, 1_048_575), false, None));
        assert!(entries[1].is_fuse() && entries[2].is_fuse() && !entries[0].is_fuse());
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(read().expect("there is /proc").iter().any(|entry| entry.point == std::path::Path::new("/")));
    }
}
