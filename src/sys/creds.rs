//! Acting for a caller, on one thread: libc's setresuid and its kin change all threads, so these are the raw calls.
//!
//! With `default_permissions` the kernel has checked the caller's rights already, with all of its groups, so the thread
//! keeps CAP_DAC_OVERRIDE; it gives up the rest of a root's filesystem capabilities together with fsuid 0.

use std::cell::Cell;
use std::sync::LazyLock;

use crate::core::host::{Making, Suid};
use crate::protocol::Caller;

const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_FSETID: u32 = 4;
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

/// True if this process may act for others (it has root's capabilities).
pub fn privileged() -> bool {
    static ROOT: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: no memory is passed.
        unsafe { libc::geteuid() == 0 }
    });
    *ROOT
}

/// Puts CAP_FSETID in effect for this thread, or not. Without it writes clear SUID and SGID bits, as the host's own
/// unprivileged writers do, but for SGID in the writer's own group. Free when nothing changes.
pub fn set_suid(suid: Suid) {
    if SUID.get() == Some(suid) || !privileged() {
        return;
    }
    let (on, gid) = match suid {
        Suid::Keep => (true, 0),
        Suid::Clear { gid } => (false, gid),
    };
    // SAFETY: changes the calling thread alone.
    unsafe { libc::setfsgid(gid) };
    change_caps(|data| {
        let bit = 1 << CAP_FSETID;
        data[0].effective = if on { data[0].effective | (bit & data[0].permitted) } else { data[0].effective & !bit };
    });
    SUID.set(Some(suid));
}

/// Gives this thread a umask of its own (it shares the process's until then).
pub fn own_umask() -> std::io::Result<()> {
    // SAFETY: no memory is passed.
    match unsafe { libc::unshare(libc::CLONE_FS) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
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

/// Runs `f` with the caller's fsuid, fsgid, group and umask. The thread must have [`own_umask`].
pub fn as_maker<R>(making: &Making, f: impl FnOnce() -> R) -> R {
    let caller = making.caller;
    let switch = privileged() && (caller.uid, caller.gid) != (0, 0);
    set_suid(Suid::Keep);
    // SAFETY: these change the calling thread alone; the group list outlives its call.
    unsafe {
        libc::umask(making.umask);
        if switch {
            if let Some(gid) = caller.supp_gid {
                libc::syscall(libc::SYS_setgroups, 1, &raw const gid);
            }
            libc::setfsgid(caller.gid);
            libc::setfsuid(caller.uid);
            if caller.uid != 0 {
                change_caps(|data| data[0].effective |= 1 << CAP_DAC_OVERRIDE & data[0].permitted);
            }
        }
    }
    let answer = f();
    if switch {
        // SAFETY: as above; fsuid 0 brings the filesystem capabilities back, CAP_FSETID too.
        unsafe {
            libc::setfsuid(0);
            libc::setfsgid(0);
            if caller.supp_gid.is_some() {
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            }
        }
    }
    answer
}

/// Runs `f` with the caller's fsuid, fsgid and groups, and none of root's capabilities but the caller's own.
pub fn as_caller<R>(caller: &Caller, groups: &[libc::gid_t], f: impl FnOnce() -> R) -> R {
    if !privileged() || caller.uid == 0 {
        return f();
    }
    // SAFETY: these change the calling thread alone; the group list outlives its call. An fsuid other than 0 takes the
    // filesystem capabilities away, and 0 brings them back.
    unsafe {
        libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr());
        libc::setfsgid(caller.gid);
        libc::setfsuid(caller.uid);
        let answer = f();
        libc::setfsuid(0);
        libc::setfsgid(0);
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
        SUID.set(None);
        answer
    }
}
