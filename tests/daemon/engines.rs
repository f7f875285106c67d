//! Which engine serves and by which transport, and what is said about it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::PoisonError;

use crate::harness::{Daemon, PTFS, SWITCH, SWITCH_LOCK, Scratch, VARIANTS, refusal, run};

#[test]
fn each_engine_and_transport_serves_and_says_so() {
    switch_on();
    for (arguments, name) in VARIANTS {
        let scratch = Scratch::new();
        let daemon = scratch.serve(arguments);
        let said = daemon.said();
        let (source, mnt) = (scratch.source(), scratch.mnt());
        let start = format!("ptfs: serving {} at {}: {name}, ", source.display(), mnt.display());
        assert!(said.starts_with(&start), "{said}");
        assert!(said.contains("Ctrl-C stops"), "{said}");
        assert_eq!(said.contains(" because "), !name.contains("FUSE-over"), "{said}");
        assert_eq!(fs::read(mnt.join("hello")).expect("readable"), b"hello\n");
        fs::write(mnt.join("new"), vec![7; 3_000_000]).expect("writable");
        assert_eq!(fs::read(source.join("new")).expect("written"), vec![7; 3_000_000]);
        daemon.stop();
    }
}

#[test]
fn queue_depth_and_write_size_are_obeyed() {
    switch_on();
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let daemon = scratch.serve(&[arguments, &["--queue-depth=3", "--max-write=8K"]].concat());
        fs::write(scratch.mnt().join("new"), vec![9; 100_000]).expect("writable");
        assert_eq!(fs::read(scratch.source().join("new")).expect("written"), vec![9; 100_000]);
        if arguments.contains(&"--engine=uring") {
            assert!(daemon.said().contains("queue depth 3,"), "{}", daemon.said());
        }
        daemon.stop();
    }
}

/// Whoever ran before may have left it off.
fn switch_on() {
    let _alone = SWITCH_LOCK.write().unwrap_or_else(PoisonError::into_inner);
    fs::write(SWITCH, "Y").unwrap_or_else(|error| panic!("{SWITCH}: {error}"));
}

/// Puts the kernel's switch back on.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, "Y");
    }
}

#[test]
fn without_the_kernels_switch_the_way_to_it_is_named() {
    let _alone = SWITCH_LOCK.write().unwrap_or_else(PoisonError::into_inner);
    let off = Off;
    fs::write(SWITCH, "N").unwrap_or_else(|error| panic!("{SWITCH}: {error}"));

    let scratch = Scratch::new();
    let mut command = Command::new(PTFS);
    command.arg("--transport=fuse-uring").arg(scratch.source()).arg(scratch.mnt());
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("echo Y > /sys/module/fuse"), "{said}");

    let mut command = Command::new(PTFS);
    command.arg(scratch.source()).arg(scratch.mnt());
    let daemon = Daemon::start_as_it_is(command);
    drop(off);
    let said = daemon.said();
    assert!(said.contains("uring engine over /dev/fuse") && said.contains("echo Y > /sys/module/fuse"), "{said}");
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
    daemon.stop();
}

/// `ptfs` where a seccomp filter forbids io_uring, as in a container. (The sysctl would forbid it to everybody.)
fn without_io_uring(arguments: &[&str], scratch: &Scratch) -> Command {
    let mut command = Command::new(PTFS);
    command.args(arguments).arg(scratch.source()).arg(scratch.mnt());
    // SAFETY: between fork and exec it makes two plain system calls.
    unsafe { command.pre_exec(forbid_io_uring) };
    command
}

fn forbid_io_uring() -> std::io::Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the call
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` and `program` live through the call, which copies them.
    let failed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) } != 0;
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn where_io_uring_is_forbidden_the_pool_takes_over() {
    let scratch = Scratch::new();
    let daemon = Daemon::start(without_io_uring(&[], &scratch));
    let said = daemon.said();
    assert!(said.contains("pool engine over /dev/fuse") && said.contains("seccomp profile"), "{said}");
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
    daemon.stop();
    for wish in ["--engine=uring", "--transport=fuse-uring"] {
        let (code, said) = refusal(&mut without_io_uring(&[wish], &scratch));
        assert!(code == Some(1) && said.contains("seccomp profile"), "{said}");
    }
}
