//! Steps drawn at random, leaning towards what works: paths that exist, slots that are open.

use super::ops::{Flags, LockKind, MAPS, OPEN_FLAGS, Octal, Op, Owner, P, SLOTS, Step, Target, USERS, Whence};
use super::side::{FAR, MAP_LEN, Side};

/// SplitMix64: small, and the same everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// True in one case of `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

pub struct Generator {
    pub rng: Rng,
    /// Paths that exist, and what they are (DT_*).
    known: Vec<(P, u8)>,
    open: [bool; SLOTS],
    /// Preallocated blocks are data or a hole depending on what the page cache happens to hold, and a mapping that is
    /// read fills a tmpfs's holes: an episode has either these or SEEK_DATA and SEEK_HOLE.
    seek_holes: bool,
}

const NAMES: [&[u8]; 8] = [b"a", b"b", b"c", b"d", b"e", b"A", b"\xff\xfe", b"new\nline"];
const MODES: [u32; 14] =
    [0o644, 0o755, 0o777, 0o666, 0o700, 0o600, 0o4755, 0o2755, 0o6777, 0o2777, 0o1777, 0o2745, 0o000, 0o070];
const SIZES: [usize; 12] = [0, 1, 7, 100, 511, 512, 4095, 4096, 4097, 10000, 65536, 150000];
const OFFSETS: [i64; 12] = [0, 0, 0, 1, 100, 4095, 4096, 5000, 8192, 65536, 131072, 300000];
const XATTRS: [&str; 9] = [
    "user.a",
    "user.b",
    "user.a",
    "trusted.t",
    "security.ptfs",
    "security.capability",
    "system.posix_acl_access",
    "system.posix_acl_default",
    "system.posix_acl_default",
];

impl Generator {
    pub fn new(seed: u64) -> Generator {
        let mut rng = Rng(seed);
        let seek_holes = rng.one_in(2);
        Generator { rng, known: Vec::new(), open: [false; SLOTS], seek_holes }
    }

    /// Looks at the plain side, so that the next step can name what is there.
    pub fn look_at(&mut self, side: &Side) {
        (0..SLOTS).for_each(|slot| self.open[slot] = side.is_open(slot));
        // Most steps change little, and a walk costs more than a step.
        if self.known.is_empty() || self.rng.one_in(4) {
            self.known = side.paths();
        }
    }

    pub fn step(&mut self) -> Step {
        let who = self.rng.pick(&[0, 0, 0, 1, 1, 2]);
        let umask = self.rng.pick(&[0o022, 0o022, 0, 0o077, 0o002]);
        let look = self.rng.one_in(2);
        let mut op = self.op();
        if let Op::Chown { uid: uid @ -1, gid: -1, .. } = &mut op
            && who != 0
        {
            // To the daemon this is any write that takes SUID away, so that it cannot refuse strangers: README, Limits.
            *uid = 1000;
        }
        Step { who, umask, look, op }
    }

