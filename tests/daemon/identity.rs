//! Flags about ids: what contradicts itself, and the end of a daemon that has given its rights away.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, VARIANTS, mounted, refused};

#[test]
fn a_mapping_that_cannot_be_is_refused() {
    let cases: [(&[&str], &str); 9] = [
        (&["--uid-mapping=0:1"], "in threes"),
        (&["--uid-mapping=0:1:0"], "0:1:0 maps nothing"),
        (&["--gid-mapping=0:5:3:2:9:1"], "0:5:3 and 2:9:1 map one id of the host twice"),
        (&["--gid-mapping=0:5:3:9:7:1"], "0:5:3 and 9:7:1 show two ids of the host as one"),
        (&["--uid-mapping=0:4294967290:9"], "beyond the last id"),
        (&["--squash-to=nobody"], "UID:GID"),
        (&["--squash-to=0:0"], "root"),
        (&["--squash-to=1000:1000", "--uid-mapping=0:0:1000"], "files of 1000, which --uid-mapping shows as nobody's"),
        (&["--squash-to=1000:1000", "--gid-mapping=0:0:1000"], "files of 1000, which --gid-mapping shows as nobody's"),
    ];
    for (flags, hint) in cases {
        let (code, said) = refused(&[flags, &["/", "/a"]].concat());
        assert!(code == Some(2) && said.contains(hint), "{flags:?}: {said}");
    }
}

#[test]
fn a_squashed_daemon_takes_its_mount_down() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        // Where the squash user gets nowhere.
        let shut = scratch.path("shut");
        fs::create_dir(&shut).expect("new");
        fs::set_permissions(&shut, Permissions::from_mode(0o700)).expect("ours");
        fs::set_permissions(scratch.source(), Permissions::from_mode(0o777)).expect("ours");
        let point = shut.join("mnt");
        let mut command = Command::new(PTFS);
        command.args(arguments).arg("--squash-to=1000:1000").arg(scratch.source()).arg(&point);
        let daemon = Daemon::start(command);
        fs::write(point.join("new"), "").expect("1000 may");
        assert_eq!(fs::metadata(scratch.source().join("new")).expect("made").uid(), 1000);
        let error = fs::write(point.join("hello"), "").expect_err("root's own file");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        daemon.stop();
        assert!(mounted(&point).is_none() && !point.exists());
    }
}

#[test]
fn a_squashed_daemon_may_open_a_device_that_is_roots_alone() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let device = scratch.path("fuse");
        // The namespace must not keep the mounts of other tests.
        let script = "umount --all --lazy --types fuse.ptfs
            mknod -m 600 $0 c 10 229 && mount --bind $0 /dev/fuse && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(device).arg(PTFS);
        command.args(arguments).arg("--squash-to=1000:1000").arg(scratch.source()).arg(scratch.mnt());
        let daemon = Daemon::start(command);
        let root = PathBuf::from(format!("/proc/{}/root", daemon.pid()));
        let hello = root.join(scratch.mnt().strip_prefix("/").expect("absolute")).join("hello");
        assert_eq!(fs::read(hello).expect("served"), b"hello\n");
        daemon.stop();
    }
}
