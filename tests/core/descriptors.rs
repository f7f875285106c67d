//! Real descriptors whose fate can be told: ends of one socket pair, whose other end sees the last of them closed.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use ptfs::core::nodes::Closing;

pub struct Descriptors {
    end: UnixStream,
    other: UnixStream,
    open: Mutex<HashSet<RawFd>>,
}

impl Descriptors {
    pub fn new() -> Descriptors {
        let (end, other) = UnixStream::pair().unwrap();
        Descriptors { end, other, open: Mutex::default() }
    }

    pub fn fresh(&self) -> OwnedFd {
        let fd = OwnedFd::from(self.end.try_clone().unwrap());
        assert!(self.open.lock().unwrap().insert(fd.as_raw_fd()), "{fd:?} was closed by nobody that may");
        fd
    }

    /// One that came back without a way through `dead`.
    pub fn take_back(&self, fd: OwnedFd) {
        self.open.lock().unwrap().remove(&fd.as_raw_fd());
    }

    /// Closes what a table gave up: each is ours and was not given up before.
    pub fn close(&self, closing: &[Closing]) {
        for closing in closing {
            assert!(self.open.lock().unwrap().remove(&closing.fd.0), "{closing:?} was given up twice");
            ptfs::sys::fs::close(closing.fd);
        }
    }

    /// Closes the root's, which its table never gives up, and makes sure that nothing else is left.
    pub fn assert_none_left(self) {
        let Descriptors { end, mut other, open } = self;
        assert!(open.into_inner().unwrap().is_empty(), "leaked");
        drop(end);
        // Another test that lists /proc/self/fd refers to each of them for a moment.
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
}
