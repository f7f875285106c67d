//! This process: who it is, how it goes to the background, and the watchdog that outlives it.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The real uid and gid that a mount is made for, and whether the kernel lets this process mount as root.
pub fn user() -> (u32, u32, bool) {
    // SAFETY: these calls take nothing and cannot fail.
    unsafe { (libc::getuid(), libc::getgid(), libc::geteuid() == 0) }
}

/// The effective uid and gid, and whether they are root's.
pub fn effective() -> ((u32, u32), bool) {
    // SAFETY: these calls take nothing and cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    ((uid, gid), uid == 0)
}

/// Bytes in a page of memory.
pub fn page_size() -> u32 {
    // SAFETY: takes a constant and cannot fail for this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u32 }
}

/// Sets the umask to 0: the modes that clients ask for have had their own umask applied.
pub fn clear_umask() {
    // SAFETY: takes a plain number and cannot fail.
    unsafe { libc::umask(0) };
}

/// Gives free memory back to the system, wherever in the heap it lies.
pub fn trim_heap() {
    // Other C libraries have nothing of the kind.
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a plain number; the allocator locks each of its arenas meanwhile.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Asks this process to end in its orderly way, because something in it is broken. Once is enough, more do no harm.
pub fn ask_to_stop() {
    // SAFETY: takes plain numbers; SIGTERM goes to whoever waits for signals.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

/// Which of the two processes this is, after [`fork_to_background`].
pub enum Forked {
    /// The one that was started. It has waited, and is to end with this exit code.
    Parent(u8),
    /// The one that goes on.
    Child(Launch),
}

/// Goes on in a child, in a session of its own. The parent waits until the child says that it has started, by
/// [`Launch::detach`], or ends.
///
/// Fails if another thread exists: its locks would stay taken in the child for ever.
pub fn fork_to_background() -> io::Result<Forked> {
    refuse_threads()?;
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: this is the only thread, so the child's copy of memory is consistent, allocator included.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            // SAFETY: takes nothing; a child leads no process group, so it cannot fail.
            unsafe { libc::setsid() };
            Ok(Forked::Child(Launch { parent: writer }))
        }
        pid => {
            drop(writer);
            let started = reader.read(&mut [0]).is_ok_and(|length| length == 1);
            // A child that was told to stop before it had started ends well, but there is nothing to go on with.
            Ok(Forked::Parent(if started { 0 } else { exit_code(pid).max(1) }))
        }
    }
}

/// The tie to the process that was started, which waits.
pub struct Launch {
    parent: PipeWriter,
}

impl Launch {
    /// Leaves the standard streams of whoever started this, and lets the parent go.
    pub fn detach(mut self) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        for standard in 0..=2 {
            // SAFETY: takes plain numbers; other threads that write there meanwhile reach one file or the other.
            if unsafe { libc::dup2(null.as_raw_fd(), standard) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        // Whoever has stopped waiting is not to keep the daemon from serving.
        let _ = self.parent.write_all(&[1]);
        Ok(())
    }
}

/// Waits for the child; what it has ended with, 1 for a signal.
fn exit_code(pid: libc::pid_t) -> u8 {
    let mut status = 0;
    loop {
        // SAFETY: `pid` is a child that nobody else waits for, and `status` has room for its status.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return 1,
            _ if libc::WIFEXITED(status) => return libc::WEXITSTATUS(status) as u8,
            _ => return 1,
        }
    }
}

fn refuse_threads() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        _ => Err(io::Error::other("a process must be forked before any thread is started")),
    }
}

/// A child that runs until this process dies, or lets go of its tie. Dropping it ends it and waits for that.
pub struct Companion<T> {
    // Declared to be closed before `pid` is waited for: the child runs until it sees the other end close.
    tie: Option<T>,
    pid: libc::pid_t,
}

/// A [`Companion`] that is told what to look after.
pub type Watchdog = Companion<PipeWriter>;

impl Companion<PipeWriter> {
    /// One that has the read end of a pipe, and sees its end when this process is gone, however it went.
    pub fn watchdog(job: impl FnOnce(PipeReader)) -> io::Result<Watchdog> {
        let (reader, writer) = io::pipe()?;
        Companion::start(c"ptfs-watchdog", writer, reader, job)
    }
}

impl<T> Companion<T> {
    /// Forks a child that runs `job` with `theirs`, in a session of its own, deaf to the signals that a terminal or a
    /// service manager sends to a whole group, and holding no other fd. `ours` is the other end.
    ///
    /// Fails if another thread exists: its locks would stay taken in the child for ever.
    pub fn start<U: AsRawFd>(name: &CStr, ours: T, theirs: U, job: impl FnOnce(U)) -> io::Result<Companion<T>> {
        refuse_threads()?;
        // SAFETY: this is the only thread, so the child's copy of memory is consistent, allocator included.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                isolate(name, theirs.as_raw_fd());
                // A panic must not unwind into the copy of the parent's frames.
                let _ = catch_unwind(AssertUnwindSafe(|| job(theirs)));
                // SAFETY: ends the process at once; the parent's destructors are not the child's to run.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Companion { tie: Some(ours), pid }),
        }
    }

    /// Our end of what ties the child to this process.
    pub fn tie(&self) -> Option<&T> {
        self.tie.as_ref()
    }

    /// Kills the child. It may be in a call that no signal ends: dropping waits for that, too.
    pub fn kill(&self) {
        // SAFETY: `pid` is a child that nobody has waited for, so its number is its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

impl<T> Drop for Companion<T> {
    fn drop(&mut self) {
        self.tie = None;
        // SAFETY: `pid` is a child that nobody else waits for; the status is not wanted.
        while unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// Cuts the ties to the parent's terminal, its callers' pipes, its files and its directory.
fn isolate(name: &CStr, keep: RawFd) {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    // SAFETY: plain numbers and a constant string. The fds that go are the parent's in name: the child leaves by _exit
    // and never uses or drops their owners. Other calls that fail leave the child with more than it needs, no worse.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        for standard in (0..=2).filter(|&standard| standard != keep) {
            match &null {
                Ok(null) => libc::dup2(null.as_raw_fd(), standard),
                Err(_) => libc::close(standard),
            };
        }
        // Closed by its owner, before the sweep does it.
        drop(null);
        let keep = libc::c_long::from(keep);
        for (first, last) in [(3, keep - 1), ((keep + 1).max(3), libc::c_long::from(i32::MAX))] {
            if libc::syscall(libc::SYS_close_range, first, last, 0 as libc::c_long) == -1 {
                // Before Linux 5.9. A device that stayed open here would outlive the daemon.
                for fd in first..=last.min(libc::sysconf(libc::_SC_OPEN_MAX)) {
                    libc::close(fd as libc::c_int);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_refused_beside_other_threads() {
        // The test harness itself runs this on a thread of its own.
        assert!(Watchdog::watchdog(|_| ()).is_err());
    }
}
