//! Names in a directory that is open, and paths that do not leave it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How often a path is tried that others keep changing.
const TRIES: usize = 1000;

/// Whether a path may lead into other mounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mounts {
    /// Into those that are beneath the directory too.
    Cross,
    /// EXDEV.
    Stay,
}

/// Opens `path` (O_PATH), which symbolic links may lead elsewhere, but not out of `dir`: EXDEV. Needs Linux 5.6.
pub fn find(dir: BorrowedFd<'_>, path: &Path, mounts: Mounts) -> io::Result<OwnedFd> {
    let path = c_string(path.as_os_str())?;
    // SAFETY: open_how is plain data for which zero is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    if mounts == Mounts::Stay {
        how.resolve |= libc::RESOLVE_NO_XDEV;
    }
    again(|| {
        let (dir, size) = (dir.as_raw_fd(), size_of::<libc::open_how>());
        // SAFETY: `path` is NUL-terminated and `how` is a whole open_how; both outlive the call.
        owned(unsafe { libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &how, size) })
    })
}

/// openat2(2) answers EAGAIN when a rename elsewhere keeps it from knowing whether `..` has left the directory.
fn again<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
    attempt()
}

/// openat(2) with O_CLOEXEC.
pub fn open(dir: BorrowedFd<'_>, name: &OsStr, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    // SAFETY: `name` is NUL-terminated and outlives the call.
    owned(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())
}

/// mkdirat(2).
pub fn make_dir(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: `name` is NUL-terminated and outlives the call.
    done(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) })
}

/// unlinkat(2) of a file.
pub fn remove_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    unlink(dir, name, 0)
}

/// unlinkat(2) of an empty directory.
pub fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    unlink(dir, name, libc::AT_REMOVEDIR)
}

fn unlink(dir: BorrowedFd<'_>, name: &OsStr, flags: libc::c_int) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: `name` is NUL-terminated and outlives the call.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })
}

fn owned(answer: libc::c_long) -> io::Result<OwnedFd> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
    }
}

fn done(answer: libc::c_int) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    fn errno<T>(outcome: io::Result<T>) -> Option<i32> {
        outcome.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn no_path_leads_out() {
        let root = tempfile::tempdir().expect("a directory");
        let inside = root.path().join("inside");
        fs::create_dir_all(inside.join("dir")).expect("new");
        symlink("dir", inside.join("link")).expect("new");
        symlink("..", inside.join("up")).expect("new");
        symlink("/", inside.join("out")).expect("new");
        let dir = File::open(&inside).expect("there");
        let find = |path: &str| find(dir.as_fd(), Path::new(path), Mounts::Cross);
        for path in ["dir", "link", "dir/..", "up/inside/nothing/../.."] {
            let found = errno(find(path));
            assert_eq!(found, if path.starts_with("up") { Some(libc::EXDEV) } else { None }, "{path}");
        }
        for path in ["up", "out", "out/etc", "..", "/", "link/../.."] {
            assert_eq!(errno(find(path)), Some(libc::EXDEV), "{path}");
        }
        assert_eq!(errno(find("no")), Some(libc::ENOENT));
    }

    #[test]
    fn a_path_that_changes_meanwhile_is_tried_again() {
        let busy = || io::Error::from_raw_os_error(libc::EAGAIN);
        let mut answers = [Err(busy()), Err(busy()), Ok(7)].into_iter();
        assert_eq!(again(|| answers.next().expect("no more tries than needed")).expect("the third"), 7);
        let mut tries = 0;
        let outcome = again::<()>(|| {
            tries += 1;
            Err(busy())
        });
        assert!(errno(outcome) == Some(libc::EAGAIN) && tries == TRIES, "{tries}");
    }
}
