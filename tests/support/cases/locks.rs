//! Locks between clients of the mount, and between them and processes of the host.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const READ: i32 = libc::F_RDLCK;
const WRITE: i32 = libc::F_WRLCK;
const NONE: i32 = libc::F_UNLCK;

/// The two ways to the same file.
fn ways(dir: &Dir) -> [(Vec<u8>, Vec<u8>); 3] {
    let (mount, host) = (dir.path("f"), sys::b(&dir.on_host("f")).to_vec());
    [(mount.clone(), mount.clone()), (mount.clone(), host.clone()), (host, mount)]
}

/// What another process answers, which opens `path` first.
fn elsewhere(path: &[u8], f: impl FnOnce(i32) -> i32) -> i32 {
    sys::fork(|| sys::open(path, O_RDWR, 0).map_or(99, f)).wait()
}

fn errno<T>(answer: Sys<T>) -> i32 {
    answer.err().unwrap_or(0)
}

/// A process that does as `f` says until it is told to end.
struct Other {
    child: sys::Child,
    tell: i32,
}

impl Other {
    /// `f` has locked when this returns.
    fn start(path: &[u8], f: impl FnOnce(i32) -> Sys) -> Other {
        let (ready, tell) = (sys::pipe(), sys::pipe());
        let child = sys::fork(|| {
            sys::close(tell[1]).ok();
            let done = sys::open(path, O_RDWR, 0).map(f);
            sys::write(ready[1], &[u8::from(matches!(done, Ok(Ok(_))))]).ok();
            sys::read(tell[0], &mut [0]).ok();
            0
        });
        let mut answer = [0];
        ok(sys::read(ready[0], &mut answer));
        assert_eq!(answer, [1], "the other process has no lock");
        [ready[0], ready[1], tell[0]].into_iter().for_each(close);
        Other { child, tell: tell[1] }
    }

    fn end(self) {
        ok(sys::close(self.tell));
        assert_eq!(self.child.wait(), 0);
    }
}

fn close(fd: i32) {
    ok(sys::close(fd));
}

/// Threads of the daemon by that name.
fn threads(dir: &Dir, name: &str) -> usize {
    let Some(daemon) = dir.daemon else { return 0 };
    let tasks = fs::read_dir(format!("/proc/{daemon}/task")).unwrap().flatten();
    tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)).count()
}

pub fn ranges_conflict_between_mount_and_host(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let fd = ok(sys::open(&one, O_RDWR, 0));
        ok(sys::lock(fd, libc::F_SETLK, WRITE, 10, 20));
        ok(sys::lock(fd, libc::F_SETLK, NONE, 15, 5));
        ok(sys::lock(fd, libc::F_SETLK, READ, 20, 5));
        // Held now: 10 to 14 and 25 to 29 to write, 20 to 24 to read.
        for (kind, start, len, expected) in [
            (WRITE, 10, 1, libc::EAGAIN),
            (READ, 14, 1, libc::EAGAIN),
            (WRITE, 15, 5, 0),
            (READ, 20, 5, 0),
            (WRITE, 24, 1, libc::EAGAIN),
            (READ, 25, 1, libc::EAGAIN),
            (WRITE, 30, 0, 0),
            (WRITE, 0, 10, 0),
            (READ, 0, 0, libc::EAGAIN),
        ] {
            let answer = elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, kind, start, len)));
            assert_eq!(answer, expected, "{kind} {start}+{len}");
        }
        ok(sys::close(fd));
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0))), 0);
    }
}

