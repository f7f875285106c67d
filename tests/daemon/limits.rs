//! More files than the daemon may hold descriptors.

use std::fs::{self, File};
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, VARIANTS, until};

const NOFILE: usize = 256;

fn serve_with_few_fds(scratch: &Scratch, arguments: &[&str]) -> Daemon {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {NOFILE} && exec \"$0\" \"$@\""), PTFS]).args(arguments);
    command.arg(scratch.source()).arg(scratch.mnt());
    Daemon::start(command)
}

fn fds(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("running").count()
}

#[test]
fn opens_beyond_the_budget_are_refused_and_no_more() {
    for (arguments, name) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = serve_with_few_fds(&scratch, arguments);
        for round in 0..3 {
            let create = |number: usize| File::create(scratch.mnt().join(format!("file-{number}")));
            let mut open = Vec::new();
            // RELEASE is not waited for by close(2): those of the round before may still be on their way.
            while open.len() < 64 {
                until("64 files to be open", || create(open.len()).map(|file| open.push(file)).is_ok());
            }
            let error = loop {
                match create(open.len()) {
                    Ok(file) => open.push(file),
                    Err(error) => break error,
                }
                assert!(open.len() < NOFILE, "{name}: more open files than descriptors");
            };
            assert_eq!(error.raw_os_error(), Some(libc::ENFILE), "{name}, round {round}, {} open", open.len());
            assert!(fds(&daemon) < NOFILE, "{name}: {} fds", fds(&daemon));
            // Names can still be looked up, made and removed.
            assert_eq!(fs::metadata(scratch.mnt().join("hello")).expect("there").len(), 6);
            fs::create_dir(scratch.mnt().join("dir")).expect("new");
            fs::remove_dir(scratch.mnt().join("dir")).expect("empty");
            drop(open);
        }
        assert!(daemon.is_running());
        daemon.stop();
    }
}

#[test]
fn a_tree_larger_than_the_budget_is_read_whole() {
    for (arguments, name) in VARIANTS {
        let scratch = Scratch::new();
        for dir in 0..50 {
            let dir = scratch.source().join(format!("dir-{dir}"));
            fs::create_dir(&dir).expect("new");
            (0..100).for_each(|n| fs::write(dir.join(format!("file-{n}")), n.to_string()).expect("new"));
        }
        let daemon = serve_with_few_fds(&scratch, arguments);
        // Twice: the second time by nodes whose descriptors went.
        for _ in 0..2 {
            let mut most = 0;
            let mut files = 0;
            for dir in fs::read_dir(scratch.mnt()).expect("readable") {
                let dir = dir.expect("readable");
                if !dir.file_type().expect("known").is_dir() {
                    continue;
                }
                for file in fs::read_dir(dir.path()).expect("readable") {
                    let path = file.expect("readable").path();
                    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                    assert!(path.to_string_lossy().ends_with(&format!("/file-{text}")), "{path:?} holds {text}");
                    files += 1;
                }
                most = most.max(fds(&daemon));
            }
            assert_eq!(files, 5000);
            assert!(most < NOFILE, "{name}: {most} fds");
        }
        daemon.stop();
    }
}
