//! A terminal that a program draws on: keys as they are pressed, a screen of its own, and all given back at the end.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ready::{Interest, poll};
use super::signal;

/// The other screen; no cursor; lines that are too long are cut.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The terminal as it was found, while it is ours.
static FOUND: Mutex<Option<libc::termios>> = Mutex::new(None);

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A key, or a byte of one. Ctrl-C is 3.
    Key(u8),
    /// The window has another size.
    Resized,
    /// This signal wants an end; 1 (SIGHUP) too if the terminal is gone.
    Stop(u8),
    /// The other fd has something to read.
    Other,
    /// The time is up.
    Nothing,
}

/// The terminal of standard input and output, as long as this lives: dropping it gives the terminal back.
pub struct Terminal {
    signals: OwnedFd,
}

impl Terminal {
    /// Takes the terminal. Panics give it back before they are told. Call it before there are other threads.
    pub fn enter() -> io::Result<Terminal> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other("standard input and output are no terminal"));
        }
        let signals = signal::catch(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGWINCH])?;
        let found = attributes()?;
        let mut raw = found;
        // Output stays as it is: "\n" still goes to the first column.
        raw.c_iflag &= !(libc::IXON | libc::ICRNL | libc::BRKINT | libc::ISTRIP);
        raw.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG | libc::IEXTEN);
        raw.c_cc[libc::VMIN] = 1;
        raw.c_cc[libc::VTIME] = 0;
        *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        let terminal = Terminal { signals };
        set_attributes(&raw)?;
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            hook(panic);
        }));
        terminal.draw(ENTER)?;
        Ok(terminal)
    }

    /// Writes all of it.
    pub fn draw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: `size` has room for the answer.
        let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
        match (answer, size.ws_col, size.ws_row) {
            // Some terminals do not know.
            (-1, ..) | (_, 0, _) | (_, _, 0) => (80, 24),
            (_, columns, rows) => (columns.into(), rows.into()),
        }
    }

    /// Waits for a key, a signal, something on the `other` fd, or the time to pass.
    pub fn wait(&self, other: &impl AsFd, timeout: Duration) -> io::Result<Event> {
        let stdin = io::stdin();
        let fds = [self.signals.as_fd(), stdin.as_fd(), other.as_fd()].map(|fd| (fd, Interest::Read));
        match *poll(&fds, Some(timeout))? {
            [true, ..] => Ok(match signal::take(&self.signals)?.0 as libc::c_int {
                libc::SIGWINCH => Event::Resized,
                0 => Event::Nothing,
                number => Event::Stop(number as u8),
            }),
            [_, true, _] => {
                let mut key = [0_u8];
                // SAFETY: `key` has room for one byte. (std's own reader would read ahead, and poll would not see it.)
                match unsafe { libc::read(stdin.as_raw_fd(), key.as_mut_ptr().cast(), 1) } {
                    1 => Ok(Event::Key(key[0])),
                    _ => Ok(Event::Stop(libc::SIGHUP as u8)),
                }
            }
            [_, _, true] => Ok(Event::Other),
            _ => Ok(Event::Nothing),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, once.
fn restore() {
    if let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone wants nothing back.
        let _ = io::stdout().write_all(LEAVE).and_then(|()| io::stdout().flush());
        let _ = set_attributes(&found);
    }
}

fn attributes() -> io::Result<libc::termios> {
    // SAFETY: plain integers, for which zeros are valid; the kernel fills them.
    unsafe {
        let mut found: libc::termios = std::mem::zeroed();
        match libc::tcgetattr(libc::STDIN_FILENO, &mut found) {
            0 => Ok(found),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn set_attributes(wanted: &libc::termios) -> io::Result<()> {
    // SAFETY: `wanted` came from tcgetattr.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, wanted) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
