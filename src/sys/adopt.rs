//! Processes of others that are to be ended without fail: those that children of this process have left behind.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Makes this process the parent of all that its descendants leave behind (daemons), which init would be else.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong) })
}

/// One process. Its pid may be given to another one day; this goes on meaning the same one.
pub struct Process {
    fd: OwnedFd,
    pid: u32,
}

impl Process {
    /// The process that has this pid now.
    pub fn open(pid: u32) -> io::Result<Process> {
        // SAFETY: takes plain numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0 as libc::c_long) };
        check(fd.try_into().unwrap_or(-1))?;
        // SAFETY: a new descriptor, which nobody else owns; descriptors are small numbers.
        Ok(Process { fd: unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }, pid })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end (SIGTERM), or makes it (SIGKILL).
    pub fn end(&self, by_force: bool) -> io::Result<()> {
        let signal = if by_force { libc::SIGKILL } else { libc::SIGTERM };
        let no_info = std::ptr::null_mut::<libc::siginfo_t>();
        // SAFETY: the descriptor is a pidfd; without siginfo the kernel makes one as kill(2) does.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal, no_info, 0) };
        check(result.try_into().unwrap_or(-1))
    }

    /// Waits for its end, and reaps it if it is a child of this process. False if it still runs.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one valid pollfd.
        match unsafe { libc::poll(&mut poll, 1, millis) } {
            0 => return Ok(false),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => return Ok(false),
            -1 => return Err(io::Error::last_os_error()),
            _ => {}
        }
        // SAFETY: zeroed siginfo is valid for the kernel to fill. Who is no child of ours is for others to reap.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PIDFD, self.fd.as_raw_fd() as libc::id_t, &mut info, libc::WEXITED | libc::WNOHANG);
        }
        Ok(true)
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_ended_and_reaped() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep(1)");
        let process = Process::open(child.id()).expect("it runs");
        assert!(!process.wait(Duration::from_millis(1)).expect("a pidfd"));
        process.end(true).expect("it is ours");
        assert!(process.wait(Duration::from_secs(60)).expect("a pidfd"));
        // No zombie is left that others could wait for.
        assert!(child.wait().is_err());
        assert!(process.end(true).is_err());
    }
}
