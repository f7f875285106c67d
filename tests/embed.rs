//! Mounts inside this program, by [`ptfs::Mount`].
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ptfs::core::config::{Config, Engine, Transport};
use ptfs::core::idmap::Identity;
use ptfs::stats::OpKind;
use ptfs::{Builder, Mount, Unmount};

fn engines() -> [Config; 3] {
    [
        Config { engine: Engine::Uring, transport: Transport::FuseUring, ..Config::default() },
        Config { engine: Engine::Uring, transport: Transport::DevFuse, ..Config::default() },
        Config { engine: Engine::Pool, ..Config::default() },
    ]
}

fn directories() -> (tempfile::TempDir, Builder) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("source")).unwrap();
    let builder = Mount::builder(dir.path().join("source"), dir.path().join("mnt"));
    (dir, builder)
}

fn is_mounted(path: &Path) -> bool {
    fs::read_to_string("/proc/self/mounts").unwrap().contains(&format!(" {} ", path.display()))
}

#[test]
fn a_mount_is_served_counted_and_ended() {
    for config in engines() {
        let (dir, builder) = directories();
        let mount = builder.config(config).options("fsname=embedded").unwrap().mount().unwrap();
        let point = mount.path().to_owned();
        let before = umask();
        let mut file = fs::File::create(point.join("f")).unwrap();
        file.write_all(b"through the mount").unwrap();
        assert_eq!(mount.open_files(), 1);
        assert_eq!(mount.unmount(), Ok(Unmount::Busy));
        drop(file);
        assert_eq!(fs::read(dir.path().join("source/f")).unwrap(), b"through the mount");
        // An operation is counted after it was answered.
        until("the one CREATE to be counted", || mount.stats().get(OpKind::Create).is_some_and(|one| one.count() == 1));
        assert!(fs::read_to_string("/proc/self/mounts").unwrap().contains("embedded"));
        // What the engine's threads need is not the program's to suffer.
        assert_eq!(umask(), before);
        // RELEASE comes after close(2).
        until("nobody to use it", || mount.unmount() != Ok(Unmount::Busy));
        mount.join().unwrap();
        assert!(!is_mounted(&point) && !point.exists());
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "in vain waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// This thread's umask, as a file shows it.
fn umask() -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::File::options().write(true).create(true).truncate(true).mode(0o777).open(&path).unwrap();
    fs::metadata(&path).unwrap().mode() & 0o777
}

#[test]
fn files_belong_to_their_makers_under_their_umask() {
    let (dir, builder) = directories();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path().join("source"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mount = builder.options("allow_other").unwrap().mount().unwrap();
    let script = format!("umask 027; : >{}/f", mount.path().display());
    let status = Command::new("setpriv")
        .args(["--reuid=1000", "--regid=1001", "--clear-groups", "sh", "-c", &script])
        .status()
        .unwrap();
    assert!(status.success());
    let made = fs::metadata(dir.path().join("source/f")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1000, 1001, 0o640));
}

#[test]
fn a_dropped_mount_ends_though_it_is_in_use() {
    for config in engines() {
        let (_dir, builder) = directories();
        let mount = builder.config(config).mount().unwrap();
        let point = mount.path().to_owned();
        let mut file = fs::File::create(point.join("f")).unwrap();
        let began = Instant::now();
        drop(mount);
        assert!(!is_mounted(&point), "it is out of sight");
        // It syncs all filesystems of the machine, to which others may write.
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(file.write_all(b"x").and_then(|()| file.sync_all()).is_err(), "nobody serves it");
    }
}

#[test]
fn two_mounts_live_side_by_side_and_one_outlives_the_other() {
    let (first, second) = (directories(), directories());
    let (a, b) = (first.1.mount().unwrap(), second.1.mount().unwrap());
    fs::write(a.path().join("f"), "a").unwrap();
    fs::write(b.path().join("f"), "b").unwrap();
    drop(a);
    assert_eq!(fs::read_to_string(b.path().join("f")).unwrap(), "b");
    until("something to be counted", || b.stats().total().count() > 0);
}

#[test]
fn unmounted_by_others_it_is_joined() {
    let (_dir, builder) = directories();
    let mount = builder.mount().unwrap();
    // A child that another test forks may hold something of it for a moment.
    until("umount", || Command::new("umount").arg(mount.path()).status().unwrap().success());
    mount.join().unwrap();
}

#[test]
fn errors_are_one_line() {
    let (dir, builder) = directories();
    assert!(builder.options("nonsense").unwrap_err().to_string().contains("'nonsense'"));
    let missing = Mount::builder(dir.path().join("missing"), dir.path().join("mnt")).mount();
    let inside = Mount::builder(dir.path(), dir.path().join("mnt")).mount();
    let watched = directories().1.options("auto_unmount").unwrap().mount();
    let mapping = Identity { squash: Some("1000:1000".parse().unwrap()), ..Identity::default() };
    let squashed = directories().1.config(Config { mapping, ..Config::default() }).mount();
    for error in [missing, inside, watched, squashed].map(|mount| mount.err().unwrap().to_string()) {
        assert!(!error.contains('\n') && error.len() > 20, "{error}");
    }
    assert!(!is_mounted(&dir.path().join("mnt")));
}
