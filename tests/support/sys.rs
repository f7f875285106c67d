//! Raw system calls: errno as the error, any bytes as a path, the ids of one thread.

use libc::{AT_EMPTY_PATH, AT_FDCWD, c_char, c_int, c_long, c_uint, c_void, mode_t, off_t};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A call's answer: what it returned, or its errno.
pub type Sys<T = i64> = Result<T, i32>;

fn answer(ret: i64) -> Sys {
    if ret == -1 { Err(errno()) } else { Ok(ret) }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// One libc call as a [`Sys`].
macro_rules! call {
    ($call:expr) => {{
        // SAFETY: each caller below passes NUL-terminated strings, and buffers that live through the call
        // with their true length.
        answer(unsafe { $call } as i64)
    }};
}

/// The bytes of a path or name, however it is written.
pub trait Bytes {
    fn c(&self) -> CString;
}
impl<T: AsRef<[u8]> + ?Sized> Bytes for T {
    fn c(&self) -> CString {
        CString::new(self.as_ref()).expect("no NUL in names")
    }
}
/// A path as bytes.
pub fn b(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

pub fn is_root() -> bool {
    call!(libc::geteuid()) == Ok(0)
}
pub fn kill(pid: i32, signal: c_int) -> Sys {
    call!(libc::kill(pid, signal))
}
pub fn unmount(path: &Path) -> Sys {
    call!(libc::umount2(b(path).c().as_ptr(), libc::MNT_DETACH))
}

/// Somebody who makes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: &'static [u32],
}
pub const ROOT: User = User { uid: 0, gid: 0, groups: &[0] };

/// Gives this thread a umask, a working directory and a descriptor table of its own, once at its start: what a failed
/// test leaves open ends with its thread, and a child forked by another thread does not inherit it.
pub fn own_context() {
    call!(libc::unshare(libc::CLONE_FS | libc::CLONE_FILES)).expect("unshare");
}
pub fn umask(mask: u32) -> u32 {
    call!(libc::umask(mask)).unwrap() as u32
}
pub fn chdir(fd: c_int) {
    call!(libc::fchdir(fd)).expect("fchdir");
}
/// Leaves the working directory, which would keep its mount busy.
pub fn leave() {
    call!(libc::chdir(c"/".as_ptr())).expect("chdir");
}

/// Turns this thread (not the process, as libc's wrappers would) into `user`; root stays the saved id, so that
/// the way back is open.
pub fn become_user(user: &User) {
    let set3 = |nr, a, b, c| call!(libc::syscall(nr, a as c_long, b as c_long, c as c_long));
    let root = set3(libc::SYS_setresuid, 0, 0, 0);
    let groups = call!(libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()));
    let gid = set3(libc::SYS_setresgid, user.gid, user.gid, user.gid);
    let uid = set3(libc::SYS_setresuid, user.uid, user.uid, 0);
    for result in [root, groups, gid, uid] {
        result.unwrap_or_else(|e| panic!("cannot act as {user:?}: errno {e}: run as root"));
    }
}

/// Runs `f` as `user`.
pub fn as_user<T>(user: &User, f: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            become_user(&ROOT);
        }
    }
    let _back = Back;
    become_user(user);
    f()
}

/// Runs `f` in a forked child and waits for its exit status. `f` must stay with plain calls: locks that other
/// threads held at the fork are never released in the child.
pub fn fork(f: impl FnOnce() -> i32) -> Child {
    match call!(libc::fork()).expect("fork") {
        // The child never returns: not by a panic either.
        0 => {
            call!(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).ok();
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(101);
            // SAFETY: _exit takes a number and does not return.
            unsafe { libc::_exit(status) }
        }
        pid => Child(pid as i32),
    }
}
pub struct Child(pub i32);
impl Child {
    pub fn wait(self) -> i32 {
        let mut status = 0;
        call!(libc::waitpid(self.0, &mut status, 0)).expect("waitpid");
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
    }
}

pub fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    ends
}

/// Whether a thread sleeps in this system call (root may look).
pub fn is_in_call(thread: i32, number: libc::c_long) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    state.split_whitespace().next() == Some(&number.to_string())
}

