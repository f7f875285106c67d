//! An idmapped bind mount (mount_setattr(2)): what the kernel itself makes of a mapping.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

use super::sys::{self, b};

/// A directory shown elsewhere under a mapping; unmounted when dropped.
pub struct Idmapped(TempDir);

impl Idmapped {
    /// `uids` and `gids` as `--uid-mapping` and `--gid-mapping` take them.
    pub fn new(source: &Path, uids: &str, gids: &str) -> Idmapped {
        let point = tempfile::Builder::new().prefix("ptfs-idmapped-").tempdir().unwrap();
        let namespace = namespace(uids, gids);
        #[repr(C)]
        struct MountAttr {
            set: u64,
            clear: u64,
            propagation: u64,
            userns_fd: u64,
        }
        const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
        let attr =
            MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd: namespace.as_raw_fd() as u64 };
        let path = |path: &Path| CString::new(b(path)).unwrap();
        let (from, to) = (path(source), path(point.path()));
        let size = size_of::<MountAttr>();
        // SAFETY: the strings are NUL-terminated, attr is a whole struct mount_attr, and the tree's fd is ours alone.
        unsafe {
            let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
            let tree = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, from.as_ptr(), flags);
            assert!(tree >= 0, "open_tree: {}", sys::errno_name(sys::errno()));
            let tree = OwnedFd::from_raw_fd(tree as i32);
            let fd = tree.as_raw_fd();
            let done = libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), libc::AT_EMPTY_PATH, &attr, size);
            assert!(done == 0, "mount_setattr: {}", sys::errno_name(sys::errno()));
            let flags = 4; // MOVE_MOUNT_F_EMPTY_PATH
            let done = libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags);
            assert!(done == 0, "move_mount: {}", sys::errno_name(sys::errno()));
        }
        Idmapped(point)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Idmapped {
    fn drop(&mut self) {
        sys::unmount(self.path()).ok();
    }
}

/// A user namespace with these mappings, of a child that lives no longer than this call.
fn namespace(uids: &str, gids: &str) -> File {
    let (mut ready, mut tell) = pipe().unwrap();
    let child = sys::fork(|| {
        // SAFETY: changes the child alone.
        let made = unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0;
        tell.write_all(&[made.into()]).ok();
        sleep(Duration::from_secs(60));
        0
    });
    let mut made = [0];
    ready.read_exact(&mut made).unwrap();
    assert_eq!(made, [1], "no user namespace can be made");
    let proc = format!("/proc/{}", child.0);
    for (file, map) in [("uid_map", uids), ("gid_map", gids)] {
        let words: Vec<&str> = map.split(':').collect();
        let lines: String = words.chunks(3).map(|line| line.join(" ") + "\n").collect();
        fs::write(format!("{proc}/{file}"), lines).unwrap();
    }
    let namespace = File::open(format!("{proc}/ns/user")).unwrap();
    sys::kill(child.0, libc::SIGKILL).unwrap();
    child.wait();
    namespace
}
