//! Who is not root mounts by `fusermount3`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, finish, mounted, refusal, run, until};

/// `nobody`: every system has it, and `fusermount3` wants a name.
const USER: u32 = 65534;

struct User {
    scratch: Scratch,
    /// The binary, where the user can reach it.
    ptfs: PathBuf,
}

impl User {
    fn new() -> User {
        let scratch = Scratch::new();
        let ptfs = scratch.path("ptfs");
        // Not by this process: a child that another test forks meanwhile would hold the file open for writing, and
        // running it would be ETXTBSY.
        assert!(run(Command::new("cp").arg(PTFS).arg(&ptfs)).status.success());
        for path in [scratch.source(), scratch.mnt()] {
            chown(path, Some(USER), Some(USER)).expect("root may");
        }
        // udev gives the device to everybody; without udev it is root's alone.
        let mode = fs::metadata("/dev/fuse").expect("FUSE").permissions().mode();
        if mode & 0o006 != 0o006 {
            fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).expect("root may");
        }
        User { scratch, ptfs }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).uid(USER).gid(USER).current_dir("/");
        command
    }

    fn ptfs(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.ptfs.to_string_lossy(), arguments);
        command.arg(self.scratch.source()).arg(self.scratch.mnt());
        command
    }

    /// Runs a script in the mount.
    fn script(&self, script: &str) -> String {
        let script = format!("cd {} && {script}", self.scratch.mnt().display());
        let output = run(&mut self.command("sh", &["-c", &script]));
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

#[test]
fn a_plain_user_mounts_and_unmounts() {
    for engine in ["--engine=auto", "--engine=pool"] {
        let user = User::new();
        let daemon = Daemon::start(user.ptfs(&[engine]));
        let options = mounted(&user.scratch.mnt()).expect("mounted");
        assert!(options.contains(&"nosuid".to_owned()) && options.contains(&"nodev".to_owned()));
        assert_eq!(user.script("cat hello && mkdir dir && echo text >dir/file && cat dir/file"), "hello\ntext\n");
        assert_eq!(fs::metadata(user.scratch.source().join("dir/file")).expect("made").uid(), USER);
        // Nobody else comes in, not even root.
        let error = fs::read_dir(user.scratch.mnt()).expect_err("not ours");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        daemon.stop();
        assert!(mounted(&user.scratch.mnt()).is_none());
    }
}

#[test]
fn a_plain_user_leaves_it_in_the_background() {
    let user = User::new();
    let options = ["--daemonize", "-oauto_unmount,sync,max_read=65536,noexec"];
    let output = finish(&mut user.ptfs(&options));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(user.script("cat hello"), "hello\n");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
    let line = table.lines().find(|line| line.contains(&*user.scratch.mnt().to_string_lossy())).expect("mounted");
    assert!(["noexec", "sync", "max_read=65536"].iter().all(|option| line.contains(option)), "{line}");
    let umount = run(&mut user.command("fusermount3", &["-u", &user.scratch.mnt().to_string_lossy()]));
    assert!(umount.status.success(), "{umount:?}");
}

#[test]
fn only_root_binds() {
    let user = User::new();
    let (code, said) = refusal(&mut user.ptfs(&["--bind=proc:hello-proc"]));
    assert!(code == Some(1) && said.contains("only root may"), "{code:?} {said}");
    assert!(mounted(&user.scratch.mnt()).is_none());
    assert_eq!(fs::read_dir(user.scratch.source()).expect("there").count(), 1);
}

#[test]
fn a_mapping_changes_what_is_shown_and_not_who_makes_files() {
    let user = User::new();
    let daemon = Daemon::start(user.ptfs(&["--uid-mapping=0:5:1:65534:65534:1"]));
    // Root's, and the user's own.
    assert_eq!(user.script("mkdir dir && stat -c %u hello dir"), "5\n65534\n");
    assert_eq!(fs::metadata(user.scratch.source().join("dir")).expect("made").uid(), USER);
    daemon.stop();
}

#[test]
fn a_plain_user_can_only_be_himself() {
    let user = User::new();
    let (code, said) = refusal(&mut user.ptfs(&["--squash-to=1000:65534"]));
    assert!(code == Some(2) && said.contains("--squash-to=1000:65534 needs root; you are 65534:65534"), "{said}");
    let daemon = Daemon::start(user.ptfs(&["--squash-to=65534:65534"]));
    assert_eq!(user.script("mkdir dir && cat hello && chmod 600 dir"), "hello\n");
    assert_eq!(fs::metadata(user.scratch.source().join("dir")).expect("made").mode() & 0o7777, 0o600);
    daemon.stop();
}

#[test]
fn fusermount_ends_it() {
    let user = User::new();
    let mut daemon = Daemon::start(user.ptfs(&[]));
    let mnt = user.scratch.mnt();
    assert!(run(&mut user.command("fusermount3", &["-u", &mnt.to_string_lossy()])).status.success());
    assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
}

#[test]
fn auto_unmount_cleans_up_after_sigkill() {
    let user = User::new();
    let mut daemon = Daemon::start(user.ptfs(&["-o", "auto_unmount"]));
    daemon.signal("KILL");
    assert_eq!(daemon.end(), None);
    until("the mount to go", || mounted(&user.scratch.mnt()).is_none());
}

#[test]
fn letting_others_in_needs_leave() {
    let user = User::new();
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    if conf.lines().any(|line| line.trim() == "user_allow_other") {
        let daemon = Daemon::start(user.ptfs(&["-o", "allow_other"]));
        assert_eq!(fs::read(user.scratch.mnt().join("hello")).expect("let in"), b"hello\n");
        daemon.stop();
    } else {
        let (code, said) = refusal(&mut user.ptfs(&["-o", "allow_other"]));
        assert!(code == Some(1) && said.contains("user_allow_other` in /etc/fuse.conf"), "{said}");
    }
}

#[test]
fn a_mount_point_of_somebody_else_is_refused() {
    let user = User::new();
    chown(user.scratch.mnt(), Some(0), Some(0)).expect("root may");
    let (code, said) = refusal(&mut user.ptfs(&[]));
    assert!(code == Some(1) && said.contains("cannot mount at"), "{said}");
}

#[test]
fn without_fusermount_the_package_is_named() {
    let user = User::new();
    let (code, said) = refusal(user.ptfs(&[]).env("PATH", "/nonexistent"));
    assert!(code == Some(1) && said.contains("apt install fuse3"), "{said}");
}
