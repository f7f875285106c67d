//! What measuring one request costs its worker, without a mount: `cargo run --release --example measuring`.
//!
//! The calls are those of the uring engine for a GETATTR that comes alone and is answered on the spot. The best of many
//! short runs is printed, since other processes can only add to it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ptfs::protocol::Op;
use ptfs::stats::{Course, Moment, Stats, Subject, Tick, count_ticks};

const RUNS: usize = 5000;
const REQUESTS: u64 = 500;

fn main() {
    let (clock, all) = (best(four_clocks()), best(one_request()));
    println!("a request {all:.0} ns, {clock:.0} of them for the clock: the system's");
    count_ticks(ptfs::sys::clock::counter());
    let (clock, all) = (best(four_clocks()), best(one_request()));
    println!("a request {all:.0} ns, {clock:.0} of them for the clock: the CPU's counter, where there is one");
}

/// Nanoseconds of a call.
fn best(mut call: impl FnMut(u64)) -> f64 {
    let run = |_| {
        let start = Instant::now();
        (0..REQUESTS).for_each(&mut call);
        start.elapsed().as_nanos() as f64 / REQUESTS as f64
    };
    (0..RUNS).map(run).fold(f64::MAX, f64::min)
}

fn four_clocks() -> impl FnMut(u64) {
    |_| (0..4).for_each(|_| _ = black_box(Moment::now()))
}

fn one_request() -> impl FnMut(u64) {
    let (recorder, course) = (Arc::new(Stats::default()).register(), Course::default());
    move |unique| {
        recorder.batch(1);
        let reaped = Moment::now();
        recorder.began(0);
        course.begin(reaped, reaped);
        recorder.concerns(&course, black_box(&Op::Getattr { fh: None }), Subject { unique, nodeid: 1, pid: 1 });
        recorder.tick(Tick::AnchorHit);
        recorder.tick(Tick::Inline);
        course.inline(|| black_box(()));
        recorder.ended(&course, Moment::now(), None, 0);
    }
}
