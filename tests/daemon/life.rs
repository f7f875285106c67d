//! Start and end, the good and the bad.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{PTFS, Scratch, VARIANTS, mounted, refused, run, signal, until};

fn umount(arguments: &[&str], point: &Path) {
    // A child that another test forks holds our files until it runs its program, which makes the mount busy.
    until("umount", || run(Command::new("umount").args(arguments).arg(point)).status.success());
}

#[test]
fn the_mount_point_is_made_and_removed_again() {
    for name in ["INT", "TERM", "HUP"] {
        let scratch = Scratch::new();
        fs::remove_dir(scratch.mnt()).expect("empty");
        let mut daemon = scratch.serve(&[]);
        assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
        daemon.signal(name);
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
        assert!(daemon.said().contains(&format!("SIG{name}: unmounting")), "{}", daemon.said());
        assert!(!scratch.mnt().exists());
    }
}

#[test]
fn signals_and_umount_end_every_engine() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        for end in ["INT", "TERM", "umount"] {
            let mut daemon = scratch.serve(arguments);
            fs::write(scratch.mnt().join(end), end).expect("writable");
            match end {
                "umount" => umount(&[], &scratch.mnt()),
                signal => daemon.signal(signal),
            }
            assert_eq!(daemon.end(), Some(0), "{arguments:?}, {end}:\n{}", daemon.said());
            assert!(mounted(&scratch.mnt()).is_none());
            assert_eq!(fs::read(scratch.source().join(end)).expect("written"), end.as_bytes());
            assert!(scratch.mnt().is_dir(), "was there before");
        }
    }
}

#[test]
fn fusermount_ends_it_too() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&[]);
    assert!(run(Command::new("fusermount3").arg("-u").arg(scratch.mnt())).status.success());
    assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
}

#[test]
fn an_open_file_goes_on_after_sigterm() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(arguments);
        let mut file = File::options().read(true).append(true).open(scratch.mnt().join("hello")).expect("there");
        daemon.signal("TERM");
        daemon.wait_for("is in use");
        until("the mount to be hidden", || mounted(&scratch.mnt()).is_none());
        let mut text = String::new();
        file.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "hello\n");
        file.write_all(b"bye\n").expect("writable");
        file.sync_all().expect("writable");
        assert!(daemon.is_running());
        drop(file);
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
        assert_eq!(fs::read(scratch.source().join("hello")).expect("there"), b"hello\nbye\n");
    }
}

#[test]
fn nobody_can_hold_it_up_for_ever() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&[]);
    let mut file = File::options().read(true).write(true).open(scratch.mnt().join("hello")).expect("there");
    file.write_all(b"saved").expect("writable");
    daemon.signal("TERM");
    daemon.wait_for("still in use: leaving");
    // 1 means that the connection could not be aborted: /sys/fs/fuse/connections is not mounted here.
    assert!(matches!(daemon.end(), Some(0 | 1)), "{}", daemon.said());
    assert!(file.write_all(b"lost").and_then(|()| file.sync_all()).is_err());
    assert_eq!(fs::read(scratch.source().join("hello")).expect("there"), b"saved\n");
}

/// A thread of the daemon that waits for the daemon's own answer could not be killed once nobody is left to give it, and
/// would keep the device from closing.
#[test]
fn it_can_be_killed_while_it_waits_for_its_own_first_answer() {
    let scratch = Scratch::new();
    // Every answer of the engine is an hour late. The tracer is nobody's child (-D), so that the child here is ptfs.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=writev"]);
    command.args(["-e", "inject=writev:delay_enter=3600000000", "--", PTFS, "--engine=pool"]);
    let mut child = command.arg(scratch.source()).arg(scratch.mnt()).spawn().expect("strace");
    let tasks = format!("/proc/{}/task", child.id());
    let in_call = |number: libc::c_long| {
        let calls = fs::read_dir(&tasks).expect("runs").flatten();
        let mut calls = calls.flat_map(|task| fs::read_to_string(task.path().join("syscall")));
        calls.any(|call| call.split(' ').next() == Some(&number.to_string()))
    };
    until("an answer to be held back", || mounted(&scratch.mnt()).is_some() && in_call(libc::SYS_writev));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("runs");
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).expect("a tracer").trim().to_owned();
    child.kill().expect("ours");
    // It holds back what was killed, too.
    signal(tracer.parse().expect("a number"), "KILL");
    let end = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("ours").is_none() {
        if Instant::now() > end {
            // This is what takes the connection, and with it the daemon, away.
            let _ = run(Command::new("umount").arg("-f").arg(scratch.mnt()));
            panic!("the daemon cannot be killed");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Who waits for a lock would hold it up for as long as somebody else has that.
#[test]
fn sigterm_ends_who_waits_for_a_lock() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(arguments);
        let holder = File::open(scratch.source().join("hello")).expect("there");
        holder.lock().expect("free");
        let path = scratch.mnt().join("hello");
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let file = File::open(path).expect("there");
            tell.send(()).expect("heard");
            file.lock()
        });
        told.recv().expect("open by now");
        daemon.signal("TERM");
        let error = waiter.join().expect("no panic").expect_err("the holder never leaves");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN), "{arguments:?}: {error}");
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
        assert!(!daemon.said().contains("still in use"), "{}", daemon.said());
        assert!(mounted(&scratch.mnt()).is_none());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&[]);
    let _file = File::open(scratch.mnt().join("hello")).expect("there");
    // At once twice is one wish: timeout(1) signals the process and then its group.
    daemon.signal("INT");
    daemon.signal("INT");
    daemon.wait_for("is in use");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!daemon.said().contains("leaving at once"), "{}", daemon.said());
    let start = Instant::now();
    daemon.signal("INT");
    assert_eq!(daemon.end(), Some(1), "{}", daemon.said());
    assert!(daemon.said().contains("leaving at once"), "{}", daemon.said());
    // Not the grace of 10 s, which began before.
    assert!(start.elapsed().as_secs() < 8 && mounted(&scratch.mnt()).is_none());
}

