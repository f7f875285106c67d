//! INIT: the first request of a mount, read and answered before any engine runs.

use std::fs::File;
use std::io::{self, Read, Write};

use zerocopy::IntoBytes;

use crate::protocol::abi::InitOut;
use crate::protocol::decode::{decode, split};
use crate::protocol::init::{Answer, Session, Wants, negotiate};
use crate::protocol::{Errno, Op, Reply, Request};

/// Enough for INIT from any kernel: it refuses to fill less than 8 KiB, or than a request of its largest write so far.
const BUFFER: usize = (1 << 20) + 4096;

/// Waits for the kernel's INIT on `device`, and agrees.
pub fn handshake(device: &File, wants: &Wants) -> Result<Session, String> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = read(device, &mut buffer).map_err(|error| format!("the mount ended before INIT: {error}"))?;
        let request = split(&buffer[..length]).and_then(|(header, op_in, payload)| decode(&header, op_in, payload));
        let request = request.map_err(|error| format!("the kernel's INIT makes no sense: {error:?}"))?;
        let Op::Init(offer) = request.op else {
            return Err(format!("the kernel's first request is {:?}, not INIT", request.op));
        };
        match negotiate(&offer, wants) {
            Ok(Answer::Go(out, session)) => {
                return answer(device, &request, &Reply::Init(out)).map(|()| session);
            }
            Ok(Answer::Again(out)) => answer(device, &request, &Reply::Init(out))?,
            Err(error) => {
                answer(device, &request, &Reply::Err(Errno::EPROTO))?;
                return Err(error.to_string());
            }
        }
    }
}

fn read(mut device: &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match device.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn answer(mut device: &File, request: &Request<'_>, reply: &Reply) -> Result<(), String> {
    let mut body = [0; size_of::<InitOut>()];
    let outcome = reply.encode(&mut body).map_err(io::Error::from).and_then(|length| {
        // One write: the device takes a reply whole or not at all.
        device.write_all(&[reply.header(request.unique, length).as_bytes(), &body[..length]].concat())
    });
    outcome.map_err(|error| format!("cannot answer INIT: {error}"))
}