pub fn open(path: impl Bytes, flags: c_int, mode: u32) -> Sys<c_int> {
    openat(AT_FDCWD, path, flags, mode)
}
pub fn openat(dir: c_int, path: impl Bytes, flags: c_int, mode: u32) -> Sys<c_int> {
    let flags = flags | libc::O_CLOEXEC;
    call!(libc::openat(dir, path.c().as_ptr(), flags, mode)).map(|fd| fd as c_int)
}
pub fn close(fd: c_int) -> Sys {
    call!(libc::close(fd))
}
pub fn dup(fd: c_int) -> Sys {
    call!(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3))
}
pub fn fcntl(fd: c_int, command: c_int, value: c_int) -> Sys {
    call!(libc::fcntl(fd, command, value))
}
/// F_SETLK, F_GETLK and their F_OFD twins over a byte range.
pub fn lock(fd: c_int, command: c_int, kind: c_int, start: i64, len: i64) -> Sys<libc::flock> {
    // SAFETY: all zeroes is a valid flock.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    (lock.l_start, lock.l_len) = (start, len);
    call!(libc::fcntl(fd, command, &mut lock)).map(|_| lock)
}
/// `FS_NOATIME_FL` of linux/fs.h.
pub const FS_NOATIME_FL: u32 = 0x80;
/// FS_IOC_GETFLAGS, as lsattr(1).
pub fn file_flags(fd: c_int) -> Sys<u32> {
    let mut flags: u64 = 0;
    call!(libc::ioctl(fd, 0x8008_6601, &mut flags)).map(|_| flags as u32)
}
/// FS_IOC_SETFLAGS, as chattr(1).
pub fn set_file_flags(fd: c_int, flags: u32) -> Sys {
    let flags = u64::from(flags);
    call!(libc::ioctl(fd, 0x4008_6602, &flags))
}
/// What of `events` is there now.
pub fn poll(fd: c_int, events: i16) -> Sys<i16> {
    let mut one = libc::pollfd { fd, events, revents: 0 };
    call!(libc::poll(&mut one, 1, 0)).map(|_| one.revents)
}
pub fn flock(fd: c_int, operation: c_int) -> Sys {
    call!(libc::flock(fd, operation))
}

pub fn read(fd: c_int, buf: &mut [u8]) -> Sys {
    call!(libc::read(fd, buf.as_mut_ptr().cast(), buf.len()))
}
pub fn write(fd: c_int, data: &[u8]) -> Sys {
    call!(libc::write(fd, data.as_ptr().cast(), data.len()))
}
pub fn pread(fd: c_int, buf: &mut [u8], at: off_t) -> Sys {
    call!(libc::pread(fd, buf.as_mut_ptr().cast(), buf.len(), at))
}
pub fn pwrite(fd: c_int, data: &[u8], at: off_t) -> Sys {
    call!(libc::pwrite(fd, data.as_ptr().cast(), data.len(), at))
}
/// The buffer as three pieces of unequal length.
fn pieces(start: *mut u8, len: usize) -> [libc::iovec; 3] {
    let (one, two) = (len / 7, len / 2);
    let piece = |from: usize, to: usize| libc::iovec { iov_base: start.wrapping_add(from).cast(), iov_len: to - from };
    [piece(0, one), piece(one, two), piece(two, len)]
}
pub fn readv(fd: c_int, buf: &mut [u8]) -> Sys {
    let iov = pieces(buf.as_mut_ptr(), buf.len());
    call!(libc::readv(fd, iov.as_ptr(), 3))
}
pub fn writev(fd: c_int, data: &[u8]) -> Sys {
    let iov = pieces(data.as_ptr().cast_mut(), data.len());
    call!(libc::writev(fd, iov.as_ptr(), 3))
}
pub fn lseek(fd: c_int, offset: off_t, whence: c_int) -> Sys {
    call!(libc::lseek(fd, offset, whence))
}
pub fn truncate(path: impl Bytes, len: off_t) -> Sys {
    call!(libc::truncate(path.c().as_ptr(), len))
}
pub fn ftruncate(fd: c_int, len: off_t) -> Sys {
    call!(libc::ftruncate(fd, len))
}
pub fn fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> Sys {
    call!(libc::fallocate(fd, mode, offset, len))
}
pub fn fsync(fd: c_int, data: bool) -> Sys {
    if data { call!(libc::fdatasync(fd)) } else { call!(libc::fsync(fd)) }
}
pub fn copy_file_range(from: (c_int, i64), to: (c_int, i64), len: usize) -> Sys {
    let (mut a, mut b) = (from.1, to.1);
    call!(libc::copy_file_range(from.0, &mut a, to.0, &mut b, len, 0))
}

