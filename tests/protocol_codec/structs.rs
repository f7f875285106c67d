//! Golden bytes of every struct: each byte differs from its neighbours, so that every offset and width shows.

use std::fmt::Debug;

use ptfs::protocol::abi::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::hex::hex;

fn check<T: FromBytes + IntoBytes + Immutable + PartialEq + Debug + Default>(value: T, text: &str) {
    let bytes = hex(text);
    assert_eq!(value.as_bytes(), bytes, "{value:?}");
    assert_eq!(T::read_from_bytes(&bytes).ok(), Some(value));
    assert!(T::default().as_bytes().iter().all(|&byte| byte == 0));
}

macro_rules! golden {
    ($($name:ident $fields:tt = $text:literal)*) => {
        #[test]
        fn every_struct_is_its_golden_bytes_and_back() {
            $(check::<$name>(golden!(@ $name $fields), $text);)*
        }
    };
    (@ $name:ident { $($field:ident: $value:expr,)* }) => { $name { $($field: $value,)* } };
}

golden! {
    InHeader {
        len: 0x4030201,
        opcode: 0x8070605,
        unique: 0x100f0e0d0c0b0a09,
        nodeid: 0x1817161514131211,
        uid: 0x1c1b1a19,
        gid: 0x201f1e1d,
        pid: 0x24232221,
        total_extlen: 0x2625,
        padding: 0x2827,
    } = "
        01020304 | len
        05060708 | opcode
        090a0b0c0d0e0f10 | unique
        1112131415161718 | nodeid
        191a1b1c | uid
        1d1e1f20 | gid
        21222324 | pid
        2526 | total_extlen
        2728 | padding
    "

    OutHeader {
        len: 0x4030201,
        error: 0x8070605,
        unique: 0x100f0e0d0c0b0a09,
    } = "
        01020304 | len
        05060708 | error
        090a0b0c0d0e0f10 | unique
    "

    ExtHeader {
        size: 0x4030201,
        r#type: 0x8070605,
    } = "
        01020304 | size
        05060708 | type
    "

    SuppGroups {
        nr_groups: 0x4030201,
    } = "
        01020304 | nr_groups
    "

    Attr {
        ino: 0x807060504030201,
        size: 0x100f0e0d0c0b0a09,
        blocks: 0x1817161514131211,
        atime: 0x201f1e1d1c1b1a19,
        mtime: 0x2827262524232221,
        ctime: 0x302f2e2d2c2b2a29,
        atimensec: 0x34333231,
        mtimensec: 0x38373635,
        ctimensec: 0x3c3b3a39,
        mode: 0x403f3e3d,
        nlink: 0x44434241,
        uid: 0x48474645,
        gid: 0x4c4b4a49,
        rdev: 0x504f4e4d,
        blksize: 0x54535251,
        flags: 0x58575655,
    } = "
        0102030405060708 | ino
        090a0b0c0d0e0f10 | size
        1112131415161718 | blocks
        191a1b1c1d1e1f20 | atime
        2122232425262728 | mtime
        292a2b2c2d2e2f30 | ctime
        31323334 | atimensec
        35363738 | mtimensec
        393a3b3c | ctimensec
        3d3e3f40 | mode
        41424344 | nlink
        45464748 | uid
        494a4b4c | gid
        4d4e4f50 | rdev
        51525354 | blksize
        55565758 | flags
    "

    SxTime {
        tv_sec: 0x807060504030201,
        tv_nsec: 0xc0b0a09,
        reserved: 0x100f0e0d,
    } = "
        0102030405060708 | tv_sec
        090a0b0c | tv_nsec
        0d0e0f10 | reserved
    "

    Statx {
        mask: 0x4030201,
        blksize: 0x8070605,
        attributes: 0x100f0e0d0c0b0a09,
        nlink: 0x14131211,
        uid: 0x18171615,
        gid: 0x1c1b1a19,
        mode: 0x1e1d,
        spare0: 0x201f,
        ino: 0x2827262524232221,
        size: 0x302f2e2d2c2b2a29,
        blocks: 0x3837363534333231,
        attributes_mask: 0x403f3e3d3c3b3a39,
        atime: SxTime {
            tv_sec: 0x4847464544434241,
            tv_nsec: 0x4c4b4a49,
            reserved: 0x504f4e4d,
        },
        btime: SxTime {
            tv_sec: 0x5857565554535251,
            tv_nsec: 0x5c5b5a59,
            reserved: 0x605f5e5d,
        },
        ctime: SxTime {
            tv_sec: 0x6867666564636261,
            tv_nsec: 0x6c6b6a69,
            reserved: 0x706f6e6d,
        },
        mtime: SxTime {
            tv_sec: 0x7877767574737271,
            tv_nsec: 0x7c7b7a79,
            reserved: -0x7f808183,
        },
        rdev_major: 0x84838281,
        rdev_minor: 0x88878685,
        dev_major: 0x8c8b8a89,
        dev_minor: 0x908f8e8d,
        spare2: [0; 14],
    } = "
        01020304 | mask
        05060708 | blksize
        090a0b0c0d0e0f10 | attributes
        11121314 | nlink
        15161718 | uid
        191a1b1c | gid
        1d1e | mode
        1f20 | spare0
        2122232425262728 | ino
        292a2b2c2d2e2f30 | size
        3132333435363738 | blocks
        393a3b3c3d3e3f40 | attributes_mask
        4142434445464748 | atime.tv_sec
        494a4b4c | atime.tv_nsec
        4d4e4f50 | atime.reserved
        5152535455565758 | btime.tv_sec
        595a5b5c | btime.tv_nsec
        5d5e5f60 | btime.reserved
        6162636465666768 | ctime.tv_sec
        696a6b6c | ctime.tv_nsec
        6d6e6f70 | ctime.reserved
        7172737475767778 | mtime.tv_sec
        797a7b7c | mtime.tv_nsec
        7d7e7f80 | mtime.reserved
        81828384 | rdev_major
        85868788 | rdev_minor
        898a8b8c | dev_major
        8d8e8f90 | dev_minor
        00*112 | spare2
    "

    Kstatfs {
        blocks: 0x807060504030201,
        bfree: 0x100f0e0d0c0b0a09,
        bavail: 0x1817161514131211,
        files: 0x201f1e1d1c1b1a19,
        ffree: 0x2827262524232221,
        bsize: 0x2c2b2a29,
        namelen: 0x302f2e2d,
        frsize: 0x34333231,
        padding: 0x38373635,
        spare: [0; 6],
    } = "
        0102030405060708 | blocks
        090a0b0c0d0e0f10 | bfree
        1112131415161718 | bavail
        191a1b1c1d1e1f20 | files
        2122232425262728 | ffree
        292a2b2c | bsize
        2d2e2f30 | namelen
        31323334 | frsize
        35363738 | padding
        00*24 | spare
    "

    EntryOut {
        nodeid: 0x807060504030201,
        generation: 0x100f0e0d0c0b0a09,
        entry_valid: 0x1817161514131211,
        attr_valid: 0x201f1e1d1c1b1a19,
        entry_valid_nsec: 0x24232221,
        attr_valid_nsec: 0x28272625,
        attr: Attr {
            ino: 0x302f2e2d2c2b2a29,
            size: 0x3837363534333231,
            blocks: 0x403f3e3d3c3b3a39,
            atime: 0x4847464544434241,
            mtime: 0x504f4e4d4c4b4a49,
            ctime: 0x5857565554535251,
            atimensec: 0x5c5b5a59,
            mtimensec: 0x605f5e5d,
            ctimensec: 0x64636261,
            mode: 0x68676665,
            nlink: 0x6c6b6a69,
            uid: 0x706f6e6d,
            gid: 0x74737271,
            rdev: 0x78777675,
            blksize: 0x7c7b7a79,
            flags: 0x807f7e7d,
        },
    } = "
        0102030405060708 | nodeid
        090a0b0c0d0e0f10 | generation
        1112131415161718 | entry_valid
        191a1b1c1d1e1f20 | attr_valid
        21222324 | entry_valid_nsec
        25262728 | attr_valid_nsec
        292a2b2c2d2e2f30 | attr.ino
        3132333435363738 | attr.size
        393a3b3c3d3e3f40 | attr.blocks
        4142434445464748 | attr.atime
        494a4b4c4d4e4f50 | attr.mtime
        5152535455565758 | attr.ctime
        595a5b5c | attr.atimensec
        5d5e5f60 | attr.mtimensec
        61626364 | attr.ctimensec
        65666768 | attr.mode
        696a6b6c | attr.nlink
        6d6e6f70 | attr.uid
        71727374 | attr.gid
        75767778 | attr.rdev
        797a7b7c | attr.blksize
        7d7e7f80 | attr.flags
    "

    ForgetIn {
        nlookup: 0x807060504030201,
    } = "
        0102030405060708 | nlookup
    "

    BatchForgetIn {
        count: 0x4030201,
        dummy: 0x8070605,
    } = "
        01020304 | count
        05060708 | dummy
    "

    ForgetOne {
        nodeid: 0x807060504030201u64.into(),
        nlookup: 0x100f0e0d0c0b0a09u64.into(),
    } = "
        0102030405060708 | nodeid
        090a0b0c0d0e0f10 | nlookup
    "

    GetattrIn {
        getattr_flags: 0x4030201,
        dummy: 0x8070605,
        fh: 0x100f0e0d0c0b0a09,
    } = "
        01020304 | getattr_flags
        05060708 | dummy
        090a0b0c0d0e0f10 | fh
    "

    AttrOut {
        attr_valid: 0x807060504030201,
        attr_valid_nsec: 0xc0b0a09,
        dummy: 0x100f0e0d,
        attr: Attr {
            ino: 0x1817161514131211,
            size: 0x201f1e1d1c1b1a19,
            blocks: 0x2827262524232221,
            atime: 0x302f2e2d2c2b2a29,
            mtime: 0x3837363534333231,
            ctime: 0x403f3e3d3c3b3a39,
            atimensec: 0x44434241,
            mtimensec: 0x48474645,
            ctimensec: 0x4c4b4a49,
            mode: 0x504f4e4d,
            nlink: 0x54535251,
            uid: 0x58575655,
            gid: 0x5c5b5a59,
            rdev: 0x605f5e5d,
            blksize: 0x64636261,
            flags: 0x68676665,
        },
    } = "
        0102030405060708 | attr_valid
        090a0b0c | attr_valid_nsec
        0d0e0f10 | dummy
        1112131415161718 | attr.ino
        191a1b1c1d1e1f20 | attr.size
        2122232425262728 | attr.blocks
        292a2b2c2d2e2f30 | attr.atime
        3132333435363738 | attr.mtime
        393a3b3c3d3e3f40 | attr.ctime
        41424344 | attr.atimensec
        45464748 | attr.mtimensec
        494a4b4c | attr.ctimensec
        4d4e4f50 | attr.mode
        51525354 | attr.nlink
        55565758 | attr.uid
        595a5b5c | attr.gid
        5d5e5f60 | attr.rdev
        61626364 | attr.blksize
        65666768 | attr.flags
    "

    StatxIn {
        getattr_flags: 0x4030201,
        reserved: 0x8070605,
        fh: 0x100f0e0d0c0b0a09,
        sx_flags: 0x14131211,
        sx_mask: 0x18171615,
    } = "
        01020304 | getattr_flags
        05060708 | reserved
        090a0b0c0d0e0f10 | fh
        11121314 | sx_flags
        15161718 | sx_mask
    "

    StatxOut {
        attr_valid: 0x807060504030201,
        attr_valid_nsec: 0xc0b0a09,
        flags: 0x100f0e0d,
        spare: [0; 2],
        stat: Statx {
            mask: 0x14131211,
            blksize: 0x18171615,
            attributes: 0x201f1e1d1c1b1a19,
            nlink: 0x24232221,
            uid: 0x28272625,
            gid: 0x2c2b2a29,
            mode: 0x2e2d,
            spare0: 0x302f,
            ino: 0x3837363534333231,
            size: 0x403f3e3d3c3b3a39,
            blocks: 0x4847464544434241,
            attributes_mask: 0x504f4e4d4c4b4a49,
            atime: SxTime {
                tv_sec: 0x5857565554535251,
                tv_nsec: 0x5c5b5a59,
                reserved: 0x605f5e5d,
            },
            btime: SxTime {
                tv_sec: 0x6867666564636261,
                tv_nsec: 0x6c6b6a69,
                reserved: 0x706f6e6d,
            },
            ctime: SxTime {
                tv_sec: 0x7877767574737271,
                tv_nsec: 0x7c7b7a79,
                reserved: -0x7f808183,
            },
            mtime: SxTime {
                tv_sec: -0x7778797a7b7c7d7f,
                tv_nsec: 0x8c8b8a89,
                reserved: -0x6f707173,
            },
            rdev_major: 0x94939291,
            rdev_minor: 0x98979695,
            dev_major: 0x9c9b9a99,
            dev_minor: 0xa09f9e9d,
            spare2: [0; 14],
        },
    } = "
        0102030405060708 | attr_valid
        090a0b0c | attr_valid_nsec
        0d0e0f10 | flags
        00*16 | spare
        11121314 | stat.mask
        15161718 | stat.blksize
        191a1b1c1d1e1f20 | stat.attributes
        21222324 | stat.nlink
        25262728 | stat.uid
        292a2b2c | stat.gid
        2d2e | stat.mode
        2f30 | stat.spare0
        3132333435363738 | stat.ino
        393a3b3c3d3e3f40 | stat.size
        4142434445464748 | stat.blocks
        494a4b4c4d4e4f50 | stat.attributes_mask
        5152535455565758 | stat.atime.tv_sec
        595a5b5c | stat.atime.tv_nsec
        5d5e5f60 | stat.atime.reserved
        6162636465666768 | stat.btime.tv_sec
        696a6b6c | stat.btime.tv_nsec
        6d6e6f70 | stat.btime.reserved
        7172737475767778 | stat.ctime.tv_sec
        797a7b7c | stat.ctime.tv_nsec
        7d7e7f80 | stat.ctime.reserved
        8182838485868788 | stat.mtime.tv_sec
        898a8b8c | stat.mtime.tv_nsec
        8d8e8f90 | stat.mtime.reserved
        91929394 | stat.rdev_major
        95969798 | stat.rdev_minor
        999a9b9c | stat.dev_major
        9d9e9fa0 | stat.dev_minor
        00*112 | stat.spare2
    "

    SetattrIn {
        valid: 0x4030201,
        padding: 0x8070605,
        fh: 0x100f0e0d0c0b0a09,
        size: 0x1817161514131211,
        lock_owner: 0x201f1e1d1c1b1a19,
        atime: 0x2827262524232221,
        mtime: 0x302f2e2d2c2b2a29,
        ctime: 0x3837363534333231,
        atimensec: 0x3c3b3a39,
        mtimensec: 0x403f3e3d,
        ctimensec: 0x44434241,
        mode: 0x48474645,
        unused4: 0x4c4b4a49,
        uid: 0x504f4e4d,
        gid: 0x54535251,
        unused5: 0x58575655,
    } = "
        01020304 | valid
        05060708 | padding
        090a0b0c0d0e0f10 | fh
        1112131415161718 | size
        191a1b1c1d1e1f20 | lock_owner
        2122232425262728 | atime
        292a2b2c2d2e2f30 | mtime
        3132333435363738 | ctime
        393a3b3c | atimensec
        3d3e3f40 | mtimensec
        41424344 | ctimensec
        45464748 | mode
        494a4b4c | unused4
        4d4e4f50 | uid
        51525354 | gid
        55565758 | unused5
    "

    MknodIn {
        mode: 0x4030201,
        rdev: 0x8070605,
        umask: 0xc0b0a09,
        padding: 0x100f0e0d,
    } = "
        01020304 | mode
        05060708 | rdev
        090a0b0c | umask
        0d0e0f10 | padding
    "

    MkdirIn {
        mode: 0x4030201,
        umask: 0x8070605,
    } = "
        01020304 | mode
        05060708 | umask
    "

    RenameIn {
        newdir: 0x807060504030201,
    } = "
        0102030405060708 | newdir
    "

    Rename2In {
        newdir: 0x807060504030201,
        flags: 0xc0b0a09,
        padding: 0x100f0e0d,
    } = "
        0102030405060708 | newdir
        090a0b0c | flags
        0d0e0f10 | padding
    "

    LinkIn {
        oldnodeid: 0x807060504030201,
    } = "
        0102030405060708 | oldnodeid
    "

    OpenIn {
        flags: 0x4030201,
        open_flags: 0x8070605,
    } = "
        01020304 | flags
        05060708 | open_flags
    "

    CreateIn {
        flags: 0x4030201,
        mode: 0x8070605,
        umask: 0xc0b0a09,
        open_flags: 0x100f0e0d,
    } = "
        01020304 | flags
        05060708 | mode
        090a0b0c | umask
        0d0e0f10 | open_flags
    "

    OpenOut {
        fh: 0x807060504030201,
        open_flags: 0xc0b0a09,
        backing_id: 0x100f0e0d,
    } = "
        0102030405060708 | fh
        090a0b0c | open_flags
        0d0e0f10 | backing_id
    "

    ReleaseIn {
        fh: 0x807060504030201,
        flags: 0xc0b0a09,
        release_flags: 0x100f0e0d,
        lock_owner: 0x1817161514131211,
    } = "
        0102030405060708 | fh
        090a0b0c | flags
        0d0e0f10 | release_flags
        1112131415161718 | lock_owner
    "

    FlushIn {
        fh: 0x807060504030201,
        unused: 0xc0b0a09,
        padding: 0x100f0e0d,
        lock_owner: 0x1817161514131211,
    } = "
        0102030405060708 | fh
        090a0b0c | unused
        0d0e0f10 | padding
        1112131415161718 | lock_owner
    "

    ReadIn {
        fh: 0x807060504030201,
        offset: 0x100f0e0d0c0b0a09,
        size: 0x14131211,
        read_flags: 0x18171615,
        lock_owner: 0x201f1e1d1c1b1a19,
        flags: 0x24232221,
        padding: 0x28272625,
    } = "
        0102030405060708 | fh
        090a0b0c0d0e0f10 | offset
        11121314 | size
        15161718 | read_flags
        191a1b1c1d1e1f20 | lock_owner
        21222324 | flags
        25262728 | padding
    "

    WriteIn {
        fh: 0x807060504030201,
        offset: 0x100f0e0d0c0b0a09,
        size: 0x14131211,
        write_flags: 0x18171615,
        lock_owner: 0x201f1e1d1c1b1a19,
        flags: 0x24232221,
        padding: 0x28272625,
    } = "
        0102030405060708 | fh
        090a0b0c0d0e0f10 | offset
        11121314 | size
        15161718 | write_flags
        191a1b1c1d1e1f20 | lock_owner
        21222324 | flags
        25262728 | padding
    "

    WriteOut {
        size: 0x4030201,
        padding: 0x8070605,
    } = "
        01020304 | size
        05060708 | padding
    "

    FsyncIn {
        fh: 0x807060504030201,
        fsync_flags: 0xc0b0a09,
        padding: 0x100f0e0d,
    } = "
        0102030405060708 | fh
        090a0b0c | fsync_flags
        0d0e0f10 | padding
    "

    FallocateIn {
        fh: 0x807060504030201,
        offset: 0x100f0e0d0c0b0a09,
        length: 0x1817161514131211,
        mode: 0x1c1b1a19,
        padding: 0x201f1e1d,
    } = "
        0102030405060708 | fh
        090a0b0c0d0e0f10 | offset
        1112131415161718 | length
        191a1b1c | mode
        1d1e1f20 | padding
    "

    LseekIn {
        fh: 0x807060504030201,
        offset: 0x100f0e0d0c0b0a09,
        whence: 0x14131211,
        padding: 0x18171615,
    } = "
        0102030405060708 | fh
        090a0b0c0d0e0f10 | offset
        11121314 | whence
        15161718 | padding
    "

    LseekOut {
        offset: 0x807060504030201,
    } = "
        0102030405060708 | offset
    "

    CopyFileRangeIn {
        fh_in: 0x807060504030201,
        off_in: 0x100f0e0d0c0b0a09,
        nodeid_out: 0x1817161514131211,
        fh_out: 0x201f1e1d1c1b1a19,
        off_out: 0x2827262524232221,
        len: 0x302f2e2d2c2b2a29,
        flags: 0x3837363534333231,
    } = "
        0102030405060708 | fh_in
        090a0b0c0d0e0f10 | off_in
        1112131415161718 | nodeid_out
        191a1b1c1d1e1f20 | fh_out
        2122232425262728 | off_out
        292a2b2c2d2e2f30 | len
        3132333435363738 | flags
    "

    CopyFileRangeOut {
        bytes_copied: 0x807060504030201,
    } = "
        0102030405060708 | bytes_copied
    "

    Dirent {
        ino: 0x807060504030201,
        off: 0x100f0e0d0c0b0a09,
        namelen: 0x14131211,
        r#type: 0x18171615,
    } = "
        0102030405060708 | ino
        090a0b0c0d0e0f10 | off
        11121314 | namelen
        15161718 | type
    "

    StatfsOut {
        st: Kstatfs {
            blocks: 0x807060504030201,
            bfree: 0x100f0e0d0c0b0a09,
            bavail: 0x1817161514131211,
            files: 0x201f1e1d1c1b1a19,
            ffree: 0x2827262524232221,
            bsize: 0x2c2b2a29,
            namelen: 0x302f2e2d,
            frsize: 0x34333231,
            padding: 0x38373635,
            spare: [0; 6],
        },
    } = "
        0102030405060708 | st.blocks
        090a0b0c0d0e0f10 | st.bfree
        1112131415161718 | st.bavail
        191a1b1c1d1e1f20 | st.files
        2122232425262728 | st.ffree
        292a2b2c | st.bsize
        2d2e2f30 | st.namelen
        31323334 | st.frsize
        35363738 | st.padding
        00*24 | st.spare
    "

    SetxattrIn {
        size: 0x4030201,
        flags: 0x8070605,
        setxattr_flags: 0xc0b0a09,
        padding: 0x100f0e0d,
    } = "
        01020304 | size
        05060708 | flags
        090a0b0c | setxattr_flags
        0d0e0f10 | padding
    "

    GetxattrIn {
        size: 0x4030201,
        padding: 0x8070605,
    } = "
        01020304 | size
        05060708 | padding
    "

    AccessIn {
        mask: 0x4030201,
        padding: 0x8070605,
    } = "
        01020304 | mask
        05060708 | padding
    "

    GetxattrOut {
        size: 0x4030201,
        padding: 0x8070605,
    } = "
        01020304 | size
        05060708 | padding
    "

    InitIn {
        major: 0x4030201,
        minor: 0x8070605,
        max_readahead: 0xc0b0a09,
        flags: 0x100f0e0d,
        flags2: 0x14131211,
        unused: [0; 11],
    } = "
        01020304 | major
        05060708 | minor
        090a0b0c | max_readahead
        0d0e0f10 | flags
        11121314 | flags2
        00*44 | unused
    "

    InitOut {
        major: 0x4030201,
        minor: 0x8070605,
        max_readahead: 0xc0b0a09,
        flags: 0x100f0e0d,
        max_background: 0x1211,
        congestion_threshold: 0x1413,
        max_write: 0x18171615,
        time_gran: 0x1c1b1a19,
        max_pages: 0x1e1d,
        map_alignment: 0x201f,
        flags2: 0x24232221,
        max_stack_depth: 0x28272625,
        request_timeout: 0x2a29,
        unused: [0; 11],
    } = "
        01020304 | major
        05060708 | minor
        090a0b0c | max_readahead
        0d0e0f10 | flags
        1112 | max_background
        1314 | congestion_threshold
        15161718 | max_write
        191a1b1c | time_gran
        1d1e | max_pages
        1f20 | map_alignment
        21222324 | flags2
        25262728 | max_stack_depth
        292a | request_timeout
        00*22 | unused
    "

    InterruptIn {
        unique: 0x807060504030201,
    } = "
        0102030405060708 | unique
    "

    UringEntInOut {
        flags: 0x807060504030201,
        commit_id: 0x100f0e0d0c0b0a09,
        payload_sz: 0x14131211,
        padding: 0x18171615,
        reserved: 0x201f1e1d1c1b1a19,
    } = "
        0102030405060708 | flags
        090a0b0c0d0e0f10 | commit_id
        11121314 | payload_sz
        15161718 | padding
        191a1b1c1d1e1f20 | reserved
    "

    UringReqHeader {
        in_out: [0xaa; 128],
        op_in: [0xbb; 128],
        ring_ent_in_out: UringEntInOut {
            flags: 0x807060504030201,
            commit_id: 0x100f0e0d0c0b0a09,
            payload_sz: 0x14131211,
            padding: 0x18171615,
            reserved: 0x201f1e1d1c1b1a19,
        },
    } = "
        aa*128 | in_out
        bb*128 | op_in
        0102030405060708 | ring_ent_in_out.flags
        090a0b0c0d0e0f10 | ring_ent_in_out.commit_id
        11121314 | ring_ent_in_out.payload_sz
        15161718 | ring_ent_in_out.padding
        191a1b1c1d1e1f20 | ring_ent_in_out.reserved
    "

    UringCmdReq {
        flags: 0x807060504030201,
        commit_id: 0x100f0e0d0c0b0a09,
        qid: 0x1211,
        padding: [0; 6],
    } = "
        0102030405060708 | flags
        090a0b0c0d0e0f10 | commit_id
        1112 | qid
        00*6 | padding
    "
}