    fn op(&mut self) -> Op {
        match self.rng.below(122) {
            0..12 => self.open(),
            12..14 => self.tmpfile(),
            14..17 => Op::Close { slot: self.slot() },
            17 => Op::Dup { slot: self.rng.below(SLOTS), from: self.slot() },
            18..22 => Op::Read { slot: self.slot(), len: self.size(), vector: self.rng.one_in(3) },
            22..27 => Op::Write { slot: self.slot(), len: self.size(), fill: self.fill(), vector: self.rng.one_in(3) },
            27..31 => Op::Pread { slot: self.slot(), at: self.offset(), len: self.size() },
            31..36 => Op::Pwrite { slot: self.slot(), at: self.offset(), len: self.size(), fill: self.fill() },
            36..39 => Op::Seek { slot: self.slot(), at: self.offset(), whence: self.whence() },
            39..43 => Op::Truncate { on: self.file_target(), len: self.offset() },
            43..46 => self.fallocate(),
            46 => Op::Fsync { slot: self.slot(), data: self.rng.one_in(2) },
            47..49 => Op::Copy {
                from: self.slot(),
                from_at: self.offset(),
                to: self.slot(),
                to_at: self.offset(),
                len: self.size(),
            },
            49..52 if !self.seek_holes => Op::Map {
                map: self.rng.below(MAPS),
                slot: self.slot(),
                write: self.rng.below(3) > 0,
                private: self.rng.one_in(5),
            },
            52..54 if !self.seek_holes => {
                Op::MapRead { map: self.rng.below(MAPS), at: self.map_offset(), len: self.map_size() }
            }
            54..57 if !self.seek_holes => Op::MapWrite {
                map: self.rng.below(MAPS),
                at: self.map_offset(),
                len: self.map_size(),
                fill: self.fill(),
            },
            57 => Op::Unmap { map: self.rng.below(MAPS) },
            58..61 => Op::Mkdir { path: self.fresh(), mode: self.mode() },
            61..63 => Op::Rmdir { path: self.directory() },
            63..65 => Op::Unlink { path: self.path() },
            65..71 => Op::Rename {
                from: self.path(),
                to: if self.rng.one_in(2) { self.path() } else { self.fresh() },
                flags: self.rng.pick(&[0, 0, 0, 0, 1, 2, 2, 4, 5, 3, 8]),
            },
            71..74 => Op::Link { from: self.path(), to: self.fresh(), follow: self.rng.one_in(3) },
            74..76 => Op::LinkFd { slot: self.slot(), to: self.fresh(), by_proc: self.rng.one_in(2) },
            76..78 => Op::Symlink { target: self.link_target(), path: self.fresh() },
            78 => Op::Readlink { path: self.existing(|kind| kind == libc::DT_LNK) },
            79..81 => self.mknod(),
            81..85 => Op::Chmod { on: self.target(), mode: self.mode() },
            85..88 => Op::Chown { on: self.target(), uid: self.id(), gid: self.id() },
            88..90 => Op::Utimens { on: self.target(), atime: self.time(), mtime: self.time() },
            90..92 => Op::Access {
                path: self.path(),
                mode: self.rng.below(9) as i32,
                flags: self.rng.pick(&[0, 0, libc::AT_EACCESS, libc::AT_SYMLINK_NOFOLLOW]),
            },
            92..94 => Op::Stat { on: self.target() },
            94 => Op::Statx { on: self.target() },
            95..100 => self.setxattr(),
            100..102 => Op::Getxattr {
                on: self.target(),
                name: self.xattr_name(),
                size: self.rng.pick(&[0, 1, 10, 28, 65536, 65537]),
            },
            102 => Op::Listxattr { on: self.target(), size: self.rng.pick(&[0, 1, 10, 1000, 65536]) },
            103..105 => Op::Removexattr { on: self.target(), name: self.xattr_name() },
            105..107 => Op::Readdir { on: self.dir_target(), size: self.rng.pick(&[10, 24, 280, 400, 1000, 32768]) },
            107 => Op::Seekdir { on: self.dir_target(), skip: self.rng.below(20) },
            108 => Op::Statfs { on: self.target() },
            109..116 => {
                let (slot, owner, kind) = (self.slot(), self.owner(), self.lock_kind());
                Op::Lock { slot, owner, kind, at: self.rng.below(12) as i64, len: self.rng.below(8) as i64 }
            }
            116..118 => {
                let owner = self.rng.pick(&[Owner::Process, Owner::File]);
                let (slot, kind) = (self.slot(), self.lock_kind());
                Op::Getlock { slot, owner, kind, at: self.rng.below(12) as i64, len: self.rng.below(8) as i64 }
            }
            118 => Op::Flags { slot: self.slot() },
            119 => Op::Setflags { slot: self.slot(), noatime: self.rng.one_in(2) },
            120 => Op::Poll { slot: self.slot(), events: self.rng.pick(&[0, 1, 4, 5, 0x47]) },
            _ => Op::Utimens { on: self.target(), atime: (0, libc::UTIME_OMIT), mtime: (0, libc::UTIME_NOW) },
        }
    }

    fn owner(&mut self) -> Owner {
        self.rng.pick(&[Owner::Process, Owner::File, Owner::Flock])
    }
    fn lock_kind(&mut self) -> LockKind {
        self.rng.pick(&[LockKind::Read, LockKind::Write, LockKind::Write, LockKind::None])
    }

