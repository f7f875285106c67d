//! `--cache` and the timeouts.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::Command;

use super::support::sys::Map;
use super::*;

use std::os::fd::AsRawFd;

const LISTING: [&str; 2] = ["READDIR", "READDIRPLUS"];

fn read_at(file: &File, at: u64) -> Vec<u8> {
    let mut buffer = vec![0; 100];
    let length = file.read_at(&mut buffer, at).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn never_shows_what_the_host_changes_at_once() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--cache=never"], |dir| fs::write(dir.join("file"), "before").unwrap());
        let open = File::open(served.at("file")).unwrap();
        assert_eq!(read_at(&open, 0), b"before");
        // Neither size nor, to be sure, time tells of the change.
        let time = fs::metadata(served.on_host("file")).unwrap().modified().unwrap();
        let host = OpenOptions::new().write(true).open(served.on_host("file")).unwrap();
        host.write_at(b"AFTER!", 0).unwrap();
        host.set_modified(time).unwrap();
        assert_eq!(read_at(&open, 0), b"AFTER!", "{}", variant.name);
        fs::set_permissions(served.on_host("file"), fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(fs::metadata(served.at("file")).unwrap().mode() & 0o777, 0o604);
        fs::rename(served.on_host("file"), served.on_host("moved")).unwrap();
        assert_eq!(errno(fs::metadata(served.at("file"))), libc::ENOENT);
        assert_eq!(names(served.mount.path()), ["moved"]);
    }
}

#[test]
fn never_keeps_no_listing_whatever_the_timeouts() {
    let served = Served::new(&[&["--cache=never"], &FOREVER[..]].concat());
    fs::write(served.on_host("file"), "").unwrap();
    (0..3).for_each(|_| assert_eq!(names(served.mount.path()), ["file"]));
    fs::write(served.on_host("new"), "").unwrap();
    assert_eq!(names(served.mount.path()), ["file", "new"]);
}

/// What the tests above see is the policy's doing.
#[test]
fn auto_keeps_pages_of_an_open_file_and_looks_again_at_each_open() {
    kept(|| {
        let served = Served::new(&FOREVER);
        fs::write(served.on_host("file"), "before").unwrap();
        let open = File::open(served.at("file")).unwrap();
        assert_eq!(read_at(&open, 0), b"before");
        sleep(Duration::from_millis(12));
        fs::write(served.on_host("file"), "AFTER!").unwrap();
        assert_eq!(read_at(&open, 0), b"before");
        assert_eq!(fs::read(served.at("file")).unwrap(), b"AFTER!");
        let reads = served.during(&["READ"], || assert_eq!(fs::read(served.at("file")).unwrap(), b"AFTER!"));
        assert_eq!(reads, 0, "unchanged since the last open");
    });
}

#[test]
fn never_lets_programs_run_and_files_be_mapped() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--cache=never"], |dir| {
            assert!(Command::new("cp").arg("/bin/true").arg(dir.join("true")).status().unwrap().success());
        });
        assert!(Command::new(served.at("true")).status().unwrap().success(), "{}", variant.name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(served.at("map")).unwrap();
        file.set_len(8192).unwrap();
        let map = Map::new(file.as_raw_fd(), 8192, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).unwrap();
        map.write(5000, b"stored").unwrap();
        map.sync().unwrap();
        assert_eq!(&fs::read(served.on_host("map")).unwrap()[5000..5006], b"stored");
        let mut buffer = [0; 6];
        file.read_at(&mut buffer, 5000).unwrap();
        assert_eq!(&buffer, b"stored");
        // A new map shows what the host has written since.
        let host = OpenOptions::new().write(true).open(served.on_host("map")).unwrap();
        host.write_at(b"host's", 100).unwrap();
        drop(map);
        let map = Map::new(file.as_raw_fd(), 8192, libc::PROT_READ, libc::MAP_PRIVATE).unwrap();
        map.read(100, &mut buffer).unwrap();
        assert_eq!(&buffer, b"host's");
    }
}

