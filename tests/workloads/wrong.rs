//! Bytes, sizes, modes and names that are not what was prepared.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::thread;
use std::time::{Duration, Instant};

use ptfs::bench::load::Measured;
use ptfs::bench::result::Load;

use super::Laid;

const FIRST: &str = "tree/d00000/f0000000";

fn files(count: u64, size: u64, operation: &str) -> Laid {
    let toml = format!("about = \"x\"\n[files]\ncount = {count}\nsize = {size}\n[operation]\n{operation}\n");
    let laid = Laid::out(&toml);
    // It is right before it is made wrong.
    let measured = laid.one(30);
    assert_eq!((&measured.wrong, &measured.errors), (&Vec::new(), &Default::default()), "{operation}");
    laid
}

fn flip(laid: &Laid, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(laid.path(FIRST)).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ 0x40], offset).expect("written");
}

fn shrink(laid: &Laid, size: u64) {
    OpenOptions::new().write(true).open(laid.path(FIRST)).and_then(|file| file.set_len(size)).expect("shrunk");
}

/// One round after another, until one says it: on a busy machine a round is short.
#[track_caller]
fn finds(laid: &Laid, load: Load, what: &str) {
    patiently(|| laid.run(load, 50), what);
}

#[track_caller]
fn patiently(mut round: impl FnMut() -> Measured, what: &str) {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let measured = round();
        if measured.wrong.iter().any(|wrong| wrong.contains(what)) || Instant::now() > patience {
            return says(&measured, what);
        }
    }
}

const ONE: Load = Load::Closed { clients: 1 };

#[track_caller]
fn says(measured: &Measured, what: &str) {
    assert!(measured.wrong.iter().any(|wrong| wrong.contains(what)), "no '{what}': {:?}", measured.wrong);
}

#[test]
fn a_flipped_byte_is_found_by_every_way_of_reading() {
    for way in ["", "how = \"direct\"", "how = \"mmap\"", "pattern = \"sequential\""] {
        let laid = files(2, 16384, &format!("kind = \"read\"\nblock = 4096\n{way}"));
        flip(&laid, 8192 + 3);
        finds(&laid, ONE, "file 0 at byte 8192:");
    }
    let laid = files(2, 16384, "kind = \"read-file\"");
    flip(&laid, 3);
    finds(&laid, ONE, "file 0 at byte 0:");
}

#[test]
fn a_flipped_byte_is_found_with_many_reads_in_flight() {
    let laid = files(2, 16384, "kind = \"read\"\nblock = 4096\nhow = \"direct\"");
    assert_eq!(laid.run(Load::Depth { depth: 4 }, 50).wrong, Vec::<String>::new());
    flip(&laid, 8192 + 3);
    finds(&laid, Load::Depth { depth: 4 }, "file 0 at byte 8192:");
}

#[test]
fn the_last_byte_of_a_block_is_found_by_the_sample() {
    let laid = files(1, 4096, "kind = \"read\"\nblock = 4096");
    flip(&laid, 4095);
    finds(&laid, ONE, "file 0 at byte 4088:");
}

#[test]
fn nothing_is_verified_if_told_so() {
    let toml = "about = \"x\"\nverify = false\n[files]\ncount = 1\nsize = 4096\n[operation]\nkind = \"read-file\"";
    let laid = Laid::out(toml);
    flip(&laid, 0);
    shrink(&laid, 4095);
    assert_eq!(laid.one(30).wrong, Vec::<String>::new());
}

#[test]
fn only_the_first_few_are_told_in_words() {
    let laid = files(1, 4096, "kind = \"read\"\nblock = 4096");
    flip(&laid, 0);
    let measured = laid.run(Load::Closed { clients: 3 }, 100);
    assert!(measured.operations > 100 && measured.wrong.len() < 12, "{:?}", measured.wrong);
    let more: u64 = measured.wrong.last().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(more + measured.wrong.len() as u64 - 1, measured.operations);
}

#[test]
fn a_wrong_size_is_found_by_stat_and_by_read() {
    for kind in ["getattr", "stat", "readdirplus", "read-file"] {
        let laid = files(2, 4096, &format!("kind = \"{kind}\""));
        shrink(&laid, 4095);
        finds(&laid, ONE, "file 0: its size is 4095 instead of 4096");
    }
    let laid = files(2, 8192, "kind = \"read\"\nblock = 4096");
    shrink(&laid, 5000);
    finds(&laid, ONE, "file 0 at byte 4096: 904 bytes instead of 4096");
}

#[test]
fn a_wrong_mode_is_found() {
    for way in ["kind = \"stat\"", "kind = \"getattr\"\nforce = true"] {
        let laid = files(2, 10, way);
        fs::set_permissions(laid.path(FIRST), Permissions::from_mode(0o600)).expect("chmod");
        finds(&laid, ONE, "file 0: its mode is 100600 instead of 100644");
    }
}

