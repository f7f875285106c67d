//! What a mount must do, as a table of cases. Each case holds on a plain directory, which `conformance_plain` proves,
//! and so it must hold on a mount of one.
//!
//! - `PTFS_CASE`: only the cases whose name contains this.
//! - `PTFS_CASE_FS`: only `ext4`, or only `tmpfs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/cases"]
mod cases {
    pub mod attributes;
    pub mod control;
    pub mod data;
    pub mod host;
    pub mod limits;
    pub mod locks;
    pub mod maps;
    pub mod nameless;
    pub mod names;
    pub mod rest;
    pub mod rights;
    pub mod special;
    use super::*;
}

use libc::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Mutex, Once};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};
use support::sys::{self, At, ROOT, Sys, User, as_user};
use support::{Backing, Fs, Mount, Variant, env};

#[test]
fn conformance_plain() {
    check(None);
}

#[test]
fn conformance_fuse_uring() {
    check(Some(&support::FUSE_URING));
}

#[test]
fn conformance_dev_fuse() {
    check(Some(&support::DEV_FUSE));
}

#[test]
fn conformance_pool() {
    check(Some(&support::POOL));
}

macro_rules! with_options {
    ($($test:ident: $name:literal, $($option:literal)*;)*) => {$(
        #[test]
        fn $test() {
            const ARGS: &[&str] = &["--engine=uring", "--transport=fuse-uring", $($option),*];
            const VARIANT: &Variant = &Variant { name: $name, args: ARGS };
            check(Some(VARIANT));
        }
    )*};
}
with_options! {
    conformance_cache_never: "cache=never", "--cache=never";
    conformance_cache_metadata: "cache=metadata", "--cache=metadata";
    conformance_cache_always: "cache=always", "--cache=always" "--cache-readdir" "--negative-timeout=1";
    conformance_no_open: "no-open", "--cache=always" "--no-open" "--no-opendir";
    conformance_writeback: "writeback", "--writeback";
    conformance_killpriv: "killpriv-v2=false", "--killpriv-v2=false";
}

/// Cases that an option answers otherwise by its nature (README, Limits): the kernel never asks.
const EXEMPT: &[(&str, &[&str])] = &[
    // The kernel drops nothing before the size changes.
    ("cache=always", &["host_changes_a_file_of_the_same_size"]),
    // Who may open a file is seen when it is written. Nothing tells when locks end, so that the kernel keeps them.
    (
        "no-open",
        &[
            "host_changes_a_file_of_the_same_size",
            "append_only_file",
            "file_flags",
            "ranges_conflict_between_mount_and_host",
            "a_lock_names_its_holder",
            "closing_any_descriptor_loses_the_locks",
            "one_owner_converts_through_any_descriptor",
            "waiting_ends_with_the_lock",
            "a_signal_ends_the_wait",
            "whoever_dies_waiting_leaves_nothing",
            "open_files_own_locks",
            "many_waiters_on_one_cpu",
            "a_wait_outlives_other_files",
            "a_wait_follows_its_owner",
        ],
    ),
    // Size and times are the kernel's, so that the host's changes do not show; writes that do not fit are noticed by
    // fsync(2); holes do not show.
    (
        "writeback",
        &[
            "host_changes_a_file",
            "host_appends",
            "no_space",
            "no_space_for_a_mapping",
            "sparse_beyond_4_gib",
            "holes_and_data",
        ],
    ),
];

