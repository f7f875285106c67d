//! Full and read-only hosts, and names at their limit.

use super::*;

/// The same case on a backing of its own, mounted if this one is.
fn on_own_backing(dir: &Dir, backing: &Backing, f: impl FnOnce(Dir)) {
    let mount = dir.variant.map(|variant| Mount::start(variant, backing.path()));
    let at = mount.as_ref().map_or(backing.path(), Mount::path).to_path_buf();
    f(Dir { at, host: backing.path().to_path_buf(), ..*dir });
}

pub fn no_space(dir: &Dir) {
    let backing = Backing::new(Fs::Tmpfs, 4, "");
    on_own_backing(dir, &backing, |dir| {
        dir.file("full", b"", 0o644);
        dir.file("second", b"", 0o644);
        let (fd, second) = (dir.open("full", O_RDWR), dir.open("second", O_RDWR));
        let chunk: Vec<u8> = (0..100_000u32).map(|i| (i >> 8) as u8).collect();
        let mut written = 0;
        let error = loop {
            match sys::write(fd, &chunk[written % 1000..]) {
                Ok(n) => written += n as usize,
                Err(error) => break error,
            }
        };
        assert_eq!(sys::errno_name(error), "ENOSPC");
        ok(sys::fsync(fd, false));
        // What was acknowledged is there, and no more.
        assert_eq!((fstat(fd).st_size as usize, ok(sys::lseek(fd, 0, SEEK_CUR)) as usize), (written, written));
        assert!(written > 3 << 20);
        assert_eq!(fs::metadata(dir.on_host("full")).unwrap().len() as usize, written);
        fails(sys::write(second, &chunk), libc::ENOSPC);
        fails(sys::fallocate(second, 0, 0, 2 << 20), libc::ENOSPC);
        assert_eq!(fstat(second).st_size, 0);
        ok(sys::ftruncate(fd, 1 << 20));
        assert_eq!(ok(sys::write(second, &chunk)) as usize, chunk.len());
        assert_eq!(read_at(second, 0, 1 << 20), chunk);
        ok(sys::close(fd).and(sys::close(second)));
    });
}

/// A plain directory's writer gets SIGBUS at the page that does not fit; a mount's hears of it when it syncs.
pub fn no_space_for_a_mapping(dir: &Dir) {
    if dir.variant.is_none() {
        return;
    }
    const PAGES: usize = 256;
    let backing = Backing::new(Fs::Tmpfs, 4, "");
    on_own_backing(dir, &backing, |dir| {
        dir.file("sparse", b"", 0o644);
        dir.file("full", b"", 0o644);
        let (sparse, full) = (dir.open("sparse", O_RDWR), dir.open("full", O_RDWR));
        ok(sys::ftruncate(sparse, (PAGES * 4096) as i64));
        let error = loop {
            if let Err(error) = sys::write(full, &[7; 4096]) {
                break error;
            }
        };
        assert_eq!(sys::errno_name(error), "ENOSPC");
        ok(sys::ftruncate(full, fstat(full).st_size - 3 * 4096));
        let map = ok(sys::Map::new(sparse, PAGES * 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED));
        for page in 0..PAGES {
            ok(map.write(page * 4096, b"x"));
        }
        fails(map.sync().and(sys::fsync(sparse, false)), libc::ENOSPC);
        ok(sys::close(sparse).and(sys::close(full)));
    });
}

/// `chattr +a` on the host.
pub fn append_only_file(dir: &Dir) {
    let path = dir.file("log", b"one\n", 0o644);
    let host = dir.on_host("log");
    support::run(Command::new("chattr").arg("+a").arg(&host));
    for flags in [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND | O_TRUNC] {
        fails(sys::open(&path, flags, 0), libc::EPERM);
    }
    for flags in [O_WRONLY | O_APPEND, O_RDWR | O_APPEND, O_WRONLY | O_APPEND | O_CREAT] {
        let fd = ok(sys::open(&path, flags, 0o644));
        assert_eq!(ok(sys::pwrite(fd, b"more\n", 0)), 5);
        ok(sys::close(fd));
    }
    assert_eq!(fs::read(&host).unwrap(), b"one\nmore\nmore\nmore\n");
    fails(sys::unlink(&path), libc::EPERM);
    fails(sys::truncate(&path, 0), libc::EPERM);
    support::run(Command::new("chattr").arg("-a").arg(&host));
    ok(sys::unlink(&path));
}

