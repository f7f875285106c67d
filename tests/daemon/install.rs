//! `make install` and `make uninstall`, into a directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{PTFS, Scratch, run};

#[test]
fn make_installs_and_uninstalls() {
    let scratch = Scratch::new();
    let stage = scratch.path("stage");
    let make = |target: &str| {
        let mut command = Command::new("make");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).arg(target).arg("PREFIX=/usr");
        let output = run(command.arg(format!("DESTDIR={}", stage.display())).arg(format!("BINARY={PTFS}")));
        assert!(output.status.success(), "{output:?}");
    };
    make("install");
    let installed = stage.join("usr/bin/ptfs");
    assert!(run(Command::new(&installed).arg("--version")).status.success());
    for helper in ["mount.ptfs", "mount.fuse.ptfs"] {
        let link = fs::read_link(stage.join("sbin").join(helper)).expect("a link");
        assert_eq!(link, Path::new("/usr/bin/ptfs"), "what is staged goes to /");
    }
    make("uninstall");
    for dir in ["usr/bin", "sbin"] {
        assert_eq!(fs::read_dir(stage.join(dir)).expect("stays").count(), 0, "{dir}");
    }
}