/// The cases by theme, each in a file of `support/cases`.
macro_rules! cases {
    ($($theme:ident: $($name:ident)*,)*) => { &[$($((stringify!($name), cases::$theme::$name)),*),*] };
}
type Case = (&'static str, fn(&Dir));
const CASES: &[Case] = cases![
    nameless:
        unlinked_file_goes_on unlinked_o_path_goes_on unlinked_by_the_host_goes_on replaced_while_open
        removed_directory tmpfile_gets_a_name tmpfile_excl_gets_none,
    names:
        hard_links_are_one_file inode_numbers_are_the_hosts rename_flags rename_refusals open_flags
        open_without_permission_bits large_directory_resumes large_directory_while_removing
        directory_lists_dots a_name_that_others_replace_is_there,
    data:
        sparse_beyond_4_gib holes_and_data fallocate_modes truncate_leaves_zeroes large_writes_and_odd_reads
        direct_io flags_set_later_take_effect append_from_two_processes append_ignores_the_offset exclusive_create_has_one_winner
        writes_are_read_back,
    rights:
        sgid_directory_for_members sgid_directory_for_others sgid_chmod_by_others default_acl_beats_umask
        acl_grants_and_masks suid_is_cleared_by_others sgid_without_group_execution capabilities_are_cleared
        permissions supplementary_groups sticky_directory,
    attributes:
        birth_time times_set_and_omitted times_follow_changes xattr_sizes xattr_64_kib,
    limits:
        no_space no_space_for_a_mapping append_only_file read_only_host long_names long_symlink not_a_directory_and_loops,
    special:
        sockets fifos device_nodes,
    maps:
        shared_map_reaches_the_host truncate_under_a_map,
    host:
        host_replaces_a_file host_replaces_a_file_all_the_time host_changes_a_file host_changes_a_file_of_the_same_size host_appends host_adds_and_removes_names
        inode_number_taken_over,
    rest:
        executables a_running_program_is_not_cut truncating_opens flock_locks posix_locks open_file_locks copy_between_files statfs_is_the_hosts
        fsync_of_everything,
    control:
        file_flags extended_flags other_commands files_are_always_ready,
    locks:
        ranges_conflict_between_mount_and_host a_lock_names_its_holder closing_any_descriptor_loses_the_locks
        one_owner_converts_through_any_descriptor waiting_ends_with_the_lock a_signal_ends_the_wait
        whoever_dies_waiting_leaves_nothing a_ring_of_waiters_is_noticed open_files_own_locks
        flock_is_free_after_close many_waiters_on_one_cpu a_wait_outlives_other_files a_wait_follows_its_owner
        open_files_of_one_process_are_no_ring a_ring_that_closes_at_once_is_noticed,
];

/// A case's own directory, mode 0777: as the mount shows it (`at`) and as the host has it (`host`; the same one when a
/// plain directory is tested).
struct Dir {
    at: PathBuf,
    host: PathBuf,
    fs: Fs,
    variant: Option<&'static Variant>,
    /// The daemon, unless a plain directory is tested.
    daemon: Option<i32>,
}

impl Dir {
    fn path(&self, name: &str) -> Vec<u8> {
        sys::b(&self.at.join(name)).to_vec()
    }
    fn on_host(&self, name: &str) -> PathBuf {
        self.host.join(name)
    }
    /// A file made through the mount.
    fn file(&self, name: &str, content: &[u8], mode: u32) -> Vec<u8> {
        let path = self.path(name);
        let fd = ok(sys::open(&path, O_CREAT | O_EXCL | O_WRONLY, 0o600));
        assert_eq!(ok(sys::write(fd, content)), content.len() as i64);
        ok(sys::chmod(At::Fd(fd), mode));
        ok(sys::close(fd));
        path
    }
    fn open(&self, name: &str, flags: i32) -> i32 {
        ok(sys::open(self.path(name), flags, 0o644))
    }
    /// Before a look at the host: what the kernel has collected under `--writeback` goes there.
    fn written_back(&self, fd: i32) {
        if self.variant.is_some_and(|variant| variant.args.contains(&"--writeback")) {
            ok(sys::fsync(fd, false));
        }
    }
    /// Waits until the kernel's caches have forgotten what the host has changed since.
    fn until(&self, what: &str, mut seen: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !seen() {
            assert!(Instant::now() < end, "not after 20 s: {what}");
            sleep(Duration::from_millis(50));
        }
    }
}

const MEMBER: User = User { uid: 1000, gid: 1000, groups: &[1000, 2000] };
const OUTSIDER: User = User { uid: 1001, gid: 1001, groups: &[] };

#[track_caller]
fn ok<T>(result: Sys<T>) -> T {
    match result {
        Ok(value) => value,
        Err(errno) => panic!("{}", sys::errno_name(errno)),
    }
}
#[track_caller]
fn fails<T>(result: Sys<T>, errno: i32) {
    let got = result.err().map_or("it worked".into(), sys::errno_name);
    assert_eq!(got, sys::errno_name(errno));
}
fn stat(path: &[u8]) -> libc::stat {
    ok(sys::stat(At::Link(path)))
}
fn mode(path: &[u8]) -> u32 {
    stat(path).st_mode & 0o7777
}
fn fstat(fd: i32) -> libc::stat {
    ok(sys::stat(At::Fd(fd)))
}
fn read_at(fd: i32, at: i64, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let n = ok(sys::pread(fd, &mut buf, at));
    buf.truncate(n as usize);
    buf
}
fn content(path: &[u8]) -> Sys<Vec<u8>> {
    let fd = sys::open(path, O_RDONLY, 0)?;
    let bytes = read_at(fd, 0, 1 << 20);
    sys::close(fd).map(|_| bytes)
}
fn access_as(user: &User, path: &[u8], flags: i32) -> Sys {
    as_user(user, || sys::open(path, flags, 0o666).and_then(sys::close))
}

/// Longer than any case takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn check(variant: Option<&'static Variant>) {
    let only: Option<String> = env("PTFS_CASE_FS");
    let mut failures = Vec::new();
    for fs in support::FILESYSTEMS {
        if only.as_ref().is_none_or(|name| format!("{fs:?}").eq_ignore_ascii_case(name)) {
            failures.extend(check_on(fs, variant));
        }
    }
    let name = variant.map_or("plain directory", |variant| variant.name);
    assert!(failures.is_empty(), "{name}: {} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// Runs all cases on one filesystem, some at a time, and says which ones fail.
fn check_on(fs: Fs, variant: Option<&'static Variant>) -> Vec<String> {
    let only: String = env("PTFS_CASE").unwrap_or_default();
    let exempt = EXEMPT.iter().find(|(option, _)| variant.is_some_and(|variant| variant.name == *option));
    let exempt = exempt.map_or(&[][..], |(_, cases)| cases);
    let cases = CASES.iter().filter(|(name, _)| name.contains(&only) && !exempt.contains(name)).copied();
    let queue: Mutex<Vec<Case>> = Mutex::new(cases.rev().collect());
    assert!(!queue.lock().unwrap().is_empty(), "no case is called {only}");
    let backing = Backing::new(fs, 1024, "");
    // With --cache=never the kernel keeps nothing, unless it is told.
    let never = variant.is_some_and(|variant| variant.args.contains(&"--cache=never"));
    let timeouts = if never { &[][..] } else { &["--attr-timeout=1", "--entry-timeout=1"] };
    let arguments = [&["-o", "allow_other"], timeouts].concat();
    let mount = variant.map(|variant| Mount::with_args(variant, &arguments, backing.path()));
    let at = mount.as_ref().map_or(backing.path(), Mount::path);
    let daemon = mount.as_ref().map(Mount::pid);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(case) = queue.lock().unwrap().pop() else { break };
            let dir = Dir { at: at.join(case.0), host: backing.path().join(case.0), fs, variant, daemon };
            let Err(why) = run_case(case, dir, mount.as_ref()) else { continue };
            let mut failures = failures.lock().unwrap();
            failures.push(format!("{} on {fs:?} {why}", case.0));
            if let Err(dead) = at.metadata() {
                let left = std::mem::take(&mut *queue.lock().unwrap()).len();
                let said = mount.as_ref().map(Mount::stderr).unwrap_or_default();
                failures
                    .push(format!("the mount is dead ({dead}), {left} cases did not run; the daemon said:\n{said}"));
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().unwrap();
    failures.extend(mount.and_then(|mount| mount.finish().err()));
    failures
}

/// Runs one case in a thread of its own. A case that hangs costs the daemon its life, so that the thread can end.
fn run_case((_, case): Case, dir: Dir, mount: Option<&Mount>) -> Result<(), String> {
    fs::create_dir(&dir.host).unwrap();
    ok(sys::chmod(At::Path(sys::b(&dir.host)), 0o777));
    let (send, receive) = channel();
    let thread = spawn(move || {
        sys::own_context();
        sys::umask(0);
        let result = caught(|| case(&dir));
        send.send(()).ok();
        result
    });
    if receive.recv_timeout(PATIENCE).is_ok() {
        // Joined, so that what it left open is closed.
        return thread.join().unwrap();
    }
    if let Some(mount) = mount {
        mount.kill();
    }
    Err(format!("hangs; the daemon said:\n{}", mount.map(Mount::stderr).unwrap_or_default()))
}

/// Runs `f`; its panic, with the place, becomes the error instead of a message.
fn caught(f: impl FnOnce()) -> Result<(), String> {
    thread_local!(static PANIC: RefCell<Option<String>> = const { RefCell::new(None) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match PANIC.take() {
            Some(_) => PANIC.set(Some(info.to_string())),
            None => default(info),
        }));
    });
    PANIC.set(Some(String::new()));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    let text = PANIC.take().unwrap_or_default();
    result.map_err(|_| text)
}
