//! `--no-open`, `--no-opendir`, `--no-readdir`, `--writeback`.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::time::UNIX_EPOCH;

use super::support::sys::{Map, User, as_user};
use super::*;

const NO_OPEN: [&str; 2] = ["--cache=always", "--no-open"];

#[test]
fn without_open_everything_is_done_by_node() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &NO_OPEN, |dir| fs::write(dir.join("there"), "text on the host").unwrap());
        // The first OPEN tells the kernel.
        assert_eq!(fs::read(served.at("there")).unwrap(), b"text on the host");
        let opens = served.during(&["OPEN", "RELEASE"], || {
            let path = served.at("new");
            let mut file = File::create_new(&path).unwrap();
            file.write_all(b"0123456789").unwrap();
            file.sync_all().unwrap();
            file.set_len(8).unwrap();
            drop(file);
            OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
            assert_eq!(fs::read(served.on_host("new")).unwrap(), b"01234567more");
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            file.write_at(b"X", 3).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"012X4567more");
            // In the host's own terms: a hole, room, a copy.
            file.set_len(1 << 20).unwrap();
            assert_eq!(sys::lseek(file.as_raw_fd(), 0, libc::SEEK_HOLE).unwrap(), 4096);
            sys::fallocate(file.as_raw_fd(), 0, 0, 1 << 20).unwrap();
            assert!(fs::metadata(served.on_host("new")).unwrap().blocks() >= 2048);
            let copy = File::create(served.at("copy")).unwrap();
            assert_eq!(sys::copy_file_range((file.as_raw_fd(), 0), (copy.as_raw_fd(), 0), 12).unwrap(), 12);
            assert_eq!(fs::read(served.on_host("copy")).unwrap(), b"012X4567more");
            let map = Map::new(file.as_raw_fd(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).unwrap();
            map.write(0, b"map").unwrap();
            map.sync().unwrap();
            assert!(fs::read(served.on_host("new")).unwrap().starts_with(b"mapX"));
            // Cut by open(2); without a name.
            fs::write(&path, "short").unwrap();
            assert_eq!(fs::read(served.on_host("new")).unwrap(), b"short");
            let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            file.write_all(b"LONGER than it was").unwrap();
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), file.metadata().unwrap().nlink()), ("LONGER than it was", 0));
            let unnamed =
                OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(served.mount.path());
            let unnamed = unnamed.unwrap();
            unnamed.write_at(b"unnamed", 0).unwrap();
            let mut buffer = [0; 7];
            unnamed.read_exact_at(&mut buffer, 0).unwrap();
            assert_eq!(&buffer, b"unnamed");
        });
        assert_eq!(opens, 0, "{}", variant.name);
    }
}

#[test]
fn files_that_were_never_opened_take_no_more_than_the_budget() {
    for variant in &VARIANTS {
        let arguments = [&NO_OPEN[..], &["--fd-budget=32"]].concat();
        let served = Served::by(variant, &arguments, |dir| {
            (0..200).for_each(|n| fs::write(dir.join(n.to_string()), format!("file {n}")).unwrap());
        });
        let before = served.mount.fds().len();
        // More than the budget at the same time; twice, since the first ones had to make way.
        let open: Vec<File> = (0..200)
            .map(|n| OpenOptions::new().read(true).write(true).open(served.at(&n.to_string())).unwrap())
            .collect();
        for round in ["one", "two"] {
            for (n, file) in open.iter().enumerate() {
                file.write_at(round.as_bytes(), 10).unwrap();
                let mut text = vec![0; 13];
                file.read_exact_at(&mut text, 0).unwrap();
                assert!(text.starts_with(format!("file {n}").as_bytes()) && text.ends_with(round.as_bytes()));
            }
            assert!(served.mount.fds().len() <= before + 40, "{}: {}", variant.name, served.mount.fds().len());
        }
        drop(open);
        // No RELEASE comes for those that were made here.
        (0..100).for_each(|n| fs::write(served.at(&format!("made-{n}")), "made").unwrap());
        // What is removed is closed, and its blocks are free.
        (0..200).for_each(|n| fs::remove_file(served.at(&n.to_string())).unwrap());
        let deleted = |served: &Served| {
            served.mount.fds().iter().filter(|(_, path)| path.to_string_lossy().ends_with("(deleted)")).count()
        };
        until("no removed file to be held", || deleted(&served) == 0);
    }
}

#[test]
fn without_opendir_listings_are_whole() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--no-opendir"], |dir| {
            for sub in ["a", "b"] {
                fs::create_dir(dir.join(sub)).unwrap();
                (0..3000).for_each(|n| fs::write(dir.join(sub).join(format!("file-{n}")), "").unwrap());
            }
        });
        assert_eq!(names(served.mount.path()), ["a", "b"]);
        let requests = served.during(&["OPENDIR", "RELEASEDIR"], || {
            let whole: BTreeSet<String> = (0..3000).map(|n| format!("file-{n}")).collect();
            std::thread::scope(|scope| {
                for sub in ["a", "a", "a", "b"] {
                    let (served, whole) = (&served, &whole);
                    scope.spawn(move || assert!(names(&served.at(sub)).iter().eq(whole.iter()), "{}", variant.name));
                }
            });
            File::open(served.at("a")).unwrap().sync_all().unwrap();
            assert_eq!(errno(fs::read_dir(served.at("a/file-0"))), libc::ENOTDIR);
        });
        assert_eq!(requests, 0);
    }
}

