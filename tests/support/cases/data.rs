//! What files hold.

use super::*;

pub fn sparse_beyond_4_gib(dir: &Dir) {
    const FAR: i64 = (5 << 30) + 4096;
    dir.file("f", b"start", 0o644);
    let fd = dir.open("f", O_RDWR);
    ok(sys::pwrite(fd, b"end", FAR));
    assert_eq!(fstat(fd).st_size, FAR + 3);
    assert_eq!(read_at(fd, FAR - 2, 9), b"\0\0end");
    assert_eq!(ok(sys::lseek(fd, 0, SEEK_HOLE)), 4096);
    assert_eq!(ok(sys::lseek(fd, 4096, SEEK_DATA)), FAR);
    assert_eq!(ok(sys::lseek(fd, FAR, SEEK_HOLE)), FAR + 3);
    fails(sys::lseek(fd, FAR + 3, SEEK_DATA), libc::ENXIO);
    assert_eq!(ok(sys::lseek(fd, -1, SEEK_END)), FAR + 2);
    assert_eq!(ok(sys::write(fd, b"more")), 4);
    assert_eq!(ok(sys::lseek(fd, 0, SEEK_CUR)), FAR + 6);
    ok(sys::ftruncate(fd, 1 << 33));
    assert_eq!(fs::metadata(dir.on_host("f")).unwrap().len(), 1 << 33);
    assert!(fs::metadata(dir.on_host("f")).unwrap().blocks() < 100);
    ok(sys::close(fd));
}

pub fn holes_and_data(dir: &Dir) {
    dir.file("f", b"", 0o644);
    let fd = dir.open("f", O_RDWR);
    ok(sys::ftruncate(fd, 1 << 20));
    fails(sys::lseek(fd, 0, SEEK_DATA), libc::ENXIO);
    assert_eq!(ok(sys::lseek(fd, 77, SEEK_HOLE)), 77);
    ok(sys::pwrite(fd, &[1; 8192], 65536));
    assert_eq!(ok(sys::lseek(fd, 0, SEEK_DATA)), 65536);
    assert_eq!(ok(sys::lseek(fd, 66000, SEEK_DATA)), 66000);
    assert_eq!(ok(sys::lseek(fd, 66000, SEEK_HOLE)), 65536 + 8192);
    fails(sys::lseek(fd, 2 << 20, SEEK_HOLE), libc::ENXIO);
    fails(sys::lseek(fd, -1, SEEK_SET), libc::EINVAL);
    ok(sys::close(fd));
}

pub fn fallocate_modes(dir: &Dir) {
    let path = dir.file("f", &[7; 20_000], 0o644);
    let fd = dir.open("f", O_RDWR);
    let (keep, punch, zero) = (libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE, libc::FALLOC_FL_ZERO_RANGE);
    ok(sys::fallocate(fd, keep, 0, 1 << 20));
    assert_eq!(stat(&path).st_size, 20_000);
    assert!(stat(&path).st_blocks >= 2048);
    ok(sys::fallocate(fd, punch | keep, 4096, 4096));
    assert_eq!(read_at(fd, 4095, 3), [7, 0, 0]);
    assert_eq!(read_at(fd, 8191, 3), [0, 7, 7]);
    fails(sys::fallocate(fd, punch, 0, 4096), libc::ENOTSUP);
    ok(sys::fallocate(fd, 0, 0, 30_000));
    assert_eq!(stat(&path).st_size, 30_000);
    fails(sys::fallocate(fd, 0, 0, 0), libc::EINVAL);
    if dir.fs == Fs::Ext4 {
        ok(sys::fallocate(fd, zero, 10_000, 30_000));
        assert_eq!((stat(&path).st_size, read_at(fd, 9_999, 3)), (40_000, vec![7, 0, 0]));
        if dir.variant.is_some() {
            // The kernel's FUSE client refuses these itself.
            fails(sys::fallocate(fd, libc::FALLOC_FL_COLLAPSE_RANGE, 0, 4096), libc::ENOTSUP);
            fails(sys::fallocate(fd, libc::FALLOC_FL_INSERT_RANGE, 0, 4096), libc::ENOTSUP);
        }
    } else {
        fails(sys::fallocate(fd, zero, 0, 4096), libc::ENOTSUP);
    }
    ok(sys::close(fd));
    let fd = dir.open("f", O_RDONLY);
    fails(sys::fallocate(fd, 0, 0, 4096), libc::EBADF);
    ok(sys::close(fd));
}

