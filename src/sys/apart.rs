//! System calls that may wait for our own mount, made by a child that holds no descriptor of this process.
//!
//! A thread that waits for an answer of FUSE cannot be killed once the request is on its way. If that is a thread of the
//! daemon, killing the daemon ends those who would answer, while the one who waits keeps the table of descriptors alive,
//! and with it the device, whose end would have been the answer: such a process stays until the next boot. So nobody who
//! shares the device may ask the mount, flush it, or unmount it.

use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::mem::MaybeUninit;

/// Enough for a few small frames around a system call.
const STACK: usize = 64 << 10;

struct Job<F, T> {
    call: Option<F>,
    outcome: Option<T>,
}

/// Makes `call` in a child that shares memory with this thread, which stands still meanwhile, but no descriptors beside
/// the standard ones. Only SIGKILL ends the wait.
///
/// # Safety
///
/// `call` may make system calls and compute; it must not allocate, lock, panic, or touch what belongs to a thread but
/// `errno`.
pub unsafe fn apart<T, F: FnOnce() -> T>(call: F) -> io::Result<T> {
    let mut stack: Vec<u128> = vec![0; STACK / size_of::<u128>()];
    let mut job = Job { call: Some(call), outcome: None };
    // No exit signal: in a program that embeds us, whoever waits for any child is not to find this one.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    // SAFETY: `entry` is of the type of `job`, which outlives the child, as `stack` does: CLONE_VFORK holds this thread
    // until the child has ended, and only the death of the whole process ends that earlier. The stack is aligned and
    // grows downwards from its end. Signals are blocked, so that no handler of the program runs in the child.
    let pid = unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
        let end = stack.as_mut_ptr_range().end.cast::<c_void>();
        let pid = libc::clone(entry::<T, F>, end, flags, (&raw mut job).cast());
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        pid
    };
    if pid == -1 {
        // No room for a process: better a risk than a mount that stays.
        job.outcome = job.call.take().map(|call| call());
    } else {
        // SAFETY: `pid` is our child, which nobody else can wait for; the status is not wanted.
        while unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WCLONE) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
    job.outcome.ok_or_else(|| io::Error::other("the child that was to do it was killed"))
}

extern "C" fn entry<T, F: FnOnce() -> T>(job: *mut c_void) -> c_int {
    // SAFETY: takes plain numbers. Only what lies below 3 is copied, so that nothing is closed here that would be flushed.
    // A kernel before 5.9 does not know the call; then the child shares what it should not, and is no worse than a thread.
    unsafe { libc::syscall(libc::SYS_close_range, 3 as c_uint, c_uint::MAX, libc::CLOSE_RANGE_UNSHARE) };
    // SAFETY: `apart` passes its own `Job<F, T>` and stands still meanwhile.
    let job = unsafe { &mut *job.cast::<Job<F, T>>() };
    job.outcome = job.call.take().map(|call| call());
    0
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_call_apart_has_none_of_our_descriptors_and_leaves_them_alone() {
        let file = File::open("/dev/null").expect("there");
        let (fd, pid) = (file.as_raw_fd(), std::process::id());
        // SAFETY: two system calls.
        let (open, errno, child) = unsafe {
            apart(|| (libc::fcntl(fd, libc::F_GETFD), *libc::__errno_location(), libc::getpid() as u32))
                .expect("possible")
        };
        assert_eq!((open, errno), (-1, libc::EBADF));
        assert_ne!(child, pid);
        file.metadata().expect("still open here");
        // SAFETY: takes plain numbers; there is nothing to wait for.
        let left =
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WCLONE | libc::__WNOTHREAD | libc::WNOHANG) };
        assert!(left <= 0, "the child was waited for");
    }
}