    /// A path that mostly exists.
    fn path(&mut self) -> P {
        match self.rng.below(4) {
            0 => self.any_path(),
            _ => self.existing(|_| true),
        }
    }
    fn file(&mut self) -> P {
        if self.rng.one_in(5) { self.path() } else { self.existing(|kind| kind == libc::DT_REG) }
    }
    fn directory(&mut self) -> P {
        if self.rng.one_in(4) { self.path() } else { self.existing(|kind| kind == libc::DT_DIR) }
    }
    fn existing(&mut self, which: impl Fn(u8) -> bool) -> P {
        let known: Vec<&P> = self.known.iter().filter(|known| which(known.1)).map(|known| &known.0).collect();
        if known.is_empty() { self.any_path() } else { self.rng.pick(&known).clone() }
    }
    /// A path that mostly does not exist, in a directory that does.
    fn fresh(&mut self) -> P {
        if self.rng.one_in(3) {
            return self.any_path();
        }
        let mut name = self.name();
        if self.rng.one_in(2) {
            let dir = self.existing(|kind| kind == libc::DT_DIR);
            // "./" leads: an empty directory name must not make the path absolute.
            name = [b"./", &dir.0[..], b"/", &name].concat();
        }
        P(name)
    }
    /// Never more than one "..", and never in a symlink: nothing leads out of the side's own directory.
    fn any_path(&mut self) -> P {
        let mut path = self.name();
        match self.rng.below(20) {
            0..9 => {}
            9..14 => path = self.join(&path),
            14..16 => {
                path = self.join(&path);
                path = self.join(&path);
            }
            16 => path.extend(self.rng.pick(&[&b"/"[..], b"/.", b"//c", b"/./d"])),
            17 => path = [b"../", &path[..]].concat(),
            18 => path = self.rng.pick(&[&b"."[..], b"..", b"a/..", b"", b"./", b"a/../b"]).to_vec(),
            _ => path = self.odd_path(),
        }
        P(path)
    }
    fn join(&mut self, path: &[u8]) -> Vec<u8> {
        [path, b"/", &self.name()].concat()
    }
    fn name(&mut self) -> Vec<u8> {
        match self.rng.below(40) {
            0 => vec![b'n'; 255],
            1 => vec![b'n'; 256],
            _ => self.rng.pick(&NAMES).to_vec(),
        }
    }
    fn odd_path(&mut self) -> Vec<u8> {
        match self.rng.below(5) {
            0 => b"./".repeat(2047),
            1 => b"./".repeat(2048),
            2 => [&b"a/"[..], &vec![b'x'; 254]].concat(),
            3 => [vec![b'l'; 255], vec![b'l'; 255]].join(&b'/'),
            _ => [b"./".repeat(2046), b"abc".to_vec()].concat(),
        }
    }
    fn link_target(&mut self) -> P {
        match self.rng.below(12) {
            0 => P(b"x".repeat(4095)),
            1 => P(b"./".repeat(2047)),
            2 => "/nonexistent/file".into(),
            3 => "".into(),
            4 => "loop".into(),
            _ => {
                let path = self.path();
                // No way up through a symlink: chains of them would leave the tree.
                if path.0.windows(2).any(|two| two == b"..") { "a".into() } else { path }
            }
        }
    }

    fn slot(&mut self) -> usize {
        let open: Vec<usize> = (0..SLOTS).filter(|slot| self.open[*slot]).collect();
        if open.is_empty() || self.rng.one_in(15) { self.rng.below(SLOTS) } else { self.rng.pick(&open) }
    }
    fn target(&mut self) -> Target {
        match self.rng.below(10) {
            0..5 => Target::Path(self.path()),
            5 | 6 => Target::Link(self.path()),
            7 | 8 => Target::Fd(self.slot()),
            _ => Target::Empty(self.slot()),
        }
    }

    fn file_target(&mut self) -> Target {
        if self.rng.one_in(2) { Target::Path(self.file()) } else { Target::Fd(self.slot()) }
    }
    fn dir_target(&mut self) -> Target {
        if self.rng.one_in(4) { Target::Fd(self.slot()) } else { Target::Path(self.directory()) }
    }

