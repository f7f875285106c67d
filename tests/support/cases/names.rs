//! Names: links, renames, open flags, directories.

use super::*;

pub fn hard_links_are_one_file(dir: &Dir) {
    let (a, b) = (dir.file("a", b"one", 0o644), dir.path("b"));
    ok(sys::link(&a, &b, 0));
    assert_eq!((stat(&a).st_nlink, stat(&b).st_nlink), (2, 2));
    assert_eq!(stat(&a).st_ino, stat(&b).st_ino);
    let (write, read) = (dir.open("a", O_WRONLY), dir.open("b", O_RDONLY));
    assert_eq!(read_at(read, 0, 9), b"one");
    ok(sys::pwrite(write, b"three", 0));
    assert_eq!(read_at(read, 0, 9), b"three");
    assert_eq!(stat(&b).st_size, 5);
    ok(sys::chmod(At::Path(&a), 0o600));
    assert_eq!(mode(&b), 0o600);
    ok(sys::unlink(&a));
    assert_eq!((stat(&b).st_nlink, fstat(write).st_nlink), (1, 1));
    ok(sys::close(write));
    ok(sys::close(read));
}

pub fn inode_numbers_are_the_hosts(dir: &Dir) {
    dir.file("f", b"", 0o644);
    ok(sys::mkdir(dir.path("d"), 0o755));
    ok(sys::symlink("f", dir.path("s")));
    ok(sys::mknod(dir.path("p"), libc::S_IFIFO | 0o644, 0));
    ok(sys::mkdir(dir.path("d/below"), 0o755));
    fs::write(dir.on_host("by-host"), "").unwrap();
    for name in ["f", "d", "s", "p", "d/below", "by-host", "d/..", "."] {
        let host = fs::symlink_metadata(dir.on_host(name)).unwrap().ino();
        assert_eq!(stat(&dir.path(name)).st_ino, host, "{name}");
    }
    for at in ["", "d"] {
        let fd = ok(sys::open(dir.path(at), O_DIRECTORY, 0));
        for entry in ok(sys::readdir(fd, 4096)) {
            let name = [&dir.path(at)[..], b"/", &entry.name].concat();
            assert_eq!(entry.ino, stat(&name).st_ino, "d_ino of {}", name.escape_ascii());
        }
        assert_eq!(fstat(fd).st_ino, fs::metadata(dir.on_host(at)).unwrap().ino());
        ok(sys::close(fd));
    }
}

pub fn rename_flags(dir: &Dir) {
    let (a, b, c) = (dir.file("a", b"a", 0o644), dir.file("b", b"b", 0o644), dir.path("c"));
    fails(sys::rename(&a, &b, libc::RENAME_NOREPLACE), libc::EEXIST);
    ok(sys::rename(&a, &c, libc::RENAME_NOREPLACE));
    fails(sys::rename(&a, &c, libc::RENAME_EXCHANGE), libc::ENOENT);
    ok(sys::rename(&b, &c, libc::RENAME_EXCHANGE));
    assert_eq!((ok(content(&b)), ok(content(&c))), (b"a".to_vec(), b"b".to_vec()));
    ok(sys::mkdir(dir.path("d"), 0o755));
    ok(sys::rename(dir.path("d"), &c, libc::RENAME_EXCHANGE));
    assert_eq!(ok(content(&dir.path("d"))), b"b");
    assert_eq!(stat(&c).st_mode & libc::S_IFMT, libc::S_IFDIR);
    ok(sys::rename(&b, &a, libc::RENAME_WHITEOUT));
    let left = stat(&b);
    assert_eq!((left.st_mode & libc::S_IFMT, left.st_rdev), (libc::S_IFCHR, 0));
    assert_eq!(ok(content(&a)), b"a");
    fails(sys::rename(&a, &b, libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE), libc::EINVAL);
}

