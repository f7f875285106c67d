//! Times and extended attributes.

use super::*;

pub fn birth_time(dir: &Dir) {
    let path = dir.file("f", b"", 0o644);
    let born = |path: &[u8]| {
        let statx = ok(sys::statx(At::Link(path), libc::STATX_BTIME | libc::STATX_BASIC_STATS));
        assert!(statx.stx_mask & libc::STATX_BTIME != 0, "no birth time");
        (statx.stx_btime.tv_sec, statx.stx_btime.tv_nsec)
    };
    ok(sys::utimens(At::Path(&path), (1, 1), (1, 1)));
    assert_eq!(born(&path), born(sys::b(&dir.on_host("f"))));
    assert_eq!(born(sys::b(&dir.at)), born(sys::b(&dir.host)));
}

pub fn times_set_and_omitted(dir: &Dir) {
    let path = dir.file("f", b"", 0o666);
    let times = || {
        let stat = stat(&path);
        ((stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec))
    };
    let (now, omit) = ((0, libc::UTIME_NOW), (0, libc::UTIME_OMIT));
    ok(sys::utimens(At::Path(&path), (100, 200), (300, 400)));
    assert_eq!(times(), ((100, 200), (300, 400)));
    ok(sys::utimens(At::Path(&path), omit, (5, 999_999_999)));
    assert_eq!(times(), ((100, 200), (5, 999_999_999)));
    ok(sys::utimens(At::Path(&path), (-7, 1), omit));
    assert_eq!(times(), ((-7, 1), (5, 999_999_999)));
    ok(sys::utimens(At::Path(&path), (1 << 33, 0), (0, 0)));
    assert_eq!(times(), ((1 << 33, 0), (0, 0)));
    ok(sys::utimens(At::Path(&path), omit, omit));
    assert_eq!(times().1, (0, 0));
    ok(sys::utimens(At::Path(&path), omit, now));
    assert!(times().1.0 > 1_600_000_000 && times().0 == (1 << 33, 0));
    fails(sys::utimens(At::Path(&path), (0, 1_000_000_000), omit), libc::EINVAL);
    as_user(&MEMBER, || {
        ok(sys::utimens(At::Path(&path), now, now));
        fails(sys::utimens(At::Path(&path), now, omit), libc::EPERM);
        fails(sys::utimens(At::Path(&path), (1, 1), (1, 1)), libc::EPERM);
    });
    ok(sys::chmod(At::Path(&path), 0o644));
    as_user(&MEMBER, || fails(sys::utimens(At::Path(&path), now, now), libc::EACCES));
    ok(sys::symlink("f", dir.path("s")));
    ok(sys::utimens(At::Link(&dir.path("s")), (1, 2), (3, 4)));
    assert_eq!((stat(&dir.path("s")).st_mtime, stat(&path).st_mtime == 3), (3, false));
}

pub fn times_follow_changes(dir: &Dir) {
    let path = dir.file("f", b"123", 0o644);
    let fd = dir.open("f", O_RDWR);
    let old = || ok(sys::utimens(At::Path(&path), (10, 0), (10, 0)));
    let (mtime, ctime) = (|| stat(&path).st_mtime, || (stat(&path).st_ctime, stat(&path).st_ctime_nsec));
    let changes: [(&str, &dyn Fn() -> Sys, bool); 7] = [
        ("write", &|| sys::write(fd, b"x"), true),
        ("truncate", &|| sys::truncate(&path, 1), true),
        ("punch", &|| sys::fallocate(fd, 3, 0, 1), true),
        ("open with O_TRUNC", &|| sys::open(&path, O_RDWR | O_TRUNC, 0).and_then(sys::close), true),
        ("chmod", &|| sys::chmod(At::Path(&path), 0o600), false),
        ("link", &|| sys::link(&path, dir.path("g"), 0), false),
        ("setxattr", &|| sys::setxattr(At::Path(&path), "user.x", b"", 0), false),
    ];
    for (what, change, modifies) in changes {
        old();
        let before = ctime();
        sleep(Duration::from_millis(12));
        ok(change());
        assert_eq!(mtime() > 10, modifies, "mtime after {what}");
        assert!(ctime() > before, "ctime after {what}");
        dir.written_back(fd);
        assert_eq!(mtime(), fs::metadata(dir.on_host("f")).unwrap().mtime(), "the host's after {what}");
    }
    let parent = sys::b(&dir.at);
    ok(sys::utimens(At::Path(parent), (10, 0), (10, 0)));
    dir.file("h", b"", 0o644);
    assert!(stat(parent).st_mtime > 10, "the directory's mtime after create");
    ok(sys::utimens(At::Path(parent), (10, 0), (10, 0)));
    ok(sys::unlink(dir.path("h")));
    assert!(stat(parent).st_mtime > 10, "the directory's mtime after unlink");
    // A first read takes atime along (relatime: it was older than mtime).
    ok(sys::pwrite(fd, &[1; 5000], 0));
    ok(sys::utimens(At::Path(&path), (10, 0), (20, 0)));
    ok(sys::close(fd));
    fs::write(dir.on_host("cold"), [1; 9000]).unwrap();
    ok(sys::utimens(At::Path(sys::b(&dir.on_host("cold"))), (10, 0), (20, 0)));
    assert_eq!(ok(content(&dir.path("cold"))).len(), 9000);
    assert!(stat(&dir.path("cold")).st_atime > 20, "atime after a read");
}

