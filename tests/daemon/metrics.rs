//! `--metrics`: what Prometheus gets, whom /healthz believes, and what of it is shown and watched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Scratch, VARIANTS, refused, run, until};

/// Where a daemon says that it listens.
fn address(daemon: &Daemon) -> String {
    let said = daemon.said();
    let url = said.split("metrics at http://").nth(1).unwrap_or_else(|| panic!("no address in {said}"));
    url.split('/').next().expect("an address").to_owned()
}

/// What comes back for these bytes: the head and the body.
fn exchange(address: &str, request: &str) -> (String, String) {
    let mut server = TcpStream::connect(address).expect("it listens");
    server.set_read_timeout(Some(Duration::from_secs(30))).expect("possible");
    server.write_all(request.as_bytes()).expect("heard");
    let mut answer = String::new();
    server.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// Status and body.
fn get(address: &str, path: &str) -> (u32, String) {
    let (head, body) = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, body)
}

type Labels = BTreeMap<String, String>;
/// By name and labels.
type Samples = BTreeMap<(String, Labels), f64>;

/// Reads the text format, strictly: what is no line of it, or comes twice, is a fault.
fn samples(text: &str) -> Samples {
    let (mut help, mut kinds, mut samples) = (BTreeSet::new(), BTreeMap::new(), Samples::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect("a name and words");
            assert!(help.insert(name.to_owned()) && words.ends_with('.'), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels_of(labels.strip_suffix('}').expect("an end"))),
                None => (series, BTreeMap::new()),
            };
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                name.strip_suffix(end).filter(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"))
            });
            let family = family.unwrap_or(name);
            assert!(help.contains(family) && kinds.contains_key(family), "no HELP or TYPE before {line}");
            assert_eq!(kinds[family] == "counter", name.ends_with("_total"), "{line}");
            let value: f64 = value.parse().expect("a number");
            assert!(samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
        }
    }
    samples
}

fn labels_of(text: &str) -> Labels {
    text.split("\",")
        .map(|pair| pair.trim_end_matches('"').split_once("=\"").expect("a label"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Buckets are cumulative, and agree with the count.
fn check_histograms(samples: &Samples) -> usize {
    let mut series: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), &value) in samples {
        let Some(name) = name.strip_suffix("_bucket") else { continue };
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("a bound").parse().expect("a number, or +Inf");
        series.entry((name.to_owned(), labels)).or_default().push((bound, value));
    }
    for ((name, labels), mut buckets) in series.clone() {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} {labels:?}: {buckets:?}");
        let (bound, all) = *buckets.last().expect("some");
        assert!(bound.is_infinite() && buckets.len() > 5, "{name} {labels:?}");
        assert_eq!(Some(&all), samples.get(&(format!("{name}_count"), labels.clone())), "{name} {labels:?}");
        assert!(samples.contains_key(&(format!("{name}_sum"), labels)), "{name}");
    }
    series.len()
}

/// Runs promtool, which `tests/promtool` brings.
fn promtool(arguments: &[&str], input: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promtool");
    let mut command = Command::new(script);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("bash");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("heard");
    let output = child.wait_with_output().expect("our child");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn what_is_scraped_under_load_is_sound() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let daemon = scratch.serve(&[arguments, &["--metrics=0"]].concat());
        let address = address(&daemon);
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let stop = AtomicBool::new(false);
        let last = thread::scope(|scope| {
            for client in 0..4 {
                let (mnt, stop) = (scratch.mnt(), &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let dir = mnt.join(client.to_string());
                        fs::create_dir(&dir).expect("new");
                        fs::write(dir.join("file"), "some bytes").expect("new");
                        fs::remove_dir(&dir).expect_err("not empty");
                        fs::remove_dir_all(&dir).expect("ours");
                    }
                });
            }
            let scraped = std::panic::catch_unwind(|| {
                let (mut before, mut text) = (Samples::new(), String::new());
                let mut scrapes = 0;
                until("all that is expected", || {
                    let (status, body) = get(&address, "/metrics");
                    assert_eq!(status, 200);
                    text = body;
                    let now = samples(&text);
                    assert!(check_histograms(&now) >= 2);
                    for (key, value) in &before {
                        let counts = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| key.0.ends_with(end));
                        assert!(!counts || now.get(key).is_some_and(|now| now >= value), "{key:?} went back");
                    }
                    before = now;
                    scrapes += 1;
                    scrapes > 5
                        && ["MKDIR", "WRITE", "UNLINK", "RMDIR"].iter().all(|op| text.contains(&format!("op=\"{op}\"")))
                });
                text
            });
            stop.store(true, Ordering::Relaxed);
            scraped.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let now = samples(&last);
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            *now.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name} in\n{last}"))
        };
        let (count, failed) = (
            value("ptfs_operation_duration_seconds_count", &[("op", "RMDIR")]),
            value("ptfs_operation_errors_total", &[("op", "RMDIR"), ("errno", "ENOTEMPTY")]),
        );
        assert!(failed > 0.0 && count >= failed, "{count} {failed}");
        assert_eq!(value("ptfs_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
        assert!(value("ptfs_operation_bytes_total", &[("op", "WRITE")]) >= 10.0);
        assert_eq!(promtool(&["check", "metrics"], &last), "");
        daemon.stop();
    }
}

