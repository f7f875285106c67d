//! The Linux engine: a worker per CPU, each with a ring of its own.
//!
//! One `io_uring_enter` per turn of [`run`]'s loop submits replies, next requests and all backing calls together, and
//! waits for whatever completes first. No worker ever blocks elsewhere.

mod dev_fuse;
mod files;
mod fuse_uring;
mod helpers;
mod mailbox;
mod os;
mod policy;
mod run;
mod slot;
mod worker;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use io_uring::{Probe, opcode};

use crate::ops::engine::{Session, Started};
use crate::sys::{cpu, device, fs::Linux};

use mailbox::Mailbox;
use slot::Memory;
use worker::{Parts, Shared, Worker};

/// Requests that a worker keeps in flight, unless the memory cap or the operator says otherwise.
const DEPTH: usize = 16;
/// Slots that a worker may open beside, one for each request that waits for a lock: so many of one CPU's callers wait, or
/// four times as many as its queue is deep. Until then they are addresses.
const SPARE: usize = 1024;
/// Slots of the one worker that reads `/dev/fuse` beside FUSE-over-io_uring: FORGET and INTERRUPT need few.
const ASIDE: usize = 2;

/// Why io_uring cannot be used here, if it cannot.
pub fn support() -> Result<(), String> {
    let ring = worker::new_ring(8).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring".to_owned(),
        Some(libc::EPERM) => {
            "it is forbidden here (a container's seccomp profile, or sysctl kernel.io_uring_disabled)".to_owned()
        }
        Some(libc::EINVAL) => "this kernel's io_uring is older than Linux 5.19".to_owned(),
        _ => format!("io_uring_setup: {error}"),
    })?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| format!("it does not tell its operations: {error}"))?;
    let needed = [opcode::OpenAt2::CODE, opcode::RenameAt::CODE, opcode::UnlinkAt::CODE, opcode::MsgRingData::CODE];
    match needed.iter().all(|&code| probe.is_supported(code)) {
        true => Ok(()),
        false => Err("it lacks operations of Linux 5.18".to_owned()),
    }
}

/// How many workers there are, and what each is given.
struct Plan {
    /// The CPU of each worker.
    cpus: Vec<usize>,
    /// Queues of FUSE-over-io_uring: one for each possible CPU.
    queues: usize,
    depth: usize,
    payload: usize,
    fuse_uring: bool,
}

impl Plan {
    fn new(session: &Session, fuse_uring: bool) -> Plan {
        let config = &session.core.config;
        let (cpus, queues) = (cpu::allowed(), cpu::possible());
        let payload = session.init.payload_size();
        let owners = if fuse_uring { queues.max(cpus.len()) } else { cpus.len() };
        let aside = if fuse_uring { ASIDE * payload } else { 0 };
        let fits = config.memory_cap.saturating_sub(aside as u64) / (owners as u64 * payload as u64);
        let depth = match config.queue_depth {
            Some(depth) => depth as usize,
            None => DEPTH.min(fits as usize),
        };
        Plan { cpus, queues, depth: depth.max(1), payload, fuse_uring }
    }

    /// The queues of a worker: its CPU's, and its share of those that no worker runs on.
    fn queues_of(&self, number: usize) -> Vec<u16> {
        let strays = (0..self.queues).filter(|q| !self.cpus.contains(q)).enumerate();
        let shared = strays.filter(|(n, _)| n % self.cpus.len().max(1) == number).map(|(_, q)| q);
        let own = self.cpus.get(number).copied().filter(|&cpu| cpu < self.queues);
        own.into_iter().chain(shared).map(|q| q as u16).collect()
    }

    fn slots_of(&self, number: usize) -> usize {
        match self.fuse_uring {
            true => self.queues_of(number).len() * self.depth + if number == 0 { ASIDE } else { 0 },
            false => self.depth,
        }
    }

    fn spare(&self) -> usize {
        SPARE.max(4 * self.depth)
    }
}

/// Serves until the mount is gone.
pub fn run(session: &Session, on_ready: &(dyn Fn(Started) + Sync)) -> io::Result<()> {
    if session.init.fuse_uring {
        match serve_by(session, &Plan::new(session, true), None, on_ready)? {
            Served::ToTheEnd => return Ok(()),
            Served::Refused(error) => {
                // The kernel goes on over /dev/fuse by itself.
                let why = format!("the kernel refused the queues of FUSE-over-io_uring: {error}");
                serve_by(session, &Plan::new(session, false), Some(why), on_ready)?;
                return Ok(());
            }
        }
    }
    serve_by(session, &Plan::new(session, false), None, on_ready).map(drop)
}

/// How a try to serve ended.
enum Served {
    ToTheEnd,
    Refused(io::Error),
}

