//! How many file descriptors the daemon may hold.

use std::io;

/// Raises the soft RLIMIT_NOFILE to the hard one and returns it.
pub fn raise_nofile() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the kernel to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit for the kernel to read.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// The part of `limit` that may go to open files and anchors.
///
/// The rest, a fifth and at least 160, is for rings, clones of `/dev/fuse`, helpers, and the one or two fds that each
/// request in flight holds for a moment. Under RLIMIT_NOFILE 1024 that leaves 820, and the daemon stays under 900 fds
/// in all. Some container runtimes set a limit of 2^30, for which no table should be laid out: a million is enough.
pub fn fd_budget(limit: u64) -> usize {
    limit.saturating_sub((limit / 5).max(160)).clamp(16, 1 << 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_leaves_room_and_never_vanishes() {
        assert_eq!(fd_budget(1024), 820);
        assert_eq!(fd_budget(20_000), 16_000);
        assert_eq!(fd_budget(256), 96);
        assert_eq!(fd_budget(64), 16);
        assert_eq!(fd_budget(0), 16);
        assert_eq!(fd_budget(u64::MAX), 1 << 20);
    }

    #[test]
    fn soft_becomes_hard() {
        let raised = raise_nofile().expect("no privilege is needed");
        assert_eq!(raise_nofile().expect("no privilege is needed"), raised);
    }
}
