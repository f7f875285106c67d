//! `--writeback` and `--no-open` of a daemon that may not do everything with every file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

const NOBODY: u32 = 65534;

/// Mounts as `nobody`, runs a script there and unmounts; gives what the script printed and what the daemon said.
fn as_plain_user(arguments: &str, fill: impl FnOnce(&Path), script: &str) -> (TempDir, String, String) {
    let root = tempfile::Builder::new().prefix("ptfs-options-").tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["source", "mnt"] {
        fs::create_dir(at(name)).unwrap();
        chown(at(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // Not by this process: a child that another test forks meanwhile would hold it open for writing (ETXTBSY).
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_ptfs")).arg(at("ptfs")).status().unwrap().success());
    if fs::metadata("/dev/fuse").unwrap().permissions().mode() & 0o006 != 0o006 {
        fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).unwrap();
    }
    fill(&at("source"));
    let whole = format!(
        "cd {root} || exit 9
        ./ptfs {arguments} --stats-at-exit source mnt 2>said & daemon=$!
        for n in $(seq 200); do mountpoint -q mnt && break; sleep 0.05; done
        (cd mnt && set -e && {script}); result=$?
        for n in $(seq 100); do fusermount3 -u mnt 2>/dev/null && break; sleep 0.05; done
        (sleep 10; kill -9 $daemon) >/dev/null 2>&1 & guard=$!
        wait $daemon; kill $guard
        exit $result",
        root = root.path().display()
    );
    let output = Command::new("sh").args(["-c", &whole]).uid(NOBODY).gid(NOBODY).output().unwrap();
    let said = fs::read_to_string(at("said")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{errors}\nthe daemon said:\n{said}", output.status);
    (root, String::from_utf8(output.stdout).unwrap(), said)
}

/// Not `nobody`'s, but for everybody to write.
fn others(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_that_may_not_be_read_are_written_at_once() {
    let (root, _, said) = as_plain_user(
        "--writeback",
        |source| others(&source.join("drop"), "0123456789\n", 0o622),
        "for n in 1 2 3; do echo $n; done >>drop",
    );
    assert_eq!(fs::read_to_string(root.path().join("source/drop")).unwrap(), "0123456789\n1\n2\n3\n");
    let writes = said.lines().find(|line| line.starts_with("WRITE ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(writes.split_whitespace().nth(1), Some("3"), "{said}");
}

#[test]
fn times_of_other_peoples_files_are_the_hosts() {
    let (root, printed, _) = as_plain_user(
        "--writeback",
        |source| {
            others(&source.join("shared"), "text\n", 0o666);
            let file = fs::File::options().write(true).open(source.join("shared")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        },
        // Which fails if the kernel cannot write the inode back.
        "echo more | dd of=shared oflag=append conv=notrunc,fsync status=none && ! touch -d 2001-01-01 shared 2>&1",
    );
    assert!(printed.contains("not permitted"), "{printed}");
    let host = root.path().join("source/shared");
    assert_eq!(fs::read_to_string(&host).unwrap(), "text\nmore\n");
    assert!(fs::metadata(&host).unwrap().modified().unwrap() > std::time::UNIX_EPOCH + Duration::from_secs(1 << 30));
}

#[test]
fn without_open_what_is_made_can_be_written() {
    let (root, printed, _) = as_plain_user(
        "--cache=always --no-open",
        |source| others(&source.join("drop"), "dropped\n", 0o622),
        "umask 0333 && echo content >made && umask 0 && echo more >>drop && cat made",
    );
    assert_eq!(printed, "content\n");
    assert_eq!(fs::read_to_string(root.path().join("source/drop")).unwrap(), "dropped\nmore\n");
}
