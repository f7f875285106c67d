//! INIT: what kernel and daemon agree on, as a pure function of what either offers.

use super::abi::init_flags::*;
use super::abi::{
    FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, FUSE_MIN_READ_BUFFER, InHeader, InitIn, InitOut, WriteIn,
};

/// The oldest minor version of major version 7 spoken here: it brought [`SETXATTR_EXT`] (Linux 5.13).
pub const MIN_MINOR: u32 = 33;

/// What is taken whenever it is offered ([`Wants`] says what else). Left out on purpose:
/// - `ATOMIC_O_TRUNC`: the file would be cut before the kernel finds that it may not be (ETXTBSY of a running program);
/// - `EXPORT_SUPPORT`: lookups of `.` and `..` are refused by the decoder;
/// - `SPLICE_*`: no engine splices.
const WANTED: u64 = ASYNC_READ
    | BIG_WRITES
    | DONT_MASK
    | DO_READDIRPLUS
    | READDIRPLUS_AUTO
    | ASYNC_DIO
    | PARALLEL_DIROPS
    | MAX_PAGES
    | CACHE_SYMLINKS
    | SETXATTR_EXT
    | INIT_EXT
    | CREATE_SUPP_GROUP
    | DIRECT_IO_ALLOW_MMAP
    | NO_EXPORT_SUPPORT;

/// Pages of a request where `MAX_PAGES` is not agreed on (`FUSE_DEFAULT_MAX_PAGES_PER_REQ` of the kernel).
const DEFAULT_MAX_PAGES: u16 = 32;

/// Bytes of the smallest page of any host, and the least `max_write` that the kernel takes.
const MIN_PAGE: u32 = 4096;

/// What the daemon would like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wants {
    /// Largest WRITE (and, by `max_pages`, READ) in bytes; rounded down to whole pages, at least one.
    pub max_write: u32,
    /// Bytes in a page of the host, in which `max_pages` is counted.
    pub page_size: u32,
    /// Background requests in flight before the kernel queues them; 0 leaves it to the kernel.
    pub max_background: u16,
    /// Background requests in flight before the kernel calls the mount congested; 0 leaves it to the kernel.
    pub congestion_threshold: u16,
    /// Largest readahead in bytes.
    pub max_readahead: u32,
    /// Take FUSE-over-io_uring if it is offered.
    pub fuse_uring: bool,
    /// Be asked for locks of fcntl(2); else the kernel keeps them itself.
    pub posix_lock: bool,
    /// The same for flock(2).
    pub flock: bool,
    /// Be told the security contexts of what is made.
    pub security_label: bool,
    /// Let the kernel check access by POSIX ACLs, and so by mode bits too: one goes not without the other.
    pub posix_acl: bool,
    /// Leave SUID and SGID bits and capabilities of what is written to the daemon.
    pub killpriv_v2: bool,
    /// Let the kernel collect writes.
    pub writeback: bool,
    /// Have the kernel drop a file's pages whenever it sees a new mtime. The mount's own writes change it too, and a page
    /// whose WRITE is under way is read again before that arrives: only for mounts that must show the host's changes.
    pub inval_by_times: bool,
}

impl Wants {
    fn flags(&self) -> u64 {
        [
            (self.fuse_uring, OVER_IO_URING),
            (self.posix_acl, POSIX_ACL),
            (self.killpriv_v2, HANDLE_KILLPRIV_V2),
            (self.writeback, WRITEBACK_CACHE),
            (self.inval_by_times, AUTO_INVAL_DATA),
            (self.posix_lock, POSIX_LOCKS),
            (self.flock, FLOCK_LOCKS),
            (self.security_label, SECURITY_CTX),
        ]
        .iter()
        .filter(|(wanted, _)| *wanted)
        .fold(WANTED, |flags, (_, flag)| flags | flag)
    }
}

impl Default for Wants {
    /// Requests of 1 MiB in pages of 4 KiB, ACLs and privileges as on the host, and the kernel's own choice of the rest.
    fn default() -> Wants {
        Wants {
            max_write: 1 << 20,
            page_size: 4096,
            max_background: 0,
            congestion_threshold: 0,
            max_readahead: u32::MAX,
            fuse_uring: false,
            posix_lock: false,
            flock: false,
            security_label: false,
            posix_acl: true,
            killpriv_v2: true,
            writeback: false,
            inval_by_times: false,
        }
    }
}