#[test]
fn without_readdir_directories_look_empty() {
    let served = Served::new(&["--no-readdir"]);
    fs::write(served.on_host("hidden"), "still there").unwrap();
    assert!(names(served.mount.path()).is_empty());
    assert_eq!(fs::read(served.at("hidden")).unwrap(), b"still there");
    assert_eq!(errno(fs::remove_dir(served.mount.path().join("hidden"))), libc::ENOTDIR);
}

#[test]
fn small_writes_are_collected() {
    let write = |served: &Served, name: &str| {
        let mut file = OpenOptions::new().append(true).create(true).open(served.at(name)).unwrap();
        (0..1000).for_each(|n| file.write_all(format!("line {n}\n").as_bytes()).unwrap());
    };
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--writeback"], |_| {});
        let writes = served.during(&["WRITE"], || write(&served, "log"));
        assert!(writes <= 20, "{}: {writes} requests", variant.name);
        write(&served, "log");
        let expected: String = (0..2000).map(|n| format!("line {}\n", n % 1000)).collect();
        assert!(fs::read_to_string(served.on_host("log")).unwrap() == expected, "{}", variant.name);
    }
    let served = Served::new(&[]);
    assert!(served.during(&["WRITE"], || write(&served, "log")) >= 1000);
}

/// The kernel reads what is around them, though nobody may read the file by this descriptor.
#[test]
fn collected_writes_change_no_more_than_they_say() {
    for variant in &VARIANTS {
        let old = vec![b'.'; 10_000];
        let served = Served::by(variant, &["--writeback"], |dir| fs::write(dir.join("file"), &old).unwrap());
        let file = OpenOptions::new().write(true).open(served.at("file")).unwrap();
        file.write_at(b"here", 5000).unwrap();
        drop(file);
        let mut expected = old.clone();
        expected[5000..5004].copy_from_slice(b"here");
        assert!(fs::read(served.on_host("file")).unwrap() == expected, "{}", variant.name);

        let mut made = OpenOptions::new().write(true).create_new(true).open(served.at("made")).unwrap();
        made.write_all(&old).unwrap();
        made.sync_all().unwrap();
        made.seek(SeekFrom::Start(4000)).unwrap();
        made.write_all(b"there").unwrap();
        drop(made);
        expected = old.clone();
        expected[4000..4005].copy_from_slice(b"there");
        assert!(fs::read(served.on_host("made")).unwrap() == expected, "{}", variant.name);
    }
}

/// What the kernel has collected is not at the host's end of the file yet, when a write that takes SUID away goes
/// through at once.
#[test]
fn an_append_follows_collected_writes() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--writeback"], |dir| {
            fs::write(dir.join("file"), "").unwrap();
            fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o4777)).unwrap();
        });
        let mut collected = OpenOptions::new().write(true).open(served.at("file")).unwrap();
        collected.write_all(&[b'1'; 8192]).unwrap();
        // Not by a shell, whose close(2) after a dup(2) has all written back before.
        let other = User { uid: 1000, gid: 1000, groups: &[] };
        as_user(&other, || {
            let fd = sys::open(sys::b(&served.at("file")), libc::O_WRONLY | libc::O_APPEND, 0).unwrap();
            assert_eq!(sys::write(fd, b"end\n"), Ok(4));
            sys::close(fd).unwrap();
        });
        drop(collected);
        let expected = [&[b'1'; 8192][..], b"end\n"].concat();
        assert!(fs::read(served.on_host("file")).unwrap() == expected, "{}", variant.name);
    }
}

/// The host would take what it has not been told of for a hole.
#[test]
fn collected_writes_are_no_holes() {
    let served = Served::new(&["--writeback"]);
    let file = File::create(served.at("file")).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_at(b"data", 65536).unwrap();
    let first = sys::lseek(file.as_raw_fd(), 0, libc::SEEK_DATA).unwrap();
    assert!(first <= 65536, "{first}");
    assert!(sys::lseek(file.as_raw_fd(), 65536, libc::SEEK_HOLE).unwrap() >= 65540);
}

#[test]
fn with_collected_writes_times_are_the_clients() {
    let served = Served::new(&["--writeback"]);
    let mut file = File::create(served.at("file")).unwrap();
    // A file is as old as its first write, if that comes within the same tick.
    sleep(Duration::from_millis(12));
    file.write_all(b"text").unwrap();
    file.sync_all().unwrap();
    let shown = file.metadata().unwrap().modified().unwrap();
    assert_eq!(fs::metadata(served.on_host("file")).unwrap().modified().unwrap(), shown);
    let then = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    file.set_modified(then).unwrap();
    drop(file);
    assert_eq!(fs::metadata(served.on_host("file")).unwrap().modified().unwrap(), then);
    assert_eq!(fs::metadata(served.at("file")).unwrap().modified().unwrap(), then);
}

#[test]
fn collected_writes_reach_a_file_opened_for_direct_io() {
    let served = Served::new(&["--writeback"]);
    let direct = OpenOptions::new().write(true).create(true).custom_flags(libc::O_DIRECT).open(served.at("file"));
    let direct = direct.unwrap();
    let cached = OpenOptions::new().read(true).write(true).open(served.at("file")).unwrap();
    cached.write_at(b"not aligned", 0).unwrap();
    drop(cached);
    assert_eq!(fs::read(served.on_host("file")).unwrap(), b"not aligned");
    drop(direct);
}
