//! The page of `ptfs-bench --html` in headless Chromium: what it draws, what it shows, and that nothing goes wrong.
//!
//! A script added to the page looks at it from within and leaves what it found in the document, which Chromium prints.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod bench_support;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bench_support::{Scatter, cell, round, run};
use ptfs::bench::report;
use ptfs::bench::report::stats::{Random, median};
use ptfs::bench::result::{Load, Results};
use serde_json::Value;

/// Chromium starts in seconds, and on a busy machine not so soon.
const PATIENCE: Duration = Duration::from_secs(120);
const TARGETS: [&str; 4] = ["native", "ptfs", "bindfs", "libfuse-fs"];
const PROBE: &str = include_str!("bench_support/probe.js");

/// Every kind of load, a sweep, a job, a failure, warnings.
fn results() -> Results {
    let mut random = Random::new(1);
    let scatter = Scatter { rounds: 0.05, ..Scatter::default() };
    let mut results = run(&mut random, &TARGETS, 5, scatter, |_, _| 1.0);
    results.cells.retain(|cell| ["getattr", "readdir", "read-1m"].contains(&cell.workload.as_str()));
    for rate in [4000.0, 8000.0, 16_000.0, 32_000.0] {
        for (place, target) in TARGETS.iter().enumerate() {
            let typical = (20_000.0 + 10_000.0 * place as f64) / (1.0 - rate / 60_000.0);
            let load = Load::Open { clients: 4, rate };
            let rounds = (0..3).map(|_| round(&mut random, typical, load, place > 0)).collect();
            results.cells.push(cell("getattr", target, load, rounds));
        }
    }
    for (place, target) in TARGETS.iter().enumerate() {
        let mut job = round(&mut random, 1e9, Load::Job, place > 0);
        (job.operations, job.seconds) = (1, 1.5 + place as f64);
        job.latency = vec![((job.seconds * 1e9) as u64, 1)];
        results.cells.push(cell("monorepo", target, Load::Job, vec![job.clone(), job]));
    }
    let last = results.cells.last_mut().unwrap();
    last.rounds.clear();
    last.failure = Some("git status: exit 128: Too many open files".to_owned());
    results.cells[1].warnings.push("round 3 took 40 % longer than the others".to_owned());
    results.warnings.push("the hypervisor took 12 % of all CPU time".to_owned());
    results
}

/// What the probe found, and what the page said on its console.
struct Seen {
    found: Value,
    console: Vec<String>,
}

/// Opens the page of `results` in a window of `width` pixels.
fn see(name: &str, results: &Results, width: u32, dark: bool) -> Seen {
    see_page(name, &report::html(results), width, dark)
}

fn see_page(name: &str, page: &str, width: u32, dark: bool) -> Seen {
    let place = tempfile::tempdir().unwrap();
    let mut page = page.replace("</body>", &format!("<script>{PROBE}</script></body>"));
    // A window is at least 500 pixels wide; a frame may be narrower.
    if width < 500 {
        let inner = page.replace('&', "&amp;").replace('"', "&quot;");
        let style = format!("width:{width}px;height:900px;border:0");
        page =
            format!("<!doctype html><body style=\"margin:0\"><iframe style=\"{style}\" srcdoc=\"{inner}\"></iframe>");
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}.html"));
    std::fs::write(&file, page).unwrap();
    let child = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", place.path().display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("chromium (tests/run installs it)");
    let mut browser = Browser(child);
    let (dom, log) = browser.output();
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let found = dom.split_once("<pre id=\"probe\" hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("the probe left nothing\n{log}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Seen { found: serde_json::from_str(&found).expect("what the probe found"), console }
}

/// It and all of its processes end with the test.
struct Browser(Child);

impl Browser {
    /// What it wrote until its end, which it may not put off.
    fn output(&mut self) -> (String, String) {
        fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).expect("its output");
                String::from_utf8_lossy(&bytes).into_owned()
            })
        }
        let (out, log) = (read(self.0.stdout.take().unwrap()), read(self.0.stderr.take().unwrap()));
        let end = Instant::now() + PATIENCE;
        let ended = loop {
            match self.0.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > end => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        self.kill();
        let (out, log) = (out.join().unwrap(), log.join().unwrap());
        assert!(ended.is_some_and(|status| status.success()), "chromium: {ended:?}\n{log}");
        (out, log)
    }

    fn kill(&self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn everything_is_drawn_and_nothing_goes_wrong() {
    let results = results();
    for (width, dark) in [(360, false), (768, true), (1600, false)] {
        let name = format!("page-{width}");
        let Seen { found, console } = see(&name, &results, width, dark);
        assert!(console.is_empty(), "{console:?}");
        assert_eq!(number(&found["width"]), f64::from(width));
        assert_eq!(found["overflow"], false, "{width}: the page is wider than its window");
        assert_eq!(found["overlaps"], serde_json::json!([]), "{width}");

        let blocks = 3 * 2 + 4 + 1;
        let cells = results.cells.iter();
        let with_samples = cells.clone().filter(|cell| !cell.rounds.is_empty()).count();
        let compared = cells.clone().filter(|cell| !cell.rounds.is_empty() && cell.target != "native").count();
        assert_eq!(number(&found["tables"]), f64::from(blocks));
        assert_eq!(number(&found["curves"]), with_samples as f64);
        assert_eq!(number(&found["bars"]), compared as f64);
        assert_eq!(number(&found["whiskers"]), compared as f64);
        // getattr's open loops: five rates, two lines for each target.
        assert_eq!((number(&found["sweepLines"]), number(&found["sweepPoints"])), (8.0, 20.0));
        assert_eq!(found["badPaths"], 0, "a path with NaN in it");
        let notes = found["notes"].as_array().unwrap();
        assert_eq!(notes.len(), 4, "{notes:?}");
    }
}

#[test]
fn the_tables_show_what_the_results_say() {
    let results = results();
    let Seen { found, .. } = see("tables", &results, 1200, false);
    // No name here needs an escape, so it is the very text.
    assert!(found["results"] == serde_json::to_string(&results).unwrap(), "the page carries other results");
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), results.cells.len());
    for (row, cell) in rows.iter().zip(&results.cells) {
        assert_eq!(row["target"], cell.target.as_str());
        let figure = |name: &str| row["figures"].get(name).map(number);
        let rates: Vec<f64> = cell.rounds.iter().map(|round| round.operations as f64 / round.seconds).collect();
        if cell.load != Load::Job {
            // Parsing may cost the last digit.
            let same = |(a, b): (f64, f64)| (a - b).abs() <= b * 1e-12;
            assert!(figure("rate").zip(median(&rates)).is_some_and(same), "{} {}", cell.workload, cell.target);
        }
        let mut samples: Vec<u64> = Vec::new();
        for &(value, count) in cell.rounds.iter().flat_map(|round| &round.latency) {
            samples.extend(std::iter::repeat_n(value, count as usize));
        }
        samples.sort_unstable();
        let at = |share: f64| (samples.len() as f64 * share).ceil() as usize;
        for (name, share, needed) in [("p50", 0.5, 1), ("p99", 0.99, 100), ("p999", 0.999, 1000), ("max", 1.0, 1)] {
            let exact = (samples.len() >= needed).then(|| samples[at(share) - 1] as f64);
            assert_eq!(figure(name), exact, "{name} of {} {}", cell.workload, cell.target);
        }
    }
    // What is shown is what is in data-value.
    assert_eq!(found["shown"], serde_json::json!([]));
}