    fn open(&mut self) -> Op {
        let mut flags = self.open_flags();
        let path = match self.rng.below(10) {
            0..4 => self.fresh(),
            4..8 => self.file(),
            8 => {
                flags.0 &= !(libc::O_ACCMODE | libc::O_CREAT);
                self.directory()
            }
            _ => self.path(),
        };
        Op::Open { slot: self.rng.below(SLOTS), path, flags, mode: self.mode() }
    }
    /// Always O_NONBLOCK: a FIFO must not stop the test.
    fn open_flags(&mut self) -> Flags {
        let mut flags = self.rng.pick(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR]);
        flags |= if self.rng.below(3) > 0 { libc::O_CREAT } else { 0 };
        for (name, bits) in OPEN_FLAGS {
            let odds = match name {
                "O_TMPFILE" => continue,
                "O_TRUNC" | "O_APPEND" | "O_PATH" => 7,
                "O_CREAT" => continue,
                "O_EXCL" | "O_DIRECTORY" | "O_NOFOLLOW" => 10,
                _ => 25,
            };
            flags |= if self.rng.one_in(odds) { bits } else { 0 };
        }
        if flags & libc::O_APPEND != 0 {
            // Together they write at an unaligned end of file.
            flags &= !libc::O_DIRECT;
        }
        Flags(flags | libc::O_NONBLOCK)
    }
    fn tmpfile(&mut self) -> Op {
        let access = self.rng.pick(&[libc::O_RDWR, libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY]);
        let excl = if self.rng.one_in(6) { libc::O_EXCL } else { 0 };
        let path = self.directory();
        let flags = Flags(libc::O_TMPFILE | access | excl);
        Op::Open { slot: self.rng.below(SLOTS), path, flags, mode: self.mode() }
    }
    fn mode(&mut self) -> Octal {
        let wild = self.rng.below(0o10000) as u32;
        Octal(if self.rng.one_in(8) { wild } else { self.rng.pick(&MODES) })
    }
    fn mknod(&mut self) -> Op {
        let (kind, dev) = self.rng.pick(&[
            (libc::S_IFIFO, 0),
            (libc::S_IFSOCK, 0),
            (libc::S_IFCHR, libc::makedev(1, 3)),
            (libc::S_IFBLK, libc::makedev(7, 70000)),
            (libc::S_IFCHR, 0),
            (libc::S_IFREG, 0),
            (libc::S_IFDIR, 0),
        ]);
        Op::Mknod { path: self.fresh(), mode: Octal(kind | self.mode().0), dev }
    }

    fn size(&mut self) -> usize {
        self.rng.pick(&SIZES)
    }
    fn fill(&mut self) -> u8 {
        self.rng.below(255) as u8
    }
    fn offset(&mut self) -> i64 {
        match self.rng.below(30) {
            0 => FAR,
            1 => -1,
            2 => self.rng.below(200_000) as i64,
            _ => self.rng.pick(&OFFSETS),
        }
    }
    fn map_offset(&mut self) -> usize {
        self.rng.pick(&[0, 1, 100, 4095, 4096, 9000, 65536])
    }
    fn map_size(&mut self) -> usize {
        self.rng.pick(&[1, 7, 100, 4096, 5000, MAP_LEN / 2])
    }
    fn whence(&mut self) -> Whence {
        let n = if self.seek_holes { 5 } else { 3 };
        let all = [Whence::Set, Whence::Cur, Whence::End, Whence::Data, Whence::Hole];
        self.rng.pick(&all[..n])
    }
    fn fallocate(&mut self) -> Op {
        // KEEP_SIZE 1, PUNCH_HOLE 2, ZERO_RANGE 16; 256 is none.
        let mode = self.rng.pick(if self.seek_holes { &[3, 3, 3, 2, 256] } else { &[3, 0, 1, 16, 17, 2, 256] });
        let (at, len) = (self.rng.pick(&OFFSETS), self.size() as i64);
        Op::Fallocate { slot: self.slot(), mode, at, len }
    }

    fn id(&mut self) -> i32 {
        self.rng.pick(&[-1, -1, 0, 1000, 1001, 2000, 3000])
    }
    fn time(&mut self) -> (i64, i64) {
        self.rng.pick(&[
            (0, libc::UTIME_NOW),
            (0, libc::UTIME_OMIT),
            (0, 0),
            (-5, 500_000_000),
            (1_000_000_000, 123_456_789),
            (1 << 33, 1),
            (-(1 << 40), 7),
            (1 << 40, 7),
            (1, 1_000_000_000),
        ])
    }

    fn xattr_name(&mut self) -> P {
        match self.rng.below(40) {
            0 => "user.".into(),
            1 => "bogus.x".into(),
            2 => P([&b"user."[..], &[b'x'; 250]].concat()),
            3 => P([&b"user."[..], &[b'x'; 251]].concat()),
            4 => "".into(),
            5..22 => "user.a".into(),
            _ => self.rng.pick(&XATTRS).into(),
        }
    }
    fn setxattr(&mut self) -> Op {
        let name = self.xattr_name();
        let flags = self.rng.pick(&[0, 0, 0, 0, 0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE, 3]);
        let value = match name.0.starts_with(b"system.") {
            true => P(self.acl()),
            false if name == "security.capability".into() => {
                P([&0x0200_0001u32.to_le_bytes()[..], &[1, 0, 0, 0].repeat(4)].concat())
            }
            false => {
                let len = self.rng.pick(&[0, 1, 10, 10, 28, 100, 100, 100, 1000, 3000, 5000, 65536, 65537]);
                P(vec![self.fill(); len])
            }
        };
        Op::Setxattr { on: self.target(), name, value, flags }
    }
    /// A POSIX ACL as the kernel takes it; sometimes one that it must refuse.
    fn acl(&mut self) -> Vec<u8> {
        const NOBODY: u32 = u32::MAX;
        let mut entries: Vec<(u16, u32)> = vec![(1, NOBODY), (4, NOBODY), (0x20, NOBODY)];
        if self.rng.below(3) > 0 {
            let user = USERS[1 + self.rng.below(2)].uid;
            let more = [(2, user), (8, self.rng.pick(&[2000, 1001])), (0x10, NOBODY)];
            entries.extend(more.into_iter().filter(|entry| entry.0 == 0x10 || self.rng.one_in(2)));
        }
        entries.sort();
        if self.rng.one_in(12) {
            entries.swap_remove(0);
        }
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, id) in entries {
            let perm = self.rng.below(8) as u16;
            acl.extend([tag.to_le_bytes(), perm.to_le_bytes()].concat());
            acl.extend(id.to_le_bytes());
        }
        if self.rng.one_in(20) {
            acl.pop();
        }
        acl
    }
}