#[test]
fn metadata_keeps_listings_and_no_file_data() {
    kept(|| {
        let served = Served::new(&[&["--cache=metadata"], &FOREVER[..]].concat());
        fs::write(served.on_host("file"), "before").unwrap();
        let open = File::open(served.at("file")).unwrap();
        assert_eq!(read_at(&open, 0), b"before");
        fs::write(served.on_host("file"), "AFTER!").unwrap();
        assert_eq!(read_at(&open, 0), b"AFTER!");

        // Reading moves the directory's atime, for which the kernel asks once more.
        (0..3).for_each(|_| assert_eq!(names(served.mount.path()), ["file"]));
        fs::write(served.on_host("new"), "").unwrap();
        let requests = served.during(&LISTING, || assert_eq!(names(served.mount.path()), ["file"], "kept"));
        assert_eq!(requests, 0);
        // What is made through the mount shows.
        fs::write(served.at("ours"), "").unwrap();
        assert_eq!(names(served.mount.path()), ["file", "new", "ours"]);
    });
}

#[test]
fn always_keeps_file_data_and_listings_until_the_timeout() {
    kept(|| {
        let served = Served::new(&[&["--cache=always"], &FOREVER[..]].concat());
        fs::write(served.on_host("file"), "before").unwrap();
        assert_eq!(fs::read(served.at("file")).unwrap(), b"before");
        (0..3).for_each(|_| assert_eq!(names(served.mount.path()), ["file"]));
        sleep(Duration::from_millis(12));
        fs::write(served.on_host("file"), "AFTER!").unwrap();
        fs::write(served.on_host("new"), "").unwrap();
        let requests = served.during(&["READ", "READDIR", "READDIRPLUS"], || {
            assert_eq!(fs::read(served.at("file")).unwrap(), b"before");
            assert_eq!(names(served.mount.path()), ["file"]);
        });
        assert_eq!(requests, 0);

        let served = Served::new(&["--cache=always", "--attr-timeout=1", "--entry-timeout=1"]);
        fs::write(served.on_host("file"), "before").unwrap();
        assert_eq!(fs::read(served.at("file")).unwrap(), b"before");
        sleep(Duration::from_millis(12));
        fs::write(served.on_host("file"), "AFTER!").unwrap();
        until("a look at the attributes", || {
            fs::metadata(served.at("file")).unwrap().modified().unwrap() == host_time(&served)
        });
        assert_eq!(fs::read(served.at("file")).unwrap(), b"before", "kept, whatever the times say");
        fs::write(served.on_host("file"), "another size").unwrap();
        until("the new content", || fs::read(served.at("file")).unwrap() == b"another size");

        let served = Served::new(&["--cache=always", "--attr-timeout=0", "--entry-timeout=0"]);
        fs::write(served.on_host("file"), "before").unwrap();
        assert_eq!(fs::read(served.at("file")).unwrap(), b"before");
        sleep(Duration::from_millis(12));
        fs::write(served.on_host("file"), "AFTER!").unwrap();
        assert_eq!(
            fs::read(served.at("file")).unwrap(),
            b"AFTER!",
            "no attribute is kept, and so no data behind its back"
        );
    });
}

fn host_time(served: &Served) -> std::time::SystemTime {
    fs::metadata(served.on_host("file")).unwrap().modified().unwrap()
}

/// Dropped while they are written, pages would be read again before the WRITE arrives.
#[test]
fn pages_of_a_file_that_is_being_written_stay() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--attr-timeout=1", "--entry-timeout=1"], |dir| {
            fs::write(dir.join("file"), "before").unwrap();
        });
        let file = OpenOptions::new().read(true).write(true).open(served.at("file")).unwrap();
        let read_again = || served.during(&["READ"], || assert_eq!(fs::read(served.at("file")).unwrap().len(), 6));
        read_again();
        sleep(Duration::from_millis(12));
        file.write_at(b"ours", 0).unwrap();
        assert_eq!(read_again(), 0, "{}: by an open", variant.name);
        until("the attributes are looked at again", || {
            served.during(&["GETATTR", "LOOKUP", "STATX"], || assert!(served.at("file").exists())) > 0
        });
        assert_eq!(read_again(), 0, "{}: by the times", variant.name);
        // The first open after the last writer looks at what the host did meanwhile.
        let host = OpenOptions::new().write(true).open(served.on_host("file")).unwrap();
        host.write_at(b"HOST", 0).unwrap();
        assert_eq!(fs::read(served.at("file")).unwrap(), b"oursre");
        drop(file);
        until("the host's change", || fs::read(served.at("file")).unwrap() == b"HOSTre");
    }
}

