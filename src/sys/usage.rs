//! What processes have spent.

use std::io;
use std::time::Duration;

/// As getrusage(2) has it, of this process with all its threads, or of its children that were reaped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// CPU time in its own code.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Context switches because it waited.
    pub voluntary: u64,
    /// Context switches because its time was up.
    pub involuntary: u64,
}

/// What this process has spent so far, and its children that were reaped.
pub fn spent() -> io::Result<[Spent; 2]> {
    Ok([of(libc::RUSAGE_SELF)?, of(libc::RUSAGE_CHILDREN)?])
}

fn of(who: libc::c_int) -> io::Result<Spent> {
    // SAFETY: all zeros is a valid rusage for the kernel to fill.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(who, &mut usage) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage
    };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(Spent {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        voluntary: usage.ru_nvcsw as u64,
        involuntary: usage.ru_nivcsw as u64,
    })
}

/// CPU time that a process has spent with all its threads, also those that have ended, to the nanosecond: what `/proc`
/// tells is in hundredths of a second.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both have room for the answer.
    unsafe {
        match libc::clock_getcpuclockid(pid, &mut clock) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        if libc::clock_gettime(clock, &mut time) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_by_both_clocks() {
        let (before, clock) = (spent().expect("getrusage"), cpu_time(std::process::id()).expect("a clock"));
        let end = std::time::Instant::now() + Duration::from_millis(50);
        while std::time::Instant::now() < end {}
        let (after, later) = (spent().expect("getrusage"), cpu_time(std::process::id()).expect("a clock"));
        assert!(later > clock);
        assert!(after[0].user + after[0].system > before[0].user + before[0].system);
        assert!(cpu_time(u32::MAX).is_err());
    }
}