#[test]
fn requests_are_answered_as_they_deserve() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--metrics=[::1]:0"]);
    let address = address(&daemon);
    assert!(address.starts_with("[::1]:"), "{address}");
    assert_eq!(get(&address, "/nothing").0, 404);
    assert_eq!(get(&address, "/metrics/").0, 404);
    assert_eq!(get(&address, "/").0, 200);
    assert_eq!(get(&address, "/metrics?name=x").0, 200);
    let (head, _) = exchange(&address, "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD"), "{head}");
    for nonsense in ["hello\r\n\r\n", "GET /metrics\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\x16\x03\x01 x"] {
        assert!(exchange(&address, nonsense).0.starts_with("HTTP/1.1 400 "), "{nonsense:?}");
    }
    for path in ["/metrics", "/healthz"] {
        let (head, body) = exchange(&address, &format!("HEAD {path} HTTP/1.1\r\n\r\n"));
        assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}{body}");
    }
    let (head, _) = exchange(&address, "GET /metrics HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    daemon.stop();
}

#[test]
fn the_slow_and_the_silent_keep_nobody_out() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--metrics=0"]);
    let address = address(&daemon);
    let mut silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(&address).expect("let in")).collect();
    let start = Instant::now();
    let mut trickle = silent.pop().expect("sixty");
    for byte in b"GET /metrics HT" {
        trickle.write_all(&[*byte]).expect("heard");
        assert_eq!(get(&address, "/metrics").0, 200);
    }
    // Nor does who asks and does not listen.
    let mut deaf: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).expect("let in")).collect();
    for client in &mut deaf {
        let _ = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
    }
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(20));
    for mut client in silent {
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("possible");
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "they are not kept for ever");
    }
    daemon.stop();
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--metrics=0"]);
    let (source, point) = (scratch.source(), scratch.path("other"));
    let flag = format!("--metrics={}", address(&daemon));
    let (code, line) = refused(&[flag.as_ref(), source.as_os_str(), point.as_os_str()]);
    assert!(code == Some(1) && line.contains(&flag), "{line}");
    assert!(!point.exists(), "it is known before anything is mounted");
    let (code, line) = refused(&["--metrics=http", "/", "/a"]);
    assert!(code == Some(2) && line.contains("PORT or HOST:PORT"), "{line}");
    daemon.stop();
}

/// The process that tests the mount.
fn prober(daemon: &Daemon) -> PathBuf {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).expect("runs");
    let mut processes = children.split_whitespace().map(|pid| Path::new("/proc").join(pid));
    let is_it = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "ptfs-probe\n");
    processes.find(is_it).expect("a child")
}