pub fn mkdir(path: impl Bytes, mode: mode_t) -> Sys {
    call!(libc::mkdir(path.c().as_ptr(), mode))
}
pub fn rmdir(path: impl Bytes) -> Sys {
    call!(libc::rmdir(path.c().as_ptr()))
}
pub fn unlink(path: impl Bytes) -> Sys {
    call!(libc::unlink(path.c().as_ptr()))
}
pub fn rename(from: impl Bytes, to: impl Bytes, flags: c_uint) -> Sys {
    let (from, to) = (from.c(), to.c());
    call!(libc::renameat2(AT_FDCWD, from.as_ptr(), AT_FDCWD, to.as_ptr(), flags))
}
pub fn link(from: impl Bytes, to: impl Bytes, flags: c_int) -> Sys {
    linkat(AT_FDCWD, from, to, flags)
}
pub fn linkat(dir: c_int, from: impl Bytes, to: impl Bytes, flags: c_int) -> Sys {
    call!(libc::linkat(dir, from.c().as_ptr(), AT_FDCWD, to.c().as_ptr(), flags))
}
/// Names the file behind `fd`, the way that needs no capability: through this thread's own fd directory.
pub fn link_fd(fd: c_int, to: impl Bytes) -> Sys {
    link(fd_path(fd), to, libc::AT_SYMLINK_FOLLOW)
}
/// The magic link of a descriptor.
pub fn fd_path(fd: c_int) -> String {
    format!("/proc/thread-self/fd/{fd}")
}
pub fn symlink(target: impl Bytes, path: impl Bytes) -> Sys {
    call!(libc::symlink(target.c().as_ptr(), path.c().as_ptr()))
}
pub fn readlink(path: impl Bytes) -> Sys<Vec<u8>> {
    let mut buf = vec![0u8; 8192];
    let n = call!(libc::readlink(path.c().as_ptr(), buf.as_mut_ptr().cast::<c_char>(), buf.len()))?;
    buf.truncate(n as usize);
    Ok(buf)
}
pub fn mknod(path: impl Bytes, mode: mode_t, dev: u64) -> Sys {
    call!(libc::mknod(path.c().as_ptr(), mode, dev))
}
pub fn access(path: impl Bytes, mode: c_int, flags: c_int) -> Sys {
    let path = path.c();
    call!(libc::syscall(libc::SYS_faccessat2, AT_FDCWD, path.as_ptr(), mode, flags))
}

/// What a call works on: the four ways in which the kernel lets one name a file.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// Follows a symlink at the end.
    Path(&'a [u8]),
    /// Does not.
    Link(&'a [u8]),
    Fd(c_int),
    /// A descriptor, O_PATH too, by AT_EMPTY_PATH.
    Empty(c_int),
}
impl At<'_> {
    fn split(self) -> (c_int, CString, c_int) {
        match self {
            At::Path(path) => (AT_FDCWD, path.c(), 0),
            At::Link(path) => (AT_FDCWD, path.c(), libc::AT_SYMLINK_NOFOLLOW),
            At::Fd(fd) | At::Empty(fd) => (fd, c"".into(), AT_EMPTY_PATH),
        }
    }
}