pub fn a_lock_names_its_holder(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let holder = Other::start(&one, |fd| sys::lock(fd, libc::F_SETLK, WRITE, 3, 4).map(|_| 0));
        let fd = ok(sys::open(&other, O_RDWR, 0));
        let found = ok(sys::lock(fd, libc::F_GETLK, READ, 0, 0));
        assert_eq!((i32::from(found.l_type), found.l_start, found.l_len), (WRITE, 3, 4));
        // The daemon holds the mount's locks, as descriptions, for which the host has no process.
        let of_the_mount = dir.variant.is_some() && other == sys::b(&dir.on_host("f"));
        assert_eq!(found.l_pid, if of_the_mount { -1 } else { holder.child.0 });
        let free = ok(sys::lock(fd, libc::F_GETLK, WRITE, 7, 0));
        assert_eq!(i32::from(free.l_type), NONE);
        holder.end();
        assert_eq!(i32::from(ok(sys::lock(fd, libc::F_GETLK, WRITE, 0, 0)).l_type), NONE);
        ok(sys::close(fd));
    }
}

pub fn closing_any_descriptor_loses_the_locks(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let (locked, unused) = (ok(sys::open(&one, O_RDWR, 0)), ok(sys::open(&one, O_RDONLY, 0)));
        ok(sys::lock(locked, libc::F_SETLK, WRITE, 0, 0));
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 0, 0))), libc::EAGAIN);
        // A child inherits descriptors, no locks, and loses none of its parent's.
        assert_eq!(sys::fork(|| errno(sys::close(locked))).wait(), 0);
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 0, 0))), libc::EAGAIN);
        ok(sys::close(unused));
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0))), 0);
        ok(sys::close(locked));
    }
}

pub fn one_owner_converts_through_any_descriptor(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let (reader, writer) = (ok(sys::open(&one, O_RDONLY, 0)), ok(sys::open(&one, O_WRONLY, 0)));
        fails(sys::lock(reader, libc::F_SETLK, WRITE, 0, 0), libc::EBADF);
        fails(sys::lock(writer, libc::F_SETLK, READ, 0, 0), libc::EBADF);
        ok(sys::lock(reader, libc::F_SETLK, READ, 0, 10));
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 0, 0))), 0);
        ok(sys::lock(writer, libc::F_SETLK, WRITE, 5, 10));
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, WRITE, 0, 5))), libc::EAGAIN);
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 0, 5))), 0);
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 5, 1))), libc::EAGAIN);
        ok(sys::close(reader));
        ok(sys::close(writer));
    }
}

pub fn waiting_ends_with_the_lock(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        for flock in [false, true] {
            let lock = move |fd, wait: bool| match (flock, wait) {
                (false, false) => sys::lock(fd, libc::F_SETLK, WRITE, 0, 0).map(|_| 0),
                (false, true) => sys::lock(fd, libc::F_SETLKW, WRITE, 0, 0).map(|_| 0),
                (true, false) => sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB),
                (true, true) => sys::flock(fd, libc::LOCK_EX),
            };
            let fd = ok(sys::open(&one, O_RDWR, 0));
            ok(lock(fd, false));
            let waiter = sys::fork(|| {
                sys::close(fd).ok();
                sys::open(&other, O_RDWR, 0).and_then(|fd| lock(fd, true)).map_or_else(|errno| errno, |_| 0)
            });
            sleep(Duration::from_millis(50));
            ok(sys::close(fd));
            assert_eq!(waiter.wait(), 0);
        }
    }
}

pub fn a_signal_ends_the_wait(dir: &Dir) {
    extern "C" fn nothing(_: i32) {}
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let fd = ok(sys::open(&one, O_RDWR, 0));
        ok(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0));
        for _ in 0..20 {
            let ready = sys::pipe();
            let waiter = sys::fork(|| {
                // SAFETY: an empty handler; without SA_RESTART the call answers EINTR.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
                    libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
                }
                let Ok(fd) = sys::open(&other, O_RDWR, 0) else { return 99 };
                sys::write(ready[1], b"r").ok();
                errno(sys::lock(fd, libc::F_SETLKW, WRITE, 0, 0))
            });
            ok(sys::read(ready[0], &mut [0]));
            // Early ones come while the request is on its way.
            let end = Instant::now() + Duration::from_secs(10);
            let pid = waiter.0;
            let nagging = spawn(move || {
                while Instant::now() < end && sys::kill(pid, libc::SIGUSR2).is_ok() {
                    sleep(Duration::from_micros(300));
                    // SAFETY: zeroed siginfo is valid; WNOWAIT leaves the child to be waited for.
                    let gone = unsafe {
                        let mut info: libc::siginfo_t = std::mem::zeroed();
                        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                        libc::waitid(libc::P_PID, pid as u32, &mut info, flags) != 0 || info.si_pid() == pid
                    };
                    if gone {
                        break;
                    }
                }
            });
            nagging.join().unwrap();
            assert_eq!(waiter.wait(), libc::EINTR);
            ready.into_iter().for_each(close);
        }
        ok(sys::close(fd));
    }
}

