//! Golden replies and packed directories.

use ptfs::protocol::abi::*;
use ptfs::protocol::reply::Dirents;
use ptfs::protocol::{Errno, Reply, Unique};
use zerocopy::IntoBytes;

use crate::hex::hex;

const UNIQUE: Unique = Unique(0x8000_0000_0000_0102);

/// Header and body as /dev/fuse is written to, from a payload buffer of exactly `room` bytes.
fn message(reply: &Reply, room: usize) -> Vec<u8> {
    let mut payload = vec![0xee; room];
    let body = reply.encode(&mut payload).unwrap();
    assert!(payload[body..].iter().all(|&byte| byte == 0xee), "nothing is written behind the body");
    [reply.header(UNIQUE, body).as_bytes(), &payload[..body]].concat()
}

const ATTR: &str = "
    0900000000000000 0010000000000000 0800000000000000 | ino, size, blocks
    0100000000000000 0200000000000000 0300000000000000 | atime, mtime, ctime
    04000000 05000000 06000000                         | atimensec, mtimensec, ctimensec
    a4810000 01000000 e8030000 64000000                | mode, nlink, uid, gid
    00000000 00100000 00000000                         | rdev, blksize, flags
";

fn attr() -> Attr {
    Attr {
        ino: 9,
        size: 4096,
        blocks: 8,
        atime: 1,
        mtime: 2,
        ctime: 3,
        atimensec: 4,
        mtimensec: 5,
        ctimensec: 6,
        mode: 0o100644,
        nlink: 1,
        uid: 1000,
        gid: 100,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

const ENTRY: &str = "
    0700000003000000 0400000000000000 | nodeid, generation
    0100000000000000 0200000000000000 | entry_valid, attr_valid
    00ca9a03 00000000                 | entry_valid_nsec, attr_valid_nsec
";

fn entry() -> EntryOut {
    EntryOut {
        nodeid: 0x3_0000_0007,
        generation: 4,
        entry_valid: 1,
        attr_valid: 2,
        entry_valid_nsec: 0x39a_ca00,
        attr_valid_nsec: 0,
        attr: attr(),
    }
}

#[test]
fn every_reply_is_its_golden_bytes() {
    let lk = FileLock { start: 1, end: i64::MAX as u64, r#type: 1, pid: 4242 };
    let open = OpenOut { fh: 5, open_flags: FOPEN_KEEP_CACHE, backing_id: 0 };
    let statx = StatxOut { attr_valid: 1, stat: Statx { mask: 0xfff, ..Statx::default() }, ..StatxOut::default() };
    let statfs = StatfsOut { st: Kstatfs { blocks: 7, namelen: 255, ..Kstatfs::default() } };
    let init = InitOut { major: 7, minor: 45, time_gran: 1, ..InitOut::default() };
    let entry_text = format!("{ENTRY}{ATTR}");
    let golden: &[(Reply, &str, &str)] = &[
        (Reply::Ok, "10000000 00000000", ""),
        (Reply::Err(Errno(2)), "10000000 feffffff", ""),
        (Reply::Entry(entry()), "90000000 00000000", &entry_text),
        (Reply::Entry(EntryOut::default()), "90000000 00000000", "00*128 | no such name"),
        (
            Reply::Attr(AttrOut { attr_valid: 1, attr_valid_nsec: 2, dummy: 0, attr: attr() }),
            "78000000 00000000",
            &format!("0100000000000000 02000000 00000000 \n {ATTR}"),
        ),
        (Reply::Statx(statx), "30010000 00000000", "0100000000000000 00*24 ff0f0000 00*252"),
        (Reply::Open(open), "20000000 00000000", "0500000000000000 02000000 00000000"),
        (
            Reply::Create(entry(), open),
            "a0000000 00000000",
            &format!("{entry_text} \n 0500000000000000 02000000 00000000"),
        ),
        (Reply::Write(WriteOut { size: 3, padding: 0 }), "18000000 00000000", "03000000 00000000"),
        (Reply::Statfs(statfs), "60000000 00000000", "07*1 00*7 00*32 00000000 ff000000 00*32"),
        (Reply::Xattr(GetxattrOut { size: 3, padding: 0 }), "18000000 00000000", "03000000 00000000"),
        (Reply::Lseek(LseekOut { offset: 1 << 32 }), "18000000 00000000", "0000000001000000"),
        (Reply::Lock(LkOut { lk }), "28000000 00000000", "0100000000000000 ffffffffffffff7f 01000000 92100000"),
        (Reply::Poll(PollOut { revents: 5, padding: 0 }), "18000000 00000000", "05000000 00000000"),
        (Reply::Copied(CopyFileRangeOut { bytes_copied: 1 << 32 }), "18000000 00000000", "0000000001000000"),
        (Reply::Init(init), "50000000 00000000", "07000000 2d000000 00*16 01000000 00*36"),
    ];
    for (reply, header, body) in golden {
        let body = hex(body);
        let expected = [hex(header), hex("0201000000000080"), body.clone()].concat();
        assert_eq!(message(reply, body.len()), expected, "{reply:?}");
        assert_eq!(message(reply, body.len() + 3), expected, "{reply:?}");
        if let Some(short) = body.len().checked_sub(1) {
            let mut payload = vec![0xee; short];
            assert_eq!(reply.encode(&mut payload), Err(Errno::EIO), "{reply:?}");
            assert!(payload.iter().all(|&byte| byte == 0xee));
        }
    }
}

#[test]
fn replies_without_a_body_of_their_own() {
    assert_eq!(Reply::None.encode(&mut []), Ok(0));
    assert_eq!(Reply::Err(Errno::ENOENT).errno(), Some(Errno::ENOENT));
    assert_eq!(Reply::Ok.errno(), None);

    let mut payload = *b"data";
    assert_eq!(Reply::Payload(3).encode(&mut payload), Ok(3));
    assert_eq!(&payload, b"data", "the bytes lie there already");
    assert_eq!(Reply::Payload(3).header(UNIQUE, 3), OutHeader { len: 19, error: 0, unique: UNIQUE.0 });
    assert_eq!(Reply::Payload(5).encode(&mut payload), Err(Errno::EIO));

    let mut payload = [0xee; 20];
    let ioctl = IoctlOut { result: 1, flags: 2, in_iovs: 3, out_iovs: 4 };
    assert_eq!(Reply::Ioctl(ioctl, 3).encode(&mut payload), Ok(19));
    assert_eq!(payload.as_slice(), hex("01000000 02000000 03000000 04000000 ee*4"));
    assert_eq!(Reply::Ioctl(ioctl, 5).encode(&mut payload), Err(Errno::EIO));
}

#[test]
fn directories() {
    let mut buf = [0xee; 64 + 8];
    let mut dir = Dirents::new(&mut buf);
    assert!(dir.is_empty());
    assert!(dir.push(9, 1, 8, b"abc"));
    assert!(!dir.fits(Dirents::size(17)) && dir.fits(Dirents::size(16)));
    assert!(!dir.push(9, 2, 4, b"seventeen letters"));
    assert_eq!(dir.len(), 32);
    assert!(dir.push(10, 2, 4, b"eight by"));
    assert!(!dir.push(11, 3, 4, b"x"), "8 bytes are left");
    assert_eq!(dir.len(), 64);
    let expected = hex("
        0900000000000000 0100000000000000 03000000 08000000 | ino, off, namelen, type
        'abc' 00*5
        0a00000000000000 0200000000000000 08000000 04000000
        'eight' 20 'by'
        ee*8                                                | nothing was written here
    ");
    assert_eq!(buf.as_slice(), expected);
}

#[test]
fn directories_with_attributes() {
    let size = Dirents::size_plus(3);
    assert_eq!(size, 160);
    let mut buf = [0xee; 160 + 159];
    let mut dir = Dirents::new(&mut buf);
    assert!(dir.push_plus(&entry(), 9, 1, 8, b"abc"));
    assert!(!dir.fits(size));
    assert!(!dir.push_plus(&entry(), 9, 2, 8, b"abd"));
    assert_eq!(dir.len(), size);
    let dirent = "0900000000000000 0100000000000000 03000000 08000000 'abc' 00*5 ee*159";
    assert_eq!(buf.as_slice(), hex(&format!("{ENTRY}{ATTR} \n {dirent}")));
    assert!(!Dirents::new(&mut []).push(1, 1, 4, b"."));
}