#[test]
fn both_schemes_can_be_read_and_changed() {
    let results = results();
    for dark in [false, true] {
        let Seen { found, console } = see(if dark { "dark" } else { "light" }, &results, 1000, dark);
        assert!(console.is_empty(), "{console:?}");
        let (first, second) = (&found["schemes"][0], &found["schemes"][1]);
        // Of the background: the system's scheme first, then the other one, by the button.
        let is_dark = |scheme: &Value| number(&scheme["brightness"]) < 0.5;
        assert_eq!((is_dark(first), is_dark(second)), (dark, !dark), "{found}");
        for scheme in [first, second] {
            // WCAG 2: 4.5 for text, 3 for what is drawn.
            assert!(number(&scheme["text"]) >= 4.5, "{scheme}");
            assert!(number(&scheme["drawn"]) >= 3.0, "{scheme}");
        }
    }
}

#[test]
fn values_can_be_read_by_pointer_and_by_keys() {
    let Seen { found, console } = see("reading", &results(), 1000, false);
    assert!(console.is_empty(), "{console:?}");
    for (what, tip) in found["tips"].as_object().unwrap() {
        let tip = tip.as_str().unwrap();
        assert!(TARGETS.iter().any(|name| tip.contains(name)), "{what}: {tip:?}");
        assert!(tip.contains(|c: char| c.is_ascii_digit()), "{what}: {tip:?}");
    }
    assert_eq!(found["tips"].as_object().unwrap().len(), 4);
    assert_eq!(found["tipGone"], true);
    assert_eq!(found["unnamed"], 0, "plots without a name for screen readers");
}

#[test]
fn names_do_nothing_but_appear() {
    let evil = "</script><img src=x onerror=console.error(1)>{{js}}\u{2028}'\"&amp;";
    let mut results = results();
    for cell in &mut results.cells {
        if cell.target == "ptfs" {
            cell.target = evil.to_owned();
        }
        if cell.workload == "readdir" {
            cell.workload = evil.to_owned();
        }
        cell.warnings.push(evil.to_owned());
    }
    results.targets[1].name = evil.to_owned();
    results.targets[1].command = Some(evil.to_owned());
    results.command.push(evil.to_owned());
    for width in [360, 1200] {
        let Seen { found, console } = see(&format!("evil-{width}"), &results, width, false);
        assert!(console.is_empty(), "{console:?}");
        assert_eq!(found["images"], 0);
        assert_eq!(found["overlaps"], serde_json::json!([]), "{width}");
        assert_eq!(found["overflow"], false);
        assert_eq!(found["rows"][1]["target"], evil);
        assert!(found["legend"].as_str().unwrap().contains(evil), "{}", found["legend"]);
    }
}

#[test]
fn a_run_of_nothing_has_a_page() {
    let Seen { found, console } = see("empty", &Results::default(), 800, false);
    assert!(console.is_empty(), "{console:?}");
    assert_eq!(number(&found["curves"]), 0.0);
}

#[test]
fn a_fault_of_the_script_would_be_seen() {
    let mut results = results();
    results.cells.clear();
    let page = report::html(&results);
    assert_eq!(page.matches("legend();\n").count(), 1, "the call that the fault stands in for");
    let seen = see_page("broken", &page.replace("legend();\n", "legend(); undefinedName();\n"), 800, false);
    assert!(seen.console.iter().any(|line| line.contains("undefinedName")), "{:?}", seen.console);
}
