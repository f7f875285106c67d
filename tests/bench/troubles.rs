//! Mounts that lie, fail, hang and die: each is told, and keeps nobody else from being measured.

use crate::harness::{Scratch, Theirs, ptfs, signal, until, wrongfs};

#[test]
fn wrong_bytes_and_sizes_are_told() {
    let scratch = Scratch::new();
    let program = wrongfs(scratch.path("").as_path());
    let lying = |name: &str, lie: &str| format!("{name}={} -f -o source={{src}},{lie} {{mnt}}", program.display());
    let targets = [lying("honest", "bytes=0"), lying("bytes", "bytes"), lying("size", "size")];
    let targets = [targets[0].replace(",bytes=0", ""), targets[1].clone(), targets[2].clone()];
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let found = scratch.run(&targets, &["--clients=1", "--workload=read-small"]);
    assert_eq!(found.code, Some(1));
    found.assert_good("read-small", "native");
    found.assert_good("read-small", "honest");
    let failure = found.failure("read-small", "bytes");
    assert!(failure.starts_with("wrong answers: "), "{failure}");
    assert!(!found.failure("read-small", "size").is_empty());
    // Also where somebody looks on, at once.
    assert!(found.said.contains("read-small on bytes: wrong answers"), "{}", found.said);
}

/// The client's kernel still has what the server has lost.
#[test]
fn writes_that_are_lost_are_told() {
    let scratch = Scratch::new();
    let program = wrongfs(scratch.path("").as_path());
    let target = format!("lost={} -f -o source={{src}},lost {{mnt}}", program.display());
    let found = scratch.run(&[&target], &["--clients=1", "--workload=write-random-4k,write-random-4k-mmap"]);
    for workload in ["write-random-4k", "write-random-4k-mmap"] {
        found.assert_good(workload, "native");
        let failure = found.failure(workload, "lost");
        assert!(failure.contains("after a write: "), "{failure}");
    }
}

#[test]
fn a_command_that_fails_stops_nobody_else() {
    let scratch = Scratch::new();
    let targets = [
        "fails=echo no such luck: {mnt} >&2; exit 3",
        "missing=no-such-program {src} {mnt}",
        "idle=sleep 1000 # {mnt}",
        &ptfs("ptfs", ""),
    ];
    let found = scratch.run(&targets, &["--clients=1", "--workload=getattr,open-close", "--patience=2s"]);
    assert_eq!(found.code, Some(1));
    for workload in ["getattr", "open-close"] {
        found.assert_good(workload, "native");
        found.assert_good(workload, "ptfs");
        let failure = found.failure(workload, "fails");
        assert!(failure.contains("no such luck") && failure.contains("exit status: 3"), "{failure}");
        assert!(found.failure(workload, "missing").contains("not found"));
        assert!(found.failure(workload, "idle").contains("nothing was mounted within 2 s"));
    }
    // Before the others are measured.
    let place = |text: &str| found.said.find(text).unwrap_or_else(|| panic!("no {text:?} in {}", found.said));
    assert!(place("getattr on missing: ") < place("getattr, 1 client: native"), "{}", found.said);
}

#[test]
fn a_server_that_dies_is_told_with_what_it_said() {
    let scratch = Scratch::new();
    let bench = &mut scratch.start(&[&ptfs("ptfs", "")], &["--clients=1", "--workload=getattr", "--rounds=20"]);
    bench.wait_for("getattr, 1 client: ptfs, round 1");
    signal(scratch.server(), "KILL");
    let status = bench.end();
    scratch.assert_clean();
    let found = scratch.outcome(status, bench);
    assert_eq!(found.code, Some(1), "{}", found.said);
    found.assert_good("getattr", "native");
    assert_eq!(found.cell("getattr", "native").rounds.len(), 20);
    let failure = found.failure("getattr", "ptfs");
    assert!(failure.contains("ended meanwhile") || failure.contains("gone meanwhile"), "{failure}");
}

#[test]
fn a_stall_in_the_daemon_shows_with_its_size() {
    const STALL: u64 = 300_000_000;
    let scratch = Scratch::new();
    let more = ["--rounds=1", "--duration=2s", "--workload=getattr"];
    let run = |loads: &[&str]| {
        let found = scratch.run(&[&ptfs("ptfs", "--stall GETATTR:300ms:200")], &[&more, loads].concat());
        assert_eq!(found.code, Some(0), "{}", found.said);
        found.assert_good("getattr", "ptfs");
        let round = found.cell("getattr", "ptfs").rounds[0].clone();
        // What took as long as the stall; buckets are a little wider than that.
        let slower =
            |than: u64| round.latency.iter().filter(|(high, _)| *high >= than).map(|(_, count)| count).sum::<u64>();
        let max = round.latency.last().expect("samples").0;
        (max, slower(STALL), slower(STALL / 2), round.operations)
    };
    let (max, as_slow, _, operations) = run(&["--clients=1"]);
    assert!((STALL..STALL + 1_500_000_000).contains(&max), "{max}");
    // Every 200th, and hardly any other.
    assert!(as_slow.abs_diff(operations / 200) <= 2, "{as_slow} of {operations}");
    // A client that comes at its own times meets each stall many times: all that were due meanwhile have waited, and on a
    // busy machine wait for each other as well.
    let (_, as_slow, half_as_slow, operations) = run(&["--clients=1", "--rate=400"]);
    assert!(as_slow >= 1 && half_as_slow > 20 * (operations / 200), "{as_slow}, {half_as_slow} of {operations}");
}

#[test]
fn a_mount_that_hangs_is_given_up() {
    let scratch = Scratch::new();
    let arguments = ["--clients=1", "--workload=getattr,open-close", "--rounds=20", "--patience=2s"];
    let bench = &mut scratch.start(&[&ptfs("ptfs", "")], &arguments);
    bench.wait_for("getattr, 1 client: ptfs, round 1");
    signal(scratch.server(), "STOP");
    let status = bench.end();
    scratch.assert_clean();
    let found = scratch.outcome(status, bench);
    assert_eq!(found.code, Some(1), "{}", found.said);
    found.assert_good("getattr", "native");
    let failure = found.failure("getattr", "ptfs");
    assert!(failure.contains("has not come back") || failure.contains("has not answered"), "{failure}");
    // Mounted anew for the next workload, all is well again.
    found.assert_good("open-close", "ptfs");
}

#[test]
fn a_mount_of_somebody_else_that_hangs_is_left_alone() {
    let scratch = Scratch::new();
    let theirs = Theirs::mount(&scratch);
    let bench =
        &mut scratch.start(&[&theirs.target()], &["--clients=1", "--workload=getattr", "--rounds=20", "--patience=2s"]);
    bench.wait_for("getattr, 1 client: mine, round 1");
    signal(theirs.pid(), "STOP");
    let status = bench.end();
    // What hangs there goes on once it can, and ends.
    signal(theirs.pid(), "CONT");
    scratch.assert_clean();
    until("its directory to be removed", || theirs.files() == ["kept"]);
    let found = scratch.outcome(status, bench);
    assert_eq!(found.code, Some(1), "{}", found.said);
    found.assert_good("getattr", "native");
    assert!(!found.failure("getattr", "mine").is_empty());
}
