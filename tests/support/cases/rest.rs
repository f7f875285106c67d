//! Programs, locks, copies, statfs, fsync.

use super::*;

pub fn executables(dir: &Dir) {
    fs::copy("/bin/echo", dir.at.join("echo")).unwrap();
    fs::write(dir.at.join("script"), "#!/bin/sh\necho \"script $1\"\n").unwrap();
    ok(sys::chmod(At::Path(&dir.path("script")), 0o755));
    let start = |name: &str| {
        // Another thread's fork may hold the copy open for writing for a moment.
        for _ in 0..100 {
            match Command::new(dir.at.join(name)).arg("works").output() {
                Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) => sleep(Duration::from_millis(10)),
                other => return String::from_utf8(other.unwrap().stdout).unwrap(),
            }
        }
        panic!("{name}: ETXTBSY");
    };
    assert_eq!(start("echo"), "works\n");
    assert_eq!(start("script"), "script works\n");
    ok(sys::chmod(At::Path(&dir.path("script")), 0o644));
    let refused = Command::new(dir.at.join("script")).output().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
}

/// Also not by those who ask for truncation alone, in an open that does not write.
pub fn a_running_program_is_not_cut(dir: &Dir) {
    fs::copy("/bin/sleep", dir.at.join("sleep")).unwrap();
    let size = stat(&dir.path("sleep")).st_size;
    let mut program = loop {
        match Command::new(dir.at.join("sleep")).arg("30").spawn() {
            Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) => sleep(Duration::from_millis(10)),
            other => break other.unwrap(),
        }
    };
    let answers = [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC].map(|flags| sys::open(dir.path("sleep"), flags, 0));
    let (left, running) = (stat(&dir.path("sleep")).st_size, program.try_wait().unwrap().is_none());
    program.kill().unwrap();
    program.wait().unwrap();
    answers.into_iter().for_each(|answer| fails(answer, libc::ETXTBSY));
    assert!(running && left == size && fs::metadata(dir.on_host("sleep")).unwrap().len() == size as u64);
}

pub fn truncating_opens(dir: &Dir) {
    for flags in [O_WRONLY, O_RDWR, O_RDONLY] {
        dir.file("f", b"content", 0o644);
        ok(sys::utimens(At::Path(&dir.path("f")), (5, 0), (5, 0)));
        ok(sys::close(dir.open("f", flags | O_TRUNC)));
        let st = stat(&dir.path("f"));
        assert!(st.st_size == 0 && st.st_mtime > 5, "{flags:#o}");
        ok(sys::utimens(At::Path(&dir.path("f")), (5, 0), (5, 0)));
        ok(sys::close(dir.open("f", flags | O_TRUNC)));
        assert!(stat(&dir.path("f")).st_mtime > 5, "{flags:#o}, empty before");
        ok(sys::unlink(dir.path("f")));
    }
}

pub fn flock_locks(dir: &Dir) {
    dir.file("f", b"", 0o644);
    let (a, b) = (dir.open("f", O_RDWR), dir.open("f", O_RDWR));
    ok(sys::flock(a, libc::LOCK_EX | libc::LOCK_NB));
    fails(sys::flock(b, libc::LOCK_SH | libc::LOCK_NB), libc::EAGAIN);
    ok(sys::flock(a, libc::LOCK_UN));
    ok(sys::flock(a, libc::LOCK_SH | libc::LOCK_NB));
    ok(sys::flock(b, libc::LOCK_SH | libc::LOCK_NB));
    fails(sys::flock(a, libc::LOCK_EX | libc::LOCK_NB), libc::EAGAIN);
    ok(sys::close(b));
    // Another case's child may have inherited b, for a moment.
    dir.until("the lock goes with its descriptor", || sys::flock(a, libc::LOCK_EX | libc::LOCK_NB).is_ok());
    // Another process waits for it, and gets it when it is released.
    let (path, ready) = (dir.path("f"), sys::pipe());
    let child = sys::fork(|| {
        sys::close(a).ok();
        let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 1 };
        let early = sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB);
        sys::write(ready[1], b"r").ok();
        match (early, sys::flock(fd, libc::LOCK_EX)) {
            (Err(libc::EAGAIN), Ok(_)) => 0,
            (Err(libc::EAGAIN), Err(_)) => 3,
            _ => 2,
        }
    });
    ok(sys::read(ready[0], &mut [0]));
    dir.until("it waits", || sys::is_in_call(child.0, libc::SYS_flock));
    ok(sys::close(a));
    assert_eq!(child.wait(), 0);
    for fd in ready {
        ok(sys::close(fd));
    }
}

