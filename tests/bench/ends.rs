//! How a run ends before its time: it takes everything down, and keeps what it has.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::harness::{Bench, Scratch, ptfs, signal, until};

/// In the middle of a round on ptfs, with one on each target behind it.
fn in_the_middle(scratch: &Scratch) -> Bench {
    let mut bench =
        scratch.start(&[&ptfs("ptfs", "")], &["--clients=1", "--workload=getattr,open-close", "--rounds=1000"]);
    bench.wait_for("getattr, 1 client: native, round 1");
    // There by now, and to be taken down.
    scratch.server();
    bench
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    for name in ["INT", "TERM"] {
        let scratch = Scratch::new();
        let mut bench = in_the_middle(&scratch);
        bench.wait_for("getattr, 1 client: ptfs, round 1");
        bench.signal(name);
        let status = bench.end();
        scratch.assert_clean();
        let found = scratch.outcome(status, &bench);
        assert_eq!(found.code, Some(130), "{}", found.said);
        assert!(found.results.interrupted);
        found.assert_good("getattr", "native");
        let warnings = &found.cell("getattr", "native").warnings;
        assert!(warnings.iter().any(|warning| warning.contains("interrupted")), "{warnings:?}");
        assert!(found.results.cells.iter().all(|cell| cell.workload == "getattr"), "what was not begun is no cell");
        assert!(found.said.contains("once more ends it at once"), "{}", found.said);
    }
}

#[test]
fn a_second_ctrl_c_ends_it_at_once_and_still_unmounts() {
    let scratch = Scratch::new();
    let mut bench = in_the_middle(&scratch);
    // With a server that is in no hurry.
    signal(scratch.server(), "STOP");
    bench.signal("INT");
    bench.wait_for("once more");
    bench.signal("INT");
    let status = bench.end();
    assert_eq!(status.code(), Some(130), "{}", bench.said());
    scratch.assert_clean();
}

#[test]
fn nothing_is_left_of_a_run_that_is_killed() {
    let scratch = Scratch::new();
    let mut bench = in_the_middle(&scratch);
    bench.signal("KILL");
    assert_eq!(bench.end().signal(), Some(9));
    until("the mounts to go", || scratch.mounts().is_empty());
    until("the processes to go", || scratch.processes().is_empty());
    until("the files to go", || fs::read_dir(scratch.path("tmp")).expect("ours").next().is_none());
}

/// Whoever was told to mount does so while everything is being taken down.
#[test]
fn a_mount_that_comes_late_does_not_stay() {
    let scratch = Scratch::new();
    let late =
        format!("late=touch {0}; sleep 1; mount -t tmpfs late {{mnt}}; sleep 1000", scratch.path("told").display());
    let mut bench = scratch.start(&[&late], &["--clients=1", "--workload=getattr"]);
    until("it to be told", || scratch.path("told").exists());
    bench.signal("KILL");
    assert_eq!(bench.end().signal(), Some(9));
    until("the files to go", || fs::read_dir(scratch.path("tmp")).expect("ours").next().is_none());
    scratch.assert_clean();
}

#[test]
fn a_terminal_that_is_closed_stops_it() {
    let scratch = Scratch::new();
    let mut bench = in_the_middle(&scratch);
    bench.signal("HUP");
    assert_eq!(bench.end().code(), Some(130), "{}", bench.said());
    scratch.assert_clean();
}
