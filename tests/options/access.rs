//! What is refused: `--readonly`, `--seal-size`; who takes privileges away: `--killpriv-v2`; and choices that exclude
//! each other.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::support::sys::At;
use super::*;

#[test]
fn a_read_only_daemon_refuses_by_itself() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--readonly"], |dir| fs::write(dir.join("file"), "text").unwrap());
        assert_eq!(errno(fs::write(served.at("new"), "")), libc::EROFS);
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = table.lines().find(|line| line.contains(served.mount.path().to_str().unwrap())).unwrap();
        assert!(line.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{line}");
        // The kernel lets everything through from here on.
        let remount = Command::new(env!("CARGO_BIN_EXE_ptfs"))
            .args(["-o", "remount,rw"])
            .args([served.source.path(), served.mount.path()])
            .status();
        assert!(remount.unwrap().success());
        let file = served.at("file");
        let path = sys::b(&file);
        let read = File::open(&file).unwrap();
        for (what, result) in [
            ("write", OpenOptions::new().write(true).open(&file).map(drop)),
            ("create", File::create_new(served.at("new")).map(drop)),
            ("truncate", sys::truncate(path, 1).map(drop).map_err(std::io::Error::from_raw_os_error)),
            ("mkdir", fs::create_dir(served.at("dir"))),
            (
                "mknod",
                sys::mknod(sys::b(&served.at("fifo")), libc::S_IFIFO, 0)
                    .map(drop)
                    .map_err(std::io::Error::from_raw_os_error),
            ),
            ("symlink", symlink("file", served.at("link"))),
            ("link", fs::hard_link(&file, served.at("link"))),
            ("unlink", fs::remove_file(&file)),
            ("rename", fs::rename(&file, served.at("moved"))),
            ("chmod", fs::set_permissions(&file, fs::Permissions::from_mode(0o600))),
            ("utimes", read.set_modified(std::time::UNIX_EPOCH)),
            (
                "setxattr",
                sys::setxattr(At::Path(path), b"user.x".as_slice(), b"1", 0)
                    .map(drop)
                    .map_err(std::io::Error::from_raw_os_error),
            ),
        ] {
            assert_eq!(errno(result), libc::EROFS, "{what} by {}", variant.name);
        }
        assert_eq!(fs::read(&file).unwrap(), b"text");
        assert_eq!(names(served.mount.path()), ["file"]);
    }
}

#[test]
fn a_sealed_size_stays() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--seal-size"], |dir| {
            fs::write(dir.join("file"), vec![b'.'; 8192]).unwrap();
            fs::write(dir.join("long"), vec![b'-'; 10_000]).unwrap();
        });
        let path = served.at("file");
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let refused = |result: sys::Sys| assert_eq!(result, Err(libc::EPERM), "{}", variant.name);
        assert_eq!(file.write_at(b"within", 8186).unwrap(), 6);
        // The kernel writes by pages, of which the first fits.
        assert_eq!(sys::pwrite(file.as_raw_fd(), b"beyond", 8187), Ok(5));
        refused(sys::pwrite(file.as_raw_fd(), b"beyond", 8192));
        refused(sys::pwrite(file.as_raw_fd(), b"beyond", 9000));
        refused(sys::ftruncate(file.as_raw_fd(), 100));
        refused(sys::ftruncate(file.as_raw_fd(), 8193));
        refused(sys::truncate(sys::b(&path), 0));
        sys::ftruncate(file.as_raw_fd(), 8192).unwrap();
        assert_eq!(errno(File::create(&path)), libc::EPERM, "O_TRUNC");
        assert_eq!(errno(OpenOptions::new().append(true).open(&path).unwrap().write_all(b"end")), libc::EPERM);
        refused(sys::fallocate(file.as_raw_fd(), 0, 4096, 8192));
        refused(sys::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 4096, 8192));
        sys::fallocate(file.as_raw_fd(), 0, 0, 8192).unwrap();
        sys::fallocate(file.as_raw_fd(), libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4096).unwrap();
        let long = File::open(served.at("long")).unwrap();
        refused(sys::copy_file_range((long.as_raw_fd(), 0), (file.as_raw_fd(), 0), 10_000));
        assert_eq!(sys::copy_file_range((long.as_raw_fd(), 5000), (file.as_raw_fd(), 0), 1 << 20).unwrap(), 5000);
        // New files are made, and stay empty.
        let new = File::create(served.at("new")).unwrap();
        refused(sys::write(new.as_raw_fd(), b"x"));
        let sizes = ["file", "long", "new"].map(|name| fs::metadata(served.on_host(name)).unwrap().len());
        assert_eq!(sizes, [8192, 10_000, 0], "{}", variant.name);
    }
}

/// The kernel does not know yet where the end is.
#[test]
fn a_sealed_size_is_the_hosts() {
    let served = Served::by(&VARIANTS[0], &[&["--seal-size"], &FOREVER[..]].concat(), |dir| {
        fs::write(dir.join("file"), "short").unwrap();
    });
    let mut file = OpenOptions::new().append(true).open(served.at("file")).unwrap();
    fs::write(served.on_host("file"), "longer than it was").unwrap();
    assert_eq!(errno(file.write_all(b"end")), libc::EPERM);
    assert_eq!(fs::read(served.on_host("file")).unwrap(), b"longer than it was");
}

/// A script that `nobody` runs.
fn as_nobody(script: &str) {
    let status = Command::new("sh").args(["-c", script]).uid(65534).gid(65534).status().unwrap();
    assert!(status.success(), "{script}");
}

