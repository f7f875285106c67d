//! Mounts: making one, naming it, taking it down, and receiving the device from `fusermount3`.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Names one mount among all that are, and (from Linux 6.8) ever were since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountId {
    mount: u64,
    dev: (u32, u32),
}

impl MountId {
    /// The minor number of the mounted filesystem's device: its name in `/sys/fs/fuse/connections`.
    pub fn minor(&self) -> u32 {
        self.dev.1
    }

    /// Major and minor number of the mounted filesystem's device.
    pub fn device(&self) -> (u32, u32) {
        self.dev
    }

    /// `major:minor` of the mounted filesystem's device: its name in `/sys/class/bdi`.
    pub fn bdi(&self) -> String {
        format!("{}:{}", self.dev.0, self.dev.1)
    }

    /// For another process, which reads it with [`MountId::from_bytes`].
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.mount.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.dev.0.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.dev.1.to_ne_bytes());
        bytes
    }

    /// The inverse of [`MountId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> MountId {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        MountId {
            mount: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            dev: (u32::from_ne_bytes([i, j, k, l]), u32::from_ne_bytes([m, n, o, p])),
        }
    }
}

/// The topmost mount that `path` leads to.
///
/// Sends no FUSE request (AT_STATX_DONT_SYNC), so it works on a mount whose daemon is not up yet, is dead, or asks.
pub fn identify(path: &Path) -> io::Result<MountId> {
    // The field is the same; a kernel that does not know the unique id answers with a reusable one, or none.
    const MASK: u32 = libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE;
    let path = c_string(path.as_os_str())?;
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` is NUL-terminated and `stat` has room for the answer.
    check(unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, MASK, stat.as_mut_ptr()) })?;
    // SAFETY: statx is plain integers, zeroed above and filled by the kernel.
    let stat = unsafe { stat.assume_init() };
    let mount = if stat.stx_mask & MASK == 0 { 0 } else { stat.stx_mnt_id };
    Ok(MountId { mount, dev: (stat.stx_dev_major, stat.stx_dev_minor) })
}

/// mount(2).
pub fn mount(source: &OsStr, target: &Path, fstype: &OsStr, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (source, target, fstype) = (c_string(source)?, c_string(target.as_os_str())?, c_string(fstype)?);
    let data = c_string(OsStr::new(data))?;
    // SAFETY: all four are NUL-terminated strings that outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), fstype.as_ptr(), flags, CStr::as_ptr(&data).cast()) })
}

/// mount(2) with MS_REMOUNT: gives the mount at `target`, and its filesystem, these flags.
pub fn remount(target: &Path, flags: libc::c_ulong) -> io::Result<()> {
    // The kernel asks for neither source nor type here.
    mount(OsStr::new("none"), target, OsStr::new("none"), flags | libc::MS_REMOUNT, "")
}

/// Mounts what is at `source`, with all that is mounted below, at `target` as well. What is mounted and unmounted there
/// later does not go back to `source` (MS_SLAVE).
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let none = OsStr::new("none");
    mount(source.as_os_str(), target, none, libc::MS_BIND | libc::MS_REC, "")?;
    mount(none, target, none, libc::MS_SLAVE | libc::MS_REC, "").inspect_err(|_| {
        let _ = unmount(target, true);
    })
}

/// Waits until whoever serves the filesystem at `path` has answered a request.
pub fn wait_for_answer(path: &Path) -> io::Result<()> {
    let path = c_string(path.as_os_str())?;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // FORCE_SYNC: what the kernel has cached is no answer.
    // SAFETY: `path` is NUL-terminated and `stat` has room for the answer.
    check(unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_STATX_FORCE_SYNC,
            libc::STATX_BASIC_STATS,
            stat.as_mut_ptr(),
        )
    })
}

/// Whether a FUSE filesystem is at `path`. Asks its daemon.
pub fn is_fuse(path: &Path) -> io::Result<bool> {
    let path = c_string(path.as_os_str())?;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` is NUL-terminated and `stat` has room for the answer.
    check(unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: statfs is plain integers, zeroed above and filled by the kernel.
    Ok(unsafe { stat.assume_init() }.f_type == libc::FUSE_SUPER_MAGIC)
}

/// Enters a mount namespace. Fails if there is a second thread.
pub fn enter_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes plain numbers; the kernel checks what the fd is.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })
}

/// umount2(2). `lazy` hides the mount now and ends it when its last user has left.
pub fn unmount(target: &Path, lazy: bool) -> io::Result<()> {
    let target = c_string(target.as_os_str())?;
    let flags = libc::UMOUNT_NOFOLLOW | if lazy { libc::MNT_DETACH } else { 0 };
    // SAFETY: `target` is NUL-terminated and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })
}

/// Hides the mount at `target`, and has the kernel fail all its requests: those who use it get errors.
pub fn force_unmount(target: &Path) -> io::Result<()> {
    let target = c_string(target.as_os_str())?;
    // SAFETY: `target` is NUL-terminated and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH | libc::MNT_FORCE) })
}

/// sync(2): all filesystems, also those that no path leads to any more.
pub fn sync_everything() {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::sync() }
}

/// The fd that `fusermount3` sends; `None` when it hung up without sending one.
pub fn receive_fd(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    // u64 for the alignment of cmsghdr; CMSG_SPACE of one fd is 24 bytes.
    let mut control = [0_u64; 4];
    let mut byte = 0_u8;
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all zeros is a valid msghdr (null pointers, zero lengths).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let received = loop {
        // SAFETY: `message` points to `iov`, `byte` and `control`, which all live here.
        match unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            received => break received,
        }
    };
    // SAFETY: the kernel filled `message`; CMSG_FIRSTHDR is null unless a whole header lies in `control`.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message).as_ref() };
    let Some(header) = header.filter(|_| received > 0) else { return Ok(None) };
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Ok(None);
    }
    // SAFETY: an SCM_RIGHTS message carries at least one fd, and it is ours from now on.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()) };
    Ok(Some(fd))
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_pipe() {
        let id = identify(Path::new("/")).expect("/ is mounted");
        assert_eq!(MountId::from_bytes(id.to_bytes()), id);
        assert_ne!(id, identify(Path::new("/proc")).expect("/proc is mounted"));
    }

    #[test]
    fn a_silent_helper_sends_nothing() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        drop(theirs);
        assert!(receive_fd(&ours).expect("hanging up is no error").is_none());
    }
}