#[test]
fn a_lazy_umount_ends_it_when_the_last_user_leaves() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(arguments);
        let mut file = File::open(scratch.mnt().join("hello")).expect("there");
        umount(&["-l"], &scratch.mnt());
        let mut text = String::new();
        file.read_to_string(&mut text).expect("readable");
        assert!(text == "hello\n" && daemon.is_running());
        drop(file);
        assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
    }
}

#[test]
fn auto_unmount_cleans_up_after_sigkill() {
    let scratch = Scratch::new();
    fs::remove_dir(scratch.mnt()).expect("empty");
    let mut daemon = scratch.serve(&["-o", "auto_unmount"]);
    daemon.signal("KILL");
    assert_eq!(daemon.end(), None);
    until("the mount and its point to go", || mounted(&scratch.mnt()).is_none() && !scratch.mnt().exists());
}

#[test]
fn auto_unmount_leaves_the_next_mount_alone() {
    let scratch = Scratch::new();
    let mut first = scratch.serve(&["-o", "auto_unmount"]);
    umount(&["-l"], &scratch.mnt());
    assert_eq!(first.end(), Some(0));
    let second = scratch.serve(&["-o", "auto_unmount"]);
    // A watchdog of the first that had its path alone would act within this time.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
    second.stop();
}

#[test]
fn a_dead_mount_says_so_and_can_be_unmounted() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(arguments);
        daemon.signal("KILL");
        assert_eq!(daemon.end(), None);
        let file = scratch.mnt().join("hello");
        // The kernel takes a ring apart after its process is gone; a request of that moment is ECONNABORTED, or
        // ECANCELED if it was on its way to the worker.
        until("ENOTCONN", || {
            let error = fs::metadata(&file).expect_err("nobody answers");
            let errno = error.raw_os_error();
            assert!(matches!(errno, Some(libc::ENOTCONN | libc::ECONNABORTED | libc::ECANCELED)), "{error}");
            errno == Some(libc::ENOTCONN)
        });
        let (code, said) = refused(&[scratch.source(), scratch.mnt()]);
        assert!(code == Some(1) && said.contains("`umount "), "{said}");
        umount(&[], &scratch.mnt());
        scratch.serve(arguments).stop();
    }
}

/// The daemon goes on when a process dies that waits for it.
#[test]
fn a_client_killed_in_the_middle_of_a_copy_leaves_it_serving() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let daemon = scratch.serve(arguments);
        let (big, mnt) = (scratch.mnt().join("big"), scratch.mnt());
        let copies = [
            "exec dd if=/dev/zero of=big bs=1M count=400 conv=fsync",
            "while cat big; do :; done >/dev/null",
            "exec dd if=big of=copy bs=128k iflag=direct oflag=direct",
        ];
        for copy in copies {
            let mut command = Command::new("sh");
            command.args(["-c", copy]).current_dir(&mnt).stderr(std::process::Stdio::null());
            let mut client = command.spawn().expect("sh");
            until("the copy to be under way", || fs::metadata(&big).is_ok_and(|meta| meta.len() > 20 << 20));
            std::thread::sleep(std::time::Duration::from_millis(50));
            signal(client.id(), "KILL");
            client.wait().expect("our child");
            fs::write(mnt.join("after"), copy).expect("writable");
            assert_eq!(fs::read(scratch.source().join("after")).expect("written"), copy.as_bytes());
        }
        assert_eq!(fs::metadata(&big).expect("there").len(), fs::metadata(scratch.source().join("big")).unwrap().len());
        daemon.stop();
    }
}

/// Output may go to a pipe that nobody reads any more.
#[test]
fn a_closed_standard_error_is_no_reason_to_end() {
    let scratch = Scratch::new();
    let mut command = Command::new("sh");
    let script = "{ \"$0\" \"$@\" 2>&1 >&3; echo $? >\"$2.code\"; } 3>&1 | head -c 1 >/dev/null";
    command.args(["-c", script, PTFS]).arg(scratch.source()).arg(scratch.mnt());
    let mut child = command.spawn().expect("sh");
    until("the mount", || mounted(&scratch.mnt()).is_some());
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
    umount(&[], &scratch.mnt());
    child.wait().expect("our child");
    assert_eq!(fs::read_to_string(scratch.path("mnt.code")).expect("written"), "0\n");
}
