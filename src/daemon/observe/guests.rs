//! Clients of the sockets: short exchanges, many at a time on one thread, none of which can keep another waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::sys::ready::Interest;

/// Clients of one door at a time: who has been silent longest goes when another comes.
const MOST: usize = 16;
/// For a whole exchange. Prometheus waits 10 s by default.
const PATIENCE: Duration = Duration::from_secs(5);
/// No question is as long.
const LONGEST: usize = 8 << 10;

/// Where clients come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// The control socket.
    Control,
    /// `--metrics`.
    Http,
}

/// What a test of the mount came to: `None` if there was no time for more.
pub type Verdict<'a> = Option<&'a Result<(), String>>;

/// What is to be done about what a client has said so far.
pub enum Reaction {
    /// It has not finished.
    Listen,
    /// This is the answer.
    Say(Vec<u8>),
    /// The answer comes when the mount has been tested, or after the time.
    Probe {
        /// How long to wait for it.
        patience: Duration,
        /// What to say then.
        say: Box<dyn Fn(Verdict<'_>) -> Vec<u8>>,
    },
}

/// A connection of either kind.
pub enum Socket {
    /// The control socket's.
    Unix(UnixStream),
    /// HTTP's.
    Tcp(TcpStream),
}

impl Socket {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.set_nonblocking(true),
            Socket::Tcp(socket) => socket.set_nonblocking(true),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => (&*socket).read(buffer),
            Socket::Tcp(socket) => (&*socket).read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => (&*socket).write(bytes),
            Socket::Tcp(socket) => (&*socket).write(bytes),
        }
    }

    fn says_no_more(&self) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tcp(socket) => socket.as_fd(),
        }
    }
}

