//! [`Host`] for Linux: one system call each, relative to descriptors, beneath the root.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::core::attr::{Stat, Time};
use crate::core::host::{DirBatch, FileHandle, Host, Making, Result, Suid};
use crate::core::ids::{HostFd, HostGid, HostUid};
use crate::core::locks::{Cancel, Lock};
use crate::protocol::abi::Kstatfs;
use crate::protocol::{Errno, SetTime};

use super::{control, creds, lock};

/// This machine's kernel.
pub struct Linux {
    /// `/proc/self/fd`: reopens what an O_PATH descriptor holds, whatever its name has become.
    proc_fd: OwnedFd,
}

/// A descriptor's decimal name, for `/proc/self/fd`.
struct FdName([u8; PROC_FD.len() + 11]);

const PROC_FD: &[u8] = b"/proc/self/fd/";

impl FdName {
    fn new(fd: HostFd) -> FdName {
        let mut name = [0; PROC_FD.len() + 11];
        name[..PROC_FD.len()].copy_from_slice(PROC_FD);
        let mut digits = [0u8; 10];
        let (mut rest, mut n) = (fd.0.unsigned_abs(), 0);
        loop {
            digits[n] = b'0' + (rest % 10) as u8;
            (rest, n) = (rest / 10, n + 1);
            if rest == 0 {
                break;
            }
        }
        for (at, digit) in digits[..n].iter().rev().enumerate() {
            name[PROC_FD.len() + at] = *digit;
        }
        FdName(name)
    }

    /// `/proc/self/fd/N`, for calls that take no directory.
    fn path(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }

    /// `N`, relative to [`Linux::proc_fd`].
    fn name(&self) -> *const libc::c_char {
        self.0[PROC_FD.len()..].as_ptr().cast()
    }
}

/// The errno of a call that answers -1.
pub(crate) fn check<T: PartialEq + From<i8>>(answer: T) -> Result<T> {
    if answer == T::from(-1) { Err(last()) } else { Ok(answer) }
}

fn last() -> Errno {
    io::Error::last_os_error().into()
}

/// Takes ownership of the descriptor that a call answered with.
fn owned(answer: libc::c_long) -> Result<OwnedFd> {
    let fd = check(answer)? as c_int;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const EMPTY: *const libc::c_char = c"".as_ptr();

/// How anchors are opened: one component, no symlink followed, nothing above the directory.
pub(crate) fn anchor_how(cached: bool) -> libc::open_how {
    // SAFETY: open_how is plain data for which zero is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    if cached {
        how.resolve |= libc::RESOLVE_CACHED;
    }
    how
}

fn openat2(dir: HostFd, name: &CStr, how: &libc::open_how) -> Result<OwnedFd> {
    // SAFETY: name is NUL-terminated and how is a whole open_how; both outlive the call.
    owned(unsafe { libc::syscall(libc::SYS_openat2, dir.0, name.as_ptr(), how, size_of::<libc::open_how>()) })
}

/// What [`Host::stat`] asks statx(2) for.
pub(crate) const STATX_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

/// A [`Stat`] of statx(2)'s answer.
pub(crate) fn stat_of(x: &libc::statx) -> Stat {
    let time = |t: libc::statx_timestamp| Time { sec: t.tv_sec, nsec: t.tv_nsec };
    Stat {
        dev: (x.stx_dev_major, x.stx_dev_minor),
        ino: x.stx_ino,
        mode: x.stx_mode.into(),
        nlink: x.stx_nlink,
        uid: HostUid(x.stx_uid),
        gid: HostGid(x.stx_gid),
        rdev: (x.stx_rdev_major, x.stx_rdev_minor),
        size: x.stx_size,
        blocks: x.stx_blocks,
        blksize: x.stx_blksize,
        attributes: x.stx_attributes,
        attributes_mask: x.stx_attributes_mask,
        atime: time(x.stx_atime),
        mtime: time(x.stx_mtime),
        ctime: time(x.stx_ctime),
        btime: (x.stx_mask & libc::STATX_BTIME != 0).then(|| time(x.stx_btime)),
        mnt_id: x.stx_mnt_id,
    }
}