pub fn rename_refusals(dir: &Dir) {
    let (file, one, two) = (dir.file("f", b"", 0o644), dir.path("one"), dir.path("two"));
    ok(sys::mkdir(&one, 0o755));
    ok(sys::mkdir(&two, 0o755));
    dir.file("two/full", b"", 0o644);
    fails(sys::rename(&one, &two, 0), libc::ENOTEMPTY);
    fails(sys::rename(&file, &one, 0), libc::EISDIR);
    fails(sys::rename(&one, &file, 0), libc::ENOTDIR);
    fails(sys::rename(&two, dir.path("two/below"), 0), libc::EINVAL);
    fails(sys::rename(dir.path("two/full"), &two, 0), libc::ENOTEMPTY);
    ok(sys::rename(&two, &one, 0));
    // Two names of one file: rename does nothing.
    let other = dir.path("g");
    ok(sys::link(&file, &other, 0));
    ok(sys::rename(&file, &other, 0));
    assert_eq!(stat(&file).st_nlink, 2);
    // The open file and the directory's ".." follow the rename.
    ok(sys::mkdir(dir.path("parent"), 0o755));
    ok(sys::rename(&one, dir.path("parent/moved"), 0));
    assert_eq!(stat(&dir.path("parent/moved/..")).st_ino, stat(&dir.path("parent")).st_ino);
    assert_eq!(stat(&dir.path("parent")).st_nlink, 3);
}

pub fn open_flags(dir: &Dir) {
    let file = dir.file("f", b"12345", 0o644);
    ok(sys::symlink("f", dir.path("s")));
    fails(sys::open(&file, O_CREAT | O_EXCL | O_RDWR, 0o644), libc::EEXIST);
    fails(sys::open(dir.path("s"), O_CREAT | O_EXCL | O_RDWR, 0o644), libc::EEXIST);
    fails(sys::open(dir.path("s"), O_RDONLY | O_NOFOLLOW, 0), libc::ELOOP);
    fails(sys::open(&file, O_RDONLY | O_DIRECTORY, 0), libc::ENOTDIR);
    fails(sys::open(sys::b(&dir.at), O_WRONLY, 0), libc::EISDIR);
    let link = ok(sys::open(dir.path("s"), O_PATH | O_NOFOLLOW, 0));
    assert_eq!(fstat(link).st_mode & libc::S_IFMT, libc::S_IFLNK);
    ok(sys::close(link));
    let other = dir.open("f", O_RDONLY);
    assert_eq!(read_at(other, 0, 9), b"12345");
    let fd = dir.open("f", O_WRONLY | O_TRUNC);
    assert_eq!((fstat(other).st_size, read_at(other, 0, 9).len()), (0, 0));
    fails(sys::read(fd, &mut [0; 9]), libc::EBADF);
    fails(sys::write(other, b"x"), libc::EBADF);
    fails(sys::open(dir.path("missing"), O_RDWR, 0), libc::ENOENT);
    ok(sys::symlink("made", dir.path("dangling")));
    ok(sys::close(dir.open("dangling", O_CREAT | O_WRONLY)));
    assert_eq!(stat(&dir.path("made")).st_size, 0);
    ok(sys::close(fd));
    ok(sys::close(other));
}

pub fn open_without_permission_bits(dir: &Dir) {
    let path = dir.path("f");
    as_user(&MEMBER, || {
        let fd = ok(sys::open(&path, O_CREAT | O_EXCL | O_RDWR, 0));
        ok(sys::write(fd, b"mine"));
        assert_eq!(read_at(fd, 0, 9), b"mine");
        ok(sys::ftruncate(fd, 2));
        fails(sys::open(&path, O_RDONLY, 0), libc::EACCES);
        fails(sys::truncate(&path, 0), libc::EACCES);
        ok(sys::chmod(At::Fd(fd), 0o400));
        assert_eq!(ok(content(&path)), b"mi");
        ok(sys::close(fd));
    });
    assert_eq!((stat(&path).st_uid, stat(&path).st_gid), (1000, 1000));
}

fn make_many(dir: &Dir, n: usize) -> BTreeSet<Vec<u8>> {
    let name = |i| format!("a-name-of-some-length-{i}");
    (0..n).for_each(|i| drop(fs::File::create(dir.on_host(&name(i))).unwrap()));
    (0..n).map(|i| name(i).into_bytes()).chain([b".".to_vec(), b"..".to_vec()]).collect()
}