enum State {
    Listening,
    /// For a test of the mount, until the time; what is said then.
    Waiting(Instant, Box<dyn Fn(Verdict<'_>) -> Vec<u8>>),
    Saying(Vec<u8>),
    /// All is said. Closing before the client has would throw away what it has not read yet.
    Leaving,
}

/// One client.
struct Guest {
    door: Door,
    socket: Socket,
    state: State,
    heard: Vec<u8>,
    /// When it came, and by when it is to have left.
    came: Instant,
}

impl Guest {
    fn interest(&self) -> Interest {
        if matches!(self.state, State::Saying(_)) { Interest::Write } else { Interest::Read }
    }

    fn until(&self) -> Instant {
        let end = self.came + PATIENCE;
        match self.state {
            State::Waiting(until, _) => end.min(until),
            _ => end,
        }
    }

    /// Goes on as far as it can without waiting. False: it is over.
    fn go_on(&mut self, react: &mut dyn FnMut(Door, &[u8]) -> Reaction) -> bool {
        match self.advance(react) {
            Ok(more) => more,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn advance(&mut self, react: &mut dyn FnMut(Door, &[u8]) -> Reaction) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        loop {
            match &mut self.state {
                State::Listening => {
                    let length = self.socket.read(&mut buffer)?;
                    self.heard.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    match react(self.door, &self.heard) {
                        Reaction::Listen if length == 0 || self.heard.len() > LONGEST => return Ok(false),
                        Reaction::Listen => {}
                        Reaction::Say(text) => self.state = State::Saying(text),
                        Reaction::Probe { patience, say } => {
                            self.state = State::Waiting(Instant::now() + patience, say);
                        }
                    }
                }
                State::Saying(text) if text.is_empty() => {
                    self.socket.says_no_more()?;
                    self.state = State::Leaving;
                }
                State::Saying(text) => {
                    let length = self.socket.write(text)?;
                    text.drain(..length);
                }
                State::Waiting(..) | State::Leaving => {
                    if self.socket.read(&mut buffer)? == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }
}

/// All clients.
#[derive(Default)]
pub struct Guests {
    present: Vec<Guest>,
}

impl Guests {
    /// Takes one in.
    pub fn welcome(&mut self, door: Door, socket: Socket) {
        if socket.set_nonblocking().is_err() {
            return;
        }
        let same = || self.present.iter().enumerate().filter(|(_, guest)| guest.door == door);
        if same().count() >= MOST {
            let silent = same().find(|(_, guest)| matches!(guest.state, State::Listening));
            // They stand in the order in which they came.
            if let Some((at, _)) = silent.or_else(|| same().next()) {
                self.present.remove(at);
            }
        }
        self.present.push(Guest { door, socket, state: State::Listening, heard: Vec::new(), came: Instant::now() });
    }

    /// What to poll for, in an order that [`Guests::attend`] knows.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Interest)> {
        self.present.iter().map(|guest| (guest.socket.as_fd(), guest.interest()))
    }

    /// How long it is until somebody's time is up.
    pub fn patience(&self) -> Option<Duration> {
        let first = self.present.iter().map(Guest::until).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    /// Goes on with those that are `ready`, and sees off those whose time is up.
    pub fn attend(&mut self, ready: &[bool], mut react: impl FnMut(Door, &[u8]) -> Reaction) {
        let now = Instant::now();
        let mut ready = ready.iter();
        self.present.retain_mut(|guest| {
            let ready = ready.next().is_some_and(|&ready| ready);
            if let State::Waiting(until, say) = &guest.state
                && now >= *until
            {
                guest.state = State::Saying(say(None));
                return guest.go_on(&mut react);
            }
            if ready && !guest.go_on(&mut react) {
                return false;
            }
            now < guest.until()
        });
    }

    /// Answers all who wait for a test of the mount.
    pub fn tell_waiting(&mut self, outcome: &Result<(), String>) {
        for guest in &mut self.present {
            if let State::Waiting(_, say) = &guest.state {
                guest.state = State::Saying(say(Some(outcome)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::ready::poll;

    /// Answers each line by itself, `slow` after a test.
    fn react(_: Door, heard: &[u8]) -> Reaction {
        match heard.strip_suffix(b"\n") {
            Some(b"slow") => Reaction::Probe {
                patience: Duration::from_millis(50),
                say: Box::new(|verdict| format!("{verdict:?}").into_bytes()),
            },
            Some(line) => Reaction::Say(line.to_vec()),
            None => Reaction::Listen,
        }
    }

    fn visit(guests: &mut Guests) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        guests.welcome(Door::Control, Socket::Unix(theirs));
        ours.set_read_timeout(Some(Duration::from_secs(30))).expect("possible");
        ours
    }

    /// Attends once.
    fn turn(guests: &mut Guests) {
        let interests: Vec<_> = guests.interests().collect();
        let ready = poll(&interests, guests.patience()).expect("fds are valid");
        guests.attend(&ready, react);
    }

    fn said(mut guest: &UnixStream) -> String {
        let mut text = String::new();
        guest.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn a_question_in_pieces_is_one() {
        let mut guests = Guests::default();
        let mut guest = visit(&mut guests);
        for piece in ["st", "at", "s\n"] {
            guest.write_all(piece.as_bytes()).expect("heard");
            turn(&mut guests);
        }
        assert_eq!(said(&guest), "stats");
        drop(guest);
        turn(&mut guests);
        assert!(guests.present.is_empty());
    }

    #[test]
    fn an_answer_larger_than_a_socket_is_said_whole() {
        let mut guests = Guests::default();
        let mut guest = visit(&mut guests);
        guest.write_all(b"x\n").expect("heard");
        let long = vec![b'y'; 4 << 20];
        guests.attend(&[true], |_, _| Reaction::Say(long.clone()));
        assert_eq!(guests.present[0].interest(), Interest::Write);
        let reader = std::thread::spawn(move || said(&guest).len());
        while !guests.present.is_empty() {
            turn(&mut guests);
        }
        assert_eq!(reader.join().expect("no panic"), long.len());
    }

    #[test]
    fn the_silent_give_way() {
        let mut guests = Guests::default();
        let silent: Vec<UnixStream> = (0..MOST + 5).map(|_| visit(&mut guests)).collect();
        assert_eq!(guests.present.len(), MOST);
        let mut guest = visit(&mut guests);
        guest.write_all(b"here\n").expect("heard");
        turn(&mut guests);
        assert_eq!((said(&guest), said(&silent[0])), ("here".to_owned(), String::new()));
    }

    #[test]
    fn time_is_up_at_some_point() {
        let mut guests = Guests::default();
        let guest = visit(&mut guests);
        guests.present[0].came = Instant::now() - PATIENCE;
        assert_eq!(guests.patience(), Some(Duration::ZERO));
        turn(&mut guests);
        assert!(guests.present.is_empty());
        assert_eq!(said(&guest), "");
        // Nor does it help to talk on and on.
        let mut guest = visit(&mut guests);
        guest.write_all(&[b'a'; LONGEST + 1]).expect("room");
        while !guests.present.is_empty() {
            turn(&mut guests);
        }
    }

    #[test]
    fn those_who_wait_are_told_or_given_up() {
        let mut guests = Guests::default();
        let (mut first, mut second) = (visit(&mut guests), visit(&mut guests));
        first.write_all(b"slow\n").expect("heard");
        turn(&mut guests);
        guests.tell_waiting(&Ok(()));
        turn(&mut guests);
        assert_eq!(said(&first), "Some(Ok(()))");
        second.write_all(b"slow\n").expect("heard");
        let start = Instant::now();
        while !matches!(guests.present.last().map(|guest| &guest.state), Some(State::Leaving)) {
            turn(&mut guests);
        }
        assert_eq!(said(&second), "None");
        assert!(start.elapsed() >= Duration::from_millis(50));
    }
}
