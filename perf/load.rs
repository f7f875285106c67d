//! A load for `perf/compare`: one kind of call, as fast as it goes, from N threads that stay on a CPU each.
//!
//! `load OP DIR CLIENTS SECONDS` prints calls per second. DIR holds `file-0`, `file-1`... of 64 KiB.
//! - `getattr`: fstat(2) of an open file, which the kernel passes on when attributes are not kept;
//! - `open`: open(2) and close(2) by path;
//! - `read`: pread(2) of 4 KiB with O_DIRECT, so that the client's page cache does not answer; `read-cached` without.

#![allow(clippy::expect_used, reason = "a wrong command line ends a load at once")]

use std::alloc::{Layout, alloc_zeroed};
use std::ffi::CString;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const FILE: usize = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, op, dir, clients, seconds] = arguments.as_slice() else { panic!("usage: load OP DIR CLIENTS SECONDS") };
    let (clients, seconds): (usize, f64) = (clients.parse().expect("CLIENTS"), seconds.parse().expect("SECONDS"));
    let (calls, stop, start) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(clients + 1));
    let elapsed = std::thread::scope(|scope| {
        for client in 0..clients {
            let (calls, stop, start) = (&calls, &stop, &start);
            scope.spawn(move || {
                stay_on(client);
                let mut call = prepare(op, &format!("{dir}/file-{client}"));
                (0..50).for_each(&mut call);
                start.wait();
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    (0..16).for_each(|step| call(n + step));
                    n += 16;
                }
                calls.fetch_add(n, Ordering::Relaxed);
            });
        }
        start.wait();
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        began
    })
    .elapsed();
    println!("{:.0}", calls.into_inner() as f64 / elapsed.as_secs_f64());
}

fn prepare(op: &str, path: &str) -> Box<dyn FnMut(u64)> {
    let path = CString::new(path).expect("a path");
    let open = move |flags| {
        // SAFETY: the path is NUL-terminated.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
        assert!(fd >= 0, "open: {}", std::io::Error::last_os_error());
        fd
    };
    match op {
        "getattr" => {
            let fd = open(libc::O_RDONLY);
            Box::new(move |_| {
                // SAFETY: zero is a valid stat, which the call fills.
                let mut stat = unsafe { std::mem::zeroed() };
                // SAFETY: fd is open, stat is ours.
                assert_eq!(unsafe { libc::fstat(fd, &mut stat) }, 0, "fstat");
                assert_eq!(stat.st_size, FILE as i64);
            })
        }
        "open" => Box::new(move |_| {
            // SAFETY: closes what was just opened.
            assert_eq!(unsafe { libc::close(open(libc::O_RDONLY)) }, 0, "close");
        }),
        "read" | "read-cached" => {
            let fd = open(libc::O_RDONLY | if op == "read" { libc::O_DIRECT } else { 0 });
            // SAFETY: the layout is not empty; the buffer lives as long as the process.
            let buf = unsafe { alloc_zeroed(Layout::from_size_align(BLOCK, BLOCK).expect("a layout")) };
            Box::new(move |n| {
                let offset = (n as usize % (FILE / BLOCK) * BLOCK) as i64;
                // SAFETY: the buffer has BLOCK bytes.
                let got = unsafe { libc::pread(fd, buf.cast(), BLOCK, offset) };
                assert_eq!(got, BLOCK as isize, "pread: {}", std::io::Error::last_os_error());
            })
        }
        _ => panic!("no such op: {op}"),
    }
}

fn stay_on(cpu: usize) {
    // SAFETY: zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours; failing leaves the thread where it was.
    unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}