pub fn read_only_host(dir: &Dir) {
    let backing = Backing::new(dir.fs, 64, "");
    fs::write(backing.path().join("f"), "content").unwrap();
    support::run(Command::new("mount").args(["-o", "remount,ro"]).arg(backing.path()));
    on_own_backing(dir, &backing, |dir| {
        let path = dir.path("f");
        assert_eq!(ok(content(&path)), b"content");
        for result in [
            sys::open(&path, O_WRONLY, 0).map(i64::from),
            sys::open(dir.path("new"), O_CREAT | O_WRONLY, 0o644).map(i64::from),
            sys::mkdir(dir.path("d"), 0o755),
            sys::unlink(&path),
            sys::rename(&path, dir.path("g"), 0),
            sys::chmod(At::Path(&path), 0o600),
            sys::truncate(&path, 0),
            sys::symlink("x", dir.path("s")),
            sys::setxattr(At::Path(&path), "user.x", b"", 0),
        ] {
            fails(result, libc::EROFS);
        }
        fails(sys::mkdir(&path, 0o755), libc::EEXIST);
        fails(sys::open(dir.path("missing"), O_RDONLY, 0), libc::ENOENT);
        fails(sys::unlink(dir.path("missing")), libc::EROFS);
        fails(sys::access(&path, libc::W_OK, 0), libc::EROFS);
    });
}

pub fn long_names(dir: &Dir) {
    let (long, longer) = ("n".repeat(255), "n".repeat(256));
    let path = dir.file(&long, b"long", 0o644);
    assert_eq!(ok(content(&path)), b"long");
    assert_eq!(fs::read_dir(&dir.at).unwrap().count(), 1);
    for result in [
        sys::open(dir.path(&longer), O_CREAT | O_WRONLY, 0o644).map(i64::from),
        sys::open(dir.path(&longer), O_RDONLY, 0).map(i64::from),
        sys::mkdir(dir.path(&longer), 0o755),
        sys::unlink(dir.path(&longer)),
        sys::rename(&path, dir.path(&longer), 0),
        sys::link(&path, dir.path(&longer), 0),
        sys::symlink("x", dir.path(&longer)),
        sys::mknod(dir.path(&longer), libc::S_IFIFO | 0o644, 0),
        sys::stat(At::Link(&dir.path(&longer))).map(|_| 0),
    ] {
        fails(result, libc::ENAMETOOLONG);
    }
    let bytes: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let strange = [&dir.path("")[..], &bytes].concat();
    ok(sys::mkdir(&strange, 0o755));
    let fd = ok(sys::open(sys::b(&dir.at), O_DIRECTORY, 0));
    assert!(ok(sys::readdir(fd, 4096)).iter().any(|entry| entry.name == bytes));
    ok(sys::close(fd));
    ok(sys::rename(&strange, dir.path("plain"), 0));
}

pub fn long_symlink(dir: &Dir) {
    let target = "t".repeat(4095);
    ok(sys::symlink(&target, dir.path("s")));
    assert_eq!(ok(sys::readlink(dir.path("s"))), target.as_bytes());
    assert_eq!(stat(&dir.path("s")).st_size, 4095);
    fails(sys::open(dir.path("s"), O_RDONLY, 0), libc::ENAMETOOLONG);
    fails(sys::symlink("t".repeat(4096), dir.path("s2")), libc::ENAMETOOLONG);
    fails(sys::symlink("", dir.path("s3")), libc::ENOENT);
    fails(sys::symlink("x", dir.path("s")), libc::EEXIST);
    let file = dir.file("f", b"", 0o644);
    fails(sys::readlink(&file), libc::EINVAL);
}

pub fn not_a_directory_and_loops(dir: &Dir) {
    dir.file("f", b"", 0o644);
    fails(sys::open(dir.path("f/x"), O_RDONLY, 0), libc::ENOTDIR);
    fails(sys::open(dir.path("f/"), O_RDONLY, 0), libc::ENOTDIR);
    fails(sys::mkdir(dir.path("f/x"), 0o755), libc::ENOTDIR);
    fails(sys::rmdir(dir.path("f")), libc::ENOTDIR);
    ok(sys::symlink("loop", dir.path("loop")));
    fails(sys::open(dir.path("loop"), O_RDONLY, 0), libc::ELOOP);
    fails(sys::open(dir.path("loop/x"), O_RDONLY, 0), libc::ELOOP);
    ok(sys::mkdir(dir.path("d"), 0o755));
    fails(sys::unlink(dir.path("d")), libc::EISDIR);
    fails(sys::rmdir(dir.path("d/.")), libc::EINVAL);
    fails(sys::link(dir.path("d"), dir.path("e"), 0), libc::EPERM);
    dir.file("d/f", b"", 0o644);
    fails(sys::rmdir(dir.path("d")), libc::ENOTEMPTY);
}
