//! What a daemon tells of itself, as data: the JSON of `ptfs stats --json` and of the control socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this schema; it changes when a reader of the old one would go wrong.
pub const VERSION: u32 = 1;

/// Everything about one mount since its start, or since it was reset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`VERSION`].
    pub ptfs_stats: u32,
    /// Who serves what, and how.
    pub mount: MountFacts,
    /// Seconds that the figures cover.
    pub seconds: f64,
    /// Only operations that came, in the order of [`super::OpKind::ALL`].
    pub operations: Vec<Operation>,
    /// How the engine worked.
    pub work: Work,
    /// What it holds now.
    pub holds: Holds,
}

/// Who serves what, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MountFacts {
    /// The daemon.
    pub pid: u32,
    /// The directory served, and where.
    pub source: String,
    /// See `source`.
    pub mountpoint: String,
    /// `uring` or `pool`.
    pub engine: String,
    /// `FUSE-over-io_uring` or `/dev/fuse`.
    pub transport: String,
    /// Threads that serve.
    pub workers: u64,
    /// The crate's version.
    pub version: String,
    /// Seconds since the mount answered first.
    pub uptime: f64,
}

/// One kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The name of `linux/fuse.h`, like `GETATTR`.
    pub op: String,
    /// Failed ones included.
    pub count: u64,
    /// Of file data, read or written.
    pub bytes: u64,
    /// By errno's name (`ENOENT`), or number where it has none.
    pub errors: BTreeMap<String, u64>,
    /// From reaping to the answer.
    pub latency: Latency,
    /// Parts of the latency; only those in which any time was spent. `queue`, `inline`, `ring`, `helper`, `lock` and `own`.
    pub phases: BTreeMap<String, Latency>,
}

/// A distribution, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the quantiles are their names")]
pub struct Latency {
    pub count: u64,
    pub total: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// The histogram: (highest value of a bucket, samples in it), ascending, without empty ones.
    pub buckets: Vec<(u64, u64)>,
}

/// How the engine worked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Requests in service as each new one was reaped, itself included: (depth, times).
    pub depth: Vec<(u64, u64)>,
    /// Entries submitted by each `io_uring_enter`: (entries, times). Empty for the pool.
    pub batches: Vec<(u64, u64)>,
    /// Calls answered on the spot, sent to the ring, and given to helper threads.
    pub inline: u64,
    /// See `inline`.
    pub ring: u64,
    /// See `inline`.
    pub helper: u64,
    /// Probes (RWF_NOWAIT, RESOLVE_CACHED) that would have blocked, so that the call went to the ring.
    pub punted: u64,
    /// Nodes reached by a descriptor that was held, and those that had to be opened again.
    pub anchor_hits: u64,
    /// See `anchor_hits`.
    pub anchor_misses: u64,
    /// Descriptors given up for the budget.
    pub evicted: u64,
    /// Opens that kept the kernel's pages, and those that dropped them.
    pub pages_kept: u64,
    /// See `pages_kept`.
    pub pages_dropped: u64,
}

/// What the daemon holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holds {
    /// Nodes that the kernel remembers.
    pub nodes: u64,
    /// Descriptors of nodes.
    pub node_fds: u64,
    /// Those of `node_fds` that cannot be given up.
    pub pinned_fds: u64,
    /// Open files and directories.
    pub handles: u64,
    /// The most descriptors of both.
    pub fd_budget: u64,
    /// Requests in service.
    pub in_flight: u64,
    /// Clients that wait for locks.
    pub waiting: u64,
    /// Bytes resident.
    pub memory: u64,
}

/// Documents for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A mount that has been at work for an hour.
    pub fn busy() -> Document {
        let operation = |op: &str, count: u64, bytes, errors: &[(&str, u64)], ns: u64| Operation {
            op: op.to_owned(),
            count,
            bytes,
            errors: errors.iter().map(|&(name, count)| (name.to_owned(), count)).collect(),
            latency: Latency::of(vec![(ns, count - 1), (ns * 50, 1)], ns * (count - 1) + ns * 50),
            phases: [("inline", 7), ("own", 3)]
                .map(|(name, tenths)| {
                    let ns = ns * tenths / 10;
                    (name.to_owned(), Latency::of(vec![(ns, count)], ns * count))
                })
                .into(),
        };
        let mount = MountFacts {
            pid: 4711,
            source: "/srv/data".to_owned(),
            mountpoint: "/mnt/data".to_owned(),
            engine: "uring".to_owned(),
            transport: "FUSE-over-io_uring".to_owned(),
            workers: 4,
            version: "0.1.0".to_owned(),
            uptime: 3725.0,
        };
        Document {
            ptfs_stats: VERSION,
            mount,
            seconds: 3600.0,
            operations: vec![
                operation("LOOKUP", 120_000, 0, &[("ENOENT", 1_020), ("EACCES", 3)], 12_000),
                operation("GETATTR", 400_000, 0, &[], 4_000),
                operation("READ", 50_000, 3_000_000_000, &[("EIO", 1)], 45_000),
            ],
            work: Work {
                depth: vec![(1, 400_000), (2, 100_000), (7, 70_000)],
                batches: vec![(1, 90_000), (3, 160_000)],
                inline: 560_000,
                ring: 9_000,
                helper: 1_000,
                punted: 800,
                anchor_hits: 690_000,
                anchor_misses: 10_000,
                evicted: 5_000,
                pages_kept: 900,
                pages_dropped: 100,
            },
            holds: Holds {
                nodes: 12_345,
                node_fds: 800,
                pinned_fds: 3,
                handles: 12,
                fd_budget: 16_000,
                in_flight: 2,
                waiting: 1,
                memory: 34 << 20,
            },
        }
    }
}
