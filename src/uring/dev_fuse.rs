//! The `/dev/fuse` transport: reads and writes of a clone of the device.
//!
//! A read left pending on several rings is a thundering herd, since each ring's poll is not exclusive: one request wakes
//! every worker. So a worker polls with EPOLLEXCLUSIVE, and then reads without blocking until EAGAIN.

use std::cell::{Cell, RefCell};

use io_uring::opcode;
use zerocopy::IntoBytes;

use crate::protocol::Reply;
use crate::protocol::abi::OutHeader;

use super::slot::{Slot, Via};
use super::worker::{DEVICE, Tag, Worker};

/// Reads at once, at most: a busy device is drained in batches.
const BURST: usize = 8;

/// What is under way on the device.
#[derive(Default)]
pub struct DevFuse {
    free: RefCell<Vec<usize>>,
    polling: Cell<bool>,
    reads: Cell<usize>,
    burst: Cell<usize>,
    gone: Cell<bool>,
}

impl DevFuse {
    /// Another worker reads the device.
    pub fn never(&self) {
        self.gone.set(true);
    }

    /// No request comes this way any more.
    pub fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

impl Worker<'_> {
    /// Begins to read requests into these slots.
    pub fn start_device(&self, slots: impl Iterator<Item = usize>) {
        self.dev_fuse.free.borrow_mut().extend(slots);
        self.poll_device();
    }

    fn poll_device(&self) {
        let dev = &self.dev_fuse;
        if dev.polling.get() || dev.gone.get() || dev.free.borrow().is_empty() {
            return;
        }
        dev.polling.set(true);
        dev.burst.set(1);
        let events = (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32;
        self.push(opcode::PollAdd::new(DEVICE, events).build().user_data(Tag::Readable.of(0)));
    }

    /// The poll ended.
    pub fn readable(&self, _result: i32) {
        self.dev_fuse.polling.set(false);
        self.read_device();
    }

    fn read_device(&self) {
        let dev = &self.dev_fuse;
        while dev.reads.get() < dev.burst.get() && !dev.gone.get() {
            let Some(at) = dev.free.borrow_mut().pop() else { return };
            let Some(slot) = self.slots.get(at) else { return };
            slot.via.set(Via::Device);
            let (buf, len) = slot.request_area();
            dev.reads.set(dev.reads.get() + 1);
            self.push(opcode::Read::new(DEVICE, buf, len).build().user_data(Tag::Request.of(at as u32)));
        }
    }

    /// A read ended: the request's length, if there is one.
    pub fn read_ended(&self, at: usize, result: i32) -> Option<usize> {
        let dev = &self.dev_fuse;
        dev.reads.set(dev.reads.get().saturating_sub(1));
        if let Ok(len @ 1..) = usize::try_from(result) {
            dev.burst.set((dev.burst.get() * 2).clamp(1, BURST));
            self.read_device();
            return Some(len);
        }
        dev.free.borrow_mut().push(at);
        match -result {
            libc::ENODEV | libc::EBADF | libc::ECONNABORTED => dev.gone.set(true),
            // The request was interrupted before it was read: there may be others.
            libc::ENOENT | libc::EINTR => self.read_device(),
            _ if dev.reads.get() == 0 => self.poll_device(),
            _ => {}
        }
        None
    }

    /// A slot is free again.
    pub fn read_more(&self, at: usize) {
        let dev = &self.dev_fuse;
        dev.free.borrow_mut().push(at);
        if dev.reads.get() == 0 && !dev.polling.get() {
            // Every slot was in use, so that nobody looked for more.
            dev.burst.set(1);
            self.read_device();
        }
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
