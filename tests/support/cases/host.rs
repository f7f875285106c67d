//! What the host does behind the mount.

use super::*;

pub fn host_replaces_a_file(dir: &Dir) {
    let path = dir.file("f", b"old content", 0o644);
    let held = dir.open("f", O_RDONLY);
    assert_eq!(ok(content(&path)), b"old content");
    fs::write(dir.on_host("new"), "new").unwrap();
    fs::rename(dir.on_host("new"), dir.on_host("f")).unwrap();
    // A name may be cached for a while. But what is opened is one of the two files, whole.
    dir.until("the new file", || {
        let now = content(&path);
        assert!(
            now.as_ref().is_err_and(|e| *e == libc::ESTALE)
                || now.as_ref().is_ok_and(|now| { now == b"new" || now == b"old content" }),
            "{now:?}"
        );
        now == Ok(b"new".to_vec()) && stat(&path).st_size == 3
    });
    assert_eq!(read_at(held, 0, 20), b"old content");
    ok(sys::close(held));
}

/// Whoever finds a file opens it, however often its name stands for another one meanwhile.
pub fn host_replaces_a_file_all_the_time(dir: &Dir) {
    const ROUNDS: usize = 2000;
    let path = dir.file("f", b"whole", 0o644);
    let replacer = sys::fork(|| {
        let (new, host, over) = (dir.on_host("new"), dir.on_host("f"), dir.on_host("over"));
        while !over.exists() {
            if fs::write(&new, "whole").and_then(|()| fs::rename(&new, &host)).is_err() {
                return 1;
            }
        }
        0
    });
    let reader = || {
        sys::fork(|| {
            for _ in 0..ROUNDS {
                match content(&path) {
                    Ok(now) if now == b"whole" => {}
                    Ok(_) => return 2,
                    Err(libc::ESTALE) => return 3,
                    Err(_) => return 4,
                }
            }
            0
        })
    };
    let readers = [reader(), reader(), reader()].map(|child| child.wait());
    fs::write(dir.on_host("over"), "").unwrap();
    assert_eq!((replacer.wait(), readers), (0, [0; 3]), "3: ESTALE");
}

pub fn host_changes_a_file(dir: &Dir) {
    let path = dir.file("f", b"before", 0o644);
    assert_eq!(ok(content(&path)), b"before");
    sleep(Duration::from_millis(12));
    fs::write(dir.on_host("f"), "after it").unwrap();
    ok(sys::chmod(At::Path(sys::b(&dir.on_host("f"))), 0o600));
    dir.until("the new content, size and mode", || {
        ok(content(&path)) == b"after it" && stat(&path).st_size == 8 && mode(&path) == 0o600
    });
}

/// Beside a descriptor that is open all the time.
pub fn host_changes_a_file_of_the_same_size(dir: &Dir) {
    let path = dir.file("f", b"before it", 0o644);
    let fd = dir.open("f", O_RDONLY);
    assert_eq!(read_at(fd, 0, 10), b"before it");
    sleep(Duration::from_millis(12));
    let host = ok(sys::open(sys::b(&dir.on_host("f")), O_WRONLY, 0));
    ok(sys::pwrite(host, b"AFTER THE", 0));
    ok(sys::close(host));
    dir.until("the new content after a new open", || ok(content(&path)) == b"AFTER THE");
    assert_eq!(read_at(fd, 0, 10), b"AFTER THE");
    ok(sys::close(fd));
}

pub fn host_appends(dir: &Dir) {
    let path = dir.file("log", b"one\n", 0o644);
    let fd = dir.open("log", O_RDONLY);
    let mut buf = [0; 64];
    assert_eq!(ok(sys::read(fd, &mut buf)), 4);
    let host = ok(sys::open(sys::b(&dir.on_host("log")), O_WRONLY | O_APPEND, 0));
    ok(sys::write(host, b"two\n"));
    ok(sys::close(host));
    dir.until("tail -f sees the new line", || {
        stat(&path);
        sys::read(fd, &mut buf) == Ok(4)
    });
    assert_eq!(&buf[..4], b"two\n");
    ok(sys::close(fd));
}

pub fn host_adds_and_removes_names(dir: &Dir) {
    let there = |name: &str| sys::stat(At::Link(&dir.path(name))).is_ok();
    let listed = |name: &str| fs::read_dir(&dir.at).unwrap().any(|e| e.unwrap().file_name() == name);
    assert!(!there("late") && !listed("late"));
    fs::write(dir.on_host("late"), "").unwrap();
    dir.until("a new name", || there("late") && listed("late"));
    fs::remove_file(dir.on_host("late")).unwrap();
    dir.until("a name that is gone", || !there("late") && !listed("late"));
    fs::create_dir(dir.on_host("late")).unwrap();
    dir.until("a directory of that name", || listed("late") && there("late") && there("late/."));
}

/// ext4 gives an inode number to the next file at once: nobody must read the one for the other. As long as the name is
/// cached it may open the old file, but not for longer.
pub fn inode_number_taken_over(dir: &Dir) {
    for n in 0..4 {
        let (name, old, new) = (format!("f{n}"), format!("old {n}"), format!("new file {n}"));
        let path = dir.file(&name, old.as_bytes(), 0o644);
        assert_eq!(ok(content(&path)), old.as_bytes());
        let held = (n % 2 == 0).then(|| dir.open(&name, O_RDONLY));
        fs::remove_file(dir.on_host(&name)).unwrap();
        fs::write(dir.on_host(&name), &new).unwrap();
        let now = content(&path);
        let fine = now.as_ref().map_or_else(
            |e| *e == libc::ESTALE || *e == libc::ENOENT,
            |now| now == new.as_bytes() || now == old.as_bytes(),
        );
        assert!(fine, "{n}: {now:?}");
        dir.until("the new file", || content(&path) == Ok(new.clone().into_bytes()));
        assert_eq!(stat(&path).st_size as usize, new.len());
        if let Some(fd) = held {
            assert_eq!(read_at(fd, 0, 20), old.as_bytes());
            ok(sys::close(fd));
        }
    }
}
