//! `/dev/fuse`: its clones, requests and replies.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::protocol::Errno;

use super::creds;
use super::fs::check;

/// `FUSE_DEV_IOC_CLONE`: `_IOR(229, 0, uint32_t)`.
const CLONE: libc::c_ulong = 0x8004_e500;

/// Another descriptor of the same connection, with its own list of requests being processed.
pub fn clone(device: BorrowedFd<'_>, nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_CLOEXEC | if nonblocking { libc::O_NONBLOCK } else { 0 };
    // SAFETY: a constant path; the new descriptor is ours; the ioctl reads one u32, an fd number.
    unsafe {
        // Without udev it is root's alone.
        let fd = creds::for_itself(|| check(libc::open(c"/dev/fuse".as_ptr(), flags))).map_err(io::Error::from)?;
        let fd = OwnedFd::from_raw_fd(fd);
        let of = device.as_raw_fd() as u32;
        check(libc::ioctl(fd.as_raw_fd(), CLONE, &raw const of)).map_err(io::Error::from)?;
        Ok(fd)
    }
}

/// Waits for one request; gives its bytes in `buf`.
pub fn read<'b>(device: &OwnedFd, buf: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    // SAFETY: the kernel writes at most buf.len() bytes.
    let n = check(unsafe { libc::read(device.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) })?;
    buf.get(..n as usize).ok_or(Errno::EIO)
}

/// Sends one reply.
pub fn write(device: &OwnedFd, header: &[u8], body: &[u8]) -> Result<(), Errno> {
    let part = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let parts = [part(header), part(body)];
    // SAFETY: the kernel only reads both parts.
    check(unsafe { libc::writev(device.as_raw_fd(), parts.as_ptr(), 2) }).map(drop)
}
