//! The kernel's page cache, file by file and as a whole.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Pages of a file that are in memory, and all that it has.
pub fn resident(file: &File) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let page = u64::from(super::process::page_size());
    let pages = length.div_ceil(page);
    if pages == 0 {
        return Ok((0, 0));
    }
    match cachestat(file) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => mincore(file, length, pages),
        cached => Ok((cached?.min(pages), pages)),
    }
}

/// cachestat(2), from Linux 6.5: no map is needed.
fn cachestat(file: &File) -> io::Result<u64> {
    /// The same on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    #[repr(C)]
    struct Range {
        offset: u64,
        length: u64,
    }
    // Length 0 is to the end.
    let range = Range { offset: 0, length: 0 };
    // cached, dirty, under writeback, evicted, recently evicted
    let mut counts = [0_u64; 5];
    // SAFETY: both are as the kernel has them, and outlive the call.
    match unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, counts.as_mut_ptr(), 0) } {
        0 => Ok(counts[0]),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mincore(file: &File, length: u64, pages: u64) -> io::Result<(u64, u64)> {
    let length = usize::try_from(length).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    let mut there = vec![0_u8; pages as usize];
    // SAFETY: a new map at a place of the kernel's choice, that nothing is read from; `there` has a byte for each page.
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let asked = libc::mincore(map, length, there.as_mut_ptr().cast());
        let error = io::Error::last_os_error();
        libc::munmap(map, length);
        if asked != 0 {
            return Err(error);
        }
    }
    Ok((there.iter().filter(|&&page| page & 1 != 0).count() as u64, pages))
}

/// Has the kernel give up a file's clean pages. It may keep some.
pub fn forget(file: &File) -> io::Result<()> {
    // SAFETY: takes plain numbers; length 0 is to the end.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Has the kernel give up all clean pages, and the names and inodes that nobody uses. Root only. What is dirty stays:
/// see [`super::mount::sync_everything`].
pub fn forget_everything() -> io::Result<()> {
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn both_ways_to_ask_agree() {
        let path = std::env::temp_dir().join(format!("ptfs-pages-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("a scratch file");
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(resident(&file).expect("an empty file"), (0, 0));
        file.write_all(&[1; 10_000]).expect("room");
        assert_eq!(resident(&file).expect("just written"), (3, 3));
        assert_eq!(mincore(&file, 10_000, 3).expect("just written"), (3, 3));
        forget(&file).expect("a regular file");
    }
}