pub fn large_directory_resumes(dir: &Dir) {
    let names = make_many(dir, 20_000);
    let fd = ok(sys::open(sys::b(&dir.at), O_DIRECTORY, 0));
    let all = ok(sys::readdir(fd, 3000));
    assert_eq!(all.len(), names.len());
    assert_eq!(all.iter().map(|entry| entry.name.clone()).collect::<BTreeSet<_>>(), names);
    for skip in [0, 1, 2, 100, 9_999, 15_000, 20_000, 20_001] {
        ok(sys::lseek(fd, all[skip].next, SEEK_SET));
        let rest = ok(sys::readdir(fd, 40_000));
        assert!(rest == all[skip + 1..], "after entry {skip}: {} of {}", rest.len(), all.len() - skip - 1);
    }
    // A second reader of the same directory is not disturbed by the first.
    let other = ok(sys::open(sys::b(&dir.at), O_DIRECTORY, 0));
    ok(sys::lseek(fd, 0, SEEK_SET));
    let (mut one, mut two) = (0, 0);
    loop {
        let (a, b) = (ok(sys::getdents(fd, 2000)).len(), ok(sys::getdents(other, 1000)).len());
        (one, two) = (one + a, two + b);
        if a + b == 0 {
            break;
        }
    }
    assert_eq!((one, two), (all.len(), all.len()));
    ok(sys::close(fd));
    ok(sys::close(other));
}

pub fn large_directory_while_removing(dir: &Dir) {
    let names = make_many(dir, 5_000);
    let fd = ok(sys::open(sys::b(&dir.at), O_DIRECTORY, 0));
    let mut seen = BTreeSet::new();
    // As rm -r does: read some, remove them, read on.
    loop {
        let some = ok(sys::getdents(fd, 4096));
        for entry in &some {
            assert!(seen.insert(entry.name.clone()), "{} comes twice", entry.name.escape_ascii());
            if entry.name[0] != b'.' {
                ok(sys::unlink([&dir.path("")[..], &entry.name].concat()));
            }
        }
        if some.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names);
    ok(sys::lseek(fd, 0, SEEK_SET));
    assert_eq!(ok(sys::readdir(fd, 4096)).len(), 2);
    ok(sys::close(fd));
    ok(sys::rmdir(sys::b(&dir.at)));
}

pub fn directory_lists_dots(dir: &Dir) {
    ok(sys::mkdir(dir.path("d"), 0o755));
    ok(sys::mkdir(dir.path("d/e"), 0o755));
    let fd = dir.open("d", O_DIRECTORY);
    let mut entries = ok(sys::readdir(fd, 4096));
    entries.sort();
    let names: Vec<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names, [&b"."[..], b"..", b"e"]);
    assert!(entries.iter().all(|entry| entry.kind == libc::DT_DIR));
    ok(sys::lseek(fd, 0, SEEK_SET));
    fails(sys::getdents(fd, 10), libc::EINVAL);
    ok(sys::close(fd));
}

/// A name that is replaced all the time stands for one file or the other, and for one that is whole.
pub fn a_name_that_others_replace_is_there(dir: &Dir) {
    const ROUNDS: usize = 1500;
    let path = dir.file("f", b"whole", 0o644);
    let replacer = |n: u8| {
        let new = dir.path(&format!("new{n}"));
        sys::fork(|| {
            for _ in 0..ROUNDS {
                let Ok(fd) = sys::open(&new, O_CREAT | O_EXCL | O_WRONLY, 0o644) else { return 1 };
                if sys::write(fd, b"whole") != Ok(5) || sys::close(fd).is_err() || sys::rename(&new, &path, 0).is_err()
                {
                    return 2;
                }
            }
            0
        })
    };
    let reader = || {
        sys::fork(|| {
            let failed = |errno| if errno == libc::ESTALE { 3 } else { 4 };
            for _ in 0..2 * ROUNDS {
                let fd = match sys::open(&path, O_RDONLY, 0) {
                    Ok(fd) => fd,
                    Err(errno) => return failed(errno),
                };
                let mut buffer = [0; 8];
                let read = sys::read(fd, &mut buffer);
                let _ = sys::close(fd);
                if read != Ok(5) {
                    return 5;
                }
                if let Err(errno) = sys::stat(At::Link(&path)) {
                    return failed(errno) + 10;
                }
            }
            0
        })
    };
    let all = [replacer(0), replacer(1), reader(), reader(), reader()];
    assert_eq!(all.map(|child| child.wait()), [0; 5], "3 and 13: ESTALE");
}
