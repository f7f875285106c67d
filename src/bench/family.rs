//! The processes that a run has started, or that those have: found by a variable in their environment, which follows
//! them through every fork, session and adoption, as process groups and parents do not.

use std::fs;
use std::time::{Duration, Instant};

use crate::sys::adopt::Process;

/// The variable. Its value is `MARK/ROLE/TARGET`.
pub const VARIABLE: &str = "PTFS_BENCH_RUN";
/// The role of what makes requests.
pub const CLIENT: &str = "client";
/// The role of what answers them.
pub const SERVER: &str = "server";

/// The processes whose mark begins so.
pub fn marked(prefix: &str) -> Vec<Process> {
    let wanted = format!("{VARIABLE}={prefix}");
    pids().filter_map(|pid| process(pid, wanted.as_bytes())).collect()
}

/// All processes there are.
pub fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn process(pid: u32, wanted: &[u8]) -> Option<Process> {
    // Held before its environment is read: so what is ended later is what was looked at.
    let process = Process::open(pid).ok()?;
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|&byte| byte == 0).any(|variable| variable.starts_with(wanted)).then_some(process)
}

/// How often it is looked whether those that were ended have started others meanwhile.
const LOOKS: usize = 10;

/// Waits for those whose mark begins with `prefix` to end by themselves, then asks them to, then makes them, which may
/// take `killed` for who is held up in the kernel. Those that are left.
pub fn end(prefix: &str, mut patience: Duration, killed: Duration) -> Vec<Process> {
    let mut left: Vec<Process> = Vec::new();
    for _ in 0..LOOKS {
        let is_known = |process: &Process| left.iter().any(|known| known.pid() == process.pid());
        let found: Vec<Process> = marked(prefix).into_iter().filter(|process| !is_known(process)).collect();
        if found.is_empty() {
            break;
        }
        left.extend(end_these(found, patience, killed));
        // Children of theirs that came after the look had their time with them.
        patience = Duration::ZERO;
    }
    left
}

fn end_these(mut processes: Vec<Process>, patience: Duration, killed: Duration) -> Vec<Process> {
    await_end(&mut processes, patience);
    for (by_force, patience) in [(false, patience.min(Duration::from_secs(2))), (true, killed)] {
        for process in &processes {
            let _ = process.end(by_force);
        }
        await_end(&mut processes, patience);
    }
    processes
}

fn await_end(processes: &mut Vec<Process>, patience: Duration) {
    let end = Instant::now() + patience;
    processes.retain(|process| !process.wait(end.saturating_duration_since(Instant::now())).unwrap_or(true));
}
