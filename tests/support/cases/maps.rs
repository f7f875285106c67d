//! Mapped files.

use super::*;

pub fn shared_map_reaches_the_host(dir: &Dir) {
    dir.file("f", &[1; 10_000], 0o644);
    let fd = dir.open("f", O_RDWR);
    let map = ok(sys::Map::new(fd, 12_288, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED));
    ok(map.write(4_000, &[2; 200]));
    assert_eq!(read_at(fd, 3_999, 3), [1, 2, 2]);
    ok(map.sync());
    let host = fs::read(dir.on_host("f")).unwrap();
    assert!(host.len() == 10_000 && host[4_000..4_200] == [2; 200] && host[4_200] == 1);
    // A write shows in the map, and the map outlives the descriptor.
    ok(sys::pwrite(fd, &[3; 50], 0));
    ok(sys::close(fd));
    let mut buf = [0; 51];
    ok(map.read(0, &mut buf));
    assert_eq!((buf[49], buf[50]), (3, 1));
    ok(map.write(9_999, &[4]));
    drop(map);
    assert_eq!(*ok(content(&dir.path("f"))).last().unwrap(), 4);
    dir.until("the unmapped page is written back", || {
        ok(sys::fsync(dir.open("f", O_RDONLY), false));
        fs::read(dir.on_host("f")).unwrap().last() == Some(&4)
    });
}

pub fn truncate_under_a_map(dir: &Dir) {
    let path = dir.file("f", &[1; 20_000], 0o644);
    let fd = dir.open("f", O_RDWR);
    let map = ok(sys::Map::new(fd, 20_480, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED));
    let mut buf = [9; 8];
    ok(map.read(16_384, &mut buf));
    ok(sys::truncate(&path, 5_000));
    fails(map.read(16_384, &mut buf), libc::EFAULT);
    ok(map.read(5_000, &mut buf));
    assert_eq!(buf, [0; 8]);
    ok(sys::ftruncate(fd, 20_000));
    ok(map.read(16_384, &mut buf));
    assert_eq!(buf, [0; 8]);
    ok(map.write(16_384, &[5; 8]));
    ok(map.sync());
    assert_eq!(fs::read(dir.on_host("f")).unwrap()[16_383..16_386], [0, 5, 5]);
    ok(sys::close(fd));
}
