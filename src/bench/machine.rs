//! Facts about where it runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::result::Machine;
use crate::sys::mountinfo;

/// All that can be found out; what cannot is left empty.
pub fn facts(backing: &Path) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        kernel: kernel(),
        arch: std::env::consts::ARCH.to_owned(),
        cpu: field(&cpuinfo, "model name").or_else(|| field(&cpuinfo, "Model")).unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u64),
        memory: field(&memory, "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or_default(),
        notes: notes(&cpuinfo, backing),
    }
}

fn kernel() -> String {
    let output = Command::new("uname").arg("-sr").stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn notes(cpuinfo: &str, backing: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    if field(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")) {
        let product = line("/sys/class/dmi/id/product_name").map(|name| format!(" ({name})")).unwrap_or_default();
        notes.push(format!("a virtual machine{product}"));
    }
    if let Some(governor) = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        notes.push(format!("CPU governor {governor}"));
    }
    if let Some(load) = line("/proc/loadavg") {
        notes.push(format!("load {} at the start", load.split(' ').next().unwrap_or_default()));
    }
    let table = mountinfo::read().unwrap_or_default();
    if let Some(entry) = mountinfo::covering(backing, &table) {
        notes.push(format!("the backing directory is on {}", entry.fstype));
    }
    for parameter in ["enable_uring", "max_user_bgreq", "max_user_congthresh"] {
        if let Some(value) = line(&format!("/sys/module/fuse/parameters/{parameter}")) {
            notes.push(format!("fuse.{parameter}={value}"));
        }
    }
    if let Some(pages) = line("/proc/sys/fs/fuse/max_pages_limit") {
        notes.push(format!("fs.fuse.max_pages_limit={pages}"));
    }
    notes
}

/// `name : value`, the first of them.
fn field(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.0\nmodel name\t: Other\nMemTotal:       1000 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU @ 2.0"));
        assert_eq!(field(text, "MemTotal").and_then(|text| kibibytes(&text)), Some(1_024_000));
        assert_eq!(field(text, "Model"), None);
    }
}
