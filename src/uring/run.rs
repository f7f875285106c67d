//! The loop of a worker.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use zerocopy::FromBytes;

use crate::ops::Answer;
use crate::ops::engine;
use crate::protocol::abi::InHeader;
use crate::protocol::decode::{self, DecodeError};
use crate::protocol::{Reply, Request, Unique};
use crate::stats::Subject;

use super::os::SlotOs;
use super::slot::Via;
use super::worker::{Event, Worker};

/// Serves until no request can come any more. `serve` makes the future that answers one request; each slot has room for
/// one, allocated once.
pub fn run<'w, 'm, F: Future<Output = Answer<'m>>>(
    worker: &'w Worker<'m>,
    serve: impl Fn(SlotOs<'w, 'm>, Request<'w>) -> F,
) -> io::Result<()> {
    let mut tasks: Vec<Pin<Box<Option<F>>>> = Vec::new();
    let mut events = Vec::with_capacity(worker.open());
    let alarm = || {
        worker.shared.panicked.store(true, Ordering::Relaxed);
        (worker.alarm)();
    };
    while worker.in_service() {
        tasks.resize_with(worker.open(), || Box::pin(None));
        worker.turn(&mut events)?;
        for event in events.drain(..) {
            let at = match event {
                Event::Request(at, result) => {
                    let Some(request) = worker.receive(at, result) else { continue };
                    let task = serve(SlotOs { worker, at }, request);
                    tasks[at].as_mut().set(Some(task));
                    at
                }
                Event::Resume(at) => {
                    worker.resume(at);
                    at
                }
            };
            let Some(task) = tasks[at].as_mut().as_pin_mut() else { continue };
            match engine::poll(task, alarm) {
                Poll::Ready(answer) => {
                    // Whatever it borrowed from the payload ends here; the reply may be written there.
                    tasks[at].as_mut().set(None);
                    worker.reply(at, answer);
                }
                Poll::Pending => worker.leave(at),
            }
        }
        worker.end_waits();
    }
    Ok(())
}

impl<'m> Worker<'m> {
    /// The request that arrived in a slot, if one did.
    fn receive<'w>(&'w self, at: usize, result: i32) -> Option<Request<'w>> {
        let slot = self.slots.get(at)?;
        let (header, decoded) = match slot.via.get() {
            Via::Queue(qid) if result < 0 => {
                self.entry_ended(qid);
                return None;
            }
            Via::Queue(_) => {
                // SAFETY: the completion came, so the entry is ours until the commit; the reply overwrites header and
                // payload only after the request's future is gone.
                let (all, payload) = unsafe {
                    let all = slot.uring_header();
                    (all, slot.payload(all.ring_ent_in_out.payload_sz as usize))
                };
                slot.commit_id.set(all.ring_ent_in_out.commit_id);
                self.began();
                match InHeader::read_from_prefix(&all.in_out) {
                    Ok((header, _)) => (header, decode::decode(&header, &all.op_in, payload)),
                    Err(_) => (InHeader::default(), Err(DecodeError::Short)),
                }
            }
            Via::Device => {
                let len = self.read_ended(at, result)?;
                self.began();
                // SAFETY: the read completed; the reply overwrites the area only after the request's future is gone.
                match decode::split(unsafe { slot.request(len) }) {
                    Ok((header, op_in, payload)) => (header, decode::decode(&header, op_in, payload)),
                    Err(error) => (InHeader::default(), Err(error)),
                }
            }
        };
        slot.unique.set(Unique(header.unique));
        self.begin(slot);
        match decoded {
            Ok(request) => {
                let subject = Subject { unique: header.unique, nodeid: header.nodeid, pid: header.pid };
                self.recorder.concerns(&slot.course, &request.op, subject);
                Some(request)
            }
            Err(error) => {
                self.refuse(at, &header, error);
                None
            }
        }
    }

    fn refuse(&self, at: usize, header: &InHeader, error: DecodeError) {
        tracing::warn!("a request that cannot be read: {error}");
        let answered = decode::is_answered(header.opcode);
        self.reply(at, if answered { error.errno().into() } else { Reply::None.into() });
    }
}
