//! What stands around a mount while it serves: bind mounts in it, the pid file, the word to those who wait for it.
//! Put up once the mount answers, and taken down before it goes.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::bind::Binder;
use super::choice::Announcement;
use super::mount::Mounted;
use super::pidfile::{PidFile, Place};
use super::{notify, say};
use crate::sys::mount::wait_for_answer;
use crate::sys::process::Launch;

/// How long the mount may take for its first answer, which waits for the disk or the server below.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Fixtures {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The process that was started and waits, if this is its child.
    launch: Option<Launch>,
    binder: Option<Binder>,
    place: Option<Place>,
    pidfile: Option<PidFile>,
    /// The end has begun: nothing is put up any more.
    closing: bool,
    failure: Option<String>,
}

impl Fixtures {
    /// What is to be put up: binds, and a pid file. `launch` is the process that was started and waits.
    pub fn plan(binder: Option<Binder>, place: Option<Place>, launch: Option<Launch>) -> Fixtures {
        Fixtures { state: Mutex::new(State { launch, binder, place, ..State::default() }) }
    }

    /// Waits until the mount answers, and puts everything up; all or nothing. False if that failed: the mount is to go,
    /// and [`Fixtures::failure`] tells why.
    pub fn put_up(&self, mounted: &Mounted, said: &Announcement) -> bool {
        // Without the lock, since the end must not wait for an engine that does not answer.
        let answer = first_answer(mounted.path());
        let mut state = self.state();
        if state.closing {
            return true;
        }
        match answer.and_then(|()| state.build(mounted, said)) {
            Ok(()) => true,
            Err(line) => {
                state.failure = Some(line);
                false
            }
        }
    }

    /// Takes down what is in the way of an unmount. To be called while the mount is served, if it still is: what was
    /// made to bind on is removed through it.
    pub fn take_down(&self) {
        let mut state = self.state();
        if !state.closing {
            notify::stopping();
        }
        state.closing = true;
        if let Some(binder) = state.binder.take() {
            binder.take_down();
        }
    }

    /// Removes the pid file, and says what has failed: for an exit that runs no destructors.
    pub fn abandon(&self) {
        // Whoever holds the lock may wait for the mount.
        let Ok(mut state) = self.state.try_lock() else { return };
        if let Some(file) = &state.pidfile {
            file.remove();
        }
        if let Some(line) = state.failure.take() {
            say(line);
        }
    }

    /// Why the mount could not be made complete.
    pub fn failure(&self) -> Option<String> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves at worst too little put up.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn build(&mut self, mounted: &Mounted, said: &Announcement) -> Result<(), String> {
        self.binder.as_ref().map_or(Ok(()), |binder| binder.put_up(mounted))?;
        self.pidfile = self.place.as_ref().map(Place::write).transpose()?;
        // In the background Ctrl-C stops nothing.
        let how_to_stop = if self.launch.is_some() { "" } else { "; Ctrl-C stops" };
        let status = format!("{}{how_to_stop}", said.status);
        // At once: whoever waits for the first line finds the others beside it.
        say([&status].into_iter().chain(&said.remarks).map(String::as_str).collect::<Vec<_>>().join("\nptfs: "));
        if let Some(launch) = self.launch.take() {
            launch.detach().map_err(|error| format!("cannot leave the standard streams: {error}"))?;
        }
        notify::ready(&said.status);
        Ok(())
    }
}

/// Waits for it on a thread that is left alone when the time is up.
fn first_answer(point: &Path) -> Result<(), String> {
    let failed = |error| format!("the mount does not answer: {error}");
    let (tell, told) = mpsc::channel();
    let point = point.to_owned();
    let ask = move || {
        let _ = tell.send(wait_for_answer(&point));
    };
    thread::Builder::new().name("first-answer".to_owned()).spawn(ask).map_err(failed)?;
    match told.recv_timeout(PATIENCE) {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(format!("the mount did not answer within {} s", PATIENCE.as_secs())),
    }
}
