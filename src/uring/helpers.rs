//! Threads for what has no opcode and may block. They start when they are needed and stay on their worker's CPU: waking
//! a thread of another CPU costs ten times as much.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::ops::engine::Alarm;
use crate::sys::{creds, fs::Linux};

/// A worker's helpers at most: so many calls of one CPU's callers may sleep at once.
const MOST: usize = 32;

type Job = Box<dyn FnOnce(&Linux) + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, host: &Linux) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                drop(state);
                job(host);
                state = self.lock();
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

/// The helpers of one worker.
pub struct Helpers {
    host: Arc<Linux>,
    alarm: Alarm,
    shared: Arc<Shared>,
    threads: std::cell::RefCell<Vec<JoinHandle<()>>>,
}

impl Helpers {
    /// None yet.
    pub fn new(host: Arc<Linux>, alarm: Alarm) -> Helpers {
        Helpers { host, alarm, shared: Arc::default(), threads: Default::default() }
    }

    /// Has `job` done. It must not unwind.
    pub fn run(&self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        let short = state.idle < state.jobs.len();
        drop(state);
        let mut threads = self.threads.borrow_mut();
        if short && threads.len() < MOST {
            match self.start(threads.len()) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => {
                    // Better late than never: nobody else would do it.
                    tracing::error!("cannot start a helper thread: {error}");
                    self.shared.lock().jobs.drain(..).for_each(|job| job(&self.host));
                }
                Err(error) => tracing::debug!("no more helper threads: {error}"),
            }
        }
        self.shared.work.notify_one();
    }

    fn start(&self, number: usize) -> io::Result<JoinHandle<()>> {
        let (host, shared, alarm) = (Arc::clone(&self.host), Arc::clone(&self.shared), Arc::clone(&self.alarm));
        std::thread::Builder::new().name(format!("helper-{number}")).spawn(move || {
            if let Err(error) = creds::own_umask() {
                tracing::error!("a helper cannot have a umask of its own: {error}");
                alarm();
            }
            shared.run(&host);
        })
    }
}

impl Drop for Helpers {
    /// Finishes what was begun.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.take() {
            let _ = thread.join();
        }
    }
}
