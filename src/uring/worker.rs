//! One worker's ring with everything that belongs to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::core::Core;
use crate::core::config::IoMode;
use crate::core::host::Suid;
use crate::ops::{Answer, engine::Alarm};
use crate::protocol::{Errno, Reply};
use crate::stats::{Moment, Recorder};
use crate::sys::{creds, fs::Linux};

use super::dev_fuse::DevFuse;
use super::files::Files;
use super::helpers::Helpers;
use super::mailbox::Mailbox;
use super::policy::{Call, Way, way};
use super::slot::{Memory, Slot, Via};

/// What a ring says: 128-byte submissions, as FUSE-over-io_uring needs them.
pub type Ring = IoUring<squeue::Entry128, cqueue::Entry>;

/// Entries of the submission queue: a turn that fills it costs one more system call.
const ENTRIES: u32 = 256;
/// Open files that a ring knows by number.
const FILES: usize = 512;

/// The device's number in the ring's file table.
pub const DEVICE: Fixed = Fixed(0);

/// What of an `fh` travels beside a [`Tag`]: the index and most of the generation.
const FH: u64 = (1 << 56) - 1;

/// What a completion is about; travels in `user_data` with the slot's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Tag {
    /// A request arrived in a slot.
    Request = 1,
    /// A backing call ended.
    Backing,
    /// A reply was written to /dev/fuse.
    Reply,
    /// The mailbox has something.
    Mail,
    /// Another ring says that a file was released.
    Released,
    /// Another ring has no slot left and asks to look at /dev/fuse; so many have been asked before.
    Look,
    /// Nobody waits for it.
    Quiet,
}

impl Tag {
    const ALL: [Tag; 7] = [Tag::Request, Tag::Backing, Tag::Reply, Tag::Mail, Tag::Released, Tag::Look, Tag::Quiet];

    /// The `user_data` of slot `at`.
    pub fn of(self, at: u32) -> u64 {
        (self as u64) << 56 | u64::from(at)
    }

    fn read(user_data: u64) -> (Tag, u32) {
        let tag = Tag::ALL.into_iter().find(|&t| t as u64 == user_data >> 56).unwrap_or(Tag::Quiet);
        (tag, user_data as u32)
    }
}

/// Something for the loop to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A request arrived in the slot: its length, or an errno (negative).
    Request(usize, i32),
    /// The slot's call ended.
    Resume(usize),
}

/// What all workers of a mount share.
pub struct Shared {
    /// Each worker's ring, for messages between them.
    pub rings: Vec<std::sync::OnceLock<RawFd>>,
    /// Each worker's mailbox.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// A worker failed: the rest finish what they have and end.
    pub stop: AtomicBool,
    /// An operation panicked.
    pub panicked: AtomicBool,
}

impl Shared {
    /// Ends all workers.
    pub fn stop_all(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.mailboxes.iter().for_each(|m| m.wake());
    }
}

/// Credentials that calls on the ring run with, as the kernel numbers them; the oldest go first.
type Personalities = RefCell<VecDeque<(Suid, u16)>>;
const PERSONALITIES: usize = 32;

/// Where requests come from that wait for another client.
struct Parked {
    via: Via,
    /// How many wait.
    requests: usize,
    /// Slots that were opened in their stead.
    spare: usize,
}

