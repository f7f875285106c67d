//! Locks of open file descriptions: fcntl(2) with `F_OFD_*`, and flock(2).

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::host::Result;
use crate::core::ids::HostFd;
use crate::core::locks::{Cancel, Lock, LockType};
use crate::protocol::Errno;

use super::fs::check;

fn raw(lock: &Lock) -> libc::flock {
    let kind = match lock.kind {
        LockType::Read => libc::F_RDLCK,
        LockType::Write => libc::F_WRLCK,
        LockType::Unlock => libc::F_UNLCK,
    };
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: lock.start as i64,
        // 0 is "to the end of the file".
        l_len: if lock.end >= Lock::END { 0 } else { (lock.end - lock.start + 1) as i64 },
        l_pid: 0,
    }
}

/// Sets a lock; `wait` blocks until it can be had, or a signal comes.
fn call(file: HostFd, lock: &Lock, wait: bool) -> Result<()> {
    if lock.flock {
        let kind = match lock.kind {
            LockType::Read => libc::LOCK_SH,
            LockType::Write => libc::LOCK_EX,
            LockType::Unlock => libc::LOCK_UN,
        };
        // SAFETY: no memory is passed.
        return check(unsafe { libc::flock(file.0, kind | if wait { 0 } else { libc::LOCK_NB }) }).map(drop);
    }
    if lock.end < lock.start {
        return Err(Errno::EINVAL);
    }
    let flock = raw(lock);
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    // SAFETY: the kernel reads one struct flock.
    check(unsafe { libc::fcntl(file.0, command, &raw const flock) }).map(drop)
}

/// Without waiting.
pub fn set(file: HostFd, lock: &Lock) -> Result<()> {
    match call(file, lock, false) {
        // As POSIX lets a host say it.
        Err(Errno::EACCES) if !lock.flock => Err(Errno::EAGAIN),
        answer => answer,
    }
}

/// F_OFD_GETLK.
pub fn in_the_way(file: HostFd, lock: &Lock) -> Result<Option<Lock>> {
    if lock.end < lock.start {
        return Err(Errno::EINVAL);
    }
    let mut flock = raw(lock);
    // SAFETY: the kernel reads and writes one struct flock.
    check(unsafe { libc::fcntl(file.0, libc::F_OFD_GETLK, &raw mut flock) })?;
    let kind = match c_int::from(flock.l_type) {
        libc::F_UNLCK => return Ok(None),
        libc::F_RDLCK => LockType::Read,
        _ => LockType::Write,
    };
    let start = flock.l_start as u64;
    let end = if flock.l_len == 0 { Lock::END } else { start + flock.l_len as u64 - 1 };
    // -1 is a description, which is nobody's.
    let pid = u32::try_from(flock.l_pid).ok();
    Ok(Some(Lock { kind, start, end, pid, flock: false }))
}

/// What `/proc/self/fdinfo` tells of a description's locks (proc_pid_fdinfo(5)):
/// `lock: 1: OFDLCK ADVISORY  WRITE -1 08:01:131 0 EOF`.
pub fn held(file: HostFd) -> Result<Vec<Lock>> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.0)).map_err(Errno::from)?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("lock:")).filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Lock> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, class, _, kind, _, _, start, end] = words[..] else { return None };
    let kind = if kind == "WRITE" { LockType::Write } else { LockType::Read };
    let end = if end == "EOF" { Lock::END } else { end.parse().ok()? };
    Some(Lock { kind, start: start.parse().ok()?, end, pid: None, flock: class == "FLOCK" })
}

/// Whether a signal has interrupted a thread's call, or is about to (proc_pid_status(5)). One that is for the whole
/// process may be another thread's to take; whoever it interrupts waits as state D has it, in FUSE.
pub fn has_signal(thread: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{thread}/status")) else { return false };
    let set = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        u64::from_str_radix(line.trim(), 16).unwrap_or_default()
    };
    let alone = text.lines().any(|line| line == "Threads:\t1");
    let pending = set("SigPnd:") | if alone { set("ShdPnd:") } else { 0 };
    pending & !set("SigBlk:") != 0 || text.lines().any(|line| line.starts_with("State:\tD"))
}

extern "C" fn nothing(_: c_int) {}

