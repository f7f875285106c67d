//! What stands around a mount while it serves: bind mounts in it, the pid file, the word to those who wait for it.
//! Put up once the mount answers, and taken down before it goes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bind::{BindSpec, Bound};
use super::choice::Announcement;
use super::pidfile::PidFile;
use super::{notify, say};
use crate::sys::mount::wait_for_answer;
use crate::sys::process::Launch;

/// See the module.
pub struct Fixtures {
    binds: Vec<BindSpec>,
    pidfile: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The process that was started and waits, if this is its child.
    launch: Option<Launch>,
    bound: Vec<Bound>,
    pidfile: Option<PidFile>,
    /// The end has begun: nothing is put up any more.
    closing: bool,
    failure: Option<String>,
}

impl Fixtures {
    /// Refuses what can be known to fail before anything is mounted.
    pub fn plan(binds: Vec<BindSpec>, pidfile: Option<PathBuf>, launch: Option<Launch>) -> Result<Fixtures, String> {
        if let Some(path) = &pidfile {
            PidFile::check(path)?;
        }
        let state = Mutex::new(State { launch, ..State::default() });
        Ok(Fixtures { binds, pidfile, state })
    }

    /// Waits until the mount at `point` answers, and puts everything up; all or nothing. False if that failed: the
    /// mount is to go, and [`Fixtures::failure`] tells why.
    pub fn put_up(&self, point: &Path, said: &Announcement) -> bool {
        // Without the lock, since the end must not wait for an engine that does not answer.
        let answer = wait_for_answer(point);
        let mut state = self.state();
        if state.closing {
            return true;
        }
        let outcome = answer.map_err(|error| format!("the mount does not answer: {error}"));
        match outcome.and_then(|()| self.build(&mut state, point, said)) {
            Ok(()) => true,
            Err(line) => {
                state.failure = Some(line);
                false
            }
        }
    }

    fn build(&self, state: &mut State, point: &Path, said: &Announcement) -> Result<(), String> {
        for spec in &self.binds {
            state.bound.push(Bound::make(spec, point)?);
        }
        state.pidfile = self.pidfile.as_deref().map(PidFile::write).transpose()?;
        say(&said.text);
        if let Some(launch) = state.launch.take() {
            launch.detach().map_err(|error| format!("cannot leave the standard streams: {error}"))?;
        }
        notify::ready(&said.status);
        Ok(())
    }

    /// Takes down what is in the way of an unmount. To be called while the mount is served, if it still is: what was
    /// made to bind on is removed through it.
    pub fn take_down(&self) {
        let mut state = self.state();
        if !state.closing {
            notify::stopping();
        }
        state.closing = true;
        while let Some(last) = state.bound.pop() {
            drop(last);
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
