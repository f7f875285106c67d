//! poll(2), for the daemon's threads that are no workers and for programs that look at it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Something to read, or an end.
    Read,
    /// Room to write, or an end.
    Write,
}

/// Which of `fds` are ready, have an error or no other end. Without a timeout it waits until one is.
pub fn poll(fds: &[(BorrowedFd<'_>, Interest)], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let events = |interest| if interest == Interest::Read { libc::POLLIN } else { libc::POLLOUT };
    let entry = |&(fd, interest): &(BorrowedFd<'_>, Interest)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: events(interest),
        revents: 0,
    };
    let mut polled: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    // Rounded up: a wait that ends just before its time would be begun again and again.
    let timeout = timeout.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    loop {
        // SAFETY: `polled` is that many valid entries.
        match unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(polled.iter().map(|one| one.revents != 0).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_ready_are_told() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let ready = |timeout| {
            let fds = [(theirs.as_fd(), Interest::Read), (theirs.as_fd(), Interest::Write)];
            poll(&fds, timeout).expect("fds are valid")
        };
        assert_eq!(ready(Some(Duration::ZERO)), [false, true]);
        ours.write_all(b"x").expect("there is room");
        assert_eq!(ready(None), [true, true]);
    }
}
