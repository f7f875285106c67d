//! Mounts: making one, naming it, taking it down, and receiving the device from `fusermount3`.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::apart::apart;

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
    identify_at(libc::AT_FDCWD, &c_string(path.as_os_str())?, 0)
}

/// The mount that an open file is on.
pub fn identify_open(file: BorrowedFd<'_>) -> io::Result<MountId> {
    identify_at(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// The number in `/proc/self/mountinfo` of the mount that an open file is on. It is another's when that is gone.
pub fn number_open(file: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, libc::STATX_MNT_ID)?.stx_mnt_id)
}

fn identify_at(dir: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<MountId> {
    // The field is the same; a kernel that does not know the unique id answers with a reusable one, or none.
    const MASK: u32 = libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE;
    let stat = statx(dir, path, flags, MASK)?;
    let mount = if stat.stx_mask & MASK == 0 { 0 } else { stat.stx_mnt_id };
    Ok(MountId { mount, dev: (stat.stx_dev_major, stat.stx_dev_minor) })
}

/// Without a request to whoever serves the filesystem.
fn statx(dir: RawFd, path: &CStr, flags: libc::c_int, mask: u32) -> io::Result<libc::statx> {
    let flags = flags | libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` is NUL-terminated and `stat` has room for the answer.
    check(unsafe { libc::statx(dir, path.as_ptr(), flags, mask, stat.as_mut_ptr()) })?;
    // SAFETY: statx is plain integers, zeroed above and filled by the kernel.
    Ok(unsafe { stat.assume_init() })
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

/// What a bind mount refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuses {
    /// To write.
    pub writes: bool,
    /// To honour set-user-ID, set-group-ID and file capabilities.
    pub suid: bool,
    /// To honour device nodes.
    pub dev: bool,
    /// To execute.
    pub exec: bool,
}

/// Mounts what is at `source`, with all that is mounted below, at the open `target` as well. What is mounted and
/// unmounted there later does not go back to `source` (MS_SLAVE). Needs Linux 5.12.
///
/// By descriptors: nobody can change meanwhile where that is, and it never is to be seen with less refused. Gives which
/// mount it is, and its number (see [`number_open`]); to keep it open would keep it busy.
pub fn bind(source: &Path, target: BorrowedFd<'_>, refuses: Refuses) -> io::Result<(MountId, u64)> {
    // libc has them for Android alone.
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
    const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
    let source = c_string(source.as_os_str())?;
    let recursive = (libc::AT_RECURSIVE | libc::O_CLOEXEC) as libc::c_uint;
    // SAFETY: `source` is NUL-terminated; an answer that is no error is a new descriptor of ours.
    let tree = unsafe {
        let fd = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, source.as_ptr(), OPEN_TREE_CLONE | recursive);
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    set_attributes(&tree, refuses)?;
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    let (from, to) = (tree.as_raw_fd(), target.as_raw_fd());
    // SAFETY: both paths are empty constants, both descriptors are open.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c"".as_ptr(), flags) } as libc::c_int)?;
    Ok((identify_open(tree.as_fd())?, number_open(tree.as_fd())?))
}

/// struct mount_attr of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn set_attributes(tree: &OwnedFd, refuses: Refuses) -> io::Result<()> {
    let attributes = [(refuses.writes, 1), (refuses.suid, 2), (refuses.dev, 4), (refuses.exec, 8)];
    let attr_set = attributes.iter().filter(|(refused, _)| *refused).fold(0, |set, (_, attribute)| set | attribute);
    let wanted = MountAttr { attr_set, attr_clr: 0, propagation: libc::MS_SLAVE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    let (fd, size) = (tree.as_raw_fd(), size_of::<MountAttr>());
    // SAFETY: the path is an empty constant, and `wanted` is a whole struct of the size that is told.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &wanted, size) } as libc::c_int)
}

/// Unmounts the mount whose root is open, wherever it is by now, as [`unmount`] does lazily.
pub fn unmount_open(root: BorrowedFd<'_>) -> io::Result<()> {
    let path = CString::new(format!("/proc/self/fd/{}", root.as_raw_fd()))?;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })
}

/// Waits until whoever serves the filesystem at `path` has answered a request.
pub fn wait_for_answer(path: &Path) -> io::Result<()> {
    let path = c_string(path.as_os_str())?;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // FORCE_SYNC: what the kernel has cached is no answer.
    let (path, answer, flags) = (path.as_ptr(), stat.as_mut_ptr(), libc::AT_STATX_FORCE_SYNC);
    // SAFETY: one system call; `path` is NUL-terminated and `stat` has room for the answer.
    unsafe { outcome(|| libc::statx(libc::AT_FDCWD, path, flags, libc::STATX_BASIC_STATS, answer)) }
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
    // SAFETY: one system call; `target` is NUL-terminated and outlives it.
    unsafe { outcome(|| libc::umount2(target.as_ptr(), flags)) }
}

/// Hides the mount at `target`, and has the kernel fail all its requests: those who use it get errors.
pub fn force_unmount(target: &Path) -> io::Result<()> {
    let target = c_string(target.as_os_str())?;
    let flags = libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH | libc::MNT_FORCE;
    // SAFETY: one system call; `target` is NUL-terminated and outlives it.
    unsafe { outcome(|| libc::umount2(target.as_ptr(), flags)) }
}

/// sync(2): all filesystems, also those that no path leads to any more.
pub fn sync_everything() {
    // SAFETY: one system call, which takes nothing and cannot fail.
    if let Err(error) = unsafe { apart(|| libc::sync()) } {
        tracing::warn!("cannot sync: {error}");
    }
}

/// Makes a call that may wait for our own mount, as [`apart`] says and under its conditions: errno by its value.
unsafe fn outcome(call: impl FnOnce() -> libc::c_int) -> io::Result<()> {
    // SAFETY: the caller's promise; errno is this thread's, which the child borrows.
    let (answer, error) = unsafe { apart(|| (call(), *libc::__errno_location())) }?;
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
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