#[test]
fn privileges_go_with_a_write_whoever_takes_them() {
    for (arguments, asks) in [(&[][..], false), (&["--killpriv-v2=true"][..], false), (&["--killpriv-v2=false"], true)]
    {
        let served = Served::new(arguments);
        let path = served.on_host("file");
        fs::write(&path, "text").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
        fs::write(served.on_host("plain"), "text").unwrap();
        fs::set_permissions(served.on_host("plain"), fs::Permissions::from_mode(0o777)).unwrap();
        let requests = served.during(&["GETXATTR"], || {
            as_nobody(&format!("for n in 1 2 3 4 5; do echo $n; done >>{}", served.at("plain").display()));
        });
        as_nobody(&format!("echo text >>{}", served.at("file").display()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777, "{arguments:?}");
        assert_eq!(fs::metadata(served.at("file")).unwrap().mode() & 0o7777, 0o777, "{arguments:?}");
        assert_eq!(requests >= 5, asks, "{arguments:?}: {requests} requests");
    }
}

#[test]
fn choices_that_exclude_each_other_are_said_and_one_gives_way() {
    for (arguments, given_up) in [
        (&["--no-open"][..], "--no-open needs --cache=always"),
        (&["--cache=never", "--no-opendir"], "--no-opendir"),
        (&["--cache=none", "--cache-readdir"], "--cache-readdir"),
        (&["--cache=never", "--writeback"], "--writeback"),
        (&["--cache=metadata", "--writeback"], "--writeback"),
        (&["--seal-size", "--writeback"], "--seal-size"),
        (&["--xattrmap=:map::user.x.:"], "--killpriv-v2=false"),
        (&["--no-xattr", "--xattrmap=:ok:all:::"], "--xattrmap"),
    ] {
        let served = Served::new(arguments);
        until("the start", || served.mount.stderr().contains("Ctrl-C stops"));
        let said = served.mount.stderr();
        let lines: Vec<&str> =
            said.lines().filter(|line| !line.contains("serving") && !line.contains("because")).collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("ptfs: ") && lines[0].contains(given_up),
            "{arguments:?}: {said}"
        );
        // It serves as if the one had not been asked for.
        fs::write(served.on_host("file"), "text").unwrap();
        assert_eq!(fs::read(served.at("file")).unwrap(), b"text");
        let opens = served.during(&["OPEN"], || assert_eq!(fs::read(served.at("file")).unwrap(), b"text"));
        assert_eq!(opens, 1);
        let writes = served.during(&["WRITE"], || {
            let mut file = File::create_new(served.at("new")).unwrap();
            // With a sealed size they are refused, one by one.
            (0..10).for_each(|_| drop(file.write_all(b"x")));
        });
        assert_eq!(writes, 10);
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error_in_one_line() {
    for (argument, part) in [
        ("--cache=sometimes", "never"),
        ("--negative-timeout=-1", "--negative-timeout"),
        ("--xattrmap=:okay:all:::", "'okay'"),
        ("--xattrmap=:map:x:", "prefix"),
        ("--fd-budget=3", "--fd-budget"),
        ("--inode-handles=perhaps", "--inode-handles"),
        ("--max-write=100", "--max-write"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_ptfs")).args([argument, "/nowhere", "/nowhere"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.lines().count() == 1 && said.starts_with("ptfs: ") && said.contains(part), "{said}");
    }
}

/// Without the flags a lock on the mount is one on the host, as the cases of `conformance` have it.
#[test]
fn locks_stay_in_the_mount_if_told_to() {
    for variant in &VARIANTS {
        for (flag, kind) in [("--posix-lock=false", "posix"), ("--flock=false", "flock")] {
            let served = Served::by(variant, &[flag], |dir| fs::write(dir.join("f"), "content").unwrap());
            let open = |path: PathBuf| sys::open(sys::b(&path), libc::O_RDWR, 0).unwrap();
            let (one, other, host) = (open(served.at("f")), open(served.at("f")), open(served.on_host("f")));
            let lock = |fd, flock: bool| match flock {
                true => sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB).map(drop),
                false => sys::lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 0).map(drop),
            };
            for flock in [false, true] {
                let stays = flock == (kind == "flock");
                lock(one, flock).unwrap();
                assert_eq!(lock(other, flock), Err(libc::EAGAIN), "{flag}: between clients");
                let expected = if stays { Ok(()) } else { Err(libc::EAGAIN) };
                assert_eq!(lock(host, flock), expected, "{flag}: from the host, flock {flock}");
            }
            for fd in [one, other, host] {
                sys::close(fd).unwrap();
            }
            // Who keeps no locks of processes need not be told of each close(2). A process and a mount of their own:
            // the children of other tests close copies of what this one has open.
            let served = Served::by(variant, &[flag], |dir| fs::write(dir.join("f"), "content").unwrap());
            let path = served.at("f");
            let flushed = served.during(&["FLUSH"], || {
                let client = sys::fork(|| {
                    let fds = [0, 1].map(|_| sys::open(sys::b(&path), libc::O_RDWR, 0).unwrap());
                    lock(fds[0], false).and(lock(fds[0], true)).unwrap();
                    fds.into_iter().try_for_each(|fd| sys::close(fd).map(drop)).unwrap();
                    0
                });
                assert_eq!(client.wait(), 0);
            });
            assert_eq!(flushed, if kind == "posix" { 0 } else { 2 }, "{flag}");
        }
    }
}
