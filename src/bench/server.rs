//! Who serves a mount, and what that costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::family;
use super::result::{self, Usage};
use super::watch::TICKS;
use crate::stats::doc::Document;
use crate::sys::{told, usage};

/// Requests that nobody waits for, or that are no client's: they say nothing of who has answered an operation.
const UNASKED: [&str; 6] = ["FORGET", "BATCH_FORGET", "INTERRUPT", "INIT", "DESTROY", "NOTIFY_REPLY"];

/// The processes that serve one mount.
#[derive(Clone, Debug)]
pub struct Server {
    pids: Vec<u32>,
    point: PathBuf,
}

/// What they have done so far.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    cpu: Duration,
    user_ticks: u64,
    system_ticks: u64,
    /// Voluntary and involuntary switches of each thread.
    switches: BTreeMap<u32, (u64, u64)>,
    io_bytes: u64,
    requests: Option<BTreeMap<String, u64>>,
}

impl Server {
    /// Who serves the FUSE mount at `point`, on `device` (major and minor number): the processes that hold its connection. Kernels before
    /// 6.15 do not tell which that is; then, of the processes marked `mark`, those that hold any.
    pub fn find(device: (u32, u32), mark: Option<&str>, point: &Path) -> Option<Server> {
        // The connection's number is its device's, as the kernel writes one down inside.
        let connection = device.0 << 20 | device.1;
        let held: Vec<(u32, Vec<Option<u32>>)> = family::pids().map(|pid| (pid, connections(pid))).collect();
        let by_number = |fds: &[Option<u32>]| fds.contains(&Some(connection));
        let mut pids: Vec<u32> = held.iter().filter(|(_, fds)| by_number(fds)).map(|(pid, _)| *pid).collect();
        if let Some(mark) = mark.filter(|_| pids.is_empty()) {
            let family: Vec<u32> = family::marked(mark).iter().map(|process| process.pid()).collect();
            let holds = |pid: &u32| held.iter().any(|(holder, fds)| holder == pid && !fds.is_empty());
            pids = family.into_iter().filter(holds).collect();
        }
        (!pids.is_empty()).then(|| Server { pids, point: point.to_owned() })
    }

    /// What a reader may know it by: its command line.
    pub fn name(&self) -> Option<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pids.first()?)).ok()?;
        let words: Vec<_> = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        Some(words.join(" ").trim().to_owned()).filter(|line| !line.is_empty())
    }

    /// Now.
    pub fn now(&self) -> Moment {
        let mut moment = Moment { requests: requests(&self.point), ..Moment::default() };
        for &pid in &self.pids {
            moment.cpu += usage::cpu_time(pid).unwrap_or_default();
            let (user, system) = ticks(pid).unwrap_or_default();
            moment.user_ticks += user;
            moment.system_ticks += system;
            moment.switches.extend(switches(pid));
            moment.io_bytes += io_bytes(pid).unwrap_or_default();
        }
        moment
    }

    /// What they did between two moments, and what they hold now.
    pub fn between(&self, before: &Moment, after: &Moment) -> result::Server {
        let requests = |before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>| {
            let new = |(op, count): (&String, &u64)| {
                let count = count.saturating_sub(before.get(op).copied().unwrap_or_default());
                (count > 0).then(|| (op.clone(), count))
            };
            after.iter().filter_map(new).collect()
        };
        result::Server {
            usage: after.since(before),
            memory: self.pids.iter().filter_map(|&pid| resident(pid)).sum(),
            fds: self
                .pids
                .iter()
                .filter_map(|pid| Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64))
                .sum(),
            requests: before.requests.as_ref().zip(after.requests.as_ref()).map(|(a, b)| requests(a, b)),
            io_bytes: after.io_bytes.saturating_sub(before.io_bytes),
        }
    }
}

impl Moment {
    fn since(&self, before: &Moment) -> Usage {
        // The clock is exact and does not tell user from system; the ticks tell, and are coarse.
        let cpu = self.cpu.saturating_sub(before.cpu).as_secs_f64();
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(before.system_ticks) as f64;
        let part = if user + system > 0.0 { user / (user + system) } else { 0.5 };
        let cpu = if cpu > 0.0 { cpu } else { (user + system) / TICKS };
        let mut switches = (0, 0);
        for (thread, now) in &self.switches {
            let then = before.switches.get(thread).copied().unwrap_or_default();
            switches.0 += now.0.saturating_sub(then.0);
            switches.1 += now.1.saturating_sub(then.1);
        }
        Usage { user: cpu * part, system: cpu * (1.0 - part), voluntary: switches.0, involuntary: switches.1 }
    }
}

/// How many of `requests` had a client that waited for the answer.
pub fn asked(requests: &BTreeMap<String, u64>) -> u64 {
    requests.iter().filter(|(op, _)| !UNASKED.contains(&op.as_str())).map(|(_, count)| count).sum()
}

/// For each descriptor of `/dev/fuse` that a process holds, the connection that it belongs to, if the kernel tells.
fn connections(pid: u32) -> Vec<Option<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let devices = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == Path::new("/dev/fuse")));
    devices
        .map(|entry| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_str()?)).ok()?;
            info.lines().find_map(|line| line.strip_prefix("fuse_connection:"))?.trim().parse().ok()
        })
        .collect()
}

/// User and system time of all threads.
fn ticks(pid: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?))
}

fn switches(pid: u32) -> Vec<(u32, (u64, u64))> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_thread = |entry: fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let count = |name: &str| -> Option<u64> { status_field(&status, name)?.parse().ok() };
        let switches = (count("voluntary_ctxt_switches")?, count("nonvoluntary_ctxt_switches")?);
        Some((entry.file_name().to_str()?.parse().ok()?, switches))
    };
    threads.filter_map(of_thread).collect()
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = status_field(&status, "VmRSS")?.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn io_bytes(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let count = |name: &str| -> Option<u64> { status_field(&io, name)?.parse().ok() };
    Some(count("rchar")? + count("wchar")?)
}

/// What a ptfs has counted of the mount at `point`; other servers do not tell. Asks by a socket, not by the mount.
fn requests(point: &Path) -> Option<BTreeMap<String, u64>> {
    let answer = told::ask(point, "stats").ok()?;
    let document: Document = serde_json::from_str(&answer).ok()?;
    Some(document.operations.into_iter().map(|operation| (operation.op, operation.count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let pid = std::process::id();
        assert!(resident(pid).is_some_and(|bytes| bytes > 1 << 20));
        assert!(ticks(pid).is_some() && io_bytes(pid).is_some_and(|bytes| bytes > 0));
        assert!(switches(pid).iter().any(|(thread, _)| *thread == pid));
    }

    #[test]
    fn threads_are_compared_with_themselves() {
        let before = Moment { switches: [(1, (10, 5))].into(), user_ticks: 1, ..Moment::default() };
        let after = Moment {
            cpu: Duration::from_millis(30),
            user_ticks: 2,
            system_ticks: 2,
            switches: [(1, (12, 5)), (2, (1, 1))].into(),
            ..Moment::default()
        };
        let usage = after.since(&before);
        assert_eq!((usage.voluntary, usage.involuntary), (3, 1));
        assert!((usage.user - 0.01).abs() < 1e-9 && (usage.system - 0.02).abs() < 1e-9);
    }
}