/// Open flags that the daemon passes on: creation and its checks are its own.
fn open_flags(flags: u32) -> c_int {
    let ours = libc::O_CREAT | libc::O_EXCL | libc::O_NOCTTY | libc::O_PATH | libc::O_NOFOLLOW;
    (flags as c_int & !ours) | libc::O_CLOEXEC
}

#[repr(C)]
struct RawHandle {
    bytes: u32,
    kind: c_int,
    data: [u8; FileHandle::MAX],
}

impl Linux {
    /// Needs `/proc`.
    pub fn new() -> io::Result<Linux> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is NUL-terminated.
        let fd = owned(unsafe { libc::open(c"/proc/self/fd".as_ptr(), flags) }.into());
        Ok(Linux { proc_fd: fd.map_err(io::Error::from)? })
    }

    /// [`Host::open`] as the arguments of an openat(2): directory, name, flags.
    pub fn reopening(&self, anchor: HostFd, flags: u32) -> Result<(c_int, CString, c_int)> {
        let name = CString::new(anchor.0.to_string()).map_err(|_| Errno::EINVAL)?;
        Ok((self.proc_fd.as_raw_fd(), name, open_flags(flags)))
    }

    /// True if nothing can be written there: by the mount's flag, or the filesystem's own.
    pub fn is_read_only(&self, fd: HostFd) -> bool {
        let mut s = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the whole struct is filled when the answer is 0.
        unsafe { libc::fstatvfs(fd.0, s.as_mut_ptr()) == 0 && s.assume_init().f_flag & libc::ST_RDONLY != 0 }
    }

    /// Reads what the page cache holds of `offset..`; EAGAIN if nothing, EOPNOTSUPP if the filesystem cannot tell.
    pub fn read_nowait(&self, file: HostFd, buf: &mut [u8], offset: u64) -> Result<usize> {
        let iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: the kernel writes at most buf.len() bytes into buf, which is ours for the call.
        let n = unsafe { libc::preadv2(file.0, &iov, 1, offset as i64, libc::RWF_NOWAIT) };
        check(n).map(|n| n as usize)
    }

    /// Writes to the page cache if that cannot block; EAGAIN or EOPNOTSUPP if it could.
    pub fn write_nowait(&self, file: HostFd, buf: &[u8], offset: u64, append: bool) -> Result<usize> {
        let flags = libc::RWF_NOWAIT | if append { libc::RWF_APPEND } else { 0 };
        let iov = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
        // SAFETY: the kernel only reads buf.
        let n = unsafe { libc::pwritev2(file.0, &iov, 1, offset as i64, flags) };
        check(n).map(|n| n as usize)
    }
}

/// Closes a descriptor that the tables gave up.
pub fn close(fd: HostFd) {
    // SAFETY: the tables hand each descriptor out for closing once, when nothing refers to it any more.
    drop(unsafe { OwnedFd::from_raw_fd(fd.0) });
}

