//! `ptfs-bench compare` on pairs of runs whose truth is known: what it finds where nothing changed, and what it misses.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod bench_support;

use bench_support::{Scatter, run};
use ptfs::bench::report::compare::{Comparison, Verdict, compare};
use ptfs::bench::report::stats::Random;

const DRAWS: u64 = 200;
const THRESHOLD: f64 = 0.05;
const TARGETS: [&str; 2] = ["native", "ptfs"];

/// Two runs of the same, but that in the second things take `factor(workload, target)` times as long.
fn pair(seed: u64, rounds: usize, scatter: Scatter, factor: impl Fn(&str, &str) -> f64) -> Comparison {
    let mut random = Random::new(seed);
    let old = run(&mut random, &TARGETS, rounds, scatter, |_, _| 1.0);
    let new = run(&mut random, &TARGETS, rounds, scatter, factor);
    compare(&old, &new, THRESHOLD)
}

fn findings(comparison: &Comparison) -> usize {
    [Verdict::Better, Verdict::Worse, Verdict::Regressed].map(|verdict| comparison.found(verdict)).iter().sum()
}

/// In how many of all draws anything is found that is not there.
fn false_findings(rounds: usize, scatter: Scatter, factor: impl Fn(&str, &str) -> f64) -> u64 {
    (0..DRAWS).filter(|&seed| findings(&pair(seed, rounds, scatter, &factor)) > 0).count() as u64
}

const QUIET: Scatter = Scatter { rounds: 0.03, uneven: false, runs: 0.0, disturbed: 0.0 };

#[test]
fn where_nothing_changed_nothing_is_found() {
    for (name, rounds, scatter) in [
        ("quiet", 5, QUIET),
        ("few rounds", 3, QUIET),
        ("noisy rounds", 5, Scatter { rounds: 0.2, ..QUIET }),
        ("uneven", 4, Scatter { uneven: true, ..QUIET }),
        ("disturbed rounds", 7, Scatter { disturbed: 0.1, ..QUIET }),
        ("noisy runs", 5, Scatter { runs: 0.06, ..QUIET }),
    ] {
        let found = false_findings(rounds, scatter, |_, _| 1.0);
        println!("{name}: {found} of {DRAWS}");
        assert!(found <= DRAWS / 20, "{name}: {found} of {DRAWS}");
    }
}

#[test]
fn a_machine_that_became_slower_is_no_regression() {
    let scatter = Scatter { runs: 0.02, ..QUIET };
    let found = false_findings(5, scatter, |_, _| 1.25);
    assert!(found <= DRAWS / 20, "{found} of {DRAWS}");
    let said = pair(1, 5, scatter, |_, _| 1.25).to_string();
    assert!(said.contains("so did the machine"), "{said}");
}

#[test]
fn ten_percent_are_found_in_modest_noise() {
    let slower = |workload: &str, target: &str| match (workload, target) {
        ("readdir" | "read-4k", "ptfs") => 1.1,
        _ => 1.0,
    };
    let scatter = Scatter { rounds: 0.015, ..QUIET };
    let caught = (0..40).filter(|&seed| pair(seed, 7, scatter, slower).found(Verdict::Regressed) >= 2).count();
    assert!(caught >= 36, "{caught} of 40");
    let one = pair(3, 7, scatter, slower);
    assert!(one.regressed(), "{one}");
    // The same backwards is no regression.
    let faster = pair(3, 7, scatter, |workload, target| 1.0 / slower(workload, target));
    assert!(!faster.regressed() && faster.found(Verdict::Better) >= 2, "{faster}");
}

#[test]
fn a_slower_target_is_found_behind_a_faster_machine() {
    let factor = |_: &str, target: &str| if target == "ptfs" { 1.0 } else { 0.8 };
    let found = (0..20).filter(|&seed| pair(seed, 7, Scatter { rounds: 0.02, ..QUIET }, factor).regressed()).count();
    assert!(found >= 18, "{found} of 20");
}

#[test]
fn worse_by_less_than_the_threshold_is_said_and_is_no_regression() {
    let scatter = Scatter { rounds: 0.005, ..QUIET };
    let mut random = Random::new(5);
    let old = run(&mut random, &TARGETS, 9, scatter, |_, _| 1.0);
    let new = run(&mut random, &TARGETS, 9, scatter, |w, t| if (w, t) == ("readdir", "ptfs") { 1.08 } else { 1.0 });
    let strict = compare(&old, &new, 0.03);
    assert!(strict.regressed() && strict.to_string().contains("REGRESSED"), "{strict}");
    let lax = compare(&old, &new, 0.2);
    assert!(!lax.regressed() && lax.found(Verdict::Worse) > 0, "{lax}");
}

#[test]
fn what_is_on_one_side_only_is_named_and_what_fails_now_regressed() {
    let mut random = Random::new(9);
    let old = run(&mut random, &TARGETS, 3, QUIET, |_, _| 1.0);
    let mut new = old.clone();
    assert!(!compare(&old, &new, THRESHOLD).regressed());
    new.cells.remove(1);
    new.machine.kernel = "Linux 7.0".to_owned();
    let said = compare(&old, &new, THRESHOLD).to_string();
    assert!(said.contains("only in the old run: getattr, closed loop, 1 client, ptfs"), "{said}");
    assert!(said.contains("another kernel: Linux 6.18.44, then Linux 7.0"), "{said}");
    let said = compare(&new, &old, THRESHOLD).to_string();
    assert!(said.contains("only in the new run: getattr, closed loop, 1 client, ptfs"), "{said}");

    new.cells[2].failure = Some("wrong bytes".to_owned());
    let broken = compare(&old, &new, THRESHOLD);
    assert!(broken.regressed() && broken.to_string().contains("fails now: getattr"), "{broken}");
    assert!(!compare(&new, &new, THRESHOLD).regressed());
}

#[test]
fn one_round_is_not_judged_and_lines_fit() {
    let mut random = Random::new(11);
    let old = run(&mut random, &TARGETS, 1, QUIET, |_, _| 1.0);
    let new = run(&mut random, &TARGETS, 1, QUIET, |_, _| 3.0);
    let comparison = compare(&old, &new, THRESHOLD);
    assert!(!comparison.regressed());
    let said = comparison.to_string();
    assert!(said.contains("not judged (one round)") && said.contains("noise between runs is assumed"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 120), "{said}");
    let nothing = compare(&Default::default(), &Default::default(), THRESHOLD);
    assert_eq!(nothing.to_string(), "nothing was measured in both runs\n");
    assert!(nothing.is_empty() && !comparison.is_empty());
}