pub fn xattr_sizes(dir: &Dir) {
    let path = dir.file("f", b"", 0o644);
    let at = At::Path(&path);
    ok(sys::setxattr(at, "user.ten", b"0123456789", 0));
    ok(sys::setxattr(at, "user.none", b"", 0));
    assert_eq!(ok(sys::getxattr(at, "user.ten", 0)).0, 10);
    fails(sys::getxattr(at, "user.ten", 9), libc::ERANGE);
    assert_eq!(ok(sys::getxattr(at, "user.ten", 10)).1, b"0123456789");
    assert_eq!((ok(sys::getxattr(at, "user.none", 0)).0, ok(sys::getxattr(at, "user.none", 5)).0), (0, 0));
    assert_eq!(ok(sys::listxattr(at, 0)).0, 19);
    fails(sys::listxattr(at, 18), libc::ERANGE);
    assert_eq!(ok(sys::listxattr(at, 19)).0, 19);
    fails(sys::getxattr(at, "user.missing", 0), libc::ENODATA);
    fails(sys::setxattr(at, "user.ten", b"", libc::XATTR_CREATE), libc::EEXIST);
    fails(sys::setxattr(at, "user.missing", b"", libc::XATTR_REPLACE), libc::ENODATA);
    fails(sys::removexattr(at, "user.missing"), libc::ENODATA);
    fails(sys::setxattr(at, "unknown.x", b"", 0), libc::ENOTSUP);
    fails(sys::setxattr(at, format!("user.{}", "n".repeat(251)), b"", 0), libc::ERANGE);
    ok(sys::setxattr(at, format!("user.{}", "n".repeat(250)), b"v", 0));
    ok(sys::removexattr(at, "user.ten"));
    fails(sys::getxattr(at, "user.ten", 0), libc::ENODATA);
    ok(sys::symlink("f", dir.path("s")));
    fails(sys::setxattr(At::Link(&dir.path("s")), "user.x", b"", 0), libc::EPERM);
    ok(sys::setxattr(At::Link(&dir.path("s")), "trusted.x", b"on a link", 0));
    assert_eq!(ok(sys::getxattr(At::Link(&dir.path("s")), "trusted.x", 20)).1, b"on a link");
    fails(sys::getxattr(At::Path(&dir.path("s")), "trusted.x", 20), libc::ENODATA);
}

pub fn xattr_64_kib(dir: &Dir) {
    let path = dir.file("f", b"", 0o644);
    let value = vec![0xab; 65536];
    // ext4 without ea_inode has one block for them.
    match dir.fs {
        Fs::Tmpfs => {
            ok(sys::setxattr(At::Path(&path), "user.large", &value, 0));
            assert_eq!(ok(sys::getxattr(At::Path(&path), "user.large", 0)).0, 65536);
            assert_eq!(ok(sys::getxattr(At::Path(&path), "user.large", 65536)).1, value);
        }
        Fs::Ext4 => {
            fails(sys::setxattr(At::Path(&path), "user.large", &value, 0), libc::ENOSPC);
            ok(sys::setxattr(At::Path(&path), "user.large", &value[..3900], 0));
            assert_eq!(ok(sys::getxattr(At::Path(&path), "user.large", 65536)).0, 3900);
        }
        other => panic!("what is the limit of {other:?}?"),
    }
    fails(sys::setxattr(At::Path(&path), "user.large", &[0; 65537], 0), libc::E2BIG);
}