pub fn truncate_leaves_zeroes(dir: &Dir) {
    let path = dir.file("f", &[9; 10_000], 0o644);
    let fd = dir.open("f", O_RDWR);
    assert_eq!(read_at(fd, 0, 20_000), [9; 10_000]);
    ok(sys::truncate(&path, 100));
    ok(sys::ftruncate(fd, 9_000));
    let now = read_at(fd, 0, 20_000);
    assert!(now.len() == 9_000 && now[..100] == [9; 100] && now[100..] == [0; 8_900]);
    fails(sys::ftruncate(fd, -1), libc::EINVAL);
    fails(sys::truncate(sys::b(&dir.at), 0), libc::EISDIR);
    ok(sys::close(fd));
    let fd = dir.open("f", O_RDONLY);
    fails(sys::ftruncate(fd, 0), libc::EINVAL);
    ok(sys::close(fd));
}

pub fn large_writes_and_odd_reads(dir: &Dir) {
    let data: Vec<u8> = (0..(5 << 20) + 123u32).map(|i| (i ^ (i >> 9) ^ (i >> 17)) as u8).collect();
    dir.file("f", b"", 0o644);
    let fd = dir.open("f", O_RDWR);
    assert_eq!(ok(sys::writev(fd, &data)), data.len() as i64);
    dir.written_back(fd);
    assert!(fs::read(dir.on_host("f")).unwrap() == data);
    for (at, len) in [(0, 1), (4095, 2), (1, 1 << 20), (12_345, 3_000_001), (data.len() - 5, 5), (0, data.len())] {
        assert!(read_at(fd, at as i64, len) == data[at..at + len], "{len} bytes at {at}");
    }
    assert_eq!(read_at(fd, data.len() as i64 - 3, 10).len(), 3);
    assert_eq!(read_at(fd, data.len() as i64, 10).len(), 0);
    ok(sys::close(fd));
    // And without the page cache's help.
    let fd = dir.open("f", O_RDWR);
    let mut buf = vec![0; data.len()];
    assert_eq!(ok(sys::readv(fd, &mut buf)), data.len() as i64);
    assert!(buf == data);
    ok(sys::close(fd));
}

pub fn direct_io(dir: &Dir) {
    dir.file("f", b"", 0o644);
    let fd = dir.open("f", O_RDWR | libc::O_DIRECT);
    let mut pages = sys::Pages::new(3 << 20);
    pages.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 511) as u8);
    assert_eq!(ok(sys::pwrite(fd, &pages, 4096)), 3 << 20);
    assert!(fs::read(dir.on_host("f")).unwrap()[4096..] == pages[..]);
    let mut back = sys::Pages::new(3 << 20);
    assert_eq!(ok(sys::pread(fd, &mut back, 4096)), 3 << 20);
    assert!(back[..] == pages[..]);
    assert_eq!(ok(sys::pread(fd, &mut back, 3 << 20)), 4096);
    // Mixed with a cached reader.
    let cached = dir.open("f", O_RDONLY);
    assert_eq!(read_at(cached, 4096, 1), [0]);
    pages.fill(0xee);
    ok(sys::pwrite(fd, &pages, 0));
    assert_eq!(read_at(cached, 4096, 2), [0xee, 0xee]);
    ok(sys::close(fd));
    ok(sys::close(cached));
    // Who makes a file for it does so for himself alone.
    let fd = ok(sys::open(dir.path("new"), O_CREAT | O_RDWR | libc::O_DIRECT, 0o644));
    assert_eq!(ok(sys::pwrite(fd, &pages, 0)), 3 << 20);
    let cached = dir.open("new", O_RDWR);
    assert_eq!(ok(sys::pwrite(cached, b"odd", 10)), 3);
    assert_eq!(read_at(cached, 9, 5), b"\xeeodd\xee");
    ok(sys::close(fd));
    ok(sys::close(cached));
}

pub fn append_from_two_processes(dir: &Dir) {
    const RECORDS: usize = 1000;
    let path = dir.file("log", b"", 0o644);
    let write = |mark: u8| {
        sys::fork(|| {
            let Ok(fd) = sys::open(&path, O_WRONLY | O_APPEND, 0) else { return 1 };
            let whole = (0..RECORDS).all(|_| sys::write(fd, &[mark; 61]) == Ok(61));
            if whole { 0 } else { 2 }
        })
    };
    let writers = [write(b'a'), write(b'b')];
    assert_eq!(writers.map(|child| child.wait()), [0, 0]);
    let log = fs::read(dir.on_host("log")).unwrap();
    assert_eq!(log.len(), 2 * RECORDS * 61);
    assert!(log.chunks(61).all(|record| record.iter().all(|byte| *byte == record[0])));
    assert_eq!(log.iter().filter(|byte| **byte == b'a').count(), RECORDS * 61);
    assert_eq!(stat(&path).st_size as usize, log.len());
}

