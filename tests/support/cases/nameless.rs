//! Files that have no name: unlinked, replaced, made by O_TMPFILE.

use super::*;

pub fn unlinked_file_goes_on(dir: &Dir) {
    let path = dir.file("f", b"hello", 0o644);
    let fd = dir.open("f", O_RDWR);
    ok(sys::unlink(&path));
    fails(sys::open(&path, O_RDONLY, 0), libc::ENOENT);
    assert_eq!(read_at(fd, 0, 10), b"hello");
    ok(sys::pwrite(fd, b"world", 5));
    assert_eq!(read_at(fd, 0, 20), b"helloworld");
    ok(sys::ftruncate(fd, 7));
    ok(sys::chmod(At::Fd(fd), 0o4711));
    ok(sys::chown(At::Fd(fd), 7, 8));
    ok(sys::utimens(At::Fd(fd), (1, 2), (3, 4)));
    ok(sys::setxattr(At::Fd(fd), "user.x", b"y", 0));
    assert_eq!(ok(sys::getxattr(At::Fd(fd), "user.x", 9)).1, b"y");
    ok(sys::fsync(fd, false));
    let stat = fstat(fd);
    assert_eq!((stat.st_nlink, stat.st_size, stat.st_uid, stat.st_gid), (0, 7, 7, 8));
    assert_eq!((stat.st_mode & 0o7777, stat.st_mtime, stat.st_mtime_nsec), (0o711, 3, 4));
    fails(sys::link_fd(fd, dir.path("again")), libc::ENOENT);
    let other = ok(sys::open(sys::fd_path(fd), O_RDONLY, 0));
    assert_eq!(read_at(other, 0, 10), b"hellowo");
    ok(sys::close(other));
    ok(sys::close(fd));
}

pub fn unlinked_o_path_goes_on(dir: &Dir) {
    let path = dir.file("f", b"hello", 0o644);
    let fd = dir.open("f", O_PATH);
    let ino = fstat(fd).st_ino;
    ok(sys::unlink(&path));
    // A new file may take over the inode number; the descriptor must not follow.
    dir.file("f", b"other", 0o600);
    let stat = fstat(fd);
    assert_eq!((stat.st_nlink, stat.st_size, stat.st_mode & 0o777, stat.st_ino), (0, 5, 0o644, ino));
    ok(sys::chown(At::Empty(fd), 5, 6));
    assert_eq!(ok(sys::stat(At::Empty(fd))).st_uid, 5);
    fails(sys::linkat(fd, "", dir.path("again"), libc::AT_EMPTY_PATH), libc::ENOENT);
    fails(sys::read(fd, &mut [0; 4]), libc::EBADF);
    let open = ok(sys::open(sys::fd_path(fd), O_RDWR, 0));
    assert_eq!(read_at(open, 0, 10), b"hello");
    ok(sys::pwrite(open, b"J", 0));
    assert_eq!(read_at(open, 0, 10), b"Jello");
    assert_eq!(ok(content(&path)), b"other");
    ok(sys::close(open));
    ok(sys::close(fd));
}

pub fn unlinked_by_the_host_goes_on(dir: &Dir) {
    dir.file("f", b"hello", 0o644);
    let (fd, path) = (dir.open("f", O_RDWR), dir.open("f", O_PATH));
    fs::remove_file(dir.on_host("f")).unwrap();
    ok(sys::pwrite(fd, b"J", 0));
    assert_eq!(read_at(fd, 0, 10), b"Jello");
    ok(sys::chmod(At::Fd(fd), 0o600));
    dir.until("nlink is 0", || fstat(fd).st_nlink == 0 && fstat(path).st_nlink == 0);
    ok(sys::close(fd));
    ok(sys::close(path));
}

pub fn replaced_while_open(dir: &Dir) {
    let path = dir.file("f", b"old", 0o644);
    let fd = dir.open("f", O_RDONLY);
    for n in 0..20 {
        let text = format!("new {n}");
        let new = dir.file("new", text.as_bytes(), 0o644);
        ok(sys::rename(&new, &path, 0));
        assert_eq!(ok(content(&path)), text.as_bytes());
        assert_eq!(read_at(fd, 0, 9), b"old");
    }
    assert_eq!(fstat(fd).st_nlink, 0);
    ok(sys::close(fd));
}

pub fn removed_directory(dir: &Dir) {
    let path = dir.path("d");
    ok(sys::mkdir(&path, 0o755));
    let fd = dir.open("d", O_DIRECTORY);
    ok(sys::rmdir(&path));
    assert_eq!(fstat(fd).st_nlink, 0);
    fails(sys::openat(fd, "f", O_CREAT | O_WRONLY, 0o644), libc::ENOENT);
    fails(sys::openat(fd, "..", O_RDONLY, 0).and(sys::getdents(fd, 4096)), libc::ENOENT);
    sys::chdir(fd);
    fails(sys::mkdir("sub", 0o755), libc::ENOENT);
    assert_eq!(stat(b".").st_nlink, 0);
    ok(sys::close(fd));
}

pub fn tmpfile_gets_a_name(dir: &Dir) {
    let fd = ok(sys::open(sys::b(&dir.at), O_TMPFILE | O_RDWR, 0o640));
    ok(sys::write(fd, b"anonymous"));
    assert_eq!((fstat(fd).st_nlink, fstat(fd).st_mode & 0o777), (0, 0o640));
    assert_eq!(fs::read_dir(&dir.at).unwrap().count(), 0);
    ok(sys::link_fd(fd, dir.path("one")));
    ok(sys::linkat(fd, "", dir.path("two"), libc::AT_EMPTY_PATH));
    fails(sys::link_fd(fd, dir.path("two")), libc::EEXIST);
    assert_eq!(fstat(fd).st_nlink, 2);
    assert_eq!(stat(&dir.path("one")).st_ino, fstat(fd).st_ino);
    dir.written_back(fd);
    assert_eq!(fs::read(dir.on_host("two")).unwrap(), b"anonymous");
    ok(sys::close(fd));
}

pub fn tmpfile_excl_gets_none(dir: &Dir) {
    let fd = ok(sys::open(sys::b(&dir.at), O_TMPFILE | O_EXCL | O_RDWR, 0o600));
    fails(sys::link_fd(fd, dir.path("f")), libc::ENOENT);
    fails(sys::open(sys::b(&dir.at), O_TMPFILE | O_RDONLY, 0o600), libc::EINVAL);
    ok(sys::close(fd));
}
