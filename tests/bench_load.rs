//! Closed and open loops against servers whose faults are known.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ptfs::bench::load::{self, Measured};
use ptfs::bench::result::Load;
use ptfs::bench::stop::Stop;
use ptfs::bench::workload::operation::{Clients, Operation};
use ptfs::protocol::Errno;

/// Clients that all do the same.
struct Same<F>(F);

impl<F: Fn() -> Result<u64, Errno> + Clone + Send + 'static> Clients for Same<F> {
    fn client(&self, _: u32, _: u32) -> Result<Box<dyn Operation>, String> {
        Ok(Box::new(Same(self.0.clone())))
    }
}

impl<F: Fn() -> Result<u64, Errno> + Send> Operation for Same<F> {
    fn run(&mut self) -> Result<u64, Errno> {
        (self.0)()
    }
}

fn measure(source: &dyn Clients, load: Load, duration: Duration) -> Measured {
    load::clients(source, load, duration, &Stop::new()).expect("a round")
}

fn milliseconds(measured: &Measured, quantile: f64) -> f64 {
    measured.latency.value_at_quantile(quantile) as f64 / 1e6
}

const PERIOD: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_millis(200);

/// A server that answers at once, but nobody for 200 ms of each second.
fn stalling() -> impl Fn() -> Result<u64, Errno> + Clone + Send {
    let began = Instant::now();
    move || {
        let phase = Duration::from_nanos((began.elapsed().as_nanos() % PERIOD.as_nanos()) as u64);
        // From the middle of the period on, so that a round begins and ends in peace.
        let (start, end) = (PERIOD / 2, PERIOD / 2 + STALL);
        sleep(if (start..end).contains(&phase) { end - phase } else { Duration::from_micros(200) });
        Ok(0)
    }
}

#[test]
fn the_open_loop_reports_the_stall_that_a_closed_loop_hides() {
    // Thousands of answers a second come at once, and one a second comes late: far less than 1 in 100.
    let closed = measure(&Same(stalling()), Load::Closed { clients: 1 }, PERIOD * 4);
    assert!(closed.operations > 1000, "{}", closed.operations);
    assert!(milliseconds(&closed, 0.99) < 100.0, "p99 {} ms", milliseconds(&closed, 0.99));
    assert!(milliseconds(&closed, 1.0) > 150.0, "the stall was not there: {} ms", milliseconds(&closed, 1.0));

    // Of 200 arrivals a second, a fifth come in the stall, and wait for what is left of it.
    let open = measure(&Same(stalling()), Load::Open { clients: 4, rate: 200.0 }, PERIOD * 4);
    let p99 = milliseconds(&open, 0.99);
    assert!((150.0..400.0).contains(&p99), "p99 {p99} ms");
    let waited = 1.0 - open.latency.quantile_below(100_000_000);
    assert!((0.05..0.3).contains(&waited), "{waited} of the arrivals waited for 100 ms");
    // They are spread over the stall as the arrivals were, not in a single one per client.
    assert!(open.latency.count_between(50_000_000, 1_000_000_000) > 60, "{:?}", open.latency.len());
    assert_eq!(open.operations + open.late, 800);
}

#[test]
fn an_open_loop_asks_at_its_rate_and_no_faster() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let server = Same(move || Ok(count.fetch_add(1, Ordering::Relaxed) % 7));
    let measured = measure(&server, Load::Open { clients: 3, rate: 500.0 }, Duration::from_secs(2));
    assert_eq!(measured.operations + measured.late, 1000);
    assert_eq!(asked.load(Ordering::Relaxed), measured.operations);
    assert!(measured.operations > 500, "{}", measured.operations);
    assert!(measured.seconds >= 1.95, "{} s", measured.seconds);
    assert!(milliseconds(&measured, 0.5) < 500.0, "p50 {} ms", milliseconds(&measured, 0.5));
}

#[test]
fn arrivals_that_were_never_begun_are_counted_as_waiting() {
    let server = Same(|| {
        sleep(Duration::from_millis(100));
        Ok(0)
    });
    let measured = measure(&server, Load::Open { clients: 1, rate: 100.0 }, Duration::from_secs(1));
    assert!((2..=11).contains(&measured.operations), "{}", measured.operations);
    assert_eq!(measured.operations + measured.late, 100);
    assert_eq!(measured.latency.len(), 100);
    // Arrival n waited for the n before it, of which each takes ten times as long as the next one is away.
    assert!(milliseconds(&measured, 0.5) > 400.0, "p50 {} ms", milliseconds(&measured, 0.5));
    assert!(milliseconds(&measured, 1.0) > 800.0, "max {} ms", milliseconds(&measured, 1.0));
}

#[test]
fn a_closed_loop_ends_by_time_and_counts_what_all_clients_did() {
    let server = Same(|| {
        sleep(Duration::from_millis(5));
        Ok(3)
    });
    let began = Instant::now();
    let measured = measure(&server, Load::Closed { clients: 4 }, Duration::from_millis(500));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(measured.seconds >= 0.5);
    assert!((4..=400).contains(&measured.operations), "{}", measured.operations);
    assert_eq!(measured.bytes, measured.operations * 3);
    assert_eq!(measured.latency.len(), measured.operations);
    assert!(milliseconds(&measured, 0.0) >= 5.0 * 0.999);
}

