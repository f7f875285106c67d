//! The directory to serve.

use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::core::config::InodeHandles;
use crate::core::host::Host;
use crate::core::ids::HostFd;
use crate::ops;
use crate::protocol::Errno;
use crate::sys::fs::Linux;

/// A directory, and what its filesystem is like, or why it cannot be served.
#[derive(Clone, Debug)]
pub struct Source {
    /// As it was named.
    pub path: PathBuf,
    /// What was found.
    pub found: Result<Filesystem, String>,
}

/// The filesystem of the directory.
#[derive(Clone, Debug)]
pub struct Filesystem {
    /// Its type, as in the table of mounts.
    pub kind: String,
    /// Calls wait for nothing but a local disk.
    pub local: bool,
    /// Nothing can be written there.
    pub read_only: bool,
    /// How a file is found again without a descriptor.
    pub handles: Handles,
    /// It keeps extended attributes of users.
    pub xattrs: bool,
    /// It keeps POSIX ACLs.
    pub acls: bool,
}

/// File handles: name_to_handle_at(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handles {
    /// The filesystem has none.
    None,
    /// They can be had, but this process may not open them.
    Given,
    /// They can be opened.
    Opened,
}

impl Source {
    /// Looks at a directory.
    pub fn examine(path: &Path) -> Source {
        Source { path: path.to_owned(), found: examine(path).map_err(|error| error.to_string()) }
    }
}

fn examine(path: &Path) -> io::Result<Filesystem> {
    let host = Linux::new()?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let root: OwnedFd = OpenOptions::new().read(true).custom_flags(flags).open(path)?.into();
    let fd = HostFd(root.as_raw_fd());
    let stat = host.stat(fd)?;
    let handles = match ops::mount_of(&host, fd, InodeHandles::Auto).ok().flatten() {
        Some(_) => Handles::Opened,
        None if host.handle_of(fd).is_ok() => Handles::Given,
        None => Handles::None,
    };
    // Without room for a value, all but "not supported" says that there could be one.
    let has = |name: &CStr| host.getxattr(fd, name, &mut []) != Err(Errno::EOPNOTSUPP);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(Filesystem {
        kind: type_of(&table, stat.mnt_id).unwrap_or("of unknown type").to_owned(),
        local: host.is_local(fd),
        read_only: host.is_read_only(fd),
        handles,
        xattrs: has(c"user.ptfs"),
        acls: has(c"system.posix_acl_access"),
    })
}

/// The type of the filesystem of a mount, after a `mountinfo`.
fn type_of(table: &str, mount: u64) -> Option<&str> {
    let line = table.lines().find(|line| line.split(' ').next().and_then(|id| id.parse().ok()) == Some(mount))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_in_the_table() {
        let table = "23 28 0:22 / /sys rw shared:1 - sysfs sysfs rw\n49 27 0:45 / /mnt rw - fuse.ptfs /src rw\n";
        assert_eq!(
            (type_of(table, 49), type_of(table, 23), type_of(table, 4)),
            (Some("fuse.ptfs"), Some("sysfs"), None)
        );
    }

    #[test]
    fn proc_has_neither_handles_nor_attributes() {
        let found = Source::examine(Path::new("/proc")).found.expect("is there");
        assert_eq!(found.kind, "proc");
        assert!(!found.local && !found.acls && found.handles == Handles::None, "{found:?}");
    }

    #[test]
    fn what_is_missing_cannot_be_served() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Source::examine(directory.path()).found.is_ok());
        assert!(Source::examine(&directory.path().join("none")).found.is_err());
        fs::write(directory.path().join("file"), "").expect("new");
        assert!(Source::examine(&directory.path().join("file")).found.is_err());
    }
}
