//! Golden requests: each operation as /dev/fuse delivers it, and in the three parts of FUSE-over-io_uring.

use std::collections::BTreeSet;

use ptfs::protocol::abi::{FileLock, InHeader, InitIn, opcode};
use ptfs::protocol::decode::{DecodeError, decode, is_answered, op_in_size, split};
use ptfs::protocol::{Caller, Errno, Fh, Labels, NodeId, Op, Request, SetTime, Setattr, Unique};
use zerocopy::{FromBytes, IntoBytes};

use crate::hex::hex;

/// The bytes of a request with the body `text`, from the caller [`CALLER`].
pub fn message(opcode: u32, extlen: u16, text: &str) -> Vec<u8> {
    let body = hex(text);
    let header = InHeader {
        len: (size_of::<InHeader>() + body.len()) as u32,
        opcode,
        unique: 0x8000_0000_0000_0102,
        nodeid: 0x3_0000_0007,
        uid: 1000,
        gid: 100,
        pid: 4242,
        total_extlen: extlen,
        padding: 0,
    };
    [header.as_bytes(), &body].concat()
}

const CALLER: Caller = Caller { uid: 1000, gid: 100, pid: 4242, supp_gid: None };

/// The request of [`message`].
fn request(op: Op<'_>) -> Request<'_> {
    Request {
        unique: Unique(0x8000_0000_0000_0102),
        nodeid: NodeId(0x3_0000_0007),
        caller: CALLER,
        labels: Labels::default(),
        op,
    }
}

const LK: FileLock = FileLock { start: 10, end: i64::MAX as u64, r#type: 1, pid: 4242 };

const SETATTR: Setattr =
    Setattr { fh: None, mode: None, uid: None, gid: None, size: None, atime: None, mtime: None, kill_suidgid: false };

/// Each operation: opcode, body, meaning. [`Op::BatchForget`] is apart, for its list cannot be built from outside.
#[rustfmt::skip]
pub const GOLDEN: &[(u32, &str, Op<'static>)] = &[
    (1, "'a.txt' 00", Op::Lookup { name: c"a.txt" }),
    (2, "0300000000000000 | nlookup", Op::Forget { nlookup: 3 }),
    (3, "01000000 00000000 0500000002000000 | getattr_flags, dummy, fh", Op::Getattr { fh: Some(Fh(0x2_0000_0005)) }),
    (3, "00000000 00000000 0500000002000000 | getattr_flags, dummy, fh", Op::Getattr { fh: None }),
    (52, "01000000 00000000 0500000000000000 | getattr_flags, reserved, fh
          00600000 ff0f0000                  | sx_flags, sx_mask",
        Op::Statx { fh: Some(Fh(5)), sx_flags: 0x6000, sx_mask: 0xfff }),
    (4, "7f080000 00000000                   | valid: all but NOW, LOCKOWNER and CTIME
         0500000000000000 0010000000000000   | fh, size
         00*8                                | lock_owner
         feffffffffffffff 0300000000000000   | atime -2, mtime 3
         00*8                                | ctime
         ffc99a3b 07000000 00000000          | atimensec 999999999, mtimensec, ctimensec
         a4010000 00000000 e8030000 64000000 | mode, unused4, uid, gid
         00000000                            | unused5",
        Op::Setattr(Setattr {
            fh: Some(Fh(5)), mode: Some(0o644), uid: Some(1000), gid: Some(100), size: Some(4096),
            atime: Some(SetTime::At(-2, 999_999_999)), mtime: Some(SetTime::At(3, 7)), kill_suidgid: true,
        })),
    (4, "b0010000 00000000                   | valid: ATIME, MTIME and NOW of both
         00*40
         00*8
         ffffffff ffffffff ffffffff          | nanoseconds mean nothing
         00*20",
        Op::Setattr(Setattr { atime: Some(SetTime::Now), mtime: Some(SetTime::Now), ..SETATTR })),
    (4, "00000000 00000000 ff*80             | valid: nothing", Op::Setattr(SETATTR)),
    (5, "", Op::Readlink),
    (6, "'link' 00 '../to/it' 00", Op::Symlink { name: c"link", target: c"../to/it" }),
    (6, "'link' 00 00", Op::Symlink { name: c"link", target: c"" }),
    (8, "a4210000 03010000 12000000 00000000 | mode, rdev, umask, padding
         'null' 00",
        Op::Mknod { name: c"null", mode: 0o20644, rdev: 0x103, umask: 0o22 }),
    (9, "ed010000 12000000                   | mode, umask
         'dir' 00",
        Op::Mkdir { name: c"dir", mode: 0o755, umask: 0o22 }),
    (10, "'file' 00", Op::Unlink { name: c"file" }),
    (11, "'dir' 00", Op::Rmdir { name: c"dir" }),
    (12, "0900000000000000 'old' 00 'new' 00  | newdir",
        Op::Rename { name: c"old", newdir: NodeId(9), newname: c"new", flags: 0 }),
    (45, "0900000000000000 02000000 00000000  | newdir, flags, padding
          'old' 00 'new' 00",
        Op::Rename { name: c"old", newdir: NodeId(9), newname: c"new", flags: 2 }),
    (13, "0800000000000000 'hard' 00          | oldnodeid", Op::Link { oldnodeid: NodeId(8), newname: c"hard" }),
    (14, "02020000 01000000                   | flags, open_flags", Op::Open { flags: 0x202, kill_suidgid: true }),
    (35, "41000000 a4810000 12000000 01000000 | flags, mode, umask, open_flags
          'fresh' 00",
        Op::Create { name: c"fresh", flags: 0x41, mode: 0o100644, umask: 0o22, kill_suidgid: true }),
    (51, "02004100 80810000 12000000 00000000 | flags, mode, umask, open_flags
          '/' 00                              | a name that must not be looked at",
        Op::Tmpfile { flags: 0x41_0002, mode: 0o100600, umask: 0o22 }),
    (51, "02004100 80810000 12000000 00000000", Op::Tmpfile { flags: 0x41_0002, mode: 0o100600, umask: 0o22 }),
    (15, "0500000000000000 0000100000000000   | fh, offset
          00000200 00000000 ffffffffffffffff  | size, read_flags, lock_owner
          00800000 00000000                   | flags, padding",
        Op::Read { fh: Fh(5), offset: 1 << 20, size: 128 << 10, flags: 0x8000 }),
    (16, "0500000000000000 0000100000000000   | fh, offset
          03000000 00000000 ffffffffffffffff  | size, write_flags, lock_owner
          01800000 00000000                   | flags, padding
          'abc'",
        Op::Write { fh: Fh(5), offset: 1 << 20, data: b"abc", flags: 0x8001, cache: false, kill_suidgid: false }),
    (16, "0500000000000000 0000000000000000
          00000000 05000000 ffffffffffffffff  | write_flags: CACHE, KILL_SUIDGID
          01000000 00000000",
        Op::Write { fh: Fh(5), offset: 0, data: b"", flags: 1, cache: true, kill_suidgid: true }),
    (17, "", Op::Statfs),
    (18, "0500000000000000 02000000 01000000 ffffffffffffffff | fh, flags, release_flags, lock_owner",
        Op::Release { fh: Fh(5), flags: 2 }),
    (31, "0500000000000000 0700000000000000  | fh, owner
          0a00000000000000 ffffffffffffff7f  | start, end
          01000000 92100000                  | type, pid
          00000000 00000000                  | lk_flags, padding",
        Op::Getlk { fh: Fh(5), owner: 7, lk: LK, flock: false }),
    (32, "0500000000000000 0700000000000000 0a00000000000000 ffffffffffffff7f 01000000 92100000 01000000 00000000",
        Op::Setlk { fh: Fh(5), owner: 7, lk: LK, flock: true, wait: false }),
    (33, "0500000000000000 0700000000000000 0a00000000000000 ffffffffffffff7f 01000000 92100000 00000000 00000000",
        Op::Setlk { fh: Fh(5), owner: 7, lk: LK, flock: false, wait: true }),
    (34, "04000000 00000000                  | mask, padding", Op::Access { mask: 4 }),
    (40, "0500000000000000 0900000000000000 01000000 05000000 | fh, kh, flags, events",
        Op::Poll { fh: Fh(5), events: 5 }),
    (39, "0500000000000000 10000000 02660840 | fh, flags, cmd
          0000000000000000 04000000 00000000 | arg, in_size, out_size
          40000000",
        Op::Ioctl { fh: Fh(5), flags: 16, cmd: 0x4008_6602, data: b"\x40\0\0\0", out_size: 0 }),
    (20, "0500000000000000 01000000 00000000  | fh, fsync_flags, padding", Op::Fsync { fh: Fh(5), datasync: true }),
    (21, "04000000 02000000 01000000 00000000 | size, flags, setxattr_flags, padding
          'user.a/b' 00 00ff0a00              | name, value",
        Op::Setxattr { name: c"user.a/b", value: b"\0\xff\n\0", flags: 2, acl_kill_sgid: true }),
    (22, "00010000 00000000 'user.k' 00       | size, padding", Op::Getxattr { name: c"user.k", size: 256 }),
    (23, "00000000 00000000                   | size, padding", Op::Listxattr { size: 0 }),
    (24, "'user.k' 00", Op::Removexattr { name: c"user.k" }),
    (25, "0500000000000000 00000000 00000000 efcdab8967452301 | fh, unused, padding, lock_owner",
        Op::Flush { fh: Fh(5), lock_owner: 0x0123_4567_89ab_cdef }),
    (34, "06000000 00000000                   | mask, padding", Op::Access { mask: 6 }),
    (26, "07000000 2d000000 00000200 fbffff73 fd070000 00*44 | major, minor, max_readahead, flags, flags2, unused",
        Op::Init(InitIn {
            major: 7, minor: 45, max_readahead: 128 << 10, flags: 0x73ff_fffb, flags2: 0x7fd, unused: [0; 11],
        })),
    (26, "07000000 1f000000 00000200 fbffff03 | an older kernel: nothing behind flags",
        Op::Init(InitIn {
            major: 7, minor: 31, max_readahead: 128 << 10, flags: 0x03ff_fffb, flags2: 0, unused: [0; 11],
        })),
    (26, "08000000 00000000 00*56 ff*32       | a newer kernel: more than we know of",
        Op::Init(InitIn { major: 8, minor: 0, max_readahead: 0, flags: 0, flags2: 0, unused: [0; 11] })),
    (27, "00000100 00000000                   | flags, open_flags", Op::Opendir { flags: 0x10000 }),
    (28, "0500000000000000 0700000000000000 00100000 00000000 00*8 00000100 00000000",
        Op::Readdir { fh: Fh(5), offset: 7, size: 4096 }),
    (44, "0500000000000000 0700000000000000 00100000 00000000 00*8 00000100 00000000",
        Op::Readdirplus { fh: Fh(5), offset: 7, size: 4096 }),
    (29, "0500000000000000 00000100 00000000 00*8", Op::Releasedir { fh: Fh(5) }),
    (30, "0500000000000000 00000000 00000000", Op::Fsyncdir { fh: Fh(5), datasync: false }),
    (43, "0500000000000000 0010000000000000   | fh, offset
          0020000000000000 03000000 00000000  | length, mode, padding",
        Op::Fallocate { fh: Fh(5), offset: 4096, length: 8192, mode: 3 }),
    (46, "0500000000000000 0010000000000000 04000000 00000000 | fh, offset, whence, padding",
        Op::Lseek { fh: Fh(5), offset: 4096, whence: 4 }),
    (47, "0500000000000000 0010000000000000   | fh_in, off_in
          0900000000000000 0600000000000000   | nodeid_out, fh_out
          0020000000000000 0030000000000000   | off_out, len
          0000000000000000                    | flags",
        Op::CopyFileRange {
            fh_in: Fh(5), off_in: 4096, nodeid_out: NodeId(9), fh_out: Fh(6), off_out: 8192, len: 12288, flags: 0,
            wide: false,
        }),
    (53, "0500000000000000 0010000000000000 0900000000000000 0600000000000000
          0020000000000000 0000000001000000 0100000000000000",
        Op::CopyFileRange {
            fh_in: Fh(5), off_in: 4096, nodeid_out: NodeId(9), fh_out: Fh(6), off_out: 8192, len: 1 << 32, flags: 1,
            wide: true,
        }),
    (36, "0201000000000080                    | unique", Op::Interrupt { unique: Unique(0x8000_0000_0000_0102) }),
    (38, "", Op::Destroy),
    (41, "00*32", Op::NotifyReply),
    (37, "00*32 'whatever'", Op::Unsupported { opcode: opcode::BMAP }),
    (0xdead_beef, "", Op::Unsupported { opcode: 0xdead_beef }),
];

/// BATCH_FORGET of two nodes.
pub const BATCH: &str = "
    02000000 00000000                 | count, dummy
    0700000003000000 0100000000000000 | nodeid, nlookup
    0900000000000000 ff00000000000000 | nodeid, nlookup
";

/// Calls `check` with the three parts as a ring entry holds them: `op_in` in an area of 128 bytes with leftovers of an
/// earlier request, and a payload that is aligned to nothing.
fn in_three_parts<T>(bytes: &[u8], check: impl FnOnce(&InHeader, &[u8], &[u8]) -> T) -> T {
    let (header, body) = InHeader::read_from_prefix(bytes).unwrap();
    let (op_in, payload) = body.split_at(op_in_size(header.opcode));
    let mut area = [0xa5; 128];
    area[..op_in.len()].copy_from_slice(op_in);
    let payload = [b"!", payload].concat();
    check(&header, &area, &payload[1..])
}

/// Reads a whole message as the transport of /dev/fuse does.
fn whole(bytes: &[u8]) -> Result<Request<'_>, DecodeError> {
    let (header, op_in, payload) = split(bytes)?;
    decode(&header, op_in, payload)
}

#[test]
fn every_operation_in_one_piece() {
    for &(opcode, text, op) in GOLDEN {
        assert_eq!(whole(&message(opcode, 0, text)), Ok(request(op)), "{text}");
    }
}

#[test]
fn every_operation_in_three_parts() {
    // An INIT shorter than its struct exists on /dev/fuse alone.
    for &(opcode, text, op) in GOLDEN.iter().filter(|golden| hex(golden.1).len() >= op_in_size(golden.0)) {
        in_three_parts(&message(opcode, 0, text), |header, op_in, payload| {
            assert_eq!(decode(header, op_in, payload), Ok(request(op)), "{text}");
        });
    }
}

#[test]
fn a_message_byte_for_byte() {
    let bytes = hex("
        2e000000 01000000 | len, opcode
        0201000000000080  | unique
        0700000003000000  | nodeid
        e8030000 64000000 | uid, gid
        92100000          | pid
        0000 0000         | total_extlen, padding
        'a.txt' 00        | name
    ");
    assert_eq!(bytes, message(opcode::LOOKUP, 0, "'a.txt' 00"));
    assert_eq!(whole(&bytes), Ok(request(Op::Lookup { name: c"a.txt" })));
}

#[test]
fn batch_forget_wherever_it_lies() {
    let bytes = message(opcode::BATCH_FORGET, 0, BATCH);
    let expected = [(NodeId(0x3_0000_0007), 1), (NodeId(9), 255)];
    let check = |request: Result<Request<'_>, _>| match request.unwrap().op {
        Op::BatchForget(list) => assert!(list.iter().eq(expected)),
        op => panic!("{op:?}"),
    };
    for skew in 0..8 {
        let moved = [&[0; 8][..skew], &bytes].concat();
        check(whole(&moved[skew..]));
    }
    in_three_parts(&bytes, |header, op_in, payload| check(decode(header, op_in, payload)));

    for count in ["01000000", "03000000", "ffffffff"] {
        let lie = BATCH.replacen("02000000", count, 1);
        assert_eq!(whole(&message(opcode::BATCH_FORGET, 0, &lie)), Err(DecodeError::BadSize), "{count}");
    }
}

/// Names the variant of an operation; a new one does not compile until it stands here, and then it needs a golden.
macro_rules! variants {
    ($($name:ident)*) => {
        fn variant(op: &Op<'_>) -> &'static str {
            match op { $(Op::$name { .. } => stringify!($name),)* }
        }
        const VARIANTS: &[&str] = &[$(stringify!($name)),*];
    };
}

variants! {
    Lookup Forget BatchForget Getattr Statx Setattr Readlink Symlink Mknod Mkdir Unlink Rmdir Rename Link Open Create
    Tmpfile Read Write Statfs Release Fsync Setxattr Getxattr Listxattr Removexattr Flush Opendir Readdir Readdirplus
    Releasedir Fsyncdir Fallocate Lseek CopyFileRange Getlk Setlk Access Poll Ioctl Interrupt NotifyReply Init Destroy Unsupported
}

#[test]
fn every_variant_has_a_golden() {
    let mut seen: BTreeSet<_> = GOLDEN.iter().map(|golden| variant(&golden.2)).collect();
    seen.insert("BatchForget"); // in its own test
    assert_eq!(seen, VARIANTS.iter().copied().collect());
}

#[test]
fn every_cut_is_an_error() {
    for (opcode, text) in GOLDEN.iter().map(|golden| (golden.0, golden.1)).chain([(opcode::BATCH_FORGET, BATCH)]) {
        // These do not mind where their payload ends.
        if matches!(opcode, opcode::TMPFILE | opcode::INIT | opcode::BMAP | opcode::NOTIFY_REPLY) {
            continue;
        }
        let bytes = message(opcode, 0, text);
        for cut in 0..bytes.len() {
            let mut short = bytes[..cut].to_vec();
            let error = if cut < size_of::<InHeader>() { DecodeError::Short } else { DecodeError::BadLength };
            assert_eq!(whole(&short), Err(error));
            if cut >= size_of::<InHeader>() {
                short[..4].copy_from_slice(&(cut as u32).to_ne_bytes());
                assert!(whole(&short).is_err(), "{text} cut to {cut}");
            }
        }
        let mut long = [&bytes[..], b"\0"].concat();
        assert_eq!(whole(&long), Err(DecodeError::BadLength));
        let len = long.len() as u32;
        long[..4].copy_from_slice(&len.to_ne_bytes());
        if opcode != 0xdead_beef {
            assert_eq!(whole(&long), Err(DecodeError::BadSize), "{text} and a byte more");
        }
    }
    for len in 0..16 {
        let short = message(opcode::INIT, 0, &format!("07*{len}"));
        assert_eq!(whole(&short), Err(DecodeError::Short), "INIT of {len}");
    }
}

#[test]
fn names() {
    for bad in ["", "00", "'a'", "'.' 00", "'..' 00", "'/' 00", "'a/b' 00", "'/a' 00", "'a/' 00"] {
        let before = [(1, ""), (6, ""), (8, "00*16"), (9, "00*8"), (10, ""), (11, ""), (35, "00*16"), (13, "00*8")];
        let second = [(12, "00*8 'x' 00"), (45, "00*16 'x' 00")];
        for (opcode, before) in before.into_iter().chain(second) {
            let body = format!("{before} {bad}");
            assert_eq!(whole(&message(opcode, 0, &body)), Err(DecodeError::BadName), "{opcode}: {body}");
        }
    }
    for good in ["...", ".a", "..a", "a\\b", "\u{e9}\n"] {
        let bytes =
            message(opcode::LOOKUP, 0, &good.bytes().chain([0]).map(|b| format!("{b:02x}")).collect::<String>());
        let name = std::ffi::CString::new(good).unwrap();
        assert_eq!(whole(&bytes), Ok(request(Op::Lookup { name: &name })));
    }
    // The host answers ENAMETOOLONG, not the decoder.
    assert!(whole(&message(opcode::LOOKUP, 0, "61*4096 00")).is_ok());
    // To an extended attribute's name only the empty one is bad.
    for (opcode, before) in [(21, "00*16"), (22, "00*8"), (24, "")] {
        assert!(whole(&message(opcode, 0, &format!("{before} '../.' 00"))).is_ok());
        for bad in ["", "00", "'user.k'"] {
            assert_eq!(whole(&message(opcode, 0, &format!("{before} {bad}"))), Err(DecodeError::BadName));
        }
    }
}

#[test]
fn nanoseconds_that_are_commands_to_the_host() {
    // A billion, then UTIME_NOW and UTIME_OMIT of Linux and of macOS.
    for nsec in ["00ca9a3b", "ffffff3f", "feffff3f", "ffffffff", "feffffff"] {
        for times in [("10000000", format!("{nsec} 00*8")), ("20000000", format!("00*4 {nsec} 00*4"))] {
            let body = format!("{} 00*52 {} 00*20", times.0, times.1);
            assert_eq!(whole(&message(opcode::SETATTR, 0, &body)), Err(DecodeError::BadTime));
        }
    }
}

#[test]
fn extensions() {
    // (units of 8 bytes, extensions, the group)
    let good = [
        (2, "10000000 20000000 01000000 32000000", Some(50)),
        (2, "10000000 20000000 00000000 32000000", None),
        (3, "18000000 20000000 02000000 32000000 33000000 00000000", Some(50)),
        (1, "08000000 63000000", None),
        (3, "08000000 63000000 10000000 20000000 01000000 32000000", Some(50)),
        (3, "10000000 20000000 01000000 32000000 08000000 00000000", Some(50)),
    ];
    for (units, text, supp_gid) in good {
        let mkdir = Op::Mkdir { name: c"dir", mode: 0o755, umask: 0o22 };
        let expected = Request { caller: Caller { supp_gid, ..CALLER }, ..request(mkdir) };
        let bytes = message(opcode::MKDIR, units, &format!("ed010000 12000000 'dir' 00 \n {text}"));
        assert_eq!(whole(&bytes), Ok(expected), "{text}");
        in_three_parts(&bytes, |header, op_in, payload| assert_eq!(decode(header, op_in, payload), Ok(expected)));
    }
    let bad = [
        (1, "00000000 20000000"),                               // would never end
        (1, "04000000 20000000"),                               // smaller than its header
        (1, "08000000 20000000"),                               // no count
        (2, "0c000000 63000000 00000000 00000000"),             // not a multiple of 8
        (2, "18000000 20000000 01000000 32000000"),             // longer than what there is
        (2, "10000000 20000000 02000000 32000000"),             // two groups, room for one
        (2, "10000000 20000000 ffffffff 32000000"),             // 4 * count overflows 32 bits
        (3, "10000000 20000000 01000000 32000000 00000000"),    // begins in the name
        (0xffff, "10000000 20000000 01000000 32000000"),        // longer than the payload
        (1, "08000000 01000000"),                               // a label announced, and none there
        (2, "10000000 01000000 01000000 00000000"),             // a label without a name
        (3, "18000000 01000000 08000000 00000000 'a' 00 00*6"), // a label longer than what there is
    ];
    for (units, text) in bad {
        let bytes = message(opcode::MKDIR, units, &format!("ed010000 12000000 'dir' 00 \n {text}"));
        assert_eq!(whole(&bytes), Err(DecodeError::BadExtension), "{text}");
    }
    // Undeclared, they are just bytes too many.
    let bytes = message(opcode::MKDIR, 0, "ed010000 12000000 'dir' 00 08000000 63000000");
    assert_eq!(whole(&bytes), Err(DecodeError::BadSize));
}

#[test]
fn labels() {
    let text = "ed010000 12000000 'dir' 00
        30000000 02000000                                | size, number of labels
        05000000 00000000 'security.selinux' 00 'value'  | size, padding, name, value
        00000000 00000000 'b' 00
        10000000 20000000 01000000 32000000              | a group behind them";
    let bytes = message(opcode::MKDIR, 8, text);
    let request = whole(&bytes).unwrap();
    let labels: Vec<_> = request.labels.iter().collect();
    assert_eq!(labels, [(c"security.selinux", &b"value"[..]), (c"b", b"")]);
    assert_eq!(request.caller.supp_gid, Some(50));
    assert!(!request.labels.is_empty() && whole(&message(opcode::READLINK, 0, "")).unwrap().labels.is_empty());
}

#[test]
fn sizes_that_lie() {
    let write = "00*16 04000000 00*20 'abc'";
    assert_eq!(whole(&message(opcode::WRITE, 0, write)), Err(DecodeError::BadSize));
    assert_eq!(whole(&message(opcode::WRITE, 0, &write.replace("04", "02"))), Err(DecodeError::BadSize));
    assert!(whole(&message(opcode::WRITE, 0, &write.replace("04", "03"))).is_ok());
    assert_eq!(whole(&message(opcode::WRITE, 0, &write.replace("04000000", "ffffffff"))), Err(DecodeError::BadSize));
    // The short SETXATTR of kernels without FUSE_SETXATTR_EXT is not mistaken for the long one.
    assert!(whole(&message(opcode::SETXATTR, 0, "01000000 00000000 'user.key' 00 'v'")).is_err());
}

#[test]
fn errors_say_what_to_answer() {
    for error in [DecodeError::BadName, DecodeError::BadTime] {
        assert_eq!(error.errno(), Errno::EINVAL);
    }
    for error in [DecodeError::Short, DecodeError::BadLength, DecodeError::BadSize, DecodeError::BadExtension] {
        assert_eq!(error.errno(), Errno::EIO);
        assert!(!error.to_string().is_empty());
    }
    assert!(!is_answered(opcode::FORGET) && !is_answered(opcode::BATCH_FORGET) && is_answered(opcode::LOOKUP));
}
