//! Where the time goes: phases in the table, and the log of slow operations.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use ptfs::stats::doc::{Document, Operation};

use crate::harness::{PTFS, Scratch, VARIANTS, refused, run, until};

/// A time as the daemon writes it: `301ms`.
fn time(text: &str) -> Duration {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or_else(|| panic!("no unit: {text}"));
    let scale = match &text[end..] {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => panic!("no unit: {text}"),
    };
    Duration::from_secs_f64(text[..end].parse::<f64>().expect("a number") * scale)
}

/// A field of a line of the log, without quotes.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let fields = line.split(' ').filter_map(|word| word.split_once('='));
    fields.into_iter().find(|&(key, _)| key == name).map(|(_, value)| value.trim_matches('"'))
}

fn slow_lines<'s>(said: &'s str, op: &str) -> Vec<&'s str> {
    let lines = said.lines().filter(|line| line.contains("ptfs::slow"));
    lines.filter(|line| field(line, "op") == Some(op)).collect()
}

/// Count and maximum of an operation in the last table, and of one of its phases.
fn row(said: &str, op: &str, phase: &str) -> Option<[(u64, Duration); 2]> {
    let table = said.rsplit("latency from ").next()?;
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let read = |cells: Vec<&str>| Some((cells.get(1)?.parse().ok()?, time(cells.last()?)));
    let whole = read(rows.find(|cells| cells.first() == Some(&op))?)?;
    let part = rows.take_while(|cells| cells[0].chars().all(char::is_lowercase)).find(|cells| cells[0] == phase)?;
    Some([whole, read(part)?])
}

/// What the daemon tells of an operation.
fn told(scratch: &Scratch, op: &str) -> Operation {
    let output = run(Command::new(PTFS).args(["stats", "--json"]).arg(scratch.mnt()));
    let document: Document = serde_json::from_slice(&output.stdout).expect("the schema");
    let found = document.operations.iter().find(|operation| operation.op == op).cloned();
    found.unwrap_or_else(|| panic!("no {op} in {document:?}"))
}

/// The number of this thread, which the kernel tells as the caller's.
fn thread() -> String {
    let link = fs::read_link("/proc/thread-self").expect("procfs");
    link.file_name().expect("a number").to_string_lossy().into_owned()
}

const STALL: Duration = Duration::from_millis(300);

/// As long as it stalls, and some more for a busy machine.
fn is_a_stall(took: Duration) -> bool {
    // Three digits are shown.
    (STALL - Duration::from_millis(1)..STALL + Duration::from_secs(2)).contains(&took)
}

#[test]
fn a_stall_shows_with_its_size_in_the_document_in_the_table_and_in_the_log() {
    for (arguments, _) in VARIANTS {
        let phase = if arguments.contains(&"--engine=pool") { "inline" } else { "helper" };
        let scratch = Scratch::new();
        let stalled = ["--stall=GETATTR:300ms:5", "--slow-op=250ms", "--attr-timeout=0", "--stats-at-exit"];
        let mut daemon = scratch.serve(&[arguments, &stalled].concat());
        let hello = scratch.mnt().join("hello");
        let mut seen = Vec::new();
        for _ in 0..15 {
            let start = Instant::now();
            fs::metadata(&hello).expect("there");
            seen.push(start.elapsed());
        }
        let stalls = seen.iter().filter(|&&took| took >= STALL).count();
        assert!((2..=4).contains(&stalls), "{seen:?}");
        until("the log", || slow_lines(&daemon.said(), "GETATTR").len() >= stalls);
        let told = told(&scratch, "GETATTR");
        let part = &told.phases[phase];
        assert!(is_a_stall(Duration::from_nanos(told.latency.max)), "{told:?}");
        assert!(is_a_stall(Duration::from_nanos(part.max)) && part.max <= told.latency.max, "{told:?}");
        assert!(told.count >= 15 && part.total >= stalls as u64 * STALL.as_nanos() as u64 * 31 / 32, "{told:?}");
        daemon.signal("TERM");
        assert_eq!(daemon.end(), Some(0));
        let said = daemon.said();
        let lines = slow_lines(&said, "GETATTR");
        for line in &lines {
            assert!(field(line, "total").is_some_and(|took| is_a_stall(time(took))), "{line}");
            assert!(field(line, phase).is_some_and(|took| is_a_stall(time(took))), "{line}");
            assert!(field(line, "nodeid").is_some() && field(line, "unique").is_some(), "{line}");
            assert_eq!((field(line, "errno"), field(line, "name")), (None, None), "{line}");
        }
        let by_us = lines.iter().filter(|line| field(line, "pid") == Some(&thread())).count();
        assert_eq!(by_us, stalls, "{lines:#?}");
        let [(count, longest), (parts, longest_part)] = row(&said, "GETATTR", phase).expect("a row");
        assert!(is_a_stall(longest) && is_a_stall(longest_part) && longest_part <= longest, "{said}");
        assert!(count >= 15 && parts <= count, "{said}");
    }
}

#[test]
fn names_are_logged_only_if_asked_for() {
    for (more, name) in [(&[][..], None), (&["--log-names"][..], Some("hidden"))] {
        let scratch = Scratch::new();
        let daemon = scratch.serve(&[&["--stall=LOOKUP:50ms", "--slow-op=50ms"], more].concat());
        fs::metadata(scratch.mnt().join("hidden")).expect_err("not there");
        until("the log", || !slow_lines(&daemon.said(), "LOOKUP").is_empty());
        let said = daemon.said();
        let line = slow_lines(&said, "LOOKUP")[0];
        assert_eq!((field(line, "name"), field(line, "errno")), (name, Some("ENOENT")), "{line}");
        daemon.stop();
    }
}

#[test]
fn nothing_is_slow_unless_asked_for() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&["--stall=LOOKUP:50ms"]);
    fs::metadata(scratch.mnt().join("hello")).expect("there");
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
    assert!(!daemon.said().contains("ptfs::slow"), "{}", daemon.said());
}

#[test]
fn wrong_times_are_told_in_one_line() {
    for (arguments, told) in [
        (&["--slow-op=10"][..], "like 10ms"),
        (&["--slow-op=1h"], "like 10ms"),
        (&["--log-names"], "--slow-op"),
        (&["--stall=NOTHING:1s"], "'NOTHING' is no operation"),
    ] {
        let (code, said) = refused(&[arguments, &["/tmp", "/tmp"]].concat());
        assert!(code == Some(2) && said.contains(told), "{said}");
    }
}