/// One thread's share of the engine.
pub struct Worker<'m> {
    // First, to be dropped before the memory that it was told of.
    ring: RefCell<Ring>,
    /// Requests in service.
    pub slots: Vec<Slot<'m>>,
    /// Replies under way to /dev/fuse that give something to the kernel.
    given: RefCell<Vec<Option<Answer<'m>>>>,
    /// So many of the slots are in use; the rest is spare.
    open: Cell<usize>,
    memory: &'m Memory,
    parked: RefCell<Vec<Parked>>,
    /// Its place among the workers.
    pub number: usize,
    /// The tables.
    pub core: &'m Core,
    /// For faults.
    pub alarm: Alarm,
    /// The host's calls.
    pub host: Arc<Linux>,
    /// For calls without an opcode.
    pub helpers: Helpers,
    /// Where they report.
    pub mailbox: Arc<Mailbox>,
    /// The other workers.
    pub shared: &'m Shared,
    /// What is being read from /dev/fuse.
    pub dev_fuse: DevFuse,
    /// Entries of FUSE-over-io_uring queues that the kernel may still use.
    pub entries: Cell<usize>,
    /// Requests in service, and replies under way.
    busy: Cell<usize>,
    files: Files,
    personalities: Personalities,
    /// pwritev2(RWF_NOWAIT) was refused as unsupported: asking again is a wasted call.
    pub nowait_writes: Cell<bool>,
    /// Where its figures go.
    pub recorder: Recorder,
    /// When the last turn reaped its events.
    reaped: Cell<Moment>,
    /// When the event before this one was done with, and so this one begun.
    now: Cell<Moment>,
    finished: RefCell<Vec<usize>>,
}

/// What a worker is made of.
pub struct Parts<'m> {
    /// See [`Worker`].
    pub number: usize,
    /// See [`Worker`].
    pub core: &'m Core,
    /// See [`Worker`].
    pub alarm: Alarm,
    /// See [`Worker`].
    pub host: Arc<Linux>,
    /// See [`Worker`].
    pub shared: &'m Shared,
    /// This worker's /dev/fuse; the ring's file table keeps it from here on.
    pub device: OwnedFd,
    /// Where the slots are.
    pub memory: &'m Memory,
    /// How many are open from the start.
    pub open: usize,
    /// How many more there may be.
    pub spare: usize,
    /// See [`Worker`].
    pub recorder: Recorder,
}

