//! Command lines written for others mount, serve and unmount.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, finish, mounted, refused, run, until};

fn serves(scratch: &Scratch) {
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
}

fn unmount(scratch: &Scratch) {
    until("umount", || run(Command::new("umount").arg(scratch.mnt())).status.success());
    assert!(mounted(&scratch.mnt()).is_none());
}

/// `ptfs` under another's name.
fn linked(scratch: &Scratch, name: &str) -> PathBuf {
    let link = scratch.path(name);
    symlink(PTFS, &link).expect("new");
    link
}

/// The type and the source of the mount, as `/proc/self/mounts` has them.
fn shown(point: &Path) -> (String, String) {
    let table = fs::read_to_string("/proc/self/mounts").expect("a mount table");
    let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = fields.into_iter().find(|fields| Path::new(fields[1]) == point).expect("mounted");
    (line[2].to_owned(), line[0].to_owned())
}

#[test]
fn libfuse_fs() {
    let scratch = Scratch::new();
    let mut command = Command::new(PTFS);
    command.arg("--rootdir").arg(scratch.source()).arg("--mountpoint").arg(scratch.mnt());
    let daemon = Daemon::start({
        command.args(["--privileged", "--allow-other", "--macos-eager"]);
        command
    });
    serves(&scratch);
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
    let line = table.lines().find(|line| line.contains(&*scratch.mnt().to_string_lossy())).expect("mounted");
    assert!(line.contains("allow_other"), "{line}");
    assert!(daemon.said().contains("--macos-eager has no effect"), "{}", daemon.said());
    daemon.stop();
}

#[test]
fn passthrough_hp() {
    let scratch = Scratch::new();
    let mut command = Command::new(linked(&scratch, "passthrough_hp"));
    command.args(["--nosplice", "--num-threads=4", "--clone-fd", "-o", "fsname=mine,noexec"]);
    // It leaves the foreground, as that does: its output ends, and the mount answers.
    let output = finish(command.arg(scratch.source()).arg(scratch.mnt()));
    assert!(output.status.success(), "{output:?}");
    serves(&scratch);
    assert_eq!(shown(&scratch.mnt()), ("fuse.ptfs".to_owned(), "mine".to_owned()));
    assert!(mounted(&scratch.mnt()).expect("mounted").iter().any(|option| option == "noexec"));
    unmount(&scratch);
}

#[test]
fn passthrough_ll() {
    let scratch = Scratch::new();
    let mut command = Command::new(linked(&scratch, "passthrough_ll"));
    command.arg("-f").arg("-o").arg(format!("source={},timeout=3,no_flock", scratch.source().display()));
    command.arg(scratch.mnt());
    let daemon = Daemon::start(command);
    serves(&scratch);
    daemon.stop();
}

#[test]
fn bindfs() {
    let scratch = Scratch::new();
    let bindfs = linked(&scratch, "bindfs");
    let output = finish(Command::new(&bindfs).args(["-r", "--multithreaded"]).arg(scratch.source()).arg(scratch.mnt()));
    assert!(output.status.success(), "{output:?}");
    serves(&scratch);
    let error = fs::write(scratch.mnt().join("new"), "").expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    unmount(&scratch);

    let mut command = Command::new(&bindfs);
    command.args(["-n", "-f", "--create-as-user"]).arg(scratch.source()).arg(scratch.mnt());
    let daemon = Daemon::start(command);
    fs::write(scratch.mnt().join("new"), "").expect("writable");
    daemon.stop();
}

#[test]
fn virtiofsd() {
    let scratch = Scratch::new();
    let mut command = Command::new(PTFS);
    command.arg("--shared-dir").arg(scratch.source()).args(["--sandbox=none", "--posix-acl", "--announce-submounts"]);
    command.args(["--thread-pool-size", "2", "--log-level", "info", "--allow-direct-io"]).arg(scratch.mnt());
    let daemon = Daemon::start(command);
    serves(&scratch);
    assert!(daemon.said().contains("--announce-submounts has no effect"), "{}", daemon.said());
    daemon.stop();
}

