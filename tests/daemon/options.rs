//! Mount options, at the start and later.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, VARIANTS, mounted, refusal, run};

fn has(point: &Path, wanted: &str) -> bool {
    mounted(point).expect("mounted").iter().any(|option| option == wanted)
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn devices_and_suid_are_off_unless_asked_for() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    assert!(has(&scratch.mnt(), "nodev") && has(&scratch.mnt(), "nosuid") && has(&scratch.mnt(), "rw"));
    daemon.stop();
    let daemon = scratch.serve(&["-o", "dev,suid,noexec,noatime"]);
    assert!(!has(&scratch.mnt(), "nodev") && !has(&scratch.mnt(), "nosuid"));
    assert!(has(&scratch.mnt(), "noexec") && has(&scratch.mnt(), "noatime"));
    daemon.stop();
}

#[test]
fn names_are_shown_as_asked() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["-o", r"fsname=my\,disk,subtype=mine"]);
    let table = fs::read_to_string("/proc/self/mounts").expect("a mount table");
    let line = table.lines().find(|line| line.contains(&*scratch.mnt().to_string_lossy())).expect("mounted");
    assert!(line.starts_with("my,disk ") && line.contains(" fuse.mine "), "{line}");
    daemon.stop();
}

#[test]
fn a_read_only_mount_refuses_to_write() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["-o", "ro"]);
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
    assert_eq!(errno(fs::write(scratch.mnt().join("new"), "")), Some(libc::EROFS));
    daemon.stop();
}

#[test]
fn a_mount_covers_its_own_source() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut command = Command::new(PTFS);
        command.args(arguments).arg(scratch.source()).arg(scratch.source());
        let daemon = Daemon::start(command);
        fs::write(scratch.source().join("new"), "through the mount").expect("writable");
        assert_eq!(fs::read_dir(scratch.source()).expect("readable").count(), 2);
        assert!(mounted(&scratch.source()).is_some());
        daemon.stop();
        assert!(mounted(&scratch.source()).is_none());
        assert_eq!(fs::read(scratch.source().join("new")).expect("there"), b"through the mount");
    }
}

/// `ptfs` under the name by which mount(8) looks for it.
fn mount_helper(scratch: &Scratch) -> Command {
    let helper = scratch.path("mount.fuse.ptfs");
    if !helper.exists() {
        symlink(PTFS, &helper).expect("new");
    }
    let mut command = Command::new(helper);
    command.arg(scratch.source()).arg(scratch.mnt());
    command
}

#[test]
fn mount_8_can_remount() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["-o", "dev,allow_other"]);
    // As util-linux 2.38.1 calls it for `mount -o remount,ro MNT`.
    let list = |mode| format!("{mode},nosuid,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other");
    let file = scratch.mnt().join("new");

    assert!(run(mount_helper(&scratch).args(["-o", &list("ro")])).status.success());
    assert!(has(&scratch.mnt(), "ro") && has(&scratch.mnt(), "nosuid") && !has(&scratch.mnt(), "nodev"));
    assert_eq!(errno(fs::write(&file, "")), Some(libc::EROFS));

    assert!(run(mount_helper(&scratch).args(["-f", "-o", &list("rw")])).status.success());
    assert!(has(&scratch.mnt(), "ro"), "-f changes nothing");

    let hidden = ["-n", "-v", "-s", "-t", "fuse.ptfs", "-o"];
    assert!(run(mount_helper(&scratch).args(hidden).arg(list("rw") + ",x-unheard-of,bogus")).status.success());
    assert!(has(&scratch.mnt(), "rw") && has(&scratch.mnt(), "nosuid") && !has(&scratch.mnt(), "nodev"));
    fs::write(&file, "").expect("writable again");
    daemon.stop();
}

/// The kernel asks for no more than `max_read` at a time.
#[test]
fn reads_are_as_small_as_asked() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("big"), vec![1; 1 << 20]).expect("new");
    let reads = |options: &[&str]| {
        let mut daemon = scratch.serve(&[&["--stats-at-exit"], options].concat());
        let mut dd = Command::new("dd");
        let from = format!("if={}", scratch.mnt().join("big").display());
        assert!(run(dd.args([&from, "of=/dev/null", "bs=1M", "iflag=direct"])).status.success());
        daemon.signal("TERM");
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
        let said = daemon.said();
        let line = said.lines().find(|line| line.trim_start().to_lowercase().starts_with("read ")).expect("reads");
        line.split_whitespace().nth(1).expect("a count").parse::<u32>().expect("a number")
    };
    let many = reads(&["-o", "max_read=65536"]);
    assert!((16..=17).contains(&many), "{many}");
    let few = reads(&[]);
    assert!(few <= 2, "{few}");
}

#[test]
fn flags_of_mount_8_reach_the_mount() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["-o", "sync,nodiratime,nosymfollow,relatime"]);
    for flag in ["nodiratime", "nosymfollow"] {
        assert!(has(&scratch.mnt(), flag), "{flag}: {:?}", mounted(&scratch.mnt()));
    }
    daemon.stop();
}

#[test]
fn an_operator_can_remount() {
    let scratch = Scratch::new();
    let ptfs = |options: &str, point: &Path| {
        let mut command = Command::new(PTFS);
        command.args(["-o", options]).arg(scratch.source()).arg(point);
        command
    };
    let daemon = scratch.serve(&[]);
    assert!(run(&mut ptfs("remount,ro", &scratch.mnt())).status.success());
    assert!(has(&scratch.mnt(), "ro") && has(&scratch.mnt(), "nodev") && has(&scratch.mnt(), "nosuid"));
    assert!(run(&mut ptfs("remount,rw", &scratch.mnt())).status.success());

    let open = fs::File::create(scratch.mnt().join("open")).expect("writable");
    let (code, said) = refusal(&mut ptfs("remount,ro", &scratch.mnt()));
    assert!(code == Some(1) && said.contains("open for writing"), "{said}");
    drop(open);
    let (code, said) = refusal(&mut ptfs("remount,ro", &scratch.source()));
    assert!(code == Some(1) && said.contains("no mount of ptfs"), "{said}");
    daemon.stop();
}