#[test]
fn an_inode_number_that_changes_is_found() {
    let laid = files(1, 4096, "kind = \"stat\"");
    patiently(|| replaced_meanwhile(&laid, ONE), "file 0: its inode number is ");
}

#[test]
fn a_map_of_a_truncated_file_is_an_error_and_no_signal() {
    for kind in ["read", "write"] {
        let laid = files(1, 1 << 20, &format!("kind = \"{kind}\"\nblock = 4096\nhow = \"mmap\""));
        shrink(&laid, 4096);
        let measured = laid.one(200);
        assert!(measured.errors["EFAULT"] > 0, "{:?}", measured.errors);
        assert_eq!(measured.errors.len(), 1);
        // The rest of what was asked for is there.
        assert!(measured.operations > 0 || kind == "read", "{measured:?}");
    }
}

#[test]
fn names_that_are_not_there_or_too_many_are_found() {
    for kind in ["readdir", "readdirplus"] {
        let laid = files(5, 0, &format!("kind = \"{kind}\""));
        fs::write(laid.path("tree/d00000/f0000009"), "").expect("another");
        finds(&laid, ONE, "d00000: lists \"f0000009\", which was never made");
        fs::rename(laid.path("tree/d00000/f0000009"), laid.path("tree/d00000/f0000003")).expect("renamed");
        assert_eq!(laid.one(30).wrong, Vec::<String>::new());
        fs::remove_file(laid.path("tree/d00000/f0000003")).expect("removed");
        finds(&laid, ONE, "d00000: does not list file 3");
    }
}

#[test]
fn what_was_never_made_is_not_found() {
    let laid = files(1, 0, "kind = \"lookup-negative\"");
    for n in 0..1000 {
        fs::write(laid.path(&format!("tree/absent-{n}")), "").expect("made");
    }
    finds(&laid, ONE, "found, but it was never made");
}

#[test]
fn a_file_that_is_gone_is_an_error_by_name() {
    let laid = files(1, 0, "kind = \"open-close\"");
    fs::remove_file(laid.path(FIRST)).expect("removed");
    let measured = laid.one(30);
    assert!(measured.errors["ENOENT"] > 0 && measured.operations == 0 && measured.latency.is_empty());
}

/// While clients write to the file that they have open, another takes its name.
fn replaced_meanwhile(laid: &Laid, load: Load) -> Measured {
    let (file, copy) = (laid.path(FIRST), laid.path("work/copy"));
    fs::copy(&file, &copy).expect("copied");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            fs::rename(&copy, &file).expect("replaced");
        });
        laid.run(load, 600)
    })
}

#[test]
fn writes_that_are_lost_are_found_when_they_are_read_back() {
    for way in ["", "how = \"mmap\"", "sync = \"data\""] {
        let laid = files(1, 65536, &format!("kind = \"write\"\nblock = 4096\n{way}"));
        patiently(|| replaced_meanwhile(&laid, Load::Closed { clients: 2 }), "after a write: file 0 at byte ");
    }
    let laid = files(1, 65536, "kind = \"write\"\nblock = 4096");
    patiently(|| replaced_meanwhile(&laid, Load::Depth { depth: 4 }), "after a write: file 0 at byte ");
}

#[test]
fn a_store_that_loses_objects_is_found() {
    let laid = files(20, 4096, "kind = \"build-cache\"\nhits = 0.5");
    let directories = fs::read_dir(laid.path("tree")).expect("tree").map(|entry| entry.unwrap().path());
    directories.for_each(|directory| fs::remove_dir_all(directory).expect("removed"));
    finds(&laid, Load::Closed { clients: 2 }, "was stored, but is not there");
}

#[test]
fn clients_that_cannot_begin_say_why() {
    let laid = files(1, 4096, "kind = \"write\"\nblock = 4096");
    let stop = ptfs::bench::stop::Stop::new();
    let run = |load| ptfs::bench::load::run(&laid.prepared, load, Duration::from_secs(60), &stop).unwrap_err();
    let why = run(Load::Closed { clients: 2 });
    assert_eq!(why, "client 1 of 2: there are 1 blocks for 2 clients");
    assert_eq!(run(Load::Depth { depth: 2 }), "there are 1 blocks for 2 writes in flight");
    assert_eq!(run(Load::Job), "not a job");
    fs::remove_file(laid.path(FIRST)).expect("removed");
    assert!(run(Load::Closed { clients: 1 }).starts_with("client 1 of 1: cannot open d00000/f0000000: "));
    let laid = files(1, 4096, "kind = \"stat\"");
    let why = ptfs::bench::load::run(&laid.prepared, Load::Depth { depth: 2 }, Duration::from_secs(60), &stop);
    assert_eq!(why.unwrap_err(), "a queue depth is for reads and writes that are not mmap");
}
