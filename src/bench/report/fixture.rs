//! A small run made by hand, for the tests of the reports.

use std::collections::BTreeMap;

use crate::bench::result::{Cell, Load, Machine, Results, Round, SCHEMA, Server, Target, Usage};

/// `native` and `ptfs` under a closed loop, an open loop and a job, which fails on `ptfs`.
pub fn results() -> Results {
    let closed = Load::Closed { clients: 1 };
    let open = Load::Open { clients: 2, rate: 10_000.0 };
    let native = |operations| round(operations, &[(10_000, operations - 9), (20_000, 9)]);
    let ptfs = |operations| served(round(operations, &[(40_000, operations - 9), (90_000, 9)]));
    Results {
        ptfs_bench: SCHEMA,
        machine: Machine {
            kernel: "Linux 6.18".to_owned(),
            arch: "x86_64".to_owned(),
            cpu: "a CPU".to_owned(),
            cpus: 2,
            memory: 8 << 30,
            notes: vec!["governor: performance".to_owned()],
        },
        command: ["ptfs-bench", "--target", "ptfs=ptfs {src} {mnt}"].map(str::to_owned).to_vec(),
        started: 1_795_966_747,
        interrupted: false,
        base: "native".to_owned(),
        targets: vec![target("native", None), target("ptfs", Some("ptfs {src} {mnt}"))],
        cells: vec![
            cell("getattr", "native", closed, [100_000, 80_000, 60_000].map(native).to_vec()),
            cell("getattr", "ptfs", closed, [26_000, 20_000, 20_000].map(ptfs).to_vec()),
            cell("getattr", "native", open, [10_000, 10_000].map(native).to_vec()),
            cell("getattr", "ptfs", open, [10_000, 10_000].map(ptfs).to_vec()),
            cell("monorepo", "native", Load::Job, vec![round(1, &[(1_000_000_000, 1)])]),
            Cell {
                failure: Some("git status: exit 128".to_owned()),
                ..cell("monorepo", "ptfs", Load::Job, Vec::new())
            },
        ],
        warnings: vec!["the machine was busy".to_owned()],
    }
}

fn target(name: &str, command: Option<&str>) -> Target {
    Target {
        name: name.to_owned(),
        command: command.map(str::to_owned),
        directory: format!("/{name}"),
        filesystem: "ext4".to_owned(),
        server: command.map(|_| "ptfs 0.1.0".to_owned()),
    }
}

/// A cell without faults.
pub fn cell(workload: &str, target: &str, load: Load, rounds: Vec<Round>) -> Cell {
    let (workload, target) = (workload.to_owned(), target.to_owned());
    Cell { workload, target, load, rounds, failure: None, knee: false, warnings: Vec::new() }
}

/// A second in which so many were done.
pub fn round(operations: u64, latency: &[(u64, u64)]) -> Round {
    Round {
        operations,
        seconds: 1.0,
        latency: latency.to_vec(),
        client: Usage { user: 0.1, system: 0.2, voluntary: 10_000, involuntary: 5_000 },
        ..Round::default()
    }
}

fn served(round: Round) -> Round {
    let server = Server {
        usage: Usage { user: 0.05, system: 0.15, voluntary: 10_000, involuntary: 0 },
        memory: 9 << 20,
        fds: 12,
        requests: Some(BTreeMap::from([("GETATTR".to_owned(), round.operations)])),
        io_bytes: 0,
    };
    Round { server: Some(server), ..round }
}
