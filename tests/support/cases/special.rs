//! Sockets, FIFOs, device nodes.

use super::*;

pub fn sockets(dir: &Dir) {
    let path = dir.at.join("s");
    let server = ok(sys::unix_socket(&path, true));
    assert_eq!(stat(sys::b(&path)).st_mode & libc::S_IFMT, libc::S_IFSOCK);
    fails(sys::unix_socket(&path, true), libc::EADDRINUSE);
    let client = ok(sys::unix_socket(&path, false));
    fails(sys::open(sys::b(&path), O_RDONLY, 0), libc::ENXIO);
    ok(sys::close(client));
    ok(sys::close(server));
    fails(sys::unix_socket(&path, false), libc::ECONNREFUSED);
    ok(sys::unlink(sys::b(&path)));
}

pub fn fifos(dir: &Dir) {
    let path = dir.path("p");
    ok(sys::mknod(&path, libc::S_IFIFO | 0o600, 0));
    fails(sys::open(&path, O_WRONLY | O_NONBLOCK, 0), libc::ENXIO);
    let writer = {
        let path = path.clone();
        spawn(move || {
            let fd = ok(sys::open(&path, O_WRONLY, 0));
            ok(sys::write(fd, b"through the pipe"));
            ok(sys::close(fd));
        })
    };
    let fd = ok(sys::open(&path, O_RDONLY, 0));
    let mut buf = [0; 100];
    assert_eq!(ok(sys::read(fd, &mut buf)), 16);
    assert_eq!(ok(sys::read(fd, &mut buf)), 0);
    writer.join().unwrap();
    fails(sys::lseek(fd, 0, SEEK_SET), libc::ESPIPE);
    ok(sys::close(fd));
}

pub fn device_nodes(dir: &Dir) {
    for (name, kind, dev) in [
        ("null", libc::S_IFCHR, libc::makedev(1, 3)),
        ("disk", libc::S_IFBLK, libc::makedev(259, 70_000)),
        ("zero", libc::S_IFCHR, 0),
    ] {
        let path = dir.path(name);
        ok(sys::mknod(&path, kind | 0o644, dev));
        let (seen, host) = (stat(&path), stat(sys::b(&dir.on_host(name))));
        assert_eq!((seen.st_mode, seen.st_rdev), (kind | 0o644, dev));
        assert_eq!((host.st_mode, host.st_rdev), (kind | 0o644, dev));
        fails(sys::open(&path, O_RDONLY, 0), libc::EACCES);
        ok(sys::rename(&path, dir.path("moved"), 0));
        ok(sys::unlink(dir.path("moved")));
    }
}