pub fn posix_locks(dir: &Dir) {
    let path = dir.file("f", &[0; 100], 0o644);
    let fd = dir.open("f", O_RDWR);
    let (write, read, none) = (libc::F_WRLCK, libc::F_RDLCK, libc::F_UNLCK);
    ok(sys::lock(fd, libc::F_SETLK, write, 10, 10));
    ok(sys::lock(fd, libc::F_SETLK, read, 30, 10));
    // Each number names a check that failed in the other process.
    let other = |checks: [(i32, i64, Result<(), i32>); 4]| {
        let child = sys::fork(|| {
            let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 99 };
            let wrong = checks.iter().position(|(kind, start, wanted)| {
                sys::lock(fd, libc::F_SETLK, *kind, *start, 5).map(|_| ()) != *wanted
            });
            wrong.map_or(0, |n| n as i32 + 1)
        });
        child.wait()
    };
    let refused = Err(libc::EAGAIN);
    let checks = [(read, 15, refused), (write, 30, refused), (read, 30, Ok(())), (write, 20, Ok(()))];
    assert_eq!(other(checks), 0);
    let holder = sys::fork(|| {
        let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 99 };
        let lock = sys::lock(fd, libc::F_GETLK, write, 0, 100);
        i32::from(!lock.is_ok_and(|lock| (lock.l_start, lock.l_len, lock.l_type) == (10, 10, write as _)))
    });
    assert_eq!(holder.wait(), 0, "F_GETLK names the lock in the way");
    ok(sys::lock(fd, libc::F_SETLK, none, 10, 5));
    let checks = [(write, 10, Ok(())), (write, 15, refused), (read, 35, Ok(())), (write, 0, Ok(()))];
    assert_eq!(other(checks), 0);
    // Closing any descriptor of the file releases them all.
    ok(sys::close(dir.open("f", O_RDONLY)));
    let checks = [(write, 15, Ok(())), (write, 30, Ok(())), (write, 35, Ok(())), (write, 0, Ok(()))];
    assert_eq!(other(checks), 0);
    ok(sys::close(fd));
}

pub fn open_file_locks(dir: &Dir) {
    dir.file("f", &[0; 100], 0o644);
    let (a, b) = (dir.open("f", O_RDWR), dir.open("f", O_RDWR));
    ok(sys::lock(a, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 10));
    fails(sys::lock(b, libc::F_OFD_SETLK, libc::F_RDLCK, 5, 10), libc::EAGAIN);
    ok(sys::lock(b, libc::F_OFD_SETLK, libc::F_RDLCK, 10, 10));
    ok(sys::close(a));
    let all = || sys::lock(b, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 10);
    dir.until("the lock goes with its descriptor", || all().is_ok());
    ok(sys::close(b));
}

pub fn copy_between_files(dir: &Dir) {
    let data: Vec<u8> = (0..300_000u32).map(|i| (i >> 7) as u8).collect();
    dir.file("from", &data, 0o644);
    let path = dir.file("to", b"0123456789", 0o644);
    let (from, to) = (dir.open("from", O_RDONLY), dir.open("to", O_RDWR));
    assert_eq!(read_at(to, 0, 20), b"0123456789");
    let mut done = 0;
    while done < 200_000 {
        let left = 200_000 - done as usize;
        done += ok(sys::copy_file_range((from, 1000 + done), (to, 5 + done), left));
    }
    let now = ok(content(&path));
    assert!(now.len() == 200_005 && now[..5] == *b"01234" && now[5..] == data[1000..201_000]);
    assert_eq!(stat(&path).st_size, 200_005);
    assert_eq!(ok(sys::copy_file_range((from, 300_000), (to, 0), 10)), 0);
    fails(sys::copy_file_range((to, 0), (from, 0), 10), libc::EBADF);
    fails(sys::copy_file_range((to, 0), (to, 5), 10), libc::EINVAL);
    ok(sys::close(from));
    ok(sys::close(to));
    let append = dir.open("to", O_WRONLY | O_APPEND);
    let from = dir.open("from", O_RDONLY);
    fails(sys::copy_file_range((from, 0), (append, 0), 10), libc::EBADF);
    ok(sys::close(append));
    ok(sys::close(from));
}

pub fn statfs_is_the_hosts(dir: &Dir) {
    let numbers = |path: &Path| {
        let fs = ok(sys::statfs(At::Path(sys::b(path))));
        let blocks = [fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree];
        (blocks, fs.f_bsize, fs.f_frsize, fs.f_namelen)
    };
    // Other cases write at the same time.
    dir.until("the host's numbers", || numbers(&dir.at) == numbers(&dir.host));
    let df = support::run(Command::new("df").args(["-k", "--output=size"]).arg(&dir.at));
    assert_eq!(df, support::run(Command::new("df").args(["-k", "--output=size"]).arg(&dir.host)));
}

pub fn fsync_of_everything(dir: &Dir) {
    dir.file("f", b"x", 0o644);
    for (name, flags) in [("f", O_RDWR), ("f", O_RDONLY), ("", O_DIRECTORY)] {
        let fd = dir.open(name, flags);
        ok(sys::fsync(fd, false));
        ok(sys::fsync(fd, true));
        ok(sys::close(fd));
    }
    let fd = dir.open("f", O_PATH);
    fails(sys::fsync(fd, false), libc::EBADF);
    ok(sys::close(fd));
}