pub fn whoever_dies_waiting_leaves_nothing(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let fd = ok(sys::open(&one, O_RDWR, 0));
        ok(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0));
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                sys::fork(|| {
                    sys::close(fd).ok();
                    sys::open(&other, O_RDWR, 0).and_then(|fd| sys::lock(fd, libc::F_SETLKW, WRITE, 0, 0)).is_ok()
                        as i32
                })
            })
            .collect();
        sleep(Duration::from_millis(50));
        for waiter in &waiters {
            ok(sys::kill(waiter.0, libc::SIGKILL));
        }
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.wait(), 128 + libc::SIGKILL));
        ok(sys::close(fd));
        // Nobody got it after his death.
        dir.until("the lock is free", || elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0))) == 0);
    }
    // Other cases may be waiting at the same time, for a while.
    dir.until("no thread waits", || threads(dir, "waiter") == 0);
}

pub fn a_ring_of_waiters_is_noticed(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    let path = dir.path("f");
    let (ready, go) = (sys::pipe(), sys::pipe());
    let fd = ok(sys::open(&path, O_RDWR, 0));
    let child = sys::fork(|| {
        if sys::lock(fd, libc::F_SETLK, WRITE, 1, 1).is_err() {
            return 99;
        }
        sys::write(ready[1], b"r").ok();
        sys::read(go[0], &mut [0]).ok();
        errno(sys::lock(fd, libc::F_SETLKW, WRITE, 0, 1))
    });
    ok(sys::lock(fd, libc::F_SETLK, WRITE, 0, 1));
    ok(sys::read(ready[0], &mut [0]));
    ok(sys::write(go[1], b"g"));
    dir.until("the child waits", || sys::is_in_call(child.0, libc::SYS_fcntl));
    // What it asks for is on its way then.
    sleep(Duration::from_millis(200));
    // The child waits for byte 0, which this process has.
    fails(sys::lock(fd, libc::F_SETLKW, WRITE, 1, 1), libc::EDEADLK);
    ok(sys::lock(fd, libc::F_SETLK, NONE, 0, 1));
    assert_eq!(child.wait(), 0);
    [fd, ready[0], ready[1], go[0], go[1]].into_iter().for_each(close);
}

/// Descriptions own these: as many as one process opens.
pub fn open_files_own_locks(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let (a, b) = (ok(sys::open(&one, O_RDWR, 0)), ok(sys::open(&other, O_RDWR, 0)));
        ok(sys::lock(a, libc::F_OFD_SETLK, WRITE, 0, 10));
        fails(sys::lock(b, libc::F_OFD_SETLK, READ, 5, 10), libc::EAGAIN);
        // Of the process they are strangers.
        fails(sys::lock(a, libc::F_SETLK, READ, 0, 1), libc::EAGAIN);
        let copy = ok(sys::dup(a));
        ok(sys::close(a));
        fails(sys::lock(b, libc::F_OFD_SETLK, READ, 5, 10), libc::EAGAIN);
        ok(sys::close(copy as i32));
        // RELEASE comes after close(2).
        dir.until("the lock goes with its file", || sys::lock(b, libc::F_OFD_SETLK, WRITE, 0, 0).is_ok());
        ok(sys::close(b));
    }
}

