//! CPUs and the threads that stay on them.

use std::io;

/// How many CPUs the kernel may ever have: FUSE-over-io_uring has a queue for each.
pub fn possible() -> usize {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = list.trim().rsplit([',', '-']).next().and_then(|n| n.parse::<usize>().ok());
    match last {
        Some(last) => last + 1,
        // SAFETY: takes a constant.
        None => usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap_or(1).max(1),
    }
}

/// The CPUs that this thread may run on.
pub fn allowed() -> Vec<usize> {
    // SAFETY: cpu_set_t is a plain bit set; the kernel fills at most its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &mut set) != 0 {
            return vec![0];
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// Keeps this thread, and those it starts, on one CPU.
pub fn stay_on(cpu: usize) -> io::Result<()> {
    let set = only(cpu);
    // SAFETY: the kernel reads the set.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The set of one CPU.
pub fn only(cpu: usize) -> libc::cpu_set_t {
    // SAFETY: zero is the empty set; CPU_SET checks the bound.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    }
}
