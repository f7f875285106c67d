//! How nodes are told apart and reached: `--enable-mntid`, `--use-host-ino`, `--inode-handles`, `--fd-budget`.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::process::Command;

use super::support::sys::At;
use super::support::{Backing, Fs};
use super::*;

/// A mount below a source, gone when dropped.
struct Below(PathBuf);

impl Below {
    fn new(arguments: &[&str], point: PathBuf) -> Below {
        assert!(Command::new("mount").args(arguments).arg(&point).status().unwrap().success());
        Below(point)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        sys::unmount(&self.0).unwrap();
    }
}

#[test]
fn bind_mounts_of_a_file_are_one_unless_told_apart() {
    for (arguments, apart) in [(&["--cache=always"][..], false), (&["--cache=always", "--enable-mntid"], true)] {
        let source = tempfile::Builder::new().prefix("ptfs-options-").tempdir().unwrap();
        let at = |name: &str| source.path().join(name);
        for name in ["tree", "one", "two"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("tree/file"), "content").unwrap();
        let tree = at("tree");
        let _one = Below::new(&["--bind", tree.to_str().unwrap()], at("one"));
        let _two = Below::new(&["--bind", tree.to_str().unwrap()], at("two"));
        let served = Served { mount: Mount::with_args(&VARIANTS[0], arguments, source.path()), source };
        // Two files have numbers and pages of their own, one is read once.
        let files = ["tree/file", "one/file", "two/file"].map(|name| served.at(name));
        let read = || files.iter().for_each(|file| assert_eq!(fs::read(file).unwrap(), b"content"));
        assert_eq!(served.during(&["READ"], read), if apart { 3 } else { 1 }, "{arguments:?}");
        let ino = |file: &PathBuf| fs::metadata(file).unwrap().ino();
        assert_eq!(ino(&files[0]) != ino(&files[1]), apart, "{arguments:?}");
        fs::hard_link(&files[0], served.at("tree/link")).unwrap();
        // As on the host, where mounts are told apart too.
        assert_eq!(
            fs::hard_link(&files[0], served.at("one/other")).is_err_and(|e| e.raw_os_error() == Some(libc::EXDEV)),
            apart
        );
        served.mount.finish().unwrap();
    }
}

#[test]
fn other_filesystems_show_inode_numbers_with_a_prefix_unless_told_not_to() {
    for (arguments, same) in [(&[][..], false), (&["--use-host-ino"][..], true)] {
        let source = tempfile::Builder::new().prefix("ptfs-options-").tempdir().unwrap();
        fs::create_dir(source.path().join("other")).unwrap();
        let _other = Below::new(&["-t", "tmpfs", "ptfs-test"], source.path().join("other"));
        fs::write(source.path().join("other/file"), "").unwrap();
        fs::write(source.path().join("file"), "").unwrap();
        let mount = Mount::with_args(&VARIANTS[0], arguments, source.path());
        let ino = |dir: &Path, name: &str| fs::metadata(dir.join(name)).unwrap().ino();
        assert_eq!(ino(mount.path(), "file"), ino(source.path(), "file"));
        for name in ["other", "other/file"] {
            let equal = ino(mount.path(), name) == ino(source.path(), name);
            assert_eq!(equal, same, "{name} with {arguments:?}");
        }
        let listed = fs::read_dir(mount.path().join("other")).unwrap().next().unwrap().unwrap().ino();
        assert_eq!(listed, ino(mount.path(), "other/file"));
        mount.finish().unwrap();
    }
}

#[test]
fn what_has_no_descriptor_is_reached_by_handle_or_by_name() {
    for (how, found) in [("auto", true), ("always", true), ("never", false)] {
        let backing = Backing::new(Fs::Ext4, 64, "");
        let dir = backing.path();
        (0..100).for_each(|n| fs::write(dir.join(n.to_string()), "").unwrap());
        fs::write(dir.join("file"), "text").unwrap();
        let mount = Mount::with_args(
            &VARIANTS[0],
            &[&format!("--inode-handles={how}"), "--fd-budget=16", "--attr-timeout=0"],
            dir,
        );
        // Not opened: the daemon has the node alone, whose descriptor has to make way.
        let held = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(mount.path().join("file")).unwrap();
        (0..100).for_each(|n| assert!(fs::metadata(mount.path().join(n.to_string())).is_ok()));
        assert!(sys::stat(At::Empty(held.as_raw_fd())).is_ok(), "by either way");
        (0..100).for_each(|n| assert!(fs::metadata(mount.path().join(n.to_string())).is_ok()));
        fs::rename(dir.join("file"), dir.join("moved")).unwrap();
        let stat = sys::stat(At::Empty(held.as_raw_fd()));
        assert_eq!(
            stat.map(|stat| stat.st_size),
            if found { Ok(4) } else { Err(libc::ESTALE) },
            "--inode-handles={how}"
        );
        drop(held);
        mount.finish().unwrap();
    }
}

/// procfs has no file handles.
#[test]
fn a_source_without_handles_is_refused_where_nothing_else_will_do() {
    let point = tempfile::Builder::new().prefix("ptfs-options-").tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_ptfs"), "--inode-handles=always", "/proc/sys"])
        .arg(point.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("--inode-handles=always"), "{said}");
}

#[test]
fn descriptors_stay_within_the_budget() {
    for variant in &VARIANTS {
        let fill = |dir: &Path| (0..300).for_each(|n| fs::write(dir.join(n.to_string()), "").unwrap());
        let served = Served::by(variant, &["--fd-budget=50"], fill);
        until("the start", || served.mount.stderr().contains(" 50 fds"));
        let few = served.mount.fds().len();
        (0..300).for_each(|n| assert!(fs::metadata(served.at(&n.to_string())).is_ok()));
        assert!(served.mount.fds().len() <= few + 60, "{}: {}", variant.name, served.mount.fds().len());
        // Files that are open count as well, and beyond the budget there are none.
        let open: Vec<_> = (0..300).map(|n| File::open(served.at(&n.to_string()))).collect();
        let (fine, refused): (Vec<_>, Vec<_>) = open.into_iter().partition(Result::is_ok);
        assert!((30..=50).contains(&fine.len()), "{}: {} open", variant.name, fine.len());
        assert!(refused.into_iter().all(|result| errno(result) == libc::ENFILE));

        let wide = Served::by(variant, &["--fd-budget=1000000000"], fill);
        until("the start", || wide.mount.stderr().contains(" fds"));
        let said = wide.mount.stderr();
        assert!(said.contains("--fd-budget=1000000000 is cut to ") && !said.contains("1000000000 fds"), "{said}");
    }
}