/// So that one who closes and one who locks next, on another CPU, do not miss each other, though RELEASE comes after
/// close(2). The daemon waits for it, but not as long as a busy machine may take: hardly ever is it later than that.
pub fn flock_is_free_after_close(dir: &Dir) {
    const ROUNDS: usize = 1000;
    dir.file("f", b"content", 0o644);
    let mut late = 0;
    let closed = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (hand_over, taken) = channel();
        scope.spawn(move || {
            stay_on(0);
            for (round, fd) in taken.iter().enumerate() {
                ok(sys::close(fd));
                closed.store(round + 1, Ordering::Release);
            }
        });
        stay_on(1);
        for round in 0..ROUNDS {
            let (first, next) = (dir.open("f", O_RDWR), dir.open("f", O_RDWR));
            let take = |fd| sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB);
            dir.until("the lock goes with its file", || take(first).is_ok());
            hand_over.send(first).unwrap();
            while closed.load(Ordering::Acquire) <= round {
                std::hint::spin_loop();
            }
            if let Err(errno) = take(next) {
                assert_eq!(errno, libc::EAGAIN);
                late += 1;
            }
            ok(sys::close(next));
        }
        drop(hand_over);
    });
    // The rings have one or none. The pool has up to 90, in spells whose cause is not known, and 516 without the wait.
    assert!(late <= ROUNDS / 5, "{late} of {ROUNDS} found it taken");
}

/// Has this thread run on that CPU alone, if there is one.
fn stay_on(cpu: usize) {
    // SAFETY: a zeroed set is empty; it has room for the first CPUs.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

/// More than a queue of the mount is deep, all from one CPU: who unlocks must be heard all the same.
pub fn many_waiters_on_one_cpu(dir: &Dir) {
    const WAITERS: usize = 80;
    dir.file("f", b"content", 0o644);
    let stay = || {
        // SAFETY: a zeroed set is empty; CPU 0 fits.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &set)
        }
    };
    assert_eq!(stay(), 0);
    let path = dir.path("f");
    let fd = dir.open("f", O_RDWR);
    ok(sys::lock(fd, libc::F_SETLK, WRITE, 0, 0));
    let ready = sys::pipe();
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            sys::fork(|| {
                let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 99 };
                sys::write(ready[1], b"r").ok();
                errno(sys::lock(fd, libc::F_SETLKW, WRITE, 0, 0))
            })
        })
        .collect();
    for _ in 0..WAITERS {
        ok(sys::read(ready[0], &mut [0]));
    }
    if dir.daemon.is_some() {
        dir.until("all wait", || threads(dir, "waiter").max(threads_of_pool(dir)) >= WAITERS);
    }
    // Other requests of that CPU are served meanwhile.
    stat(&path);
    dir.file("g", b"content", 0o644);
    ok(sys::lock(fd, libc::F_SETLK, NONE, 0, 0));
    waiters.into_iter().for_each(|waiter| assert_eq!(waiter.wait(), 0));
    [fd, ready[0], ready[1]].into_iter().for_each(close);
}

/// Its threads wait themselves.
fn threads_of_pool(dir: &Dir) -> usize {
    let Some(daemon) = dir.daemon.filter(|_| dir.variant == Some(&support::POOL)) else { return 0 };
    fs::read_dir(format!("/proc/{daemon}/task")).unwrap().count()
}

/// A thread of this process waits for a lock; gives its errno, or 0.
fn waiting(fd: i32, command: i32, kind: i32, start: i64, len: i64) -> std::thread::JoinHandle<i32> {
    let (tell, told) = channel();
    let thread = spawn(move || {
        // SAFETY: takes nothing and cannot fail.
        tell.send(unsafe { libc::gettid() }).unwrap();
        errno(sys::lock(fd, command, kind, start, len))
    });
    let (id, end) = (told.recv().unwrap(), Instant::now() + PATIENCE);
    while !sys::is_in_call(id, libc::SYS_fcntl) && !thread.is_finished() && Instant::now() < end {
        sleep(Duration::from_millis(1));
    }
    // What it asks for is on its way then.
    sleep(Duration::from_millis(100));
    thread
}

