//! `packaging/ptfs@.service`: well formed, and no narrower than what the daemon does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{PTFS, run, said};

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/ptfs@.service");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All words that a key is set to.
fn words(key: &str) -> Vec<String> {
    let text = unit();
    let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[test]
fn it_is_well_formed() {
    let directory = tempfile::tempdir().expect("a directory");
    // The binary that is not installed yet is the one thing that would be missing.
    let path = directory.path().join("ptfs@.service");
    fs::write(&path, unit().replace("/usr/bin/ptfs", PTFS)).expect("room");
    said(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path));
    let judged = run(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(&path));
    let judged = String::from_utf8_lossy(&judged.stdout);
    let overall = judged.lines().find_map(|line| line.split_once("Overall exposure level")).expect("a verdict").1;
    println!("exposure{overall}");
    let level = overall.split_once(": ").and_then(|(_, text)| text.split(' ').next()?.parse::<f32>().ok());
    assert!(level.is_some_and(|level| level < 5.0), "{overall}");
}

/// The one fault that no other test here would notice: the mount comes up, and nobody sees it.
#[test]
fn it_has_no_mount_namespace() {
    const NAMESPACED: &[&str] = &[
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "ExtensionDirectories",
        "ExtensionImages",
        "InaccessiblePaths",
        "MountFlags",
        "MountImages",
        "NoExecPaths",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateNetwork",
        "PrivateTmp",
        "ProcSubset",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "RootImage",
        "TemporaryFileSystem",
    ];
    for key in NAMESPACED {
        assert!(words(key).is_empty(), "{key}= gives the service a mount namespace of its own");
    }
}

/// What a filter of system calls lets through, its groups taken apart.
fn allowed_calls() -> BTreeSet<String> {
    let mut waiting = words("SystemCallFilter");
    let mut calls = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if !name.starts_with('@') {
            calls.insert(name);
            continue;
        }
        let text = said(Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", &name]));
        let inside = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        waiting.extend(inside.map(str::to_owned));
    }
    assert!(calls.len() > 100, "the groups are empty: {calls:?}");
    calls
}

/// A command before another that leaves it the unit's capabilities.
fn confinement() -> [String; 4] {
    let names = words("CapabilityBoundingSet");
    let names: String = names.iter().map(|name| format!(",+{}", name[4..].to_lowercase())).collect();
    ["setpriv", "--no-new-privs", &format!("--bounding-set=-all{names}"), "--"].map(str::to_owned)
}

/// Without this a mount works all the same, by names.
#[test]
fn it_may_open_file_handles() {
    let directory = tempfile::tempdir().expect("a directory");
    let confinement = confinement();
    let mut doctor = Command::new(&confinement[0]);
    let table = said(doctor.args(&confinement[1..]).args([PTFS, "doctor"]).arg(directory.path()));
    assert!(table.lines().any(|line| line.starts_with("ok       SOURCE handles     yes")), "{table}");
}

/// A mount by a daemon that has the unit's capabilities, under strace(1).
struct Confined {
    directory: TempDir,
    strace: Child,
}

impl Confined {
    fn start(engine: &str) -> Confined {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        for name in ["source", "mnt"] {
            fs::create_dir(directory.path().join(name)).expect("new");
        }
        fs::set_permissions(directory.path().join("source"), fs::Permissions::from_mode(0o1777)).expect("ours");
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-U", "name", "-o"]).arg(directory.path().join("calls"));
        command.args(confinement());
        // So few descriptors that nodes are reached by their handles.
        command.args(["prlimit", "--nofile=300", PTFS, engine, "-o", "allow_other,auto_unmount,suid,dev"]);
        command.arg(directory.path().join("source")).arg(directory.path().join("mnt"));
        let strace = command.spawn().expect("strace(1)");
        let mut confined = Confined { directory, strace };
        let begin = Instant::now();
        while !confined.is_mounted() {
            let ended = confined.strace.try_wait().expect("our child");
            assert!(ended.is_none() && begin.elapsed() < Duration::from_secs(30), "does not serve: {ended:?}");
            thread::sleep(Duration::from_millis(20));
        }
        confined
    }

    fn mnt(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
        let point = self.mnt();
        table.lines().any(|line| line.split(' ').nth(4).is_some_and(|place| Path::new(place) == point))
    }

    fn script(&self, user: &str, script: &str) {
        let mut command = Command::new("timeout");
        command.args(["60", "setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"]);
        let output = run(command.args(["sh", "-euc", script]).current_dir(self.mnt()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the daemon as a service manager does, and gives the names of all its system calls.
    fn calls(mut self) -> BTreeSet<String> {
        // setpriv and prlimit have become the daemon.
        let children = format!("/proc/{0}/task/{0}/children", self.strace.id());
        let daemon = fs::read_to_string(children).expect("strace's children");
        said(Command::new("kill").args(["-s", "TERM", daemon.trim()]));
        let status = self.strace.wait().expect("our child");
        assert!(status.success(), "{status}");
        let text = fs::read_to_string(self.directory.path().join("calls")).expect("written at the end");
        let names = text.lines().map(str::trim).filter(|line| !line.starts_with(['-', '=']) && !line.is_empty());
        names.filter(|name| !["syscall", "total"].contains(name)).map(str::to_owned).collect()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if self.is_mounted() {
            let _ = run(Command::new("umount").arg("-l").arg(self.mnt()));
        }
        let _ = self.strace.wait();
    }
}

const AS_ROOT: &str = "
    touch file; chmod 4755 file; echo text >>file; [ -u file ]
    chown 1:2 file; chgrp 3 file
    mknod null c 1 3; mknod pipe p
    setfattr -n trusted.a -v 1 file; setfattr -n user.a -v 1 file; getfattr -d -m - file
    setcap cap_chown+ep file; getcap file
    touch fixed; chattr +i fixed; lsattr fixed; chattr -i fixed; rm fixed
    setfacl -m u:7:rw file; getfacl file
    mkdir shut; chmod 700 shut; chown 12345:12345 shut";

const AS_USER: &str = "
    umask 027; mkdir dir; cd dir; echo text >file; [ $(stat -c %u:%g:%a file) = 12345:12345:640 ]
    ln file hard; ln -s file soft; readlink soft; mv hard moved; cat soft; cp file copy
    truncate -s 1M file; fallocate -l 2M file; fallocate -p -o 0 -l 4096 file; dd if=file of=/dev/null bs=64k
    dd if=/dev/zero of=out bs=64k count=4 conv=fsync oflag=append; touch -d yesterday out; chmod 2700 out
    n=0; while [ $n -lt 400 ]; do echo $n >f$n; n=$((n + 1)); done
    for round in 1 2 3; do ls -l >/dev/null; done; cat f1 f200 f399 >/dev/null
    df . >/dev/null; mkfifo fifo; rm -r ../dir; touch ../shut/in";

#[test]
fn it_allows_what_the_daemon_does() {
    let allowed = allowed_calls();
    for engine in ["--engine=auto", "--engine=pool"] {
        let confined = Confined::start(engine);
        confined.script("0", AS_ROOT);
        confined.script("12345", AS_USER);
        let calls = confined.calls();
        for needed in ["mount", "open_by_handle_at", "umount2"] {
            assert!(calls.contains(needed), "the daemon did not call {needed}: this test looks at too little");
        }
        let refused: Vec<_> = calls.difference(&allowed).collect();
        assert!(refused.is_empty(), "{engine}: not in SystemCallFilter: {refused:?}");
    }
}
