//! Generated requests: whatever the bytes are, decoding gives a value or an error, and borrows from its input alone.

use proptest::collection::vec;
use proptest::prelude::*;
use ptfs::protocol::abi::{Dirent, EntryOut, InHeader};
use ptfs::protocol::decode::{decode, split};
use ptfs::protocol::reply::Dirents;
use ptfs::protocol::{Op, Request};
use zerocopy::{FromBytes, IntoBytes};

use crate::requests::{GOLDEN, message};

/// What an operation borrows from its payload.
fn borrowed<'a>(op: &Op<'a>) -> Vec<&'a [u8]> {
    match *op {
        Op::Lookup { name }
        | Op::Mknod { name, .. }
        | Op::Mkdir { name, .. }
        | Op::Unlink { name }
        | Op::Rmdir { name }
        | Op::Create { name, .. }
        | Op::Getxattr { name, .. }
        | Op::Removexattr { name } => vec![name.to_bytes_with_nul()],
        Op::Link { newname, .. } => vec![newname.to_bytes_with_nul()],
        Op::Symlink { name, target } => vec![name.to_bytes_with_nul(), target.to_bytes_with_nul()],
        Op::Rename { name, newname, .. } => vec![name.to_bytes_with_nul(), newname.to_bytes_with_nul()],
        Op::Setxattr { name, value, .. } => vec![name.to_bytes_with_nul(), value],
        Op::Write { data, .. } => vec![data],
        _ => vec![],
    }
}

fn check(request: &Request<'_>, payload: &[u8]) {
    let inside = payload.as_ptr_range();
    let parts = borrowed(&request.op);
    for part in &parts {
        let part = part.as_ptr_range();
        assert!(inside.start <= part.start && part.end <= inside.end, "{request:?}");
    }
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= payload.len());
    if let Op::BatchForget(list) = request.op {
        assert_eq!(list.iter().count() * 16, payload.len());
    }
}

fn opcodes() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 0..60u32, 1 => any::<u32>()]
}

/// Bytes that are often small numbers, terminators and letters, for then more of them are requests.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![4 => Just(0u8), 2 => 0..40u8, 2 => b'a'..b'd', 1 => any::<u8>()], 0..=most)
}

proptest! {
    #[test]
    fn arbitrary_parts(
        opcode in opcodes(),
        (unique, nodeid) in any::<(u64, u64)>(),
        total_extlen in prop_oneof![3 => Just(0), 2 => 0..4u16, 1 => any::<u16>()],
        op_in in bytes(130),
        payload in bytes(200),
    ) {
        let header = InHeader { opcode, unique, nodeid, total_extlen, ..InHeader::default() };
        if let Ok(request) = decode(&header, &op_in, &payload) {
            assert_eq!((request.unique.0, request.nodeid.0), (unique, nodeid));
            check(&request, &payload);
        }
    }

    #[test]
    fn arbitrary_messages(message in bytes(300), honest in any::<bool>()) {
        let mut message = message;
        if honest && message.len() >= 4 {
            let len = message.len() as u32;
            message[..4].copy_from_slice(&len.to_ne_bytes());
        }
        if let Ok((header, op_in, payload)) = split(&message) {
            assert_eq!(40 + op_in.len() + payload.len(), message.len());
            if let Ok(request) = decode(&header, op_in, payload) {
                check(&request, payload);
            }
        }
    }

    #[test]
    fn damaged_requests(
        golden in proptest::sample::select(GOLDEN),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut message = message(golden.0, 0, golden.1);
        message.truncate(40 + cut.index(message.len() - 39));
        for (at, byte) in damage {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let len = message.len() as u32;
        message[..4].copy_from_slice(&len.to_ne_bytes());
        let (header, op_in, payload) = split(&message).unwrap();
        if let Ok(request) = decode(&header, op_in, payload) {
            check(&request, payload);
        }
    }

    #[test]
    fn packed_directories_read_back(
        names in vec((vec(any::<u8>(), 1..256), any::<bool>()), 0..12),
        room in 0..2000usize,
    ) {
        let mut buf = vec![0xee; room];
        let mut dir = Dirents::new(&mut buf);
        let mut packed = Vec::new();
        for (off, (name, plus)) in names.iter().enumerate() {
            let size = if *plus { Dirents::size_plus(name.len()) } else { Dirents::size(name.len()) };
            let (fits, before) = (dir.fits(size), dir.len());
            let pushed = match plus {
                true => dir.push_plus(&EntryOut::default(), 7, off as u64, 8, name),
                false => dir.push(7, off as u64, 8, name),
            };
            assert_eq!((pushed, dir.len()), (fits, before + if fits { size } else { 0 }));
            if pushed {
                packed.push((off as u64, name, *plus));
            }
        }
        let len = dir.len();
        assert!(buf[len..].iter().all(|&byte| byte == 0xee));
        let mut rest = &buf[..len];
        for (off, name, plus) in packed {
            let skip = if plus { size_of::<EntryOut>() } else { 0 };
            let (dirent, tail) = Dirent::read_from_prefix(&rest[skip..]).unwrap();
            let expected = Dirent { ino: 7, off, namelen: name.len() as u32, r#type: 8 };
            assert_eq!(dirent.as_bytes(), expected.as_bytes());
            let (read, padding) = tail[..Dirents::size(name.len()) - size_of::<Dirent>()].split_at(name.len());
            assert_eq!(read, name);
            assert!(padding.len() < 8 && padding.iter().all(|&byte| byte == 0));
            rest = &rest[skip + Dirents::size(name.len())..];
        }
        assert!(rest.is_empty());
    }
}
