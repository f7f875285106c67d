//! The `/dev/fuse` transport: reads and writes of a clone of the device.
//!
//! A read left pending on several rings is a thundering herd, since each ring's poll is not exclusive: one request wakes
//! every worker. So each read is linked to a poll with EPOLLEXCLUSIVE, and does not block: one request wakes one worker,
//! and costs one `io_uring_enter` that also carries the reply before it.

use std::cell::{Cell, RefCell};

use io_uring::{opcode, squeue};
use zerocopy::IntoBytes;

use crate::protocol::Reply;
use crate::protocol::abi::OutHeader;

use super::slot::{Slot, Via};
use super::worker::{DEVICE, Tag, Worker};

/// Reads at once, at most: while the device is busy each turn takes more.
const MOST: usize = 8;

/// What is under way on the device.
#[derive(Default)]
pub struct DevFuse {
    /// Slots without a request.
    free: RefCell<Vec<usize>>,
    /// Polls with their reads.
    waiting: Cell<usize>,
    /// How many of those there should be.
    wanted: Cell<usize>,
    gone: Cell<bool>,
}

impl DevFuse {
    /// Another worker reads the device.
    pub fn never(&self) {
        self.gone.set(true);
    }

    /// No request comes this way any more.
    pub fn is_gone(&self) -> bool {
        self.gone.get() && self.waiting.get() == 0
    }
}

impl Worker<'_> {
    /// Begins to read requests into these slots.
    pub fn start_device(&self, slots: impl Iterator<Item = usize>) {
        self.dev_fuse.free.borrow_mut().extend(slots);
        self.dev_fuse.wanted.set(1);
        self.await_requests();
    }

    fn await_requests(&self) {
        let dev = &self.dev_fuse;
        while dev.waiting.get() < dev.wanted.get() && !dev.gone.get() {
            let Some(at) = dev.free.borrow_mut().pop() else { return };
            let Some(slot) = self.slots.get(at) else { return };
            slot.via.set(Via::Device);
            dev.waiting.set(dev.waiting.get() + 1);
            let (buf, len) = slot.request_area();
            let poll = opcode::PollAdd::new(DEVICE, (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32).build();
            let read = opcode::Read::new(DEVICE, buf, len).build();
            self.push_linked([
                poll.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS).user_data(Tag::Quiet.of(0)),
                read.user_data(Tag::Request.of(at as u32)),
            ]);
        }
    }

    /// A read ended: the request's length, if there is one.
    pub fn read_ended(&self, at: usize, result: i32) -> Option<usize> {
        let dev = &self.dev_fuse;
        dev.waiting.set(dev.waiting.get().saturating_sub(1));
        let len = usize::try_from(result).ok().filter(|&len| len > 0);
        match (len, -result) {
            (Some(_), _) => dev.wanted.set((dev.wanted.get() + 1).min(MOST)),
            (None, libc::ENODEV | libc::EBADF | libc::ECONNABORTED) => dev.gone.set(true),
            // Another worker was faster, or the request was withdrawn.
            (None, _) => dev.wanted.set(1),
        }
        if len.is_none() {
            dev.free.borrow_mut().push(at);
        }
        self.await_requests();
        if dev.waiting.get() == 0 && len.is_some() && self.entries.get() == 0 {
            self.ask_next(0);
        }
        len
    }

    /// Asks another worker to look at the device. The kernel counts a request that comes between a wake-up and the read
    /// that follows as announced; if that read took the last slot here, nobody else would know of the request.
    fn ask_next(&self, asked: u32) {
        let rings = &self.shared.rings;
        if asked as usize + 1 < rings.len()
            && let Some(&ring) = rings.get((self.number + 1) % rings.len()).and_then(|ring| ring.get())
        {
            self.tell(ring, Tag::Look.of(asked + 1));
        }
    }

    /// Looks at the device once more, or has another worker do so: `asked` have been.
    pub fn look(&self, asked: u32) {
        let dev = &self.dev_fuse;
        let before = dev.waiting.get();
        // A poll looks at the device when it is submitted; those that wait have done so before.
        dev.wanted.set((before + 1).max(dev.wanted.get()));
        self.await_requests();
        if dev.waiting.get() == before && !dev.gone.get() {
            self.ask_next(asked);
        }
    }

    /// A slot is free again.
    pub fn slot_is_free(&self, at: usize) {
        self.dev_fuse.free.borrow_mut().push(at);
        self.await_requests();
    }

    /// Writes a reply.
    pub fn write_reply(&self, slot: &Slot<'_>, at: usize, reply: &Reply) {
        // SAFETY: the request's future is gone, and with it all that borrowed the payload; no call is in flight.
        let payload = unsafe { slot.payload_mut() };
        let (reply, len) = match reply.encode(payload) {
            Ok(len) => (*reply, len),
            Err(errno) => (Reply::Err(errno), 0),
        };
        let header = reply.header(slot.unique.get(), len);
        let start = slot.reply_header(size_of::<OutHeader>());
        // SAFETY: the bytes before the payload are the header's; nothing else uses them now.
        unsafe { std::ptr::copy_nonoverlapping(header.as_bytes().as_ptr(), start, size_of::<OutHeader>()) };
        let write = opcode::Write::new(DEVICE, start, header.len).build();
        self.push(write.user_data(Tag::Reply.of(at as u32)));
    }
}
