//! Clients that begin together, and end by themselves.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::measured::Record;
use crate::bench::workload::operation::{Clients, Operation};

/// Holds threads back until all are there. Unlike a barrier it can be given up, when one cannot be started.
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    began: Option<Instant>,
    given_up: bool,
}

impl Gate {
    fn new() -> Gate {
        Gate { state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let guard = self.changed.wait_while(self.lock(), |state| condition(state));
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    /// When it began; None if it was given up.
    fn pass(&self) -> Option<Instant> {
        self.lock().waiting += 1;
        self.changed.notify_all();
        self.wait_while(|state| state.began.is_none() && !state.given_up).began
    }

    fn open(&self, threads: usize) -> Instant {
        let mut state = self.wait_while(|state| state.waiting < threads);
        let now = Instant::now();
        state.began = Some(now);
        self.changed.notify_all();
        now
    }

    fn give_up(&self) {
        self.lock().given_up = true;
        self.changed.notify_all();
    }
}

/// What clients have done.
pub struct Together {
    /// When all of them began.
    pub began: Instant,
    /// When the last of them ended.
    pub ended: Instant,
    /// All that was written down.
    pub record: Record,
    /// They have still to finish.
    pub clients: Vec<Box<dyn Operation>>,
}

/// Runs `work` on each client in a thread of its own, all from one moment on, which `work` is told.
pub fn together(
    source: &dyn Clients,
    clients: u32,
    work: impl Fn(Instant, &mut dyn Operation, &mut Record) + Sync,
) -> Result<Together, String> {
    if clients == 0 {
        return Err("no clients: nobody would ask".to_owned());
    }
    let mut operations = Vec::new();
    for number in 0..clients {
        operations.push((source.client(number, clients)?, Record::new()?));
    }
    let gate = Gate::new();
    let (began, done) = thread::scope(|scope| {
        let (gate, work) = (&gate, &work);
        let mut threads = Vec::new();
        for (number, (mut operation, mut record)) in operations.into_iter().enumerate() {
            let client = move || {
                if let Some(began) = gate.pass() {
                    work(began, &mut *operation, &mut record);
                }
                (Instant::now(), operation, record)
            };
            match thread::Builder::new().name(format!("client-{number}")).spawn_scoped(scope, client) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    gate.give_up();
                    return Err(format!("cannot start client {} of {clients}: {error}", number + 1));
                }
            }
        }
        let began = gate.open(threads.len());
        let done: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        Ok((began, done))
    })?;
    let (mut ended, mut all, mut left) = (began, Record::new()?, Vec::new());
    for client in done {
        let (end, operation, record) = client.map_err(|_| "a client panicked".to_owned())?;
        all.add(record);
        left.push(operation);
        ended = ended.max(end);
    }
    Ok(Together { began, ended, record: all, clients: left })
}

/// What the clients find when they look back.
pub fn look_back(clients: Vec<Box<dyn Operation>>) -> Box<dyn FnOnce() -> Vec<String>> {
    Box::new(|| clients.into_iter().flat_map(|mut client| client.finish()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_gate_that_is_given_up_holds_nobody() {
        let gate = std::sync::Arc::new(Gate::new());
        let (tell, told) = mpsc::channel();
        for _ in 0..3 {
            let (gate, tell) = (gate.clone(), tell.clone());
            thread::spawn(move || tell.send(gate.pass()));
        }
        gate.give_up();
        for _ in 0..3 {
            assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(None));
        }
    }

    #[test]
    fn a_gate_opens_when_all_are_there() {
        let gate = std::sync::Arc::new(Gate::new());
        let threads: Vec<_> =
            (0..3).map(|_| (gate.clone(), ())).map(|(gate, ())| thread::spawn(move || gate.pass())).collect();
        let began = gate.open(3);
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), Some(began));
        }
    }
}
