//! The FUSE-over-io_uring transport: `IORING_OP_URING_CMD` on `/dev/fuse` (kernel: `fs/fuse/dev_uring.c`).
//!
//! A request comes as the completion of a command and its reply leaves with the next: COMMIT_AND_FETCH. Header and
//! payload are the slot's memory, of which the kernel was told by REGISTER.

use std::io;

use io_uring::{opcode, squeue};
use zerocopy::{FromBytes, IntoBytes};

use crate::protocol::Reply;
use crate::protocol::abi::{
    FUSE_IO_URING_CMD_COMMIT_AND_FETCH, FUSE_IO_URING_CMD_REGISTER, FUSE_NOTIFY_RETRIEVE, InHeader, NotifyRetrieveOut,
    OutHeader, UringReqHeader,
};

use super::slot::{Slot, Via};
use super::worker::{DEVICE, Event, Tag, Worker};

/// The 128 bytes of a command. The crate's builder cannot set `len`, which REGISTER needs.
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    cmd_op: u32,
    pad: u32,
    addr: u64,
    len: u32,
    uring_cmd_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    splice_fd: i32,
    // struct fuse_uring_cmd_req
    cmd_flags: u64,
    commit_id: u64,
    qid: u16,
    padding: [u8; 6],
    rest: [u64; 7],
}

const _: () = assert!(size_of::<Command>() == 128 && size_of::<squeue::Entry128>() == 128);
const IORING_OP_URING_CMD: u8 = 46;
const IOSQE_FIXED_FILE: u8 = 1;

impl Command {
    fn new(cmd_op: u32, at: usize, qid: u16) -> Command {
        Command {
            opcode: IORING_OP_URING_CMD,
            flags: IOSQE_FIXED_FILE,
            fd: 0, // the device's number
            cmd_op,
            user_data: Tag::Request.of(at as u32),
            qid,
            ..Command::default()
        }
    }

    fn entry(self) -> squeue::Entry128 {
        // SAFETY: Entry128 is struct io_uring_sqe and 64 bytes of command after it, plain data of the same size.
        unsafe { std::mem::transmute(self) }
    }
}

impl Worker<'_> {
    /// Offers slots as entries of the queues. An error means that the kernel refuses them, and goes on over /dev/fuse.
    pub fn register(&self, entries: impl Iterator<Item = (usize, u16)>) -> io::Result<()> {
        entries.for_each(|(at, qid)| self.offer(at, qid));
        self.flush()?;
        let mut events = Vec::new();
        self.reap(&mut events);
        // A registered entry completes when a request comes: none can, before every queue is registered.
        match events.iter().find_map(|e| if let Event::Request(_, error @ ..0) = e { Some(-error) } else { None }) {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Ok(()),
        }
    }

    /// Offers one slot, with the next `io_uring_enter`.
    pub fn offer(&self, at: usize, qid: u16) {
        let Some(slot) = self.slots.get(at) else { return };
        slot.via.set(Via::Queue(qid));
        let mut command = Command::new(FUSE_IO_URING_CMD_REGISTER, at, qid);
        command.addr = slot.iovecs() as u64;
        command.len = 2;
        self.push(command.entry());
        self.entries.set(self.entries.get() + 1);
    }

    /// Has the kernel look at this CPU's queue. Requests that came while every entry was taken are fetched only behind a
    /// reply: if those entries are parked now, none leaves, and a new entry serves new requests alone. So a request is
    /// asked for, whose reply fetches the next.
    pub fn knock(&self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        // SAFETY: the entry is ours, as its request is in service.
        let Ok((header, _)) = InHeader::read_from_prefix(&unsafe { slot.uring_header() }.in_out) else { return };
        let retrieve = NotifyRetrieveOut {
            // No request of the kernel's own has such a number.
            notify_unique: header.unique | 1 << 62,
            nodeid: header.nodeid,
            ..NotifyRetrieveOut::default()
        };
        let mut note = [0; size_of::<OutHeader>() + size_of::<NotifyRetrieveOut>()];
        let header = OutHeader { len: note.len() as u32, error: FUSE_NOTIFY_RETRIEVE as i32, unique: 0 };
        note[..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
        note[size_of::<OutHeader>()..].copy_from_slice(retrieve.as_bytes());
        let (at, len) = slot.note(note);
        self.push(opcode::Write::new(DEVICE, at, len).build().user_data(Tag::Quiet.of(0)));
    }

    /// Sends a slot's reply and takes its next request.
    pub fn commit(&self, slot: &Slot<'_>, at: usize, qid: u16, reply: &Reply) {
        // SAFETY: the request's future is gone, and with it all that borrowed the payload; no call is in flight.
        let payload = unsafe { slot.payload_mut() };
        let (reply, len) = match reply.encode(payload) {
            Ok(len) => (*reply, len),
            Err(errno) => (Reply::Err(errno), 0),
        };
        let out = reply.header(slot.unique.get(), len);
        let mut header = UringReqHeader::default();
        header.in_out[..size_of::<OutHeader>()].copy_from_slice(out.as_bytes());
        header.ring_ent_in_out.commit_id = slot.commit_id.get();
        header.ring_ent_in_out.payload_sz = len as u32;
        // SAFETY: the entry is ours until this command is submitted.
        unsafe { slot.set_uring_header(header) };
        let mut command = Command::new(FUSE_IO_URING_CMD_COMMIT_AND_FETCH, at, qid);
        command.commit_id = slot.commit_id.get();
        self.push(command.entry());
    }

    /// The kernel will not use an entry again.
    pub fn entry_ended(&self, qid: u16) {
        self.entries.set(self.entries.get().saturating_sub(1));
        self.lost_a_spare(Via::Queue(qid));
    }
}
