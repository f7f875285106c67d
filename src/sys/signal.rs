//! Signals as events that one thread waits for.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The operator wants the mount gone; the signal's name.
    Stop(&'static str),
    /// This process wants that itself: see `process::ask_to_stop`.
    Fault,
    /// SIGUSR1: the operator wants figures.
    Report,
    /// The engine has ended by itself.
    Ended,
    /// The time is up.
    Nothing,
}

/// The signals that this process answers to, taken out of their default course.
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the signals in this thread and all that it starts: call it before there are any.
    ///
    /// SIGHUP stays ignored where nohup(1) has asked for that. SIGPIPE and SIGXFSZ become errors of the calls that
    /// raised them.
    pub fn block() -> io::Result<Signals> {
        let mut signals = vec![libc::SIGINT, libc::SIGTERM, libc::SIGUSR1];
        // SAFETY: all zeros is a valid sigaction for the kernel to fill; the signal numbers are constants.
        unsafe {
            let mut hangup: libc::sigaction = std::mem::zeroed();
            check(libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut hangup))?;
            if hangup.sa_sigaction != libc::SIG_IGN {
                signals.push(libc::SIGHUP);
            }
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        }
        Ok(Signals { fd: catch(&signals)? })
    }

    /// Waits for a signal, for the other end of `ended` to close, or for the time to pass.
    pub fn wait(&self, ended: &PipeReader, timeout: Duration) -> io::Result<Event> {
        loop {
            match poll([self.fd.as_fd(), ended.as_fd()], timeout)? {
                [_, true] => return Ok(Event::Ended),
                [false, false] => return Ok(Event::Nothing),
                [true, false] => {}
            }
            let (signal, sender) = take(&self.fd)?;
            match signal as libc::c_int {
                libc::SIGTERM if sender == std::process::id() => return Ok(Event::Fault),
                libc::SIGUSR1 => return Ok(Event::Report),
                libc::SIGINT => return Ok(Event::Stop("SIGINT")),
                libc::SIGTERM => return Ok(Event::Stop("SIGTERM")),
                libc::SIGHUP => return Ok(Event::Stop("SIGHUP")),
                _ => {}
            }
        }
    }
}

/// Takes these signals out of their default course, in this thread and all that it starts; they arrive at the fd.
pub fn catch(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: zeroed is a valid sigset for the next call to initialise; the new fd is ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The number of a signal that has arrived at the fd of [`catch`], 0 if there is none, and the process that sent it.
pub fn take(fd: &OwnedFd) -> io::Result<(u32, u32)> {
    // SAFETY: all zeros is a valid signalfd_siginfo, which is plain integers.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: `info` has room for `size` bytes.
    match unsafe { libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) } {
        -1 => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok((0, 0)),
            error => Err(error),
        },
        _ => Ok((info.ssi_signo, info.ssi_pid)),
    }
}

/// Blocks every signal in this thread and all that it starts: they are for the rest of the program.
pub fn block_all() -> io::Result<()> {
    // SAFETY: zeroed is a valid sigset for the call to fill; the mask is the calling thread's.
    let answer = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer)) }
}

/// Whether the other end of `ended` is closed, now or within `timeout`.
pub fn ended_within(ended: &PipeReader, timeout: Duration) -> bool {
    poll([ended.as_fd()], timeout).is_ok_and(|[ended]| ended)
}

/// Which of `fds` have something to read, an error, or no other end.
fn poll<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Duration) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    loop {
        // SAFETY: `polled` is N valid entries.
        match unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(polled.map(|one| one.revents != 0)),
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_ends_the_wait() {
        let (reader, writer) = io::pipe().expect("a pipe");
        assert!(!ended_within(&reader, Duration::from_millis(1)));
        drop(writer);
        assert!(ended_within(&reader, Duration::from_secs(60)));
    }

    #[test]
    fn signals_and_the_end_are_told_apart() {
        let signals = Signals::block().expect("signals can be blocked");
        let (reader, writer) = io::pipe().expect("a pipe");
        let long = Duration::from_secs(60);
        let soon = signals.wait(&reader, Duration::from_millis(1));
        assert_eq!(soon.expect("nothing waits"), Event::Nothing);
        // SAFETY: sends a signal that is blocked in this thread to this thread alone.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        assert_eq!(signals.wait(&reader, long).expect("a signal waits"), Event::Report);
        drop(writer);
        assert_eq!(signals.wait(&reader, long).expect("the end waits"), Event::Ended);
    }
}
