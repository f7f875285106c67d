//! Nothing of the daemon's leads into its mount, and nothing in the mount leads the daemon out of it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{PTFS, Scratch, mounted, refusal, refused};

fn errno<T>(outcome: io::Result<T>) -> Option<i32> {
    outcome.err().and_then(|error| error.raw_os_error())
}

fn bind(source: &Path, target: &str) -> String {
    format!("--bind={}:{target}", source.display())
}

/// The daemon would wait for itself, and nobody could kill it.
#[test]
fn its_own_files_below_the_mount_point_are_refused() {
    let scratch = Scratch::new();
    symlink(scratch.mnt(), scratch.path("link")).expect("new");
    fs::create_dir(scratch.mnt().join("sub")).expect("new");
    for name in ["mnt/file", "link/file", "link/sub/file", "source/../mnt/file", "mnt/sub/../file"] {
        for flag in ["pidfile", "log-file"] {
            let (option, source, point) =
                (format!("--{flag}={}", scratch.path(name).display()), scratch.source(), scratch.mnt());
            let (code, said) = refused(&[option.as_ref(), source.as_os_str(), point.as_os_str()]);
            assert!(code == Some(2) && said.contains("lies below the mount point"), "{option}: {code:?} {said}");
            assert!(mounted(&point).is_none() && !scratch.path(name).exists());
        }
    }
    // What was beside it is still good.
    let daemon = scratch.serve(&[&format!("--pidfile={}", scratch.path("source/../pid").display())]);
    assert!(scratch.path("pid").exists());
    daemon.stop();
}

#[test]
fn a_pid_file_is_a_regular_file() {
    let scratch = Scratch::new();
    let fifo = scratch.path("fifo");
    let path = CString::new(fifo.to_str().expect("text")).expect("no NUL");
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    symlink(scratch.path("hello"), scratch.path("link")).expect("new");
    let cases =
        [("fifo", "no regular file"), ("link", "symbolic link"), ("source", "no regular file"), ("no/pid", "No such")];
    for (name, hint) in cases {
        let (option, source, point) =
            (format!("--pidfile={}", scratch.path(name).display()), scratch.source(), scratch.mnt());
        let (code, said) = refused(&[option.as_ref(), source.as_os_str(), point.as_os_str()]);
        assert!(code == Some(1) && said.contains(hint), "{name}: {code:?} {said}");
    }
}

#[test]
fn a_bind_refuses_what_the_mount_refuses() {
    let flags = ["ro", "nosuid", "nodev", "noexec"];
    let cases: [(&[&str], [bool; 4]); 4] = [
        (&[], [false, true, true, false]),
        (&["--readonly"], [true, true, true, false]),
        (&["-o", "dev,suid,noexec"], [false, false, false, true]),
        (&["-o", "ro,dev,suid"], [true, false, false, false]),
    ];
    for (arguments, wanted) in cases {
        let scratch = Scratch::new();
        let outer = scratch.path("outer");
        fs::create_dir_all(&outer).expect("new");
        fs::create_dir(scratch.source().join("dir")).expect("new");
        let daemon = scratch.serve(&[&[&*bind(&outer, "dir")], arguments].concat());
        let options = mounted(&scratch.mnt().join("dir")).expect("bound");
        let found = flags.map(|flag| options.iter().any(|option| option == flag));
        assert_eq!(found, wanted, "{arguments:?}: {options:?}");
        let written = errno(fs::write(scratch.mnt().join("dir/new"), "new"));
        assert_eq!(written, if wanted[0] { Some(libc::EROFS) } else { None }, "{arguments:?}");
        assert_eq!(outer.join("new").exists(), !wanted[0]);
        daemon.stop();
        assert!(mounted(&scratch.mnt().join("dir")).is_none());
    }
}

#[test]
fn a_link_leads_a_bind_inside_the_mount_alone() {
    let scratch = Scratch::new();
    let (outer, elsewhere) = (scratch.path("outer"), scratch.path("elsewhere"));
    fs::create_dir_all(&elsewhere).expect("new");
    fs::create_dir(&outer).expect("new");
    fs::write(outer.join("file"), "bound").expect("new");
    fs::create_dir_all(scratch.source().join("var/real")).expect("new");
    symlink("var/real", scratch.source().join("inside")).expect("new");
    let daemon = scratch.serve(&[&bind(&outer, "inside")]);
    assert_eq!(fs::read(scratch.mnt().join("var/real/file")).expect("bound"), b"bound");
    daemon.stop();

    symlink(&elsewhere, scratch.source().join("absolute")).expect("new");
    symlink("../elsewhere", scratch.source().join("up")).expect("new");
    for target in ["absolute", "absolute/new", "up", "up/new"] {
        let (option, source, point) = (bind(&outer, target), scratch.source(), scratch.mnt());
        let (code, said) = refused(&[option.as_ref(), source.as_os_str(), point.as_os_str()]);
        assert!(code == Some(1) && said.contains("leads out of the mount"), "{target}: {code:?} {said}");
        assert!(mounted(&elsewhere).is_none() && mounted(&point).is_none());
        assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), 0);
    }
}

/// Clients may rename what lies above a bind, and put a link that leads out in its place.
#[test]
fn a_bind_is_found_again_where_clients_have_moved_it() {
    let scratch = Scratch::new();
    let (outer, elsewhere) = (scratch.path("outer"), scratch.path("elsewhere"));
    fs::create_dir(&outer).expect("new");
    fs::create_dir_all(elsewhere.join("dir")).expect("new");
    let mut daemon = scratch.serve(&[&bind(&outer, "above/dir")]);
    fs::rename(scratch.mnt().join("above"), scratch.mnt().join("moved")).expect("possible");
    symlink(&elsewhere, scratch.mnt().join("above")).expect("new");
    assert!(mounted(&scratch.mnt().join("moved/dir")).is_some());
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
    assert!(!daemon.said().contains("in use"), "{}", daemon.said());
    assert!(mounted(&scratch.mnt().join("moved/dir")).is_none() && mounted(&scratch.mnt()).is_none());
    assert!(elsewhere.join("dir").is_dir(), "removed what was not made for it");
}

/// Has the kernel know nothing of a system call, in this process and what it becomes.
fn without(call: libc::c_long) -> io::Result<()> {
    let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let code = [
        // The number of the call is the first field of seccomp_data.
        libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: jump, jt: 0, jf: 1, k: call as u32 },
        libc::sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 },
        libc::sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    // SAFETY: `program` and what it points to are whole; the kernel only reads them.
    let outcome = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn an_old_kernel_binds_nothing_and_says_so() {
    for call in [libc::SYS_openat2, libc::SYS_open_tree, libc::SYS_mount_setattr, libc::SYS_move_mount] {
        let scratch = Scratch::new();
        let outer = scratch.path("outer");
        fs::create_dir(&outer).expect("new");
        let mut command = Command::new(PTFS);
        command.arg(bind(&outer, "dir")).arg("--engine=pool").arg(scratch.source()).arg(scratch.mnt());
        // SAFETY: prctl(2) is all that the child does.
        unsafe { command.pre_exec(move || without(call)) };
        let (code, said) = refusal(&mut command);
        assert!(code == Some(1) && said.contains("Linux 5.12") && said.contains("cannot bind"), "{code:?} {said}");
        assert!(mounted(&scratch.mnt()).is_none() && !scratch.source().join("dir").exists());
    }
}