/// What the flags of others become is what the mount does.
#[test]
fn options_of_others_take_effect() {
    let lines: [(&str, &[&str], u32); 5] = [
        ("passthrough", &["--options", "uidmapping=0:4242:1,gidmapping=0:4242:1"], 4242),
        ("passthrough_hp", &["-f", "--nocache"], 0),
        ("bindfs", &["-f", "--map=0/4242:@0/@4242"], 4242),
        ("passthrough_ll", &["-f", "-o", "cache=always,writeback,no_xattr,no_posix_lock"], 0),
        ("virtiofsd", &["--cache=never", "--no-killpriv-v2", "--inode-file-handles=prefer", "--xattr"], 0),
    ];
    for (program, arguments, owner) in lines {
        let scratch = Scratch::new();
        let mut command = Command::new(linked(&scratch, program));
        command.args(arguments).arg(scratch.source()).arg(scratch.mnt());
        let daemon = Daemon::start(command);
        let hello = scratch.mnt().join("hello");
        assert_eq!(fs::metadata(&hello).expect("there").uid(), owner, "{program}");
        serves(&scratch);
        fs::write(scratch.source().join("hello"), b"HELLO\n").expect("writable");
        let fresh = arguments.iter().any(|argument| argument.ends_with("--nocache") || *argument == "--cache=never");
        if fresh {
            assert_eq!(fs::read(&hello).expect("readable"), b"HELLO\n", "{program}: nothing is kept");
        }
        if arguments.iter().any(|argument| argument.contains("no_xattr")) {
            let c = std::ffi::CString::new(hello.to_str().expect("text")).expect("no NUL");
            // SAFETY: both strings end with NUL; no value is passed.
            let answer = unsafe { libc::setxattr(c.as_ptr(), c"user.a".as_ptr(), std::ptr::null(), 0, 0) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((answer, errno), (-1, Some(libc::EOPNOTSUPP)), "{program}");
        }
        daemon.stop();
    }
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let cases: [(&[&str], &str); 10] = [
        (&["/", "/a", "-o", "modules=iconv"], "modules="),
        (&["/", "/a", "-o", "allow_root"], "allow_other"),
        (&["/", "/a", "-o", "allow_othr"], "'allow_other'"),
        (&["/", "/a", "-o", "cach=auto"], "'cache='"),
        (&["/", "/a", "--daemonise"], "'--daemonize'"),
        (&["/", "/a", "--force-user=me"], "--uid-mapping"),
        (&["--shared-dir", "/", "--socket-path=/x"], "--socket-path"),
        (&["--mountpoint", "/a"], "no SOURCE"),
        (&["--rootdir", "/"], "<MOUNTPOINT>"),
        (&["/", "/a", "--bind", "nowhere"], "SRC:TARGET"),
    ];
    for (arguments, hint) in cases {
        let (code, said) = refused(arguments);
        assert!(code == Some(2) && said.contains(hint), "{arguments:?}: {code:?} {said}");
    }
}

/// What to bind: two directories, the second into the first, and a file.
fn to_bind(scratch: &Scratch) -> [PathBuf; 3] {
    let (outer, inner, file) = (scratch.path("outer"), scratch.path("inner"), scratch.path("file"));
    fs::create_dir_all(outer.join("b")).expect("new");
    fs::create_dir(&inner).expect("new");
    fs::write(inner.join("deep"), "deep").expect("new");
    fs::write(&file, "a file").expect("new");
    [outer, inner, file]
}

#[test]
fn binds_come_after_the_mount_and_go_before_it() {
    let scratch = Scratch::new();
    let [outer, inner, file] = to_bind(&scratch);
    let bind = |source: &Path, target: &str| format!("--bind={}:{target}", source.display());
    let (first, second, third) = (bind(&outer, "/a"), bind(&inner, "a/b"), bind(&file, "etc/conf"));
    // What the mount point covers is not what was made in the mount.
    let covered = scratch.mnt().join("etc");
    fs::create_dir(&covered).expect("new");
    fs::write(covered.join("conf"), "").expect("new");
    for end in ["TERM", "-l", "-R"] {
        let mut daemon = scratch.serve(&[&first, &second, &third]);
        assert_eq!(fs::read(scratch.mnt().join("a/b/deep")).expect("bound in order"), b"deep");
        assert_eq!(fs::read(scratch.mnt().join("etc/conf")).expect("bound"), b"a file");
        for target in ["a", "a/b", "etc/conf"] {
            assert!(mounted(&scratch.mnt().join(target)).is_some(), "{target}");
        }
        match end {
            "TERM" => daemon.signal(end),
            _ => until("umount", || run(Command::new("umount").arg(end).arg(scratch.mnt())).status.success()),
        }
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
        assert!(!daemon.said().contains("in use"), "a bind was in the way:\n{}", daemon.said());
        assert!(covered.join("conf").exists(), "{end}");
        for target in ["", "a", "a/b", "etc/conf"] {
            assert!(mounted(&scratch.mnt().join(target)).is_none(), "{target}");
        }
        if end == "TERM" {
            assert_eq!(fs::read_dir(scratch.source()).expect("there").count(), 1, "what was made is removed");
        }
    }
    assert!(inner.join("deep").exists() && outer.join("b").exists());
}

#[test]
fn a_bind_that_fails_undoes_all() {
    let scratch = Scratch::new();
    let [outer, ..] = to_bind(&scratch);
    std::os::unix::fs::symlink(&outer, scratch.source().join("out")).expect("new");
    let good = format!("--bind={}:a/c", outer.display());
    let missing = format!("--bind={}:b", scratch.path("missing").display());
    let outside = format!("--bind={}:out/b", outer.display());
    for (bad, hint) in [(missing, "missing to "), (outside, "leads out of the mount")] {
        let (source, point) = (scratch.source(), scratch.mnt());
        let arguments = [good.as_ref(), bad.as_ref(), source.as_os_str(), point.as_os_str()];
        let (code, said) = refused(&arguments);
        assert!(code == Some(1) && said.contains("cannot bind") && said.contains(hint), "{code:?} {said}");
        assert!(mounted(&point).is_none() && mounted(&point.join("a/c")).is_none());
        assert_eq!(fs::read_dir(&source).expect("there").count(), 2, "hello and the link");
    }
}