#[test]
fn errors_are_counted_by_name_and_have_no_latency() {
    let (count, stop) = (Arc::new(AtomicU64::new(0)), Stop::new());
    let stopper = stop.clone();
    let server = Same(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        if number == 29 {
            stopper.set();
        }
        match number % 3 {
            0 => Err(Errno::ENOSPC),
            1 => Err(Errno(9999)),
            _ => Ok(1),
        }
    });
    let measured = load::clients(&server, Load::Closed { clients: 1 }, Duration::from_secs(3600), &stop).unwrap();
    let names: Vec<&str> = measured.errors.keys().map(String::as_str).collect();
    assert_eq!(names, ["9999", "ENOSPC"]);
    assert_eq!((measured.errors["ENOSPC"], measured.errors["9999"], measured.operations), (10, 10, 10));
    assert_eq!((measured.latency.len(), measured.bytes), (10, 10));
}

#[test]
fn the_end_is_heard_between_operations() {
    for load in
        [Load::Closed { clients: 2 }, Load::Open { clients: 2, rate: 0.001 }, Load::Open { clients: 2, rate: 1e5 }]
    {
        let stop = Stop::new();
        let (stopper, began) = (stop.clone(), Instant::now());
        let setter = std::thread::spawn(move || {
            sleep(Duration::from_millis(100));
            stopper.set();
        });
        let server = Same(|| {
            sleep(Duration::from_micros(100));
            Ok(0)
        });
        let measured = load::clients(&server, load, Duration::from_secs(3600), &stop).expect("what there was");
        assert!(began.elapsed() < Duration::from_secs(20), "{load:?}");
        assert_eq!(measured.late, 0, "{load:?}: what was not waited for is not late");
        setter.join().expect("no panic");
    }
}

/// Five operations for each client, and then there is nothing left.
struct Five(u64);

impl Clients for Five {
    fn client(&self, _: u32, _: u32) -> Result<Box<dyn Operation>, String> {
        Ok(Box::new(Five(5)))
    }
}

impl Operation for Five {
    fn next(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }

    fn run(&mut self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn check(&mut self) -> Result<(), String> {
        if self.0 == 0 { Err("the fifth".to_owned()) } else { Ok(()) }
    }

    fn finish(&mut self) -> Vec<String> {
        vec!["afterwards".to_owned()]
    }
}

#[test]
fn a_round_ends_when_there_is_nothing_left_to_ask_for() {
    let hour = Duration::from_secs(3600);
    let measured = measure(&Five(0), Load::Closed { clients: 3 }, hour);
    assert_eq!(measured.operations, 15);
    assert_eq!(measured.wrong.iter().filter(|wrong| *wrong == "the fifth").count(), 3);
    assert_eq!(measured.wrong.iter().filter(|wrong| *wrong == "afterwards").count(), 3);
    let measured = measure(&Five(0), Load::Open { clients: 1, rate: 1000.0 }, hour);
    assert_eq!((measured.operations, measured.late, measured.latency.len()), (5, 0, 5));
}

/// Of whom the third cannot begin.
struct Broken;

impl Clients for Broken {
    fn client(&self, number: u32, of: u32) -> Result<Box<dyn Operation>, String> {
        if number == 2 { Err(format!("client {number} of {of} is ill")) } else { Five(0).client(number, of) }
    }
}

/// Panics, as no operation should.
struct Panics;

impl Clients for Panics {
    fn client(&self, _: u32, _: u32) -> Result<Box<dyn Operation>, String> {
        Ok(Box::new(Panics))
    }
}

impl Operation for Panics {
    fn run(&mut self) -> Result<u64, Errno> {
        panic!("on purpose")
    }
}

#[test]
fn a_client_that_cannot_begin_or_dies_holds_nobody() {
    let hour = Duration::from_secs(3600);
    for load in [Load::Closed { clients: 4 }, Load::Open { clients: 4, rate: 1.0 }] {
        let why = load::clients(&Broken, load, hour, &Stop::new()).unwrap_err();
        assert_eq!(why, "client 2 of 4 is ill");
        assert_eq!(load::clients(&Panics, load, hour, &Stop::new()).unwrap_err(), "a client panicked");
    }
}

#[test]
fn rates_and_loads_that_make_no_sense_are_refused() {
    for load in [Load::Open { clients: 1, rate: 0.0 }, Load::Depth { depth: 1 }, Load::Job] {
        load::clients(&Five(0), load, Duration::from_secs(1), &Stop::new()).expect_err("no such load");
    }
    for load in [Load::Closed { clients: 0 }, Load::Open { clients: 0, rate: 1.0 }] {
        load::clients(&Five(0), load, Duration::from_secs(1), &Stop::new()).expect_err("nobody asks");
    }
}