fn serve_by(
    session: &Session,
    plan: &Plan,
    why_not_fast: Option<String>,
    on_ready: &(dyn Fn(Started) + Sync),
) -> io::Result<Served> {
    let workers = plan.cpus.len();
    let shared = Shared {
        rings: (0..workers).map(|_| Default::default()).collect(),
        mailboxes: (0..workers).map(|_| Mailbox::new().map(Arc::new)).collect::<io::Result<_>>()?,
        stop: AtomicBool::new(false),
        panicked: AtomicBool::new(false),
    };
    let begin = Begin { all_there: Barrier::new(workers), refused: Mutex::new(None) };
    let host = Arc::new(Linux::new()?);
    let crew = Crew { session, plan, shared: &shared, begin: &begin };
    let ready = || {
        let slots: usize = (0..workers).map(|number| plan.slots_of(number)).sum();
        on_ready(Started {
            transport: if plan.fuse_uring { "FUSE-over-io_uring" } else { "/dev/fuse" },
            workers,
            depth: plan.depth,
            payload_bytes: (slots * plan.payload) as u64,
            why_not_fast: why_not_fast.clone(),
        });
    };
    let ended: io::Result<()> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|number| {
                let (crew, host, ready) = (&crew, Arc::clone(&host), &ready);
                let name = format!("worker-{number}");
                std::thread::Builder::new().name(name).spawn_scoped(scope, move || {
                    let ended = crew.work(number, host, ready);
                    if ended.is_err() {
                        crew.shared.stop_all();
                        (crew.session.alarm)();
                    }
                    ended
                })
            })
            .collect::<io::Result<_>>()
            .unwrap_or_default();
        let panicked = |_| Err(io::Error::other("a worker panicked: a bug in ptfs"));
        threads.into_iter().map(|t| t.join().unwrap_or_else(panicked)).collect::<Vec<_>>().into_iter().collect()
    });
    ended?;
    if let Some(error) = begin.refused.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Ok(Served::Refused(error));
    }
    match shared.panicked.into_inner() {
        true => Err(io::Error::other("an operation panicked: a bug in ptfs")),
        false => Ok(Served::ToTheEnd),
    }
}

/// Where workers wait for each other: requests come once every queue is registered, or not at all.
struct Begin {
    all_there: Barrier,
    refused: Mutex<Option<io::Error>>,
}

struct Crew<'e> {
    session: &'e Session,
    plan: &'e Plan,
    shared: &'e Shared,
    begin: &'e Begin,
}

impl<'e> Crew<'e> {
    fn work(&self, number: usize, host: Arc<Linux>, ready: &(dyn Fn() + Sync)) -> io::Result<()> {
        let memory = Memory::new(self.plan.slots_of(number), self.plan.spare(), self.plan.payload)?;
        let made = self.make(number, host, &memory);
        // Whatever goes wrong before, the others must not wait for this one.
        self.begin.all_there.wait();
        let worker = made?;
        let refused = self.begin.refused.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if refused || self.shared.stop.load(Ordering::SeqCst) {
            return Ok(());
        }
        if number == 0 {
            ready();
        }
        let session = self.session;
        let ended = run::run(&worker, |os, request| async move { session.serve(&os, request).await });
        worker.retire();
        if ended.is_err() {
            // Calls may be in flight that write to the slots.
            drop(worker);
            std::mem::forget(memory);
        }
        ended
    }

    fn make<'m>(&self, number: usize, host: Arc<Linux>, memory: &'m Memory) -> io::Result<Worker<'m>>
    where
        'e: 'm,
    {
        let worker = Worker::new(Parts {
            number,
            core: &self.session.core,
            alarm: Arc::clone(&self.session.alarm),
            host,
            shared: self.shared,
            device: device::clone(self.session.device.as_fd(), true)?,
            memory,
            open: self.plan.slots_of(number),
            spare: self.plan.spare(),
            recorder: self.session.stats.register(),
        })?;
        worker.listen();
        if !self.plan.fuse_uring {
            worker.start_device(0..self.plan.depth);
            return Ok(worker);
        }
        if let Some(&cpu) = self.plan.cpus.get(number) {
            worker.stay_on(cpu)?;
        }
        let queues = self.plan.queues_of(number);
        let entries = queues.iter().flat_map(|&qid| std::iter::repeat_n(qid, self.plan.depth)).enumerate();
        if let Err(error) = worker.register(entries) {
            *self.begin.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        let registered = queues.len() * self.plan.depth;
        match number {
            0 => worker.start_device(registered..registered + ASIDE),
            _ => worker.dev_fuse.never(),
        }
        Ok(worker)
    }
}