/// What was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// The minor version spoken: the smaller of both.
    pub minor: u32,
    /// The flags in force ([`super::abi::init_flags`]).
    pub flags: u64,
    /// Largest WRITE in bytes.
    pub max_write: u32,
    /// Most pages of one request.
    pub max_pages: u16,
    /// Largest readahead in bytes.
    pub max_readahead: u32,
    /// Requests come by FUSE-over-io_uring once every queue is registered.
    pub fuse_uring: bool,
}

impl Session {
    /// Bytes that a payload buffer needs, for requests and replies alike.
    pub fn payload_size(&self) -> usize {
        FUSE_MIN_READ_BUFFER.max(self.max_write as usize)
    }

    /// Bytes that a buffer needs to read requests from /dev/fuse into: the kernel answers EINVAL to less.
    pub fn request_size(&self) -> usize {
        size_of::<InHeader>() + size_of::<WriteIn>() + self.payload_size()
    }
}

/// What to say to the kernel's INIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Agreed: send this and serve.
    Go(InitOut, Session),
    /// The kernel's major version is newer: send ours and wait for another INIT.
    Again(InitOut),
}

/// Why no session is possible. The INIT is to be answered with EPROTO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitError {
    /// The kernel speaks an older protocol than is understood here.
    TooOld {
        /// The kernel's major version.
        major: u32,
        /// The kernel's minor version.
        minor: u32,
    },
    /// The kernel does not offer `FUSE_SETXATTR_EXT`, so its SETXATTR would be misread.
    NoSetxattrExt,
}

impl std::fmt::Display for InitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InitError::TooOld { major, minor } => write!(
                f,
                "the kernel speaks FUSE {major}.{minor}; {FUSE_KERNEL_VERSION}.{MIN_MINOR} or newer is needed \
                 (Linux 5.13)"
            ),
            InitError::NoSetxattrExt => {
                f.write_str("the kernel does not offer FUSE_SETXATTR_EXT, which is needed (Linux 5.13)")
            }
        }
    }
}

impl std::error::Error for InitError {}

/// Answers the kernel's INIT.
///
/// `SETXATTR_EXT` is required, so that a request's layout depends on its opcode alone and the decoder has no state.
pub fn negotiate(kernel: &InitIn, wants: &Wants) -> Result<Answer, InitError> {
    let InitIn { major, minor, .. } = *kernel;
    let ours = InitOut { major: FUSE_KERNEL_VERSION, minor: FUSE_KERNEL_MINOR_VERSION, ..InitOut::default() };
    if major > FUSE_KERNEL_VERSION {
        return Ok(Answer::Again(ours));
    }
    if (major, minor) < (FUSE_KERNEL_VERSION, MIN_MINOR) {
        return Err(InitError::TooOld { major, minor });
    }

    let flags = offered(kernel) & wants.flags();
    if flags & SETXATTR_EXT == 0 {
        return Err(InitError::NoSetxattrExt);
    }

    let most_pages = if flags & MAX_PAGES != 0 { u16::MAX } else { DEFAULT_MAX_PAGES };
    let page_size = wants.page_size.max(MIN_PAGE);
    let pages = (wants.max_write / page_size).clamp(1, most_pages.into());
    let session = Session {
        minor: minor.min(FUSE_KERNEL_MINOR_VERSION),
        flags,
        max_write: pages.saturating_mul(page_size),
        max_pages: pages as u16, // at most `most_pages`
        max_readahead: wants.max_readahead.min(kernel.max_readahead),
        fuse_uring: flags & OVER_IO_URING != 0,
    };
    let out = InitOut {
        max_readahead: session.max_readahead,
        flags: flags as u32,
        flags2: (flags >> 32) as u32,
        max_background: wants.max_background,
        congestion_threshold: wants.congestion_threshold,
        max_write: session.max_write,
        max_pages: session.max_pages,
        time_gran: 1,
        ..ours
    };
    Ok(Answer::Go(out, session))
}