pub fn chmod(at: At, mode: mode_t) -> Sys {
    const FCHMODAT2: c_long = 452;
    let (dir, path, flags) = at.split();
    match at {
        At::Fd(fd) => call!(libc::fchmod(fd, mode)),
        At::Path(_) => call!(libc::chmod(path.as_ptr(), mode)),
        _ => call!(libc::syscall(FCHMODAT2, dir, path.as_ptr(), mode, flags)),
    }
}
pub fn chown(at: At, uid: u32, gid: u32) -> Sys {
    let (dir, path, flags) = at.split();
    match at {
        At::Fd(fd) => call!(libc::fchown(fd, uid, gid)),
        _ => call!(libc::fchownat(dir, path.as_ptr(), uid, gid, flags)),
    }
}
/// Times as (seconds, nanoseconds), UTIME_NOW and UTIME_OMIT among the latter.
pub fn utimens(at: At, atime: (i64, i64), mtime: (i64, i64)) -> Sys {
    let spec = |(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec };
    let times = [spec(atime), spec(mtime)];
    let (dir, path, flags) = at.split();
    match at {
        At::Fd(fd) => call!(libc::futimens(fd, times.as_ptr())),
        _ => call!(libc::utimensat(dir, path.as_ptr(), times.as_ptr(), flags)),
    }
}
pub fn stat(at: At) -> Sys<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let (dir, path, flags) = at.split();
    match at {
        At::Fd(fd) => call!(libc::fstat(fd, stat.as_mut_ptr()))?,
        _ => call!(libc::fstatat(dir, path.as_ptr(), stat.as_mut_ptr(), flags))?,
    };
    // SAFETY: zeroed is valid, and the call filled it.
    Ok(unsafe { stat.assume_init() })
}
pub fn statx(at: At, mask: c_uint) -> Sys<libc::statx> {
    let mut statx = MaybeUninit::<libc::statx>::zeroed();
    let (dir, path, flags) = at.split();
    call!(libc::statx(dir, path.as_ptr(), flags, mask, statx.as_mut_ptr()))?;
    // SAFETY: zeroed is valid, and the call filled it.
    Ok(unsafe { statx.assume_init() })
}
pub fn statfs(at: At) -> Sys<libc::statfs> {
    let mut statfs = MaybeUninit::<libc::statfs>::zeroed();
    let path = at.split().1;
    match at {
        At::Fd(fd) | At::Empty(fd) => call!(libc::fstatfs(fd, statfs.as_mut_ptr()))?,
        _ => call!(libc::statfs(path.as_ptr(), statfs.as_mut_ptr()))?,
    };
    // SAFETY: zeroed is valid, and the call filled it.
    Ok(unsafe { statfs.assume_init() })
}

pub fn setxattr(at: At, name: impl Bytes, value: &[u8], flags: c_int) -> Sys {
    let (name, path) = (name.c(), at.split().1);
    let (n, p, v, len) = (name.as_ptr(), path.as_ptr(), value.as_ptr().cast::<c_void>(), value.len());
    match at {
        At::Path(_) => call!(libc::setxattr(p, n, v, len, flags)),
        At::Link(_) => call!(libc::lsetxattr(p, n, v, len, flags)),
        At::Fd(fd) | At::Empty(fd) => call!(libc::fsetxattr(fd, n, v, len, flags)),
    }
}
/// The value, or only its length where `size` is 0.
pub fn getxattr(at: At, name: impl Bytes, size: usize) -> Sys<(i64, Vec<u8>)> {
    let (name, path, mut buf) = (name.c(), at.split().1, vec![0u8; size]);
    let (n, p, v) = (name.as_ptr(), path.as_ptr(), buf.as_mut_ptr().cast::<c_void>());
    let len = match at {
        At::Path(_) => call!(libc::getxattr(p, n, v, size)),
        At::Link(_) => call!(libc::lgetxattr(p, n, v, size)),
        At::Fd(fd) | At::Empty(fd) => call!(libc::fgetxattr(fd, n, v, size)),
    }?;
    buf.truncate(len as usize);
    Ok((len, buf))
}
pub fn listxattr(at: At, size: usize) -> Sys<(i64, Vec<u8>)> {
    let (path, mut buf) = (at.split().1, vec![0u8; size]);
    let (p, v) = (path.as_ptr(), buf.as_mut_ptr().cast::<c_char>());
    let len = match at {
        At::Path(_) => call!(libc::listxattr(p, v, size)),
        At::Link(_) => call!(libc::llistxattr(p, v, size)),
        At::Fd(fd) | At::Empty(fd) => call!(libc::flistxattr(fd, v, size)),
    }?;
    buf.truncate(len as usize);
    Ok((len, buf))
}
pub fn removexattr(at: At, name: impl Bytes) -> Sys {
    let (name, path) = (name.c(), at.split().1);
    let (n, p) = (name.as_ptr(), path.as_ptr());
    match at {
        At::Path(_) => call!(libc::removexattr(p, n)),
        At::Link(_) => call!(libc::lremovexattr(p, n)),
        At::Fd(fd) | At::Empty(fd) => call!(libc::fremovexattr(fd, n)),
    }
}