/// A host's change shows at the next open, also of one who will write.
#[test]
fn the_first_writer_looks_again() {
    let served = Served::new(&FOREVER);
    fs::write(served.on_host("file"), "before").unwrap();
    assert_eq!(fs::read(served.at("file")).unwrap(), b"before");
    sleep(Duration::from_millis(12));
    fs::write(served.on_host("file"), "AFTER!").unwrap();
    let file = OpenOptions::new().read(true).write(true).open(served.at("file")).unwrap();
    assert_eq!(read_at(&file, 0), b"AFTER!");
}

#[test]
fn attributes_and_names_are_kept_as_long_as_told() {
    kept(|| {
        let mode = |served: &Served, name: &str| fs::metadata(served.at(name)).unwrap().mode() & 0o777;
        let there = |served: &Served, name: &str| served.at(name).symlink_metadata().is_ok();
        // Of files and of directories, attributes and names: whether the kernel keeps them.
        for (arguments, attributes, entries) in [
            (&["--attr-timeout=1000", "--entry-timeout=1000"][..], (true, true), (true, true)),
            (&["--attr-timeout=0", "--entry-timeout=0"], (false, false), (false, false)),
            (&["--attr-timeout=1000", "--entry-timeout=1000", "--dir-attr-timeout=0"], (true, false), (true, true)),
            (&["--attr-timeout=0", "--entry-timeout=1000", "--dir-attr-timeout=1000"], (false, true), (true, true)),
            (&["--attr-timeout=1000", "--entry-timeout=1000", "--dir-entry-timeout=0"], (true, true), (true, false)),
            (&["--attr-timeout=1000", "--entry-timeout=0", "--dir-entry-timeout=1000"], (true, true), (false, true)),
        ] {
            let served = Served::new(arguments);
            fs::write(served.on_host("file"), "").unwrap();
            fs::create_dir(served.on_host("dir")).unwrap();
            for name in ["file", "dir"] {
                fs::set_permissions(served.on_host(name), fs::Permissions::from_mode(0o700)).unwrap();
                assert_eq!(mode(&served, name), 0o700);
                fs::set_permissions(served.on_host(name), fs::Permissions::from_mode(0o711)).unwrap();
            }
            let kept = (mode(&served, "file") == 0o700, mode(&served, "dir") == 0o700);
            // A name that is looked up again brings its attributes along.
            let expected = (attributes.0 && entries.0, attributes.1 && entries.1);
            assert_eq!(kept, expected, "attributes with {arguments:?}");
            fs::remove_file(served.on_host("file")).unwrap();
            fs::remove_dir(served.on_host("dir")).unwrap();
            if attributes == (true, true) {
                assert_eq!((there(&served, "file"), there(&served, "dir")), entries, "names with {arguments:?}");
            }
        }
    });
}

#[test]
fn names_that_are_not_there_are_asked_for_once() {
    kept(|| {
        let misses = |served: &Served| {
            served.during(&["LOOKUP"], || {
                for _ in 0..10 {
                    assert_eq!(errno(fs::metadata(served.at("missing"))), libc::ENOENT);
                }
            })
        };
        let served = Served::new(&["--negative-timeout=1000"]);
        assert_eq!(misses(&served), 1);
        // Made on the host it is late, through the mount it is not.
        fs::write(served.on_host("missing"), "host").unwrap();
        assert_eq!(misses(&served), 0);
        fs::remove_file(served.on_host("missing")).unwrap();
        fs::write(served.at("missing"), "ours").unwrap();
        assert_eq!(fs::read(served.at("missing")).unwrap(), b"ours");
        assert_eq!(misses(&Served::new(&[])), 10);
    });
}

#[test]
fn listings_are_kept_until_the_directory_changes() {
    kept(|| {
        let list = |served: &Served| served.during(&LISTING, || assert_eq!(names(served.mount.path()).len(), 3));
        let fill = |dir: &Path| (0..3).for_each(|n| fs::write(dir.join(n.to_string()), "").unwrap());
        for variant in &VARIANTS {
            let served = Served::by(variant, &[&["--cache-readdir"], &FOREVER[..]].concat(), fill);
            assert!(list(&served) > 0);
            assert_eq!((list(&served), list(&served)), (0, 0), "{}", variant.name);
            sleep(Duration::from_millis(12));
            fs::rename(served.on_host("0"), served.on_host("3")).unwrap();
            assert!(list(&served) > 0, "each open looks at the directory");
            assert_eq!(names(served.mount.path()), ["1", "2", "3"]);
        }
        let served = Served::by(&VARIANTS[0], &FOREVER, fill);
        assert!(list(&served) > 0 && list(&served) > 0);
    });
}
