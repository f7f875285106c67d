//! What a run found out: the schema of `--json`, and what every report is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this schema; it changes when a reader of the old one would go wrong.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub ptfs_bench: u32,
    /// Where it ran.
    pub machine: Machine,
    /// The command line.
    pub command: Vec<String>,
    /// Seconds since 1970.
    pub started: u64,
    /// Ctrl-C came before everything was measured.
    pub interrupted: bool,
    /// The target that others are compared with.
    pub base: String,
    /// In the order of the command line, `base` first.
    pub targets: Vec<Target>,
    /// In the order of workloads, then loads, then targets.
    pub cells: Vec<Cell>,
    /// What makes the whole run doubtful.
    pub warnings: Vec<String>,
}

/// Facts that a reader needs to believe or repeat a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// `uname -sr`.
    pub kernel: String,
    /// `x86_64`.
    pub arch: String,
    /// The model of its CPUs.
    pub cpu: String,
    /// CPUs that may be used.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// What else there is to know: hypervisor, governor, FUSE parameters.
    pub notes: Vec<String>,
}

/// Something that is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// As given.
    pub name: String,
    /// What mounted it, if it was mounted for the run.
    pub command: Option<String>,
    /// The directory measured.
    pub directory: String,
    /// Its type, as the mount table says.
    pub filesystem: String,
    /// The server's version or command line, if there is one.
    pub server: Option<String>,
}

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Load {
    /// Each client asks when the last answer has come.
    Closed { clients: u32 },
    /// Clients ask at so many a second together, whether or not answers come; latency counts from the intended start.
    Open { clients: u32, rate: f64 },
    /// One thread keeps so many requests in flight by io_uring.
    Depth { depth: u32 },
    /// A whole job, as it comes; an operation is one run of it.
    Job,
}

/// One workload on one target under one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The workload's name.
    pub workload: String,
    /// The target's name.
    pub target: String,
    /// See [`Load`].
    pub load: Load,
    /// In the order of time.
    pub rounds: Vec<Round>,
    /// Why it could not be measured, or not to the end.
    pub failure: Option<String>,
    /// The last rate of a sweep that the target kept up with.
    #[serde(default)]
    pub knee: bool,
    /// What makes it doubtful.
    pub warnings: Vec<String>,
}

/// One measurement of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Operations that were answered well.
    pub operations: u64,
    /// Bytes of file data.
    pub bytes: u64,
    /// Answers with an errno, by its name.
    pub errors: BTreeMap<String, u64>,
    /// What it took.
    pub seconds: f64,
    /// Nanoseconds an operation: (highest value of a bucket, samples), ascending, without empty ones.
    pub latency: Vec<(u64, u64)>,
    /// The clients.
    pub client: Usage,
    /// The server, if there is one.
    pub server: Option<Server>,
    /// Of all CPU time, the part that the hypervisor took (0 to 1).
    pub steal: f64,
    /// Of all CPU time, the part that neither clients nor server used, and that was not idle (0 to 1).
    pub others: f64,
}

/// What a process spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of CPU in its own code.
    pub user: f64,
    /// Seconds of CPU in the kernel.
    pub system: f64,
    /// Context switches because it waited.
    pub voluntary: u64,
    /// Context switches because its time was up.
    pub involuntary: u64,
}

/// What the server of a mount did in a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// See [`Usage`].
    pub usage: Usage,
    /// Bytes resident at the end.
    pub memory: u64,
    /// Descriptors open at the end.
    pub fds: u64,
    /// Requests by opcode, where the server tells (ptfs does).
    pub requests: Option<BTreeMap<String, u64>>,
    /// Bytes that it read and wrote by system calls (`rchar`, `wchar` of `/proc/PID/io`).
    pub io_bytes: u64,
}