/// The signal that ends a wait: SIGURG, which does no harm when it strays, or one of the real-time signals if the program
/// around has a use for that.
fn wake_signal() -> c_int {
    static SIGNAL: OnceLock<c_int> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let free = |signal: &c_int| {
            // SAFETY: zeroed is valid for the call to fill.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(*signal, std::ptr::null(), &mut action) == 0
                    && matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
            }
        };
        let signals = std::iter::once(libc::SIGURG).chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
        let signal = signals.into_iter().find(free).unwrap_or(libc::SIGURG);
        // SAFETY: a zeroed sigaction is valid; the handler does nothing, so that it is safe at any time; without
        // SA_RESTART the call that it interrupts answers EINTR.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
        signal
    })
}

/// Lets the signal interrupt this thread, which exists to wait.
fn listen(signal: c_int) {
    // SAFETY: zeroed is a valid sigset for the next call to fill; the mask is this thread's.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// Waits for the lock on this thread, until `cancel` is set.
pub fn wait(file: HostFd, lock: &Lock, cancel: &Cancel) -> Result<()> {
    let signal = wake_signal();
    listen(signal);
    let ended = Arc::new(AtomicBool::new(false));
    // SAFETY: no memory is passed.
    let thread = unsafe { libc::gettid() };
    let flag = Arc::clone(&ended);
    let answer = cancel.during(
        move || wake(thread, signal, Arc::clone(&flag)),
        || loop {
            if cancel.is_set() {
                return Err(Errno::EINTR);
            }
            match call(file, lock, true) {
                Err(Errno::EINTR) => {}
                answer => return answer,
            }
        },
    );
    ended.store(true, Ordering::SeqCst);
    answer
}

/// Interrupts a thread until it has noticed: a signal that comes just before the call does not end it.
fn wake(thread: libc::pid_t, number: c_int, ended: Arc<AtomicBool>) {
    let signal = move || {
        // SAFETY: no memory is passed; a thread that is gone, or another that got its number, is not hurt.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, number) };
    };
    signal();
    let again = std::thread::Builder::new().name("wake".to_owned()).stack_size(64 << 10).spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
            signal();
        }
    });
    if let Err(error) = again {
        tracing::warn!("cannot start a thread to interrupt a waiting lock: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    const WHOLE: Lock = Lock { kind: LockType::Write, start: 0, end: Lock::END, pid: None, flock: false };

    fn pair() -> (tempfile::NamedTempFile, File, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let (one, other) = (open(), open());
        (file, one, other)
    }

    fn fd(file: &File) -> HostFd {
        HostFd(file.as_raw_fd())
    }

    #[test]
    fn a_wait_ends_when_it_is_cancelled_at_any_time() {
        for flock in [false, true] {
            let (_path, one, other) = pair();
            let lock = Lock { flock, ..WHOLE };
            set(fd(&one), &lock).unwrap();
            for delay in [0, 0, 1, 3, 10] {
                let cancel = Arc::new(Cancel::default());
                let (of_waiter, other) = (Arc::clone(&cancel), fd(&other));
                let waiter = std::thread::spawn(move || wait(other, &lock, &of_waiter));
                std::thread::sleep(Duration::from_millis(delay));
                cancel.set();
                assert_eq!(waiter.join().unwrap(), Err(Errno::EINTR));
            }
            set(fd(&one), &Lock::none(flock)).unwrap();
            assert_eq!(wait(fd(&other), &lock, &Cancel::default()), Ok(()));
        }
    }

    #[test]
    fn what_a_description_holds_is_what_was_set() {
        let (_path, one, other) = pair();
        let locks = [
            Lock { kind: LockType::Read, start: 3, end: 9, ..WHOLE },
            Lock { kind: LockType::Write, start: 20, end: Lock::END, ..WHOLE },
        ];
        locks.iter().for_each(|lock| set(fd(&one), lock).unwrap());
        assert_eq!(held(fd(&one)), Ok(locks.to_vec()));
        assert_eq!(held(fd(&other)), Ok(vec![]));
        assert_eq!(in_the_way(fd(&other), &WHOLE), Ok(Some(locks[0])));
        assert_eq!(in_the_way(fd(&other), &Lock { start: 10, end: 19, ..WHOLE }), Ok(None));
        assert_eq!(set(fd(&other), &Lock { start: 9, end: 9, ..WHOLE }), Err(Errno::EAGAIN));
        set(fd(&one), &Lock::none(false)).unwrap();
        assert_eq!(held(fd(&one)), Ok(vec![]));
    }
}