impl Host for Linux {
    fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        openat2(dir, name, &anchor_how(false))
    }

    fn anchor_cached(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        openat2(dir, name, &anchor_how(true))
    }

    fn reanchor(&self, file: HostFd) -> Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        // SAFETY: the name is NUL-terminated.
        owned(unsafe { libc::openat(self.proc_fd.as_raw_fd(), FdName::new(file).name(), flags) }.into())
    }

    fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd> {
        // SAFETY: the name is NUL-terminated.
        owned(unsafe { libc::openat(self.proc_fd.as_raw_fd(), FdName::new(anchor).name(), open_flags(flags)) }.into())
    }

    fn stat(&self, fd: HostFd) -> Result<Stat> {
        let mut x = MaybeUninit::<libc::statx>::uninit();
        let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: the kernel fills the whole struct when it answers 0.
        let x = unsafe {
            check(libc::statx(fd.0, EMPTY, flags, STATX_MASK, x.as_mut_ptr()))?;
            x.assume_init()
        };
        Ok(stat_of(&x))
    }

    fn handle_of(&self, fd: HostFd) -> Result<FileHandle> {
        let mut raw = RawHandle { bytes: FileHandle::MAX as u32, kind: 0, data: [0; FileHandle::MAX] };
        let mut mount: c_int = 0;
        let flags = libc::AT_EMPTY_PATH;
        let at = &raw mut raw;
        // SAFETY: RawHandle is struct file_handle with room for MAX_HANDLE_SZ bytes, as `bytes` says.
        check(unsafe { libc::syscall(libc::SYS_name_to_handle_at, fd.0, EMPTY, at, &raw mut mount, flags) })?;
        FileHandle::new(raw.kind, raw.data.get(..raw.bytes as usize).unwrap_or_default()).ok_or(Errno::EIO)
    }

    fn by_handle(&self, mount: HostFd, handle: &FileHandle) -> Result<OwnedFd> {
        if handle.kind == FileHandle::BTIME {
            return Err(Errno::EOPNOTSUPP);
        }
        let bytes = handle.bytes();
        let mut raw = RawHandle { bytes: bytes.len() as u32, kind: handle.kind, data: [0; FileHandle::MAX] };
        raw.data[..bytes.len()].copy_from_slice(bytes);
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: as in handle_of; the kernel only reads it.
        owned(unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.0, &raw mut raw, flags) })
    }

    fn is_local(&self, fd: HostFd) -> bool {
        // The magic numbers of linux/magic.h and of the filesystems' own sources, for what works on local media.
        const LOCAL: [u32; 24] = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0x0102_1994,
            0x8584_58f6,
            0x794c_7630,
            0xf2f5_2010,
            0xca45_1a4e,
            0x2fc1_2fc1,
            0xe0f5_e1e2,
            0x7371_7368,
            0x9660,
            0x4d44,
            0x2011_bab0,
            0x7366_746e,
            0x3153_464a,
            0x5265_4973,
            0x3434,
            0x1501_3346,
            0x137f,
            0x138f,
            0x2468,
            0x2478,
            0x9584_58f6,
        ];
        statfs(fd).is_ok_and(|s| LOCAL.contains(&(s.f_type as u32)))
    }

    fn create(&self, making: &Making, dir: HostFd, name: &CStr, flags: u32, mode: u32) -> Result<OwnedFd> {
        let flags = open_flags(flags) | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        // SAFETY: name is NUL-terminated.
        creds::as_maker(making, || owned(unsafe { libc::openat(dir.0, name.as_ptr(), flags, mode) }.into()))
    }

    fn tmpfile(&self, making: &Making, dir: HostFd, flags: u32, mode: u32) -> Result<OwnedFd> {
        // O_EXCL on O_TMPFILE forbids linkat(2) later: the one meaning of it that is passed on.
        let flags = open_flags(flags) | libc::O_TMPFILE | (flags as c_int & libc::O_EXCL);
        let name = FdName::new(dir);
        let proc_fd = self.proc_fd.as_raw_fd();
        // SAFETY: the name is NUL-terminated.
        creds::as_maker(making, || owned(unsafe { libc::openat(proc_fd, name.name(), flags, mode) }.into()))
    }

    fn mkdir(&self, making: &Making, dir: HostFd, name: &CStr, mode: u32) -> Result<()> {
        // SAFETY: name is NUL-terminated.
        creds::as_maker(making, || check(unsafe { libc::mkdirat(dir.0, name.as_ptr(), mode) }).map(drop))
    }

    fn mknod(&self, making: &Making, dir: HostFd, name: &CStr, mode: u32, rdev: (u32, u32)) -> Result<()> {
        let dev = libc::makedev(rdev.0, rdev.1);
        // SAFETY: name is NUL-terminated.
        creds::as_maker(making, || check(unsafe { libc::mknodat(dir.0, name.as_ptr(), mode, dev) }).map(drop))
    }

    fn symlink(&self, making: &Making, dir: HostFd, name: &CStr, target: &CStr) -> Result<()> {
        let (target, name) = (target.as_ptr(), name.as_ptr());
        // SAFETY: both strings are NUL-terminated.
        creds::as_maker(making, || check(unsafe { libc::symlinkat(target, dir.0, name) }).map(drop))
    }

    fn link(&self, anchor: HostFd, dir: HostFd, name: &CStr) -> Result<()> {
        let (from, proc_fd) = (FdName::new(anchor), self.proc_fd.as_raw_fd());
        // SAFETY: both strings are NUL-terminated.
        check(unsafe { libc::linkat(proc_fd, from.name(), dir.0, name.as_ptr(), libc::AT_SYMLINK_FOLLOW) }).map(drop)
    }

    fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        // SAFETY: name is NUL-terminated.
        check(unsafe { libc::unlinkat(dir.0, name.as_ptr(), 0) }).map(drop)
    }

    fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        // SAFETY: name is NUL-terminated.
        check(unsafe { libc::unlinkat(dir.0, name.as_ptr(), libc::AT_REMOVEDIR) }).map(drop)
    }

    fn rename(&self, dir: HostFd, name: &CStr, newdir: HostFd, newname: &CStr, flags: u32) -> Result<()> {
        let (name, newname) = (name.as_ptr(), newname.as_ptr());
        // SAFETY: both names are NUL-terminated.
        check(unsafe { libc::syscall(libc::SYS_renameat2, dir.0, name, newdir.0, newname, flags) }).map(drop)
    }

    fn whiteout(&self, making: &Making, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()> {
        creds::as_maker(making, || self.rename(from.0, from.1, to.0, to.1, flags))
    }

    fn readlink(&self, anchor: HostFd) -> Result<Vec<u8>> {
        let mut target = vec![0u8; libc::PATH_MAX as usize];
        // SAFETY: the kernel writes at most target.len() bytes.
        let n = check(unsafe { libc::readlinkat(anchor.0, EMPTY, target.as_mut_ptr().cast(), target.len()) })?;
        target.truncate(n as usize);
        Ok(target)
    }

    fn access(&self, fd: HostFd, mask: u32) -> Result<()> {
        // By fsuid, as all else is checked.
        let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
        // SAFETY: the path is a constant.
        check(unsafe { libc::syscall(libc::SYS_faccessat2, fd.0, EMPTY, mask as c_int, flags) }).map(drop)
    }

    fn chmod(&self, fd: HostFd, mode: u32) -> Result<()> {
        // SAFETY: the name is NUL-terminated.
        check(unsafe { libc::fchmodat(self.proc_fd.as_raw_fd(), FdName::new(fd).name(), mode & 0o7777, 0) }).map(drop)
    }

    fn chown(&self, fd: HostFd, uid: Option<HostUid>, gid: Option<HostGid>) -> Result<()> {
        let (uid, gid) = (uid.map_or(u32::MAX, |id| id.0), gid.map_or(u32::MAX, |id| id.0));
        // SAFETY: the path is a constant.
        check(unsafe { libc::fchownat(fd.0, EMPTY, uid, gid, libc::AT_EMPTY_PATH) }).map(drop)
    }

    fn chown_nobody(&self, caller: &Making, fd: HostFd) -> Result<()> {
        creds::as_maker(caller, || self.chown(fd, None, None))
    }

    fn truncate(&self, anchor: HostFd, size: u64) -> Result<()> {
        let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::truncate(FdName::new(anchor).path(), size) }).map(drop)
    }

    fn ftruncate(&self, file: HostFd, size: u64) -> Result<()> {
        let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
        // SAFETY: no memory is passed.
        check(unsafe { libc::ftruncate(file.0, size) }).map(drop)
    }

    fn utimens(&self, fd: HostFd, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        let spec = |time| {
            let (tv_sec, tv_nsec) = match time {
                None => (0, libc::UTIME_OMIT),
                Some(SetTime::Now) => (0, libc::UTIME_NOW),
                Some(SetTime::At(sec, nsec)) => (sec, nsec.into()),
            };
            libc::timespec { tv_sec, tv_nsec }
        };
        let times = [spec(atime), spec(mtime)];
        // SAFETY: utimensat reads two timespecs.
        check(unsafe { libc::utimensat(fd.0, EMPTY, times.as_ptr(), libc::AT_EMPTY_PATH) }).map(drop)
    }

    fn read(&self, file: HostFd, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let rest = &mut buf[done..];
            let at = offset as i64 + done as i64;
            // SAFETY: the kernel writes at most rest.len() bytes.
            match check(unsafe { libc::pread(file.0, rest.as_mut_ptr().cast(), rest.len(), at) }) {
                Ok(0) => break,
                Ok(n) => done += n as usize,
                Err(Errno::EINTR) => {}
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write(&self, file: HostFd, buf: &[u8], offset: u64, append: bool) -> Result<usize> {
        let flags = if append { libc::RWF_APPEND } else { 0 };
        let mut done = 0;
        while done < buf.len() {
            let rest = &buf[done..];
            let iov = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
            // SAFETY: the kernel only reads rest.
            match check(unsafe { libc::pwritev2(file.0, &iov, 1, offset as i64 + done as i64, flags) }) {
                Ok(0) => break,
                Ok(n) => done += n as usize,
                Err(Errno::EINTR) => {}
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn fsync(&self, file: HostFd, datasync: bool) -> Result<()> {
        // SAFETY: no memory is passed.
        check(unsafe { if datasync { libc::fdatasync(file.0) } else { libc::fsync(file.0) } }).map(drop)
    }

    fn flush(&self, file: HostFd) -> Result<()> {
        // SAFETY: the duplicate is ours and closed once; close(2) reports what the filesystem's flush said.
        check(unsafe { libc::close(check(libc::fcntl(file.0, libc::F_DUPFD_CLOEXEC, 0))?) }).map(drop)
    }

    fn fallocate(&self, file: HostFd, mode: u32, offset: u64, length: u64) -> Result<()> {
        // SAFETY: no memory is passed.
        check(unsafe { libc::fallocate(file.0, mode as c_int, offset as i64, length as i64) }).map(drop)
    }

    fn lseek(&self, file: HostFd, offset: u64, whence: u32) -> Result<u64> {
        // SAFETY: no memory is passed.
        check(unsafe { libc::lseek(file.0, offset as i64, whence as c_int) }).map(|at| at as u64)
    }

    fn copy_file_range(&self, from: (HostFd, u64), to: (HostFd, u64), len: u64, flags: u64) -> Result<u64> {
        let (mut off_in, mut off_out) = (from.1 as i64, to.1 as i64);
        // A length that no ssize_t holds is EINVAL on some hosts; less than asked is always a good answer.
        let len = len.min(1 << 40) as usize;
        // SAFETY: both offsets are ours for the call.
        let n = unsafe { libc::copy_file_range(from.0.0, &mut off_in, to.0.0, &mut off_out, len, flags as u32) };
        check(n).map(|n| n as u64)
    }

    fn read_dir(&self, dir: HostFd, offset: u64, bytes: usize) -> Result<DirBatch> {
        self.lseek(dir, offset, libc::SEEK_SET as u32)?;
        let mut raw = vec![0u8; bytes.clamp(512, 1 << 16)];
        // SAFETY: the kernel writes at most raw.len() bytes.
        let n = check(unsafe { libc::syscall(libc::SYS_getdents64, dir.0, raw.as_mut_ptr(), raw.len()) })? as usize;
        let mut batch = DirBatch::default();
        let mut rest = raw.get(..n).unwrap_or_default();
        // struct linux_dirent64 of getdents64(2): d_ino, d_off, d_reclen, d_type, d_name.
        while let Some((ino, tail)) = rest.split_first_chunk()
            && let Some((off, tail)) = tail.split_first_chunk()
            && let Some((reclen, tail)) = tail.split_first_chunk()
            && let Some((kind, tail)) = tail.split_first()
        {
            let name = tail.get(..(u16::from_ne_bytes(*reclen) as usize).saturating_sub(19)).unwrap_or_default();
            let Ok(name) = CStr::from_bytes_until_nul(name) else { return Err(Errno::EIO) };
            batch.push(u64::from_ne_bytes(*ino), u64::from_ne_bytes(*off), (*kind).into(), name);
            rest = rest.get(u16::from_ne_bytes(*reclen) as usize..).unwrap_or_default();
        }
        Ok(batch)
    }

    fn statfs(&self, fd: HostFd) -> Result<Kstatfs> {
        let s = statfs(fd)?;
        Ok(Kstatfs {
            blocks: s.f_blocks,
            bfree: s.f_bfree,
            bavail: s.f_bavail,
            files: s.f_files,
            ffree: s.f_ffree,
            bsize: s.f_bsize as u32,
            namelen: s.f_namelen as u32,
            frsize: s.f_frsize as u32,
            ..Default::default()
        })
    }

    fn setxattr(&self, fd: HostFd, name: &CStr, value: &[u8], flags: u32) -> Result<()> {
        let (data, len) = (value.as_ptr().cast(), value.len());
        // SAFETY: the strings are NUL-terminated; the kernel only reads value.
        check(unsafe { libc::setxattr(FdName::new(fd).path(), name.as_ptr(), data, len, flags as c_int) }).map(drop)
    }

    fn getxattr(&self, fd: HostFd, name: &CStr, value: &mut [u8]) -> Result<usize> {
        let (data, len) = (value.as_mut_ptr().cast(), value.len());
        // SAFETY: the strings are NUL-terminated; the kernel writes at most value.len() bytes.
        check(unsafe { libc::getxattr(FdName::new(fd).path(), name.as_ptr(), data, len) }).map(|n| n as usize)
    }

    fn listxattr(&self, fd: HostFd, list: &mut [u8], root: bool) -> Result<usize> {
        let (data, len) = (list.as_mut_ptr().cast(), list.len());
        // SAFETY: the path is NUL-terminated; the kernel writes at most list.len() bytes.
        let ask = || check(unsafe { libc::listxattr(FdName::new(fd).path(), data, len) }).map(|n| n as usize);
        if root { ask() } else { creds::without_admin(ask) }
    }

    fn removexattr(&self, fd: HostFd, name: &CStr) -> Result<()> {
        // SAFETY: both strings are NUL-terminated.
        check(unsafe { libc::removexattr(FdName::new(fd).path(), name.as_ptr()) }).map(drop)
    }

    fn lock(&self, file: HostFd, lock: &Lock) -> Result<()> {
        lock::set(file, lock)
    }

    fn lock_wait(&self, file: HostFd, lock: &Lock, cancel: &Cancel) -> Result<()> {
        lock::wait(file, lock, cancel)
    }

    fn has_signal(&self, thread: u32) -> bool {
        lock::has_signal(thread)
    }

    fn lock_in_the_way(&self, file: HostFd, lock: &Lock) -> Result<Option<Lock>> {
        lock::in_the_way(file, lock)
    }

    fn locks_of(&self, file: HostFd) -> Result<Vec<Lock>> {
        lock::held(file)
    }

    fn poll(&self, file: HostFd, events: u32) -> Result<u32> {
        control::poll(file, events)
    }

    fn ioctl(&self, file: HostFd, command: u32, argument: &mut [u8]) -> Result<u32> {
        control::ioctl(file, command, argument)
    }

    fn with_suid<R>(&self, suid: Suid, f: impl FnOnce() -> R) -> R {
        creds::set_suid(suid);
        f()
    }
}

fn statfs(fd: HostFd) -> Result<libc::statfs> {
    let mut s = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills the whole struct when it answers 0.
    unsafe {
        check(libc::fstatfs(fd.0, s.as_mut_ptr()))?;
        Ok(s.assume_init())
    }
}
