//! What load on a mount needs of this kernel, and of no other.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};

use rustix::fs::{AtFlags, OFlags, StatxFlags};

/// Opens a file past the page cache.
pub fn direct() -> io::Result<OFlags> {
    Ok(OFlags::DIRECT)
}

/// Has sleeps of this thread end when they should: the kernel adds up to 50 us otherwise.
pub fn sharpen_sleep() -> io::Result<()> {
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).map_err(io::Error::from)
}

/// What a stat says that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Its number.
    pub ino: u64,
}

/// Stats `name` below `dir`, or `dir` itself, and has a network file system or FUSE ask its server even if it need not.
pub fn stat_forced(dir: BorrowedFd<'_>, name: Option<&CStr>) -> rustix::io::Result<Seen> {
    let (name, empty) = name.map_or((c"", AtFlags::EMPTY_PATH), |name| (name, AtFlags::empty()));
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC | empty;
    let x = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)?;
    Ok(Seen { mode: x.stx_mode.into(), size: x.stx_size, ino: x.stx_ino })
}

/// A shared mapping of a file that may shrink, or stand on a full disk, at any time.
///
/// A load or a store would die of SIGBUS there. Instead the kernel is asked to copy within this process
/// (`process_vm_readv(2)`, `process_vm_writev(2)`): it faults the same pages in, and answers EFAULT.
pub struct Mapping {
    start: NonNull<libc::c_void>,
    length: usize,
}

// SAFETY: nobody holds a reference into the mapping; the kernel copies, whichever thread asks.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes, which are at least one.
    pub fn new(file: &File, length: usize, writable: bool) -> io::Result<Mapping> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Mapping { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Copies from `offset` on: EFAULT where the file has ended, EINVAL beyond the mapping.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.range(offset, buffer.len())?;
        let here = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: `here` is the buffer, which is ours to write; the kernel checks every page of `there`.
        copied(unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) })
    }

    /// Copies to `offset`: EFAULT where the file has ended or the disk is full, EINVAL beyond the mapping.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> io::Result<usize> {
        let there = self.range(offset, bytes.len())?;
        let here = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: `here` is only read; `there` lies in the mapping, into which no Rust reference points.
        copied(unsafe { libc::process_vm_writev(libc::getpid(), &here, 1, &there, 1, 0) })
    }

    fn range(&self, offset: usize, length: usize) -> io::Result<libc::iovec> {
        match offset.checked_add(length) {
            Some(end) if end <= self.length => Ok(libc::iovec {
                iov_base: self.start.as_ptr().cast::<u8>().wrapping_add(offset).cast(),
                iov_len: length,
            }),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
}

fn copied(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing points into it.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_map_of_a_file_that_shrinks_answers_efault() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 16384]).expect("written");
        let map = Mapping::new(&file, 16384, true).expect("mapped");
        let mut buffer = [0; 4096];
        assert_eq!(map.read(8192, &mut buffer).expect("there"), 4096);
        assert_eq!(buffer, [7; 4096]);
        assert_eq!(map.write(4096, &[9; 4096]).expect("there"), 4096);
        file.rewind().expect("rewound");
        let mut all = Vec::new();
        file.read_to_end(&mut all).expect("read");
        assert_eq!((all[4095], all[4096], all[8191], all[8192]), (7, 9, 9, 7));
        file.set_len(4096).expect("shrunk");
        for answer in [map.read(8192, &mut buffer), map.write(8192, &buffer)] {
            assert_eq!(answer.expect_err("beyond the end").raw_os_error(), Some(libc::EFAULT));
        }
        let answer = map.read(16384, &mut buffer[..1]);
        assert_eq!(answer.expect_err("beyond the map").raw_os_error(), Some(libc::EINVAL));
    }
}
