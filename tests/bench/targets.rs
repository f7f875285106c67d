//! What is measured, and what is told of it.

use std::collections::BTreeSet;
use std::fs;

use ptfs::bench::result::Load;

use crate::harness::{PTFS, Scratch, Theirs, ptfs};

#[test]
fn the_backing_directory_ptfs_and_bindfs() {
    let scratch = Scratch::new();
    let found = scratch.run(
        &[&ptfs("ptfs", ""), "bindfs=bindfs -f {src} {mnt}", "daemon=bindfs {src} {mnt}"],
        &["--clients=1", "--workload=getattr,create-write-unlink"],
    );
    assert_eq!(found.code, Some(0), "{}", found.said);
    let names: Vec<&str> = found.results.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["native", "ptfs", "bindfs", "daemon"]);
    for workload in ["getattr", "create-write-unlink"] {
        for &target in &names {
            found.assert_good(workload, target);
            let cell = found.cell(workload, target);
            assert_eq!(cell.rounds.len(), 2);
            assert!(cell.rounds.iter().all(|round| round.client.user + round.client.user + round.client.system > 0.0));
            let served = cell.rounds.iter().all(|round| round.server.is_some());
            assert_eq!(served, target != "native", "{target}");
        }
    }
    for server in found.results.cells.iter().flat_map(|cell| &cell.rounds).filter_map(|round| round.server.as_ref()) {
        assert!(server.usage.user + server.usage.system > 0.0 && server.usage.voluntary > 0, "{server:?}");
        assert!(server.memory > 100_000 && server.fds > 3, "{server:?}");
    }
    let facts = &found.results.targets[1];
    assert_eq!(facts.filesystem, "fuse.ptfs");
    assert!(facts.server.as_ref().is_some_and(|line| line.starts_with(PTFS)), "{facts:?}");
}

#[test]
fn ptfs_tells_what_it_has_served() {
    let scratch = Scratch::new();
    let found = scratch.run(&[&ptfs("ptfs", "")], &["--clients=1", "--workload=getattr"]);
    let cell = found.cell("getattr", "ptfs");
    for round in &cell.rounds {
        let requests = round.server.as_ref().and_then(|server| server.requests.as_ref()).expect("ptfs tells");
        let asked: u64 = ["GETATTR", "STATX"].iter().filter_map(|op| requests.get(*op)).sum();
        assert!(asked >= round.operations, "{requests:?} for {}", round.operations);
        assert!(asked < round.operations + 1000, "{requests:?} for {}", round.operations);
    }
    let cached = |warning: &&String| warning.contains("cache");
    assert_eq!(cell.warnings.iter().find(cached), None);
}

#[test]
fn a_cache_that_answers_instead_is_told() {
    let scratch = Scratch::new();
    let file = scratch.path("fresh.toml");
    // What has just been made is known to the client's kernel, which has nobody asked.
    let toml = "about = \"stat\"\n[files]\ncount = 2000\n[operation]\nkind = \"stat\"\nonce = true\n";
    fs::write(&file, toml).expect("new");
    let workload = file.display().to_string();
    let found = scratch.run(
        &[&ptfs("ptfs", "--cache=always"), "bindfs=bindfs -f {src} {mnt} -o attr_timeout=60,entry_timeout=60"],
        &["--workload", &workload],
    );
    for target in ["ptfs", "bindfs"] {
        found.assert_good("fresh", target);
        let warnings = &found.cell("fresh", target).warnings;
        assert!(warnings.iter().any(|warning| warning.starts_with("a cache ")), "{target}: {warnings:?}");
    }
    assert!(!found.cell("fresh", "native").warnings.iter().any(|warning| warning.starts_with("a cache")));
}

#[test]
fn a_directory_of_somebody_else() {
    let scratch = Scratch::new();
    let theirs = Theirs::mount(&scratch);
    let source = theirs.source.display().to_string();
    let found = scratch.run(&[&theirs.target()], &["--clients=1", "--workload=getattr", "--base=mine", &source]);
    assert_eq!(found.code, Some(0), "{}", found.said);
    assert_eq!(theirs.files(), ["kept"]);
    found.assert_good("getattr", "mine");
    assert_eq!(found.results.base, "mine");
    assert_eq!(found.results.targets[0].name, "mine");
    // Found by what it holds, not by who has started it.
    assert!(found.cell("getattr", "mine").rounds.iter().all(|round| round.server.is_some()));
}

#[test]
fn every_kind_of_load() {
    let scratch = Scratch::new();
    let both = ["--workload=read-random-4k-direct", "--rate=2000", "--clients=2", "--depth=4"];
    let found = scratch.run(&[&ptfs("ptfs", "")], &both);
    assert_eq!(found.code, Some(0), "{}", found.said);
    let loads: BTreeSet<String> = found.results.cells.iter().map(|cell| format!("{:?}", cell.load)).collect();
    assert_eq!(loads.len(), 2, "{loads:?}");
}

#[test]
fn a_sweep_ends_beyond_the_knee() {
    let scratch = Scratch::new();
    let more = ["--rounds=1", "--clients=2", "--workload=getattr", "--sweep"];
    let found = scratch.run(&[&ptfs("ptfs", "")], &more);
    let points: Vec<_> = found.results.cells.iter().filter(|cell| matches!(cell.load, Load::Open { .. })).collect();
    for target in ["native", "ptfs"] {
        let points: Vec<_> = points.iter().filter(|cell| cell.target == target).collect();
        assert!(!points.is_empty(), "{target}: {}", found.said);
        assert!(points.iter().filter(|cell| cell.knee).count() <= 1);
        assert!(
            points.iter().all(|cell| cell.rounds.iter().all(|round| round.client.user + round.client.system > 0.0))
        );
        let served = points.iter().all(|cell| cell.rounds.iter().all(|round| round.server.is_some()));
        assert_eq!(served, target == "ptfs");
    }
}

#[test]
fn cold_caches_are_cold() {
    let scratch = Scratch::new();
    let found = scratch.run(&[&ptfs("ptfs", "")], &["--clients=1", "--workload=stat-cold", "--scale=0.02"]);
    found.assert_good("stat-cold", "ptfs");
    let cell = found.cell("stat-cold", "ptfs");
    for round in &cell.rounds {
        let requests = round.server.as_ref().and_then(|server| server.requests.as_ref()).expect("ptfs tells");
        let lookups = requests.get("LOOKUP").copied().unwrap_or_default();
        assert!(lookups * 100 >= round.operations * 95, "{requests:?} for {} operations", round.operations);
    }
}
