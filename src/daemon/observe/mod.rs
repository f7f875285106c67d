//! What an operator can see of a mount while it serves: questions on the control socket, and `--metrics`.
//!
//! One thread answers all. It must not touch the mount, nor a path that may lead there: whoever waits for the mount
//! while holding its device can only be ended by the mount.

mod facts;
mod guests;
mod http;
mod probe;
pub mod slow;
mod teller;

use std::io::{self, ErrorKind, PipeReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use self::facts::Observed;
use self::guests::{Door, Guests, Socket};
use self::probe::Prober;
use super::address::Address;
use super::mount::Mounted;
use super::say;
use crate::sys::process;
use crate::sys::ready::{Interest, poll};
use crate::sys::told::{Control, Room, peer_uid};

/// Before the next look at a door that could let nobody in: there may be descriptors again by then.
const REST: Duration = Duration::from_secs(1);

/// Where questions come in.
pub struct Observer {
    room: Mutex<Option<Room>>,
    control: OnceLock<Control>,
    metrics: Option<TcpListener>,
    prober: Mutex<Option<Prober>>,
}

impl Observer {
    /// Opens what can be opened before the mount, which may cover the paths. A mount without a control socket is served
    /// all the same; `--metrics` is asked for, so it has to work.
    pub fn plan(metrics: Option<&Address>) -> Result<Observer, String> {
        let room = Room::open().inspect_err(|error| tracing::warn!("`ptfs stats` will not work: {error}"));
        let metrics = metrics.map(Address::listen).transpose()?;
        let room = Mutex::new(room.ok());
        Ok(Observer { room, control: OnceLock::new(), metrics, prober: Mutex::new(None) })
    }

    /// Starts what has to be started when the mount is there, and no thread yet.
    pub fn prepare(&self, mounted: &Mounted) -> Result<(), String> {
        if self.metrics.is_some() {
            let prober = Prober::start(mounted.path(), mounted.id());
            *lock(&self.prober) =
                Some(prober.map_err(|error| format!("cannot start a process for /healthz: {error}"))?);
        }
        Ok(())
    }

    /// Opens the control socket.
    pub fn open(&self, mounted: &Mounted) {
        let Some(room) = lock(&self.room).take() else { return };
        let opened = room.listen(mounted.id().minor()).and_then(|control| {
            control.listener.set_nonblocking(true)?;
            Ok(control)
        });
        match opened {
            // Called once.
            Ok(control) => drop(self.control.set(control)),
            Err(error) => tracing::warn!("`ptfs stats` will not work: cannot make its socket: {error}"),
        }
    }

    /// Where `--metrics` listens.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Answers until the other end of `ended` closes.
    pub fn attend(&self, observed: &Observed, ended: &PipeReader) {
        let mut prober = lock(&self.prober);
        if let Err(error) = self.serve(observed, ended, prober.as_mut()) {
            say(format_args!("questions are not answered any more: {error}"));
        }
        self.abandon();
    }

    /// Removes the control socket: for an exit that runs no destructors, too.
    pub fn abandon(&self) {
        if let Some(control) = self.control.get() {
            control.remove();
        }
    }

    fn serve(&self, observed: &Observed, ended: &PipeReader, mut prober: Option<&mut Prober>) -> io::Result<()> {
        let mut guests = Guests::default();
        let mut doors = Doors {
            control: self.control.get().map(|control| &control.listener),
            metrics: self.metrics.as_ref(),
            rests: None,
        };
        loop {
            let open = doors.open();
            let line = prober.as_ref().and_then(|prober| prober.as_fd());
            let own = [ended.as_fd()].into_iter().chain(line).chain(open.iter().map(|&(_, fd)| fd));
            let fds: Vec<_> = own.map(|fd| (fd, Interest::Read)).chain(guests.interests()).collect();
            let patience = [guests.patience(), doors.patience()].into_iter().flatten().min();
            let ready = poll(&fds, patience)?;
            let (ended, ready) = ready.split_at(1);
            let (line, ready) = ready.split_at(usize::from(line.is_some()));
            let (knocked, ready) = ready.split_at(open.len());
            if ended.contains(&true) {
                return Ok(());
            }
            if line.contains(&true)
                && let Some(outcome) = prober.as_mut().and_then(|prober| prober.hear())
            {
                guests.tell_waiting(&outcome);
            }
            guests.attend(ready, |door, heard| teller::react(observed, prober.as_deref_mut(), door, heard));
            let knocked: Vec<Door> =
                open.iter().zip(knocked).filter_map(|(&(door, _), &knocked)| knocked.then_some(door)).collect();
            for door in knocked {
                doors.let_in(door, &mut guests);
            }
        }
    }
}

/// Where clients come in, as long as there are descriptors for them.
struct Doors<'a> {
    control: Option<&'a UnixListener>,
    metrics: Option<&'a TcpListener>,
    rests: Option<Instant>,
}

impl<'a> Doors<'a> {
    /// Those to look at now.
    fn open(&mut self) -> Vec<(Door, BorrowedFd<'a>)> {
        if self.rests.is_some_and(|until| Instant::now() < until) {
            return Vec::new();
        }
        self.rests = None;
        let control = self.control.map(|listener| (Door::Control, listener.as_fd()));
        let metrics = self.metrics.map(|listener| (Door::Http, listener.as_fd()));
        control.into_iter().chain(metrics).collect()
    }

    fn patience(&self) -> Option<Duration> {
        self.rests.map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn let_in(&mut self, door: Door, guests: &mut Guests) {
        match self.accept(door) {
            Ok(Some(socket)) => guests.welcome(door, socket),
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                tracing::debug!("nobody is let in for a while: {error}");
                self.rests = Some(Instant::now() + REST);
            }
        }
    }

    fn accept(&self, door: Door) -> io::Result<Option<Socket>> {
        match (door, self.control, self.metrics) {
            (Door::Control, Some(listener), _) => {
                let (socket, _) = listener.accept()?;
                Ok(may_ask(&socket)?.then_some(Socket::Unix(socket)))
            }
            (Door::Http, _, Some(listener)) => Ok(Some(Socket::Tcp(listener.accept()?.0))),
            _ => Ok(None),
        }
    }
}

/// Only who serves, and root. The socket's mode says so already, and this whatever becomes of that.
fn may_ask(socket: &UnixStream) -> io::Result<bool> {
    let ((own, _), _) = process::effective();
    let peer = peer_uid(socket)?;
    Ok(peer == own || peer == 0)
}

/// A panic leaves nothing half done there.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
