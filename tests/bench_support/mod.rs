//! Runs that never were: drawn from a seed, with noise and effects that the test knows.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;

use ptfs::bench::report::stats::Random;
use ptfs::bench::result::{Cell, Load, Machine, Results, Round, SCHEMA, Server, Target, Usage};

/// How figures scatter, as parts of them.
#[derive(Clone, Copy, Default)]
pub struct Scatter {
    /// From round to round.
    pub rounds: f64,
    /// Workloads differ in that: some scatter a third of `rounds`, some three times as much.
    pub uneven: bool,
    /// From run to run, for each workload and target by itself.
    pub runs: f64,
    /// How often a round is disturbed and takes 1.5 times as long.
    pub disturbed: f64,
}

/// A normal variable (Box and Muller).
pub fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

/// What is measured, with nanoseconds an operation on `native`; other targets take some microseconds more.
pub const WORKLOADS: [(&str, f64); 12] = [
    ("getattr", 300.0),
    ("stat-cold", 1_200.0),
    ("negative", 900.0),
    ("readdir", 6_000.0),
    ("readdirplus", 9_000.0),
    ("open-close", 1_500.0),
    ("small-file", 4_000.0),
    ("create-unlink", 20_000.0),
    ("mkdir-rename", 25_000.0),
    ("read-4k", 700.0),
    ("read-1m", 90_000.0),
    ("write-4k", 1_800.0),
];

/// The loads of [`run`].
pub const LOADS: [Load; 2] = [Load::Closed { clients: 1 }, Load::Open { clients: 4, rate: 2000.0 }];

/// A run of all workloads and loads on `targets`. `factor` says how many times longer than usual something takes.
pub fn run(
    random: &mut Random,
    targets: &[&str],
    rounds: usize,
    scatter: Scatter,
    factor: impl Fn(&str, &str) -> f64,
) -> Results {
    let mut cells = Vec::new();
    for (index, (workload, usual)) in WORKLOADS.into_iter().enumerate() {
        let uneven = if scatter.uneven { [1.0, 0.3, 1.0, 3.0][index % 4] } else { 1.0 };
        for load in LOADS {
            for (place, target) in targets.iter().enumerate() {
                let typical = (usual + 12_000.0 * place as f64) * factor(workload, target);
                let typical = typical * (scatter.runs * normal(random)).exp();
                let rounds = (0..rounds).map(|_| {
                    let disturbed = if random.unit() < scatter.disturbed { 1.5 } else { 1.0 };
                    let typical = typical * disturbed * (scatter.rounds * uneven * normal(random)).exp();
                    round(random, typical, load, place > 0)
                });
                cells.push(cell(workload, target, load, rounds.collect()));
            }
        }
    }
    Results {
        ptfs_bench: SCHEMA,
        machine: machine(),
        command: ["ptfs-bench", "--all"].map(str::to_owned).to_vec(),
        started: 1_795_966_747,
        base: targets[0].to_owned(),
        targets: targets.iter().map(|name| target(name)).collect(),
        cells,
        ..Results::default()
    }
}

pub fn cell(workload: &str, target: &str, load: Load, rounds: Vec<Round>) -> Cell {
    let (workload, target) = (workload.to_owned(), target.to_owned());
    Cell { workload, target, load, rounds, failure: None, knee: false, warnings: Vec::new() }
}

/// Samples in a round, and how many different ones are drawn for them.
const SAMPLES: u64 = 2000;
const DRAWN: u64 = 50;

/// Half a second or so of operations that take `typical` ns, one in 50 of them several times that.
pub fn round(random: &mut Random, typical: f64, load: Load, served: bool) -> Round {
    let mut latency: BTreeMap<u64, u64> = BTreeMap::new();
    for n in 0..DRAWN {
        let spread = (0.2 * normal(random)).exp();
        let tail = if n == 0 { 5.0 } else { 1.0 };
        *latency.entry(rounded(typical * spread * tail)).or_default() += SAMPLES / DRAWN;
    }
    let rate = match load {
        Load::Open { rate, .. } => rate,
        _ => 1e9 / typical,
    };
    let operations = rate as u64 + 1;
    let usage = |part: f64| Usage {
        user: typical * 1e-9 * part * operations as f64 * 0.3,
        system: typical * 1e-9 * part * operations as f64 * 0.7,
        voluntary: operations,
        involuntary: operations / 100,
    };
    let server = || Server {
        usage: usage(0.4),
        memory: 11 << 20,
        fds: 64,
        requests: Some(BTreeMap::from([("LOOKUP".to_owned(), operations / 2), ("GETATTR".to_owned(), operations)])),
        io_bytes: 0,
    };
    Round {
        operations,
        seconds: operations as f64 / rate,
        latency: latency.into_iter().collect(),
        client: usage(0.5),
        server: served.then(server),
        ..Round::default()
    }
}

/// Three digits, as histograms have them.
fn rounded(ns: f64) -> u64 {
    let unit = 10_f64.powf((ns.log10().floor() - 2.0).max(0.0));
    ((ns / unit).round() * unit) as u64
}

pub fn machine() -> Machine {
    Machine {
        kernel: "Linux 6.18.44".to_owned(),
        arch: "x86_64".to_owned(),
        cpu: "Some CPU @ 2.5 GHz".to_owned(),
        cpus: 4,
        memory: 16 << 30,
        notes: vec!["hypervisor: kvm".to_owned(), "fuse enable_uring: Y".to_owned()],
    }
}

pub fn target(name: &str) -> Target {
    Target {
        name: name.to_owned(),
        command: (name != "native").then(|| format!("{name} {{src}} {{mnt}}")),
        directory: format!("/tmp/bench/{name}"),
        filesystem: if name == "native" { "ext4" } else { "fuse.ptfs" }.to_owned(),
        server: (name != "native").then(|| format!("{name} 0.1.0")),
    }
}