pub fn append_ignores_the_offset(dir: &Dir) {
    let path = dir.file("log", b"12", 0o644);
    let fd = dir.open("log", O_RDWR | O_APPEND);
    // As Linux has it: see BUGS in pwrite(2).
    ok(sys::pwrite(fd, b"34", 0));
    ok(sys::write(fd, b"56"));
    assert_eq!(ok(content(&path)), b"123456");
    assert_eq!(ok(sys::lseek(fd, 0, SEEK_CUR)), 6);
    ok(sys::fcntl(fd, libc::F_SETFL, 0));
    ok(sys::pwrite(fd, b"x", 0));
    assert_eq!(ok(content(&path)), b"x23456");
    let plain = dir.open("log", O_RDWR);
    ok(sys::fcntl(plain, libc::F_SETFL, O_APPEND));
    ok(sys::write(plain, b"7"));
    assert_eq!(ok(content(&path)), b"x234567");
    ok(sys::close(plain));
    ok(sys::close(fd));
}

pub fn exclusive_create_has_one_winner(dir: &Dir) {
    for n in 0..50 {
        let path = dir.path(&format!("lock{n}"));
        let race = || {
            sys::fork(|| match sys::open(&path, O_CREAT | O_EXCL | O_WRONLY, 0o644) {
                Ok(_) => 1,
                Err(libc::EEXIST) => 0,
                Err(_) => 9,
            })
        };
        let racers = [race(), race(), race()];
        assert_eq!(racers.map(|child| child.wait()).iter().sum::<i32>(), 1);
    }
}

/// fcntl(2) with F_SETFL, on and off again.
pub fn flags_set_later_take_effect(dir: &Dir) {
    let path = dir.file("f", &[b'a'; 8192], 0o644);
    let fd = dir.open("f", O_RDWR);
    let before = ok(sys::fcntl(fd, libc::F_GETFL, 0)) as i32;
    ok(sys::fcntl(fd, libc::F_SETFL, before | O_APPEND));
    assert_eq!(ok(sys::pwrite(fd, b"end", 0)), 3);
    ok(sys::fcntl(fd, libc::F_SETFL, before));
    assert_eq!(ok(sys::pwrite(fd, b"start", 0)), 5);
    let now = ok(content(&path));
    assert!(now.len() == 8195 && now.starts_with(b"starta") && now.ends_with(b"aend"), "{}", now.len());
    ok(sys::ftruncate(fd, 8192));
    if sys::fcntl(fd, libc::F_SETFL, before | libc::O_DIRECT).is_ok() {
        let mut pages = sys::Pages::new(4096);
        pages.fill(b'd');
        assert_eq!(ok(sys::pwrite(fd, &pages, 4096)), 4096);
        assert_eq!(ok(sys::pread(fd, &mut pages, 0)), 4096);
        assert!(pages.starts_with(b"starta"));
        ok(sys::fcntl(fd, libc::F_SETFL, before));
        assert_eq!(ok(sys::pwrite(fd, b"odd", 4095)), 3);
        ok(sys::fsync(fd, false));
        let now = fs::read(dir.on_host("f")).unwrap();
        assert!(now.len() == 8192 && now[4095..4100] == *b"odddd" && now[8191] == b'd');
    }
    ok(sys::close(fd));
}

/// Whoever has written sees what it wrote, whatever others do with the same file meanwhile.
pub fn writes_are_read_back(dir: &Dir) {
    const PAGE: usize = 4096;
    const ROUNDS: u32 = 1500;
    let path = dir.file("f", &[0; 8 * PAGE], 0o644);
    // Two take turns from page to page, with writes of whole pages and of parts.
    let writer = |first: usize| {
        sys::fork(|| {
            let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 1 };
            for round in 0..ROUNDS {
                let at = ((first + 2 * (round as usize % 4)) * PAGE) as i64;
                let len = if round % 3 == 0 { 100 } else { PAGE };
                let data = round.to_ne_bytes().repeat(len / 4);
                if sys::pwrite(fd, &data, at) != Ok(len as i64) {
                    return 2;
                }
                let mut seen = vec![0; len];
                if sys::pread(fd, &mut seen, at) != Ok(len as i64) || seen != data {
                    return 3;
                }
            }
            0
        })
    };
    let watcher = || {
        sys::fork(|| {
            for _ in 0..ROUNDS {
                let mut buffer = [0; 8 * PAGE];
                let Ok(fd) = sys::open(&path, O_RDONLY, 0) else { return 1 };
                if sys::stat(At::Fd(fd)).is_err() || sys::pread(fd, &mut buffer, 0) != Ok(8 * PAGE as i64) {
                    return 2;
                }
                let _ = sys::close(fd);
            }
            0
        })
    };
    let all = [writer(0), writer(1), watcher()];
    assert_eq!(all.map(|child| child.wait()), [0, 0, 0], "3: a write was not read back");
}
