//! Signals that ask a command to stop, one after the other, for a thread that waits for them.
//!
//! Unlike `signal`, which blocks them: what is blocked stays so in every program that is started, and these are to be
//! ended by them.

use std::io::{self, PipeReader, Read};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

const STOPPING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Where the handler writes; -1 until there is anything.
static TO: AtomicI32 = AtomicI32::new(-1);

/// SIGINT, SIGTERM and SIGHUP from now on.
pub struct Interrupts {
    from: PipeReader,
}

impl Interrupts {
    /// Takes these signals out of their default course, for the rest of the process's life. SIGHUP stays ignored where
    /// nohup(1) has asked for that. Programs that are started get the default course back.
    pub fn catch() -> io::Result<Interrupts> {
        let (from, to) = io::pipe()?;
        TO.store(to.into_raw_fd(), Ordering::Relaxed);
        for signal in STOPPING {
            // SAFETY: all zeros is a valid sigaction, for the kernel to fill, and with an empty mask and a handler to
            // be installed; the handler does what signal-safety(7) allows: write(2).
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                check(libc::sigaction(signal, std::ptr::null(), &mut action))?;
                if action.sa_sigaction == libc::SIG_IGN {
                    continue;
                }
                action = std::mem::zeroed();
                action.sa_sigaction = note as *const () as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART;
                check(libc::sigaction(signal, &action, std::ptr::null_mut()))?;
            }
        }
        Ok(Interrupts { from })
    }

    /// Waits for the next one; its name.
    pub fn wait(&mut self) -> io::Result<&'static str> {
        let mut signal = [0];
        self.from.read_exact(&mut signal)?;
        Ok(match libc::c_int::from(signal[0]) {
            libc::SIGINT => "SIGINT",
            libc::SIGTERM => "SIGTERM",
            _ => "SIGHUP",
        })
    }
}

extern "C" fn note(signal: libc::c_int) {
    let to: RawFd = TO.load(Ordering::Relaxed);
    let byte = signal as u8;
    // SAFETY: errno is this thread's, and put back because the thread may be about to look at it; one byte is read from
    // the stack. A pipe that takes no more holds signals enough.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(to, (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_come_one_by_one() {
        let mut interrupts = Interrupts::catch().expect("handlers can be installed");
        for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
            // SAFETY: the signal is caught.
            unsafe { libc::raise(signal) };
            assert_eq!(interrupts.wait().expect("one waits"), name);
        }
    }
}