#[test]
fn healthz_believes_the_mount_alone() {
    let scratch = Scratch::new();
    // The first is asked for at the start.
    let mut daemon = scratch.serve(&["--metrics=0", "--stall=GETATTR:8s:2"]);
    let address = address(&daemon);
    let start = Instant::now();
    let (status, reason) = get(&address, "/healthz");
    assert!(status == 503 && reason.starts_with("the mount has not answered a getattr for 2 s"), "{status} {reason}");
    assert!(start.elapsed() < Duration::from_secs(7), "it is told before the mount has answered");
    // Others go on meanwhile.
    assert_eq!(get(&address, "/metrics").0, 200);
    until("the mount to be well again", || get(&address, "/healthz") == (200, "ok\n".to_owned()));

    // Out of sight, and still used.
    let prober = prober(&daemon);
    let held = File::open(scratch.mnt().join("hello")).expect("there");
    assert!(run(Command::new("umount").arg("-l").arg(scratch.mnt())).status.success());
    let (status, reason) = get(&address, "/healthz");
    assert!(status == 503 && reason.starts_with("nothing of ours is mounted at "), "{status} {reason}");
    drop(held);
    assert_eq!(daemon.end(), Some(0), "{}", daemon.said());
    assert!(!prober.exists());
}

/// Hundredths of a second that the daemon's thread of this name has spent on a CPU.
fn spent(daemon: &Daemon, name: &str) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("runs").flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let stat = stats.into_iter().find(|stat| stat.contains(&format!("({name})"))).expect("such a thread");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    [11, 12].iter().map(|&field: &usize| fields[field].parse::<u64>().expect("a number")).sum()
}

/// Its end is heard once, and costs nothing afterwards.
#[test]
fn a_prober_that_was_killed_is_told() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--metrics=0"]);
    let (address, prober) = (address(&daemon), prober(&daemon));
    assert_eq!(get(&address, "/healthz").0, 200);
    let pid = prober.file_name().expect("a number");
    assert!(run(Command::new("kill").args(["-s", "KILL"]).arg(pid)).status.success());
    let told = (503, "the process that tests the mount has ended\n".to_owned());
    until("its end to be told", || get(&address, "/healthz") == told);
    let before = spent(&daemon, "observe");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(get(&address, "/healthz"), told);
    let spent = spent(&daemon, "observe") - before;
    assert!(spent < 50, "{spent} hundredths of a second for nothing");
    daemon.stop();
}

#[test]
fn a_mount_that_hangs_can_be_ended() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&["--metrics=0", "--stall=GETATTR:60s:2"]);
    let (address, prober) = (address(&daemon), prober(&daemon));
    assert_eq!(get(&address, "/healthz").0, 503);
    // The child waits for the mount, and holds nothing that keeps it.
    for fd in fs::read_dir(prober.join("fd")).expect("runs") {
        let target = fs::read_link(fd.expect("a descriptor").path()).expect("open");
        assert_ne!(target, Path::new("/dev/fuse"));
    }
    daemon.signal("KILL");
    assert_eq!(daemon.end(), None);
    until("the child to go", || !prober.exists());
}

/// All that looks like a name of ours.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("ptfs_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dashboard_and_alerts_are_about_what_is_there() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--metrics=0"]);
    fs::write(scratch.mnt().join("new"), "some bytes").expect("new");
    fs::read_dir(scratch.mnt().join("none")).expect_err("nothing there");
    let (_, text) = get(&address(&daemon), "/metrics");
    let known: BTreeSet<String> = samples(&text).into_keys().map(|(name, _)| name).collect();
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for (file, least) in [("grafana.json", 12), ("prometheus/alerts.yml", 6)] {
        let text = fs::read_to_string(packaging.join(file)).expect(file);
        let names = names(&text);
        assert!(names.len() >= least, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard = fs::read_to_string(packaging.join("grafana.json")).expect("there");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut rules = String::from("groups: [{name: dashboard, rules: [");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{panel}");
        let targets = panel["targets"].as_array().into_iter().flatten();
        for (at, target) in targets.enumerate() {
            // What Grafana fills in.
            let expression = target["expr"]
                .as_str()
                .expect("a query")
                .replace("$__rate_interval", "5m")
                .replace("=~\"$instance\"", "=~\".*\"");
            rules.push_str(&format!(
                "{{record: 'panel:{}:{at}', expr: {}}}, ",
                panel["id"],
                serde_json::to_string(&expression).expect("text")
            ));
        }
    }
    rules.push_str("]}]\n");
    let file = scratch.path("dashboard.yml");
    fs::write(&file, rules).expect("room");
    for rules in [file, packaging.join("prometheus/alerts.yml")] {
        let said = promtool(&["check", "rules", &rules.to_string_lossy()], "");
        assert!(said.contains("SUCCESS"), "{said}");
    }
    daemon.stop();
}
