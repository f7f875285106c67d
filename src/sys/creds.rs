//! Acting for a caller, on one thread: libc's setresuid and its kin change all threads, so these are the raw calls.
//!
//! With `default_permissions` the kernel has checked the caller's rights already, with all of its groups, so the thread
//! keeps CAP_DAC_OVERRIDE; it gives up the rest of a root's filesystem capabilities together with fsuid 0.

use std::cell::Cell;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::core::host::{Making, Suid};
use crate::core::ids::{HostGid, HostUid};

const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_FSETID: u32 = 4;
/// Those that come and go with fsuid 0 (capabilities(7)), as far as they decide over files: CAP_CHOWN,
/// CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_MKNOD.
const CAPS_OF_ROOT: u32 = 0b1_1111 | 1 << 27;
const CAP_SYS_ADMIN: u32 = 21;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

thread_local! {
    /// How this thread treats SUID and SGID bits; `None` until it was set.
    static SUID: Cell<Option<Suid>> = const { Cell::new(None) };
}

fn change_caps(change: impl FnOnce(&mut [CapData; 2])) {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 takes two data structs; pid 0 is this thread.
    unsafe {
        if libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) == 0 {
            change(&mut data);
            libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr());
        }
    }
}

/// Puts these of [`CAPS_OF_ROOT`] in effect and no others of them.
fn set_caps(caps: u32) {
    change_caps(|data| data[0].effective = data[0].effective & !CAPS_OF_ROOT | caps & data[0].permitted);
}

/// True if this process may act for others (it has root's capabilities).
pub fn privileged() -> bool {
    static ROOT: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: no memory is passed.
        unsafe { libc::geteuid() == 0 }
    });
    *ROOT && !SQUASHED.load(Ordering::Relaxed)
}

/// Set while a [`Squashed`] lives: whoever serves is one user and stays it.
static SQUASHED: AtomicBool = AtomicBool::new(false);

/// Gives the thread its own rights back when dropped.
pub struct Squashed {
    caps: [CapData; 2],
}

/// Makes this thread, and those that it will start, `uid` and `gid` to filesystems, without any capability. A process
/// that is not root has no other choice than to be who it is.
pub fn squash(uid: HostUid, gid: HostGid) -> io::Result<Squashed> {
    let mut squashed = Squashed { caps: [CapData::default(); 2] };
    if !privileged() {
        return Ok(squashed);
    }
    change_caps(|data| squashed.caps = *data);
    // SAFETY: these change the calling thread alone. They answer with the id so far: nobody becomes (uid_t)-1.
    let is = unsafe {
        libc::setfsgid(gid.0);
        libc::setfsuid(uid.0);
        (libc::setfsuid(u32::MAX) as u32, libc::setfsgid(u32::MAX) as u32)
    };
    change_caps(|data| data.iter_mut().for_each(|half| half.effective = 0));
    SQUASHED.store(true, Ordering::Relaxed);
    if is == (uid.0, gid.0) { Ok(squashed) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

impl Drop for Squashed {
    fn drop(&mut self) {
        if SQUASHED.swap(false, Ordering::Relaxed) {
            // SAFETY: these change the calling thread alone.
            unsafe {
                libc::setfsuid(0);
                libc::setfsgid(0);
            }
            change_caps(|data| *data = self.caps);
        }
    }
}

/// Runs `f`, which is the daemon's own business, with whatever capabilities a [`Squashed`] has put aside.
pub fn for_itself<R>(f: impl FnOnce() -> R) -> R {
    let squashed = SQUASHED.load(Ordering::Relaxed);
    if squashed {
        change_caps(|data| data.iter_mut().for_each(|half| half.effective = half.permitted));
    }
    let answer = f();
    if squashed {
        change_caps(|data| data.iter_mut().for_each(|half| half.effective = 0));
    }
    answer
}

/// Puts CAP_FSETID in effect for this thread, or not. Without it writes clear SUID and SGID bits, as the host's own
/// unprivileged writers do, but for SGID in the writer's own group. Free when nothing changes.
pub fn set_suid(suid: Suid) {
    if SUID.get() == Some(suid) || !privileged() {
        return;
    }
    let (on, gid) = match suid {
        Suid::Keep => (true, 0),
        Suid::Clear { gid: HostGid(gid) } => (false, gid),
    };
    // SAFETY: changes the calling thread alone.
    unsafe { libc::setfsgid(gid) };
    change_caps(|data| {
        let bit = 1 << CAP_FSETID;
        data[0].effective = if on { data[0].effective | (bit & data[0].permitted) } else { data[0].effective & !bit };
    });
    SUID.set(Some(suid));
}

/// Runs `f` without CAP_SYS_ADMIN, as far as this thread has it.
pub fn without_admin<R>(f: impl FnOnce() -> R) -> R {
    let mut before = None;
    change_caps(|data| {
        before = Some(data[0].effective);
        data[0].effective &= !(1 << CAP_SYS_ADMIN);
    });
    let answer = f();
    if let Some(before) = before {
        change_caps(|data| data[0].effective = before);
    }
    answer
}

/// Gives this thread a umask of its own (it shares the process's until then).
pub fn own_umask() -> io::Result<()> {
    // SAFETY: no memory is passed.
    match unsafe { libc::unshare(libc::CLONE_FS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Drops the daemon's own supplementary groups, which must not decide over SGID bits of what it makes for others
/// (CVE-2022-0358). All threads; call it before there are any.
pub fn drop_groups() {
    if privileged() {
        // SAFETY: a length of 0 reads no memory.
        unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) };
    }
}

/// Runs `f` with the caller's fsuid, fsgid, group and umask. The thread must have [`own_umask`]. A mapping of ids may
/// have it that a root has another uid here, or that uid 0 is not root's.
pub fn as_maker<R>(making: &Making, f: impl FnOnce() -> R) -> R {
    let &Making { uid: HostUid(uid), gid: HostGid(gid), supp_gid, root, .. } = making;
    let switch = privileged() && (uid, gid, root) != (0, 0, true);
    set_suid(Suid::Keep);
    // SAFETY: these change the calling thread alone; the group list outlives its call.
    unsafe {
        libc::umask(making.umask);
        if switch {
            if let Some(HostGid(gid)) = supp_gid {
                libc::syscall(libc::SYS_setgroups, 1, &raw const gid);
            }
            libc::setfsgid(gid);
            libc::setfsuid(uid);
            if (uid, root) != (0, true) {
                set_caps(if root { CAPS_OF_ROOT } else { 1 << CAP_DAC_OVERRIDE });
            }
        }
    }
    let answer = f();
    if switch {
        // SAFETY: as above; CAP_FSETID comes back with the other capabilities.
        unsafe {
            libc::setfsuid(0);
            libc::setfsgid(0);
            if supp_gid.is_some() {
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            }
            // Gaining fsuid 0 does it otherwise.
            if (uid, root) == (0, false) {
                set_caps(CAPS_OF_ROOT);
            }
        }
    }
    answer
}
