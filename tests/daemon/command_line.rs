//! What a newcomer types first.

use std::fs;
use std::process::Command;

use crate::harness::{PTFS, Scratch, refused, run};

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(Command::new(PTFS).arg("--help"));
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    assert!(help.status.success() && help.stderr.is_empty());
    for part in ["Usage: ptfs [OPTIONS] <SOURCE> <MOUNTPOINT>", "Examples:", "fusermount3 -u", "--stats-at-exit"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let version = run(Command::new(PTFS).arg("--version"));
    assert!(version.status.success());
    assert_eq!(version.stdout, format!("ptfs {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_2() {
    let cases: [(&[&str], &str); 18] = [
        (&[], "<SOURCE>"),
        (&["/"], "<MOUNTPOINT>"),
        (&["/", "/a", "/b"], "'/b'"),
        (&["--engin=pool", "/", "/a"], "'--engine'"),
        (&["--engine=fast", "/", "/a"], "possible values: auto, uring, pool"),
        (&["--engine=pool", "--transport=fuse-uring", "/", "/a"], "--engine=pool"),
        (&["--engine=pool", "--io=ring", "/", "/a"], "--io"),
        (&["--attr-timeout", "-1", "/", "/a"], "0 to 4294967295 seconds"),
        (&["-o", "ro,allow_othr", "/", "/a"], "'allow_other'"),
        (&["-o", "remount,r0", "/", "/a"], "'r0'"),
        (&["--queue-depth=0", "/", "/a"], "--queue-depth"),
        (&["--queue-depth=5000", "/", "/a"], "4096"),
        (&["--queue-depth=many", "/", "/a"], "--queue-depth"),
        (&["--max-write=6000", "/", "/a"], "multiple of 4096"),
        (&["--max-write=2M", "/", "/a"], "4096 to 1M"),
        (&["--memory-cap=lots", "/", "/a"], "K, M or G"),
        (&["--attr-timeout=-1", "/", "/a"], "--attr-timeout"),
        (&["--max-background=8", "--congestion-threshold=9", "/", "/a"], "exceeds"),
    ];
    for (arguments, hint) in cases {
        let (code, said) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
}

#[test]
fn what_cannot_be_served_is_named() {
    let scratch = Scratch::new();
    let (missing, file) = (scratch.path("missing"), scratch.source().join("hello"));
    let (code, said) = refused(&[&missing, &scratch.path("new")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("missing: No such file"), "{said}");
    assert!(!scratch.path("new").exists(), "a mount point was made for nothing");

    let (code, said) = refused(&[&file, &scratch.mnt()]);
    assert!(code == Some(1) && said.contains("hello: Not a directory"), "{said}");
    let (code, said) = refused(&[&scratch.source(), &file]);
    assert!(code == Some(1) && said.contains("hello is not a directory"), "{said}");
    let (code, said) = refused(&[&scratch.source(), &scratch.path("no/such")]);
    assert!(code == Some(1) && said.contains("cannot make the mount point"), "{said}");
    assert_eq!(fs::read_dir(scratch.mnt()).expect("untouched").count(), 0);
}

#[test]
fn a_mount_that_would_contain_itself_is_refused() {
    let scratch = Scratch::new();
    let (inside, new) = (scratch.source().join("inside"), scratch.source().join("new"));
    fs::create_dir(&inside).expect("new");
    for point in [&inside, &new] {
        let (code, said) = refused(&[&scratch.source(), point]);
        assert!(code == Some(1) && said.contains("inside SOURCE"), "{said}");
    }
    assert!(!new.exists() && inside.exists());
    // The mount would come up at source/inside as well, by propagation.
    let shared = scratch.path("shared");
    fs::create_dir(&shared).expect("new");
    let script = "mount --bind \"$1\" \"$1\" && mount --make-shared \"$1\" && mount --bind \"$1\" \"$2\"";
    let source = scratch.source();
    assert!(run(Command::new("sh").args(["-c", script, "sh"]).args([&source, &shared])).status.success());
    let (code, said) = refused(&[&source, &shared.join("inside")]);
    assert!(code == Some(1) && said.contains("inside SOURCE"), "{said}");
}