impl<'m> Worker<'m> {
    /// Makes the ring on the thread that will use it.
    pub fn new(parts: Parts<'m>) -> io::Result<Worker<'m>> {
        let Parts { number, core, alarm, host, shared, device, memory, open, spare, recorder } = parts;
        let slots: Vec<Slot<'m>> = memory.slots().take(open + spare).collect();
        let ring = new_ring(ENTRIES)?;
        let submitter = ring.submitter();
        // The kernel's bound is RLIMIT_NOFILE, of which the budget is a part.
        let files = FILES.min(core.config.fd_budget / 2);
        submitter.register_files_sparse(files as u32 + super::files::FIRST)?;
        let mailbox = Arc::clone(shared.mailboxes.get(number).ok_or(io::ErrorKind::InvalidInput)?);
        submitter.register_files_update(0, &[device.as_raw_fd(), mailbox.event()])?;
        if let Some(cell) = shared.rings.get(number) {
            let _ = cell.set(ring.as_raw_fd());
        }
        let given = RefCell::new((0..open).map(|_| None).collect());
        Ok(Worker {
            ring: RefCell::new(ring),
            given,
            slots,
            open: Cell::new(open),
            memory,
            parked: RefCell::default(),
            number,
            core,
            helpers: Helpers::new(Arc::clone(&host), Arc::clone(&alarm)),
            alarm,
            host,
            mailbox,
            shared,
            dev_fuse: DevFuse::default(),
            entries: Cell::new(0),
            busy: Cell::new(0),
            files: Files::new(number, files),
            personalities: RefCell::default(),
            nowait_writes: Cell::new(true),
            recorder,
            reaped: Cell::new(Moment::now()),
            now: Cell::new(Moment::now()),
            finished: RefCell::default(),
        })
    }

    /// Lets go of the device at once: the ring itself ends some time after its last descriptor.
    pub fn retire(&self) {
        let _ = self.ring.borrow().submitter().unregister_files();
    }

    /// Keeps the ring's own threads on this worker's CPU too.
    pub fn stay_on(&self, cpu: usize) -> io::Result<()> {
        crate::sys::cpu::stay_on(cpu)?;
        self.ring.borrow().submitter().register_iowq_aff(&crate::sys::cpu::only(cpu))
    }

    /// Listens to the mailbox.
    pub fn listen(&self) {
        let poll = opcode::PollAdd::new(Fixed(1), libc::POLLIN as u32).multi(true).build();
        self.push(poll.user_data(Tag::Mail.of(0)));
    }

    /// Submits an entry with the next `io_uring_enter`.
    pub fn push(&self, entry: impl Into<squeue::Entry128>) {
        self.push_all(&[entry.into()]);
    }

    /// Submits a chain of two with the next `io_uring_enter`.
    pub fn push_linked(&self, entries: [squeue::Entry; 2]) {
        self.push_all(&entries.map(Into::into));
    }

    /// All or none of them go into one submission, which a chain must not straddle.
    fn push_all(&self, entries: &[squeue::Entry128]) {
        loop {
            let mut ring = self.ring.borrow_mut();
            // SAFETY: whatever an entry points to is a slot's memory, which outlives the ring.
            if unsafe { ring.submission().push_multiple(entries) }.is_ok() {
                return;
            }
            // The queue is full. EBUSY would mean that completions wait; the kernel keeps them, and takes entries again.
            let _ = ring.submit().inspect(|&entries| self.recorder.batch(entries));
        }
    }

    /// Submits now, without waiting.
    pub fn flush(&self) -> io::Result<()> {
        self.ring.borrow_mut().submit().map(|entries| self.recorder.batch(entries))
    }

    /// One turn of the ring: submits all that was pushed and waits for something to do.
    pub fn turn(&self, events: &mut Vec<Event>) -> io::Result<()> {
        let want = usize::from(self.mailbox.may_sleep() && !self.shared.stop.load(Ordering::SeqCst));
        match self.ring.borrow_mut().submit_and_wait(want) {
            Ok(entries) => self.recorder.batch(entries),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(e) => return Err(e),
        }
        let mut finished = self.finished.borrow_mut();
        self.mailbox.take(&mut finished);
        events.extend(finished.drain(..).map(Event::Resume));
        self.reap(events);
        let now = Moment::now();
        self.reaped.set(now);
        self.now.set(now);
        Ok(())
    }

    /// Turns completions into events; keeps to itself what is no request's.
    pub fn reap(&self, events: &mut Vec<Event>) {
        loop {
            let Some(cqe) = self.ring.borrow_mut().completion().next() else { return };
            let (tag, at) = Tag::read(cqe.user_data());
            let (slot, result) = (at as usize, cqe.result());
            match tag {
                Tag::Request => {
                    self.count(slot, result);
                    events.push(Event::Request(slot, result));
                }
                Tag::Backing => {
                    if let Some(slot) = self.slots.get(slot) {
                        slot.result.set(Some(result));
                    }
                    events.push(Event::Resume(slot));
                }
                Tag::Reply => self.replied(slot, result),
                Tag::Mail if !cqueue::more(cqe.flags()) => self.listen(),
                Tag::Released => self.released(cqe.user_data() & FH),
                Tag::Look => self.look(at),
                Tag::Mail | Tag::Quiet => {}
            }
        }
    }

    /// Counts what was reaped in a slot, if it is a request.
    fn count(&self, at: usize, result: i32) {
        let from_queue = self.slots.get(at).is_some_and(|slot| matches!(slot.via.get(), Via::Queue(_)));
        if result > 0 || from_queue && result == 0 {
            self.recorder.began(0);
        }
    }

    /// A slot's request is looked at for the first time.
    pub fn begin(&self, slot: &Slot<'_>) {
        slot.course.begin(self.reaped.get(), self.now.get());
    }

    /// The end of what a slot's request waits for is looked at.
    pub fn resume(&self, at: usize) {
        if let Some(slot) = self.slots.get(at) {
            slot.course.resume(self.reaped.get(), self.now.get());
        }
    }

    /// A slot's request has to wait.
    pub fn leave(&self, at: usize) {
        self.now.set(Moment::now());
        if let Some(slot) = self.slots.get(at) {
            slot.course.leave(self.now.get());
        }
    }

    /// True while requests come, or are in service.
    pub fn in_service(&self) -> bool {
        let more = !self.shared.stop.load(Ordering::SeqCst) && (self.entries.get() > 0 || !self.dev_fuse.is_gone());
        more || self.busy.get() > 0
    }

    /// A request is in service.
    pub fn began(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// Slots that may hold a request.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// A slot's request waits for another client, whose request must find a slot free: another is opened unless one is
    /// left from before. ENOLCK if there is no more.
    pub fn park(&self, at: usize) -> Result<(), Errno> {
        let via = self.slots.get(at).ok_or(Errno::EIO)?.via.get();
        let mut all = self.parked.borrow_mut();
        let parked = match all.iter().position(|parked| parked.via == via) {
            Some(found) => &mut all[found],
            None => {
                all.push(Parked { via, requests: 0, spare: 0 });
                all.last_mut().ok_or(Errno::EIO)?
            }
        };
        if parked.requests >= parked.spare {
            let spare = self.open.get();
            if spare == self.slots.len() || self.memory.open(spare, 1).is_err() {
                return Err(Errno::ENOLCK);
            }
            self.open.set(spare + 1);
            self.given.borrow_mut().push(None);
            parked.spare += 1;
            match via {
                Via::Queue(qid) => self.offer(spare, qid),
                Via::Device => self.slot_is_free(spare),
            }
        }
        parked.requests += 1;
        if matches!(via, Via::Queue(_)) {
            self.knock(at);
        }
        Ok(())
    }

    /// The kernel does not take a slot that may have been opened for a wait: the next must open another.
    pub fn lost_a_spare(&self, via: Via) {
        if let Some(parked) = self.parked.borrow_mut().iter_mut().find(|parked| parked.via == via) {
            parked.spare = parked.spare.saturating_sub(1);
        }
    }

    /// The wait is over.
    pub fn unpark(&self, at: usize) {
        let Some(via) = self.slots.get(at).map(|slot| slot.via.get()) else { return };
        if let Some(parked) = self.parked.borrow_mut().iter_mut().find(|parked| parked.via == via) {
            parked.requests = parked.requests.saturating_sub(1);
        }
    }

    /// Ends the waits of clients when nobody can end them otherwise: what they wait for comes by no queue any more.
    pub fn end_waits(&self) {
        let waiting = |parked: &&Parked| matches!(parked.via, Via::Queue(_));
        let in_queues: usize = self.parked.borrow().iter().filter(waiting).map(|parked| parked.requests).sum();
        let deserted = self.entries.get() == in_queues && self.dev_fuse.is_gone();
        if deserted || self.shared.stop.load(Ordering::SeqCst) {
            self.core.waits.close();
        }
    }

    fn ended(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
    }

    /// Sends a slot's answer.
    pub fn reply(&self, at: usize, answer: Answer<'m>) {
        let Some(slot) = self.slots.get(at) else { return };
        let (errno, moved) = (answer.reply.errno(), answer.reply.moved());
        match slot.via.get() {
            Via::Queue(qid) => {
                self.commit(slot, at, qid, &answer.reply);
                answer.commit();
                self.ended();
            }
            Via::Device if matches!(answer.reply, Reply::None) => {
                answer.commit();
                self.ended();
                self.slot_is_free(at);
            }
            Via::Device => {
                self.write_reply(slot, at, &answer.reply);
                if !answer.gives_nothing()
                    && let Some(given) = self.given.borrow_mut().get_mut(at)
                {
                    *given = Some(answer);
                }
            }
        }
        self.spread_releases();
        self.now.set(Moment::now());
        self.recorder.ended(&slot.course, self.now.get(), errno, moved);
    }

    fn replied(&self, at: usize, result: i32) {
        if let Some(answer) = self.given.borrow_mut().get_mut(at).and_then(Option::take) {
            match result {
                0.. => answer.commit(),
                // The request is gone, with its caller or with the mount: what it was given is taken back.
                _ => drop(answer),
            }
        }
        self.ended();
        self.slot_is_free(at);
    }

    /// Which way a call takes now.
    pub fn way(&self, call: Call) -> Way {
        way(self.core.config.io, call, self.core.devices.all_local())
    }

    /// True if every call goes to the ring that can.
    pub fn ring_only(&self) -> bool {
        self.core.config.io == IoMode::Ring
    }

    /// The entry, to run within [`crate::core::host::Host::with_suid`].
    pub fn with_suid(&self, entry: squeue::Entry, suid: Suid) -> squeue::Entry {
        if !creds::privileged() {
            return entry;
        }
        let mut known = self.personalities.borrow_mut();
        if let Some((_, personality)) = known.iter().find(|(s, _)| *s == suid) {
            return entry.personality(*personality);
        }
        if known.len() >= PERSONALITIES
            && let Some((_, oldest)) = known.pop_front()
        {
            // Calls keep what they were submitted with; those that are only pushed do not have it yet.
            let _ = self.flush();
            let _ = self.ring.borrow().submitter().unregister_personality(oldest);
        }
        creds::set_suid(suid);
        match self.ring.borrow().submitter().register_personality() {
            Ok(personality) => {
                known.push_back((suid, personality));
                entry.personality(personality)
            }
            // Without one, the call runs as this thread does, which is now as it should.
            Err(_) => entry,
        }
    }

    /// The ring's number for an open file, if it is used enough to have one.
    pub fn number_of(&self, file: &crate::core::handles::File<'_>) -> Option<Fixed> {
        let register = |number, fd: crate::core::ids::HostFd| {
            self.ring.borrow().submitter().register_files_update(number, &[fd.0]).is_ok()
        };
        self.files.number(file, register).map(Fixed)
    }

    /// Tells the rings that know a released file.
    fn spread_releases(&self) {
        for (fh, rings) in self.core.handles.take_unregistered() {
            for (number, ring) in self.shared.rings.iter().enumerate().filter(|(n, _)| rings >> (n % 64) & 1 == 1) {
                if number == self.number {
                    self.released(fh.0 & FH);
                } else if let Some(&ring) = ring.get() {
                    self.tell(ring, (Tag::Released as u64) << 56 | fh.0 & FH);
                }
            }
        }
    }

    /// Sends a completion with this `user_data` to another ring.
    pub fn tell(&self, ring: RawFd, user_data: u64) {
        let message = opcode::MsgRingData::new(Fd(ring), 0, user_data, None).build();
        self.push(message.flags(squeue::Flags::SKIP_SUCCESS).user_data(Tag::Quiet.of(0)));
    }

    fn released(&self, fh: u64) {
        if let Some(number) = self.files.forget(fh, FH) {
            let _ = self.ring.borrow().submitter().register_files_update(number, &[-1]);
        }
    }

    /// Closes a descriptor on the ring's own threads, since that may wait for the disk.
    pub fn close_later(&self, fd: RawFd) {
        let flags = squeue::Flags::ASYNC | squeue::Flags::SKIP_SUCCESS;
        self.push(opcode::Close::new(Fd(fd)).build().flags(flags).user_data(Tag::Quiet.of(0)));
    }
}

/// The fastest kind of ring that this kernel has.
pub fn new_ring(entries: u32) -> io::Result<Ring> {
    let mut newest = Ring::builder();
    newest.setup_single_issuer().setup_defer_taskrun().setup_cqsize(entries * 4);
    newest.build(entries).or_else(|_| {
        let mut plain = Ring::builder();
        plain.setup_cqsize(entries * 4);
        plain.build(entries)
    })
}