/// One directory entry, as the kernel gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dirent {
    pub name: Vec<u8>,
    pub kind: u8,
    pub ino: u64,
    pub next: i64,
}
/// One getdents64 call.
pub fn getdents(fd: c_int, size: usize) -> Sys<Vec<Dirent>> {
    let mut buf = vec![0u64; size.div_ceil(8)];
    let n = call!(libc::syscall(libc::SYS_getdents64, fd, buf.as_mut_ptr(), size))? as usize;
    let bytes: Vec<u8> = buf.iter().flat_map(|word| word.to_ne_bytes()).take(n).collect();
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while rest.len() >= 19 {
        let word = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().unwrap());
        let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let name = rest[19..len].split(|&byte| byte == 0).next().unwrap().to_vec();
        entries.push(Dirent { name, kind: rest[18], ino: word(0), next: word(8) as i64 });
        rest = &rest[len..];
    }
    Ok(entries)
}
/// The whole directory from the fd's position on.
pub fn readdir(fd: c_int, size: usize) -> Sys<Vec<Dirent>> {
    let mut all = Vec::new();
    loop {
        let more = getdents(fd, size)?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
        assert!(all.len() < 1_000_000, "a directory without an end");
    }
}

/// A mapping of a file; looked at by process_vm_readv, so that a page that is gone is EFAULT, not a SIGBUS.
pub struct Map {
    start: *mut c_void,
    len: usize,
}
impl Map {
    pub fn new(fd: c_int, len: usize, prot: c_int, flags: c_int) -> Sys<Map> {
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
        if start == libc::MAP_FAILED { Err(errno()) } else { Ok(Map { start, len }) }
    }
    fn transfer(&self, at: usize, buf: *mut u8, len: usize, write: bool) -> Sys {
        assert!(at + len <= self.len);
        let local = libc::iovec { iov_base: buf.cast(), iov_len: len };
        let remote = libc::iovec { iov_base: self.start.wrapping_byte_add(at), iov_len: len };
        let pid = call!(libc::getpid())? as i32;
        match write {
            true => call!(libc::process_vm_writev(pid, &local, 1, &remote, 1, 0)),
            false => call!(libc::process_vm_readv(pid, &local, 1, &remote, 1, 0)),
        }
    }
    pub fn read(&self, at: usize, buf: &mut [u8]) -> Sys {
        self.transfer(at, buf.as_mut_ptr(), buf.len(), false)
    }
    pub fn write(&self, at: usize, data: &[u8]) -> Sys {
        self.transfer(at, data.as_ptr().cast_mut(), data.len(), true)
    }
    pub fn sync(&self) -> Sys {
        call!(libc::msync(self.start, self.len, libc::MS_SYNC))
    }
}
impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// A socket bound to, or connected with, `path` (at most 107 bytes).
pub fn unix_socket(path: &Path, bind: bool) -> Sys<c_int> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut addr: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    addr.sun_family = libc::AF_UNIX as _;
    for (to, from) in addr.sun_path.iter_mut().zip(b(path)) {
        *to = *from as c_char;
    }
    let fd = call!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))? as c_int;
    let size = size_of_val(&addr) as u32;
    let result = match bind {
        true => call!(libc::bind(fd, (&raw const addr).cast(), size)).and_then(|_| call!(libc::listen(fd, 4))),
        false => call!(libc::connect(fd, (&raw const addr).cast(), size)),
    };
    if result.is_err() {
        close(fd).ok();
    }
    result.map(|_| fd)
}

/// A zeroed, page-aligned buffer, so that O_DIRECT finds nothing to refuse.
pub struct Pages {
    pages: Vec<Page>,
    len: usize,
}
#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

impl Pages {
    pub fn new(len: usize) -> Pages {
        Pages { pages: vec![Page([0; 4096]); len.div_ceil(4096)], len }
    }
}
impl std::ops::Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the pages lie one after the other and hold at least `len` initialised bytes.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.len) }
    }
}
impl std::ops::DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.len) }
    }
}

/// The name of an errno, as the man pages write it.
pub fn errno_name(errno: i32) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENFILE, "ENFILE"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::EPIPE, "EPIPE"),
        (libc::ERANGE, "ERANGE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENODATA, "ENODATA"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::ENOTSUP, "ENOTSUP"),
        (libc::ENOTCONN, "ENOTCONN"),
        (libc::ECONNABORTED, "ECONNABORTED"),
        (libc::ESTALE, "ESTALE"),
    ];
    let name = known.iter().find(|(number, _)| *number == errno).map(|(_, name)| *name);
    name.map_or_else(|| format!("errno {errno}"), str::to_string)
}