/// What is waited for through one file is the process's, whichever of its files it closes meanwhile.
pub fn a_wait_outlives_other_files(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let holder = Other::start(&other, |fd| sys::lock(fd, libc::F_SETLK, WRITE, 100, 10).map(|_| 0));
        let (first, second) = (ok(sys::open(&one, O_RDWR, 0)), ok(sys::open(&one, O_RDWR, 0)));
        ok(sys::lock(first, libc::F_SETLK, WRITE, 0, 1));
        let waiter = waiting(second, libc::F_SETLKW, WRITE, 100, 10);
        close(first);
        // RELEASE comes after close(2).
        sleep(Duration::from_millis(50));
        holder.end();
        assert_eq!(waiter.join().unwrap(), 0);
        assert_eq!(elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, READ, 105, 1))), libc::EAGAIN);
        close(second);
    }
}

/// A process that comes to write where it only read before has the locks that its threads wait for all the same, and
/// none of them waits for itself.
pub fn a_wait_follows_its_owner(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    for (one, other) in ways(dir) {
        let holder = Other::start(&other, |fd| sys::lock(fd, libc::F_SETLK, WRITE, 100, 10).map(|_| 0));
        let reader = ok(sys::open(&one, O_RDONLY, 0));
        ok(sys::lock(reader, libc::F_SETLK, READ, 50, 10));
        let waiter = waiting(reader, libc::F_SETLKW, READ, 100, 200);
        let writer = ok(sys::open(&one, O_RDWR, 0));
        ok(sys::lock(writer, libc::F_SETLK, WRITE, 200, 1));
        holder.end();
        assert_eq!(waiter.join().unwrap(), 0);
        for (at, expected) in [(55, libc::EAGAIN), (100, libc::EAGAIN), (200, libc::EAGAIN), (99, 0)] {
            let answer = elsewhere(&other, |fd| errno(sys::lock(fd, libc::F_SETLK, WRITE, at, 1)));
            assert_eq!(answer, expected, "byte {at}");
        }
        close(reader);
        close(writer);
    }
}

/// Another thread may let go of what an open file has, so that two that wait for each other need not wait for ever.
pub fn open_files_of_one_process_are_no_ring(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    let (a, b) = (dir.open("f", O_RDWR), dir.open("f", O_RDWR));
    ok(sys::lock(a, libc::F_OFD_SETLK, WRITE, 0, 1));
    ok(sys::lock(b, libc::F_OFD_SETLK, WRITE, 1, 1));
    let waiters = [waiting(a, libc::F_OFD_SETLKW, WRITE, 1, 1), waiting(b, libc::F_OFD_SETLKW, WRITE, 0, 1)];
    ok(sys::lock(a, libc::F_OFD_SETLK, NONE, 0, 1));
    sleep(Duration::from_millis(50));
    ok(sys::lock(b, libc::F_OFD_SETLK, NONE, 1, 1));
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), 0);
    }
    close(a);
    close(b);
}

/// Two that begin to wait for each other at the same time: one of them is told, and then the other gets the lock.
pub fn a_ring_that_closes_at_once_is_noticed(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    let path = dir.path("f");
    for _ in 0..30 {
        let (ready, go) = (sys::pipe(), sys::pipe());
        let both = [0, 1].map(|at| {
            sys::fork(|| {
                let Ok(fd) = sys::open(&path, O_RDWR, 0) else { return 99 };
                if sys::lock(fd, libc::F_SETLK, WRITE, at, 1).is_err() {
                    return 98;
                }
                sys::close(go[1]).ok();
                sys::write(ready[1], b"r").ok();
                sys::read(go[0], &mut [0]).ok();
                errno(sys::lock(fd, libc::F_SETLKW, WRITE, 1 - at, 1))
            })
        });
        for _ in 0..2 {
            ok(sys::read(ready[0], &mut [0]));
        }
        [go[1], go[0], ready[0], ready[1]].into_iter().for_each(close);
        let mut answers = both.map(sys::Child::wait);
        answers.sort_unstable();
        assert_eq!(answers, [0, libc::EDEADLK]);
    }
}
