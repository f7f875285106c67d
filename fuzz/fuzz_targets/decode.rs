//! Arbitrary bytes as requests, by way of both transports: no panic, and nothing borrowed from elsewhere.
//!
//! ```text
//! cargo install cargo-fuzz                                             # once
//! cargo +nightly fuzz run decode -- -max_total_time=60                 # from the crate's root
//! RUSTC_BOOTSTRAP=1 cargo fuzz run decode -- -max_total_time=60        # with the stable toolchain
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use ptfs::protocol::decode::{decode, split};
use ptfs::protocol::{Op, Request};

fuzz_target!(|data: &[u8]| {
    let mut message = data.to_vec();
    // As it is, and then with the length put right, without which little would be found behind the first check.
    _ = split(&message);
    let Some(len) = message.get_mut(..4) else { return };
    len.copy_from_slice(&(data.len() as u32).to_ne_bytes());
    let Ok((header, op_in, payload)) = split(&message) else { return };
    let whole = decode(&header, op_in, payload);
    if let Ok(request) = &whole {
        check(request, payload);
    }

    // The same in three parts, at other addresses and with the rest of the area full of leftovers.
    let mut area = [0xa5; 128];
    area[..op_in.len()].copy_from_slice(op_in);
    let moved = [&[0], payload].concat();
    let parts = decode(&header, &area, &moved[1..]);
    if op_in.len() == ptfs::protocol::decode::op_in_size(header.opcode) {
        assert_eq!(whole, parts);
    }
});

fn check(request: &Request<'_>, payload: &[u8]) {
    let borrowed: &[&[u8]] = match request.op {
        Op::Rename { name, newname, .. } => &[name.to_bytes(), newname.to_bytes()],
        Op::Symlink { name, target } => &[name.to_bytes(), target.to_bytes()],
        Op::Setxattr { name, value, .. } => &[name.to_bytes(), value],
        Op::Write { data, .. } => &[data],
        Op::Lookup { name } | Op::Create { name, .. } | Op::Getxattr { name, .. } => &[name.to_bytes()],
        Op::BatchForget(list) => return assert_eq!(list.iter().count() * 16, payload.len()),
        _ => &[],
    };
    for part in borrowed {
        let (part, whole) = (part.as_ptr_range(), payload.as_ptr_range());
        assert!(whole.start <= part.start && part.end <= whole.end, "{request:?}");
    }
}