/// All flags of the kernel. Without `INIT_EXT`, `flags2` means nothing.
fn offered(kernel: &InitIn) -> u64 {
    let high = if u64::from(kernel.flags) & INIT_EXT != 0 { kernel.flags2 } else { 0 };
    u64::from(high) << 32 | u64::from(kernel.flags)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// What Linux 6.18 sends.
    const LINUX_6_18: InitIn =
        InitIn { major: 7, minor: 45, max_readahead: 128 << 10, flags: 0x73ff_fffb, flags2: 0x7fd, unused: [0; 11] };

    /// Every flag that there is.
    const ALL: InitIn = InitIn { flags: u32::MAX, flags2: u32::MAX, ..LINUX_6_18 };

    fn go(kernel: InitIn, wants: Wants) -> (InitOut, Session) {
        match negotiate(&kernel, &wants).unwrap() {
            Answer::Go(out, session) => (out, session),
            Answer::Again(out) => panic!("{out:?}"),
        }
    }

    #[test]
    fn a_session_with_this_kernel() {
        let wants = Wants { max_background: 64, congestion_threshold: 48, ..Wants::default() };
        let (out, session) = go(LINUX_6_18, wants);
        let expected = InitOut {
            major: 7,
            minor: 45,
            max_readahead: 128 << 10,
            // 0, 5, 6; 13 to 15; 18, 20, 22, 23; 28 to 30.
            flags: 0x70d4_e061,
            // 34, 36, 38.
            flags2: 0x54,
            max_background: 64,
            congestion_threshold: 48,
            max_write: 1 << 20,
            time_gran: 1,
            max_pages: 256,
            ..InitOut::default()
        };
        assert_eq!(out, expected);
        let flags = 0x54_70d4_e061;
        let (max_write, max_readahead) = (1 << 20, 128 << 10);
        assert_eq!(session, Session { minor: 45, flags, max_write, max_pages: 256, max_readahead, fuse_uring: false });
        assert_eq!((session.payload_size(), session.request_size()), (1 << 20, (1 << 20) + 80));
    }

    #[test]
    fn nothing_is_taken_that_was_not_offered_or_is_not_wanted() {
        const NEVER: u64 = EXPORT_SUPPORT | SPLICE_READ | SPLICE_WRITE | SPLICE_MOVE | PASSTHROUGH;
        const EVERYTHING: Wants = Wants {
            max_write: 1 << 20,
            page_size: 4096,
            max_background: 0,
            congestion_threshold: 0,
            max_readahead: u32::MAX,
            fuse_uring: true,
            posix_acl: true,
            killpriv_v2: true,
            writeback: true,
            posix_lock: true,
            flock: true,
            security_label: true,
            inval_by_times: true,
        };
        assert_eq!(go(ALL, EVERYTHING).1.flags & NEVER, 0);
        for bit in (0..64).filter(|&bit| 1 << bit != SETXATTR_EXT && 1 << bit != INIT_EXT) {
            let without = InitIn {
                flags: ALL.flags & !((1u64 << bit) as u32),
                flags2: ALL.flags2 & !((1u64 << bit >> 32) as u32),
                ..ALL
            };
            let (out, session) = go(without, EVERYTHING);
            assert_eq!(session.flags, EVERYTHING.flags() & !(1 << bit));
            assert_eq!((u64::from(out.flags2) << 32) | u64::from(out.flags), session.flags);
        }
    }

    #[test]
    fn choices_are_taken_if_they_are_wanted_and_offered() {
        type Choice = fn(bool) -> Wants;
        let choices: [(u64, Choice); 4] = [
            (POSIX_ACL, |posix_acl| Wants { posix_acl, ..Wants::default() }),
            (HANDLE_KILLPRIV_V2, |killpriv_v2| Wants { killpriv_v2, ..Wants::default() }),
            (WRITEBACK_CACHE, |writeback| Wants { writeback, ..Wants::default() }),
            (AUTO_INVAL_DATA, |inval_by_times| Wants { inval_by_times, ..Wants::default() }),
        ];
        for (flag, wants) in choices {
            for (offer, want) in [(false, false), (false, true), (true, false), (true, true)] {
                let flags = if offer { ALL.flags } else { ALL.flags & !(flag as u32) };
                let (_, session) = go(InitIn { flags, ..ALL }, wants(want));
                assert_eq!(session.flags & flag != 0, offer && want);
            }
        }
    }

    #[test]
    fn fuse_over_io_uring_needs_both_sides() {
        for (offer, fuse_uring) in [(false, false), (false, true), (true, false), (true, true)] {
            let flags2 = if offer { LINUX_6_18.flags2 | 1 << 9 } else { LINUX_6_18.flags2 & !(1 << 9) };
            let (out, session) = go(InitIn { flags2, ..LINUX_6_18 }, Wants { fuse_uring, ..Wants::default() });
            assert_eq!(session.fuse_uring, offer && fuse_uring);
            assert_eq!(out.flags2 & 1 << 9 != 0, session.fuse_uring);
        }
    }

    #[test]
    fn the_kernel_knows_of_no_acls_if_that_is_not_wanted() {
        let session = |posix_acl| go(ALL, Wants { posix_acl, ..Wants::default() }).1;
        assert_eq!(session(true).flags & !session(false).flags, POSIX_ACL);
    }

    #[test]
    fn without_init_ext_the_high_flags_are_noise() {
        let kernel = InitIn { flags: ALL.flags & !(INIT_EXT as u32), ..ALL };
        let (out, session) = go(kernel, Wants { fuse_uring: true, ..Wants::default() });
        assert_eq!((out.flags2, session.flags >> 32, session.fuse_uring), (0, 0, false));
    }

    #[test]
    fn versions() {
        let ask = |major, minor| negotiate(&InitIn { major, minor, ..LINUX_6_18 }, &Wants::default());
        for (major, minor) in [(0, 0), (6, 99), (7, 0), (7, 19), (7, 31), (7, 32)] {
            let error = ask(major, minor).unwrap_err();
            assert_eq!(error, InitError::TooOld { major, minor });
            assert!(error.to_string().contains("7.33 or newer"), "{error}");
        }
        for (minor, spoken) in [(33, 33), (44, 44), (45, 45), (46, 45), (u32::MAX, 45)] {
            let (out, session) = go(InitIn { minor, ..LINUX_6_18 }, Wants::default());
            assert_eq!((out.major, out.minor, session.minor), (7, 45, spoken));
        }
        for major in [8, u32::MAX] {
            let again = InitOut { major: 7, minor: 45, ..InitOut::default() };
            assert_eq!(ask(major, 0), Ok(Answer::Again(again)));
        }
        let odd = InitIn { flags: ALL.flags & !(SETXATTR_EXT as u32), ..ALL };
        assert_eq!(negotiate(&odd, &Wants::default()), Err(InitError::NoSetxattrExt));
    }

    #[test]
    fn sizes() {
        // (max_write wanted, page size, MAX_PAGES offered) -> (max_write, max_pages)
        let table = [
            ((1 << 20, 4096, true), (1 << 20, 256)),
            ((100_000, 4096, true), (98_304, 24)),
            ((0, 4096, true), (4096, 1)),
            ((1 << 20, 65_536, true), (1 << 20, 16)),
            ((u32::MAX, 4096, true), (65_535 * 4096, 65_535)),
            ((u32::MAX, 65_536, true), (65_535 * 65_536, 65_535)),
            ((1 << 20, 4096, false), (128 << 10, 32)),
            ((64 << 10, 4096, false), (64 << 10, 16)),
            ((4096, 0, true), (4096, 1)),
        ];
        for ((max_write, page_size, offered), expected) in table {
            let flags = if offered { ALL.flags } else { ALL.flags & !(MAX_PAGES as u32) };
            let (out, session) = go(InitIn { flags, ..ALL }, Wants { max_write, page_size, ..Wants::default() });
            assert_eq!((out.max_write, out.max_pages), expected);
            assert_eq!((session.max_write, session.max_pages), expected);
            assert!(session.payload_size() >= 8192 && session.payload_size() >= session.max_write as usize);
        }
        for (kernel, wanted, agreed) in [(1, 2, 1), (2, 1, 1), (3, u32::MAX, 3)] {
            let wants = Wants { max_readahead: wanted, ..Wants::default() };
            assert_eq!(go(InitIn { max_readahead: kernel, ..ALL }, wants).0.max_readahead, agreed);
        }
    }
}
