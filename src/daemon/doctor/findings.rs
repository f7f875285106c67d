//! What the facts mean for a mount: pure, so that every kind of host can be tried on one.

use serde::Serialize;

use super::facts::{Device, ENABLE_URING, FUSE_CONF, Facts, MAX_PAGES, SYS_ADMIN};
use super::source::{Filesystem, Handles, Source};
use crate::sys::limits::fd_budget;

/// How good one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Nothing to do.
    Ok,
    /// A mount works without it.
    Better,
    /// No mount works without it.
    Missing,
}

/// One thing that the host offers, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub item: &'static str,
    /// How good it is.
    pub mark: Mark,
    /// What was found.
    pub value: String,
    /// What it is worth.
    pub worth: String,
    /// What to run, or else to do, for more.
    pub command: Option<String>,
}

/// All about one host.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// A mount can be made.
    pub mounts: bool,
    /// It would be served by FUSE-over-io_uring.
    pub fast: bool,
    /// One by one.
    pub findings: Vec<Finding>,
}

impl Finding {
    fn new(item: &'static str, mark: Mark, value: impl Into<String>, worth: impl Into<String>) -> Finding {
        Finding { item, mark, value: value.into(), worth: worth.into(), command: None }
    }

    fn command(mut self, command: impl Into<String>) -> Finding {
        self.command = Some(command.into());
        self
    }
}

/// Measured: see perf/compare.md.
const WORTH_OF_FUSE_URING: &str = "2.3 to 5 times the calls a second of /dev/fuse (measured)";
/// The same, of the pool engine.
const WORTH_OF_IO_URING: &str = "FUSE-over-io_uring: 2.1 to 2.6 times the pool's calls a second (measured)";

/// `max_pages_limit` for requests of the largest size that ptfs takes, 1 MiB, in pages of 4 KiB.
pub const PAGES_WANTED: u32 = 256;

/// Judges a host.
pub fn judge(facts: &Facts) -> Report {
    let mut findings = vec![kernel(facts), device(facts)];
    findings.extend(privilege(facts));
    findings.push(fusermount(facts));
    if facts.fusermount.is_some() {
        findings.extend([allow_other(facts), mount_max(facts)]);
    }
    findings.extend([io_uring(facts), fuse_uring(facts), passthrough(facts), max_pages(facts)]);
    findings.extend([open_files(facts), locked_memory(facts), cpus(facts), memory(facts)]);
    match &facts.source {
        Some(Source { found: Ok(filesystem), path }) => {
            findings.push(Finding::new("SOURCE", Mark::Ok, path.display().to_string(), "what is to be served"));
            findings.extend(source(filesystem, facts.caller.is_root()));
        }
        Some(Source { found: Err(error), path }) => {
            let value = format!("{}: {error}", path.display());
            findings.push(Finding::new("SOURCE", Mark::Missing, value, "what is to be served"));
        }
        None => {}
    }
    let mounts = findings.iter().all(|finding| finding.mark != Mark::Missing);
    let fast = mounts && has_io_uring(facts) && switch(facts) == Some("Y");
    Report { mounts, fast, findings }
}

fn has_io_uring(facts: &Facts) -> bool {
    facts.io_uring.is_ok()
}

fn switch(facts: &Facts) -> Option<&str> {
    facts.module.as_ref()?.enable_uring.as_deref()
}

fn kernel(facts: &Facts) -> Finding {
    let worth = "Linux 5.19 brings the uring engine, 6.14 FUSE-over-io_uring";
    let mark = match facts.version() {
        // FUSE 7.33: see protocol::init::MIN_MINOR.
        (0..=4, _) | (5, 0..=12) => Mark::Missing,
        (5, _) | (6, 0..=13) => Mark::Better,
        _ => Mark::Ok,
    };
    let finding = Finding::new("kernel", mark, format!("Linux {}", facts.release), worth);
    match mark {
        Mark::Ok => finding,
        Mark::Better => finding.command("boot Linux 6.14 or newer"),
        Mark::Missing => finding.command("boot Linux 5.13 at the least, better 6.14 or newer"),
    }
}

fn device(facts: &Facts) -> Finding {
    let found = |mark, value: String| Finding::new("/dev/fuse", mark, value, "no FUSE mount without it");
    match &facts.device {
        Device::Missing => found(Mark::Missing, "is not there".to_owned())
            .command("modprobe fuse; for a container: docker run --device /dev/fuse"),
        Device::Closed(why) => found(Mark::Missing, why.clone()).command("chmod 666 /dev/fuse"),
        Device::Open { by_all: true } => found(Mark::Ok, "can be opened by everybody".to_owned()),
        Device::Open { by_all: false } => {
            found(Mark::Better, "cannot be opened by everybody: plain users cannot mount".to_owned())
                .command("chmod 666 /dev/fuse")
        }
    }
}

/// root mounts by itself, and so needs the right to.
fn privilege(facts: &Facts) -> Option<Finding> {
    if !facts.caller.is_root() {
        return None;
    }
    let worth = "root mounts by mount(2), without fusermount3";
    Some(match facts.caller.has(SYS_ADMIN) {
        true => Finding::new("CAP_SYS_ADMIN", Mark::Ok, "yes", worth),
        false => Finding::new("CAP_SYS_ADMIN", Mark::Missing, "no", worth)
            .command("for a container: docker run --cap-add SYS_ADMIN"),
    })
}

fn fusermount(facts: &Facts) -> Finding {
    let without = if facts.caller.is_root() { Mark::Better } else { Mark::Missing };
    let found = |mark, value: &str| Finding::new("fusermount3", mark, value, "plain users mount by it");
    match facts.fusermount {
        Some(true) => found(Mark::Ok, "is there, and setuid"),
        Some(false) => found(without, "is there, but not setuid").command("chmod u+s $(command -v fusermount3)"),
        None => found(without, "is not there")
            .command("apt install fuse3 (dnf install fuse3, pacman -S fuse3, apk add fuse3)"),
    }
}

fn allow_other(facts: &Facts) -> Finding {
    let found = |mark, value: &str| {
        Finding::new("user_allow_other", mark, value, "plain users may say --allow-other; root may in any case")
    };
    match facts.allows_other() {
        true => found(Mark::Ok, "in /etc/fuse.conf"),
        false => found(Mark::Better, "not in /etc/fuse.conf").command(format!("echo user_allow_other >>{FUSE_CONF}")),
    }
}

fn mount_max(facts: &Facts) -> Finding {
    let text = facts.fuse_conf.as_deref().unwrap_or_default();
    let set = text.lines().rev().find_map(|line| line.trim().strip_prefix("mount_max = ")?.trim().parse::<i64>().ok());
    let value = match set {
        Some(-1) => "no limit".to_owned(),
        Some(most) => most.to_string(),
        None => "1000 (unless set)".to_owned(),
    };
    Finding::new("mount_max", Mark::Ok, value, "mounts that plain users may have in all")
}

fn io_uring(facts: &Facts) -> Finding {
    let found = |mark, value: String| Finding::new("io_uring", mark, value, WORTH_OF_IO_URING);
    let Err(why) = &facts.io_uring else { return found(Mark::Ok, "allowed".to_owned()) };
    let forbidden = |value: &str, command: &str| found(Mark::Better, value.to_owned()).command(command);
    if facts.io_uring_disabled == Some(2) {
        return forbidden(
            "forbidden to everybody by sysctl kernel.io_uring_disabled=2",
            "sysctl kernel.io_uring_disabled=0 (opens io_uring to all processes: your decision, --fix leaves it)",
        );
    }
    let in_group = facts.io_uring_group.is_some_and(|group| facts.caller.groups.contains(&group));
    if facts.io_uring_disabled == Some(1) && !facts.caller.has(SYS_ADMIN) && !in_group {
        return forbidden(
            "forbidden to plain users by sysctl kernel.io_uring_disabled=1",
            "sysctl kernel.io_uring_group=GID of a group for those who run ptfs (your decision, --fix leaves it)",
        );
    }
    if facts.kernel_config.is_some_and(|config| !config.io_uring) {
        return forbidden("this kernel is built without it", "boot a kernel with CONFIG_IO_URING");
    }
    if facts.version() < (5, 19) {
        return forbidden("this kernel's is too old", "boot Linux 5.19 or newer");
    }
    if facts.caller.seccomp == 2 {
        return forbidden(
            "forbidden by a seccomp filter, as containers have one",
            "docker run --security-opt seccomp=PROFILE, one that allows io_uring_setup, _enter and _register",
        );
    }
    found(Mark::Better, why.clone())
}

fn fuse_uring(facts: &Facts) -> Finding {
    let found = |mark, value: &str| Finding::new("FUSE-over-io_uring", mark, value, WORTH_OF_FUSE_URING);
    let Some(module) = &facts.module else {
        return found(Mark::Better, "unknown: the fuse module is not loaded").command("modprobe fuse");
    };
    match module.enable_uring.as_deref() {
        Some("Y") if !has_io_uring(facts) => found(Mark::Better, "on, but io_uring cannot be used here"),
        Some("Y") if module.enabled_at_boot => found(Mark::Ok, "on, also after a boot"),
        Some("Y") => found(Mark::Ok, "on, until the next boot"),
        Some(_) => found(Mark::Better, "off").command(format!("echo Y >{ENABLE_URING} (before the mount)")),
        None if facts.kernel_config.is_some_and(|config| config.fuse_io_uring) => {
            found(Mark::Better, "this kernel has it, but /sys shows no switch")
        }
        None => {
            found(Mark::Better, "this kernel has none").command("boot Linux 6.14 or newer with CONFIG_FUSE_IO_URING")
        }
    }
}

/// The INIT of a mount would tell for sure.
fn passthrough(facts: &Facts) -> Finding {
    let value = match facts.kernel_config {
        Some(config) if config.fuse_passthrough => "this kernel has it (CONFIG_FUSE_PASSTHROUGH)",
        Some(_) => "this kernel has none",
        None if facts.version() < (6, 9) => "this kernel has none (Linux 6.9 brought it)",
        None => "unknown: this kernel shows no configuration, only a mount would tell",
    };
    Finding::new("kernel passthrough", Mark::Ok, value, "nothing: ptfs does not use it")
}

fn max_pages(facts: &Facts) -> Finding {
    let found = |mark, value: String| Finding::new("max_pages_limit", mark, value, "256 pages: requests of 1 MiB");
    match facts.max_pages {
        None => found(Mark::Ok, format!("{PAGES_WANTED}, fixed in this kernel")),
        Some(pages) if pages >= PAGES_WANTED => found(Mark::Ok, pages.to_string()),
        Some(pages) => found(Mark::Better, format!("{pages}: requests are smaller"))
            .command(format!("echo {PAGES_WANTED} >{MAX_PAGES} (before the mount)")),
    }
}

/// Below this a large tree's nodes lose their descriptors all the time.
const FILES_WANTED: u64 = 65_536;

fn open_files(facts: &Facts) -> Finding {
    let hard = facts.nofile.hard;
    let value =
        format!("{} now, {} at most; {} for nodes and files", shown(facts.nofile.soft), shown(hard), fd_budget(hard));
    let worth = "beyond it nodes are opened anew when used, and open(2) gives ENFILE";
    if hard >= FILES_WANTED {
        return Finding::new("open files", Mark::Ok, value, worth);
    }
    let most = facts.nr_open.unwrap_or(1 << 20).min(1 << 20);
    let command = format!("ulimit -Hn {most} as root, before ptfs; systemd: LimitNOFILE={most}");
    Finding::new("open files", Mark::Better, value, worth).command(command)
}

fn locked_memory(facts: &Facts) -> Finding {
    let bytes = |bytes: u64| if bytes == u64::MAX { shown(bytes) } else { format!("{} KiB", bytes >> 10) };
    let value = format!("{} now, {} at most", bytes(facts.memlock.soft), bytes(facts.memlock.hard));
    Finding::new(
        "locked memory",
        Mark::Ok,
        value,
        "nothing: ptfs locks none, and rings do not count any more (Linux 5.12)",
    )
}

fn shown(number: u64) -> String {
    if number == u64::MAX { "no limit".to_owned() } else { number.to_string() }
}

fn cpus(facts: &Facts) -> Finding {
    let cpus = facts.cpus;
    let value = format!("{} to run on, of {} running and {} possible", cpus.allowed, cpus.online, cpus.possible);
    let worth = "a worker each; a wake-up takes 5 to 7 us on one CPU, across CPUs 62 us (measured)";
    match cpus.allowed < cpus.online {
        true => Finding::new("CPUs", Mark::Better, value, worth).command("start ptfs without taskset or a cpuset"),
        false => Finding::new("CPUs", Mark::Ok, value, worth),
    }
}

/// What the defaults make of it: see the command line's `Machine`, and the uring engine's `Plan`.
fn memory(facts: &Facts) -> Finding {
    const MIB: u64 = 1 << 20;
    let worth = "an eighth of it, at most 256 MiB (--memory-cap), for requests of 1 MiB";
    let Some(ram) = facts.ram else { return Finding::new("memory", Mark::Ok, "unknown", worth) };
    let queues = facts.cpus.possible.max(facts.cpus.allowed).max(1) as u64;
    let cap = (ram / 8).min(256 * MIB);
    let depth = (cap.saturating_sub(2 * MIB) / (queues * MIB)).clamp(1, 16);
    let value = format!("{} MiB: {depth} requests at once per CPU", ram / MIB);
    if depth >= 8 {
        return Finding::new("memory", Mark::Ok, value, worth);
    }
    // libfuse's own queues are 8 deep.
    let command = format!("--memory-cap={}M, if there is so much to spare", queues * 8 + 2);
    Finding::new("memory", Mark::Better, value, worth).command(command)
}

fn source(found: &Filesystem, root: bool) -> Vec<Finding> {
    let ok = |item, value: &str, worth: &str| Finding::new(item, Mark::Ok, value, worth);
    let kind = &found.kind;
    let place = match found.local {
        true => format!("{kind}, local"),
        false => format!("{kind}, not known as local: a network or another daemon may be behind it"),
    };
    let handles = "nodes without a descriptor are found by them; without them by name";
    vec![
        ok("SOURCE type", &place, "on a local one cached data is read on the spot; on others all goes by the ring"),
        ok("SOURCE writable", if found.read_only { "no: the mount will be read-only too" } else { "yes" }, "writes"),
        match found.handles {
            Handles::Opened => ok("SOURCE handles", "yes", handles),
            Handles::None => ok("SOURCE handles", "this filesystem has none", handles),
            Handles::Given => {
                let missing = Finding::new("SOURCE handles", Mark::Better, "yes, but they may not be opened", handles);
                missing.command(match root {
                    true => "for a container: docker run --cap-add DAC_READ_SEARCH",
                    false => "run ptfs as root (CAP_DAC_READ_SEARCH)",
                })
            }
        },
        ok("SOURCE xattrs", if found.xattrs { "yes" } else { "no: EOPNOTSUPP, as without ptfs" }, "user.* attributes"),
        ok("SOURCE ACLs", if found.acls { "yes" } else { "no: EOPNOTSUPP, as without ptfs" }, "POSIX ACLs"),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::daemon::doctor::facts::{Caller, Cpus, KernelConfig, Limit, Module};

    /// The sample host, changed.
    fn host(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = Facts::sample();
        change(&mut facts);
        facts
    }

    fn plain_user(facts: &mut Facts) {
        facts.caller = Caller { uid: 1000, groups: vec![1000, 44], ..Caller::default() };
    }

    fn forbidden(disabled: u32) -> impl Fn(&mut Facts) {
        move |facts| (facts.io_uring, facts.io_uring_disabled) = (Err("it is forbidden".to_owned()), Some(disabled))
    }

    /// The marks that are not ok.
    fn faults(report: &Report) -> Vec<(&'static str, Mark)> {
        let found = report.findings.iter().filter(|finding| finding.mark != Mark::Ok);
        found.map(|finding| (finding.item, finding.mark)).collect()
    }

    fn of(facts: &Facts, item: &str) -> Finding {
        let report = judge(facts);
        let found = report.findings.into_iter().find(|finding| finding.item == item);
        found.unwrap_or_else(|| panic!("no finding of {item}"))
    }

    #[test]
    fn everything_is_full_speed() {
        for facts in [host(|_| ()), host(plain_user)] {
            let report = judge(&facts);
            assert_eq!(faults(&report), []);
            assert!(report.mounts && report.fast);
        }
    }

    /// Each fault alone: its mark, whether a mount works, and whether it is fast.
    #[test]
    fn each_fault_is_found() {
        type Change = Box<dyn Fn(&mut Facts)>;
        let by_user = |change: fn(&mut Facts)| -> Change {
            Box::new(move |facts: &mut Facts| {
                plain_user(facts);
                change(facts);
            })
        };
        let off = |facts: &mut Facts| {
            facts.module = Some(Module { enable_uring: Some("N".to_owned()), ..Module::default() });
        };
        let (better, missing) = (Mark::Better, Mark::Missing);
        let cases: Vec<(Change, &str, Mark, bool)> = vec![
            (Box::new(|f| f.release = "5.10.0".to_owned()), "kernel", missing, false),
            (Box::new(|f| f.release = "6.1.0-18-amd64".to_owned()), "kernel", better, true),
            (Box::new(|f| f.device = Device::Missing), "/dev/fuse", missing, false),
            (Box::new(|f| f.device = Device::Closed("EPERM".to_owned())), "/dev/fuse", missing, false),
            (Box::new(|f| f.device = Device::Open { by_all: false }), "/dev/fuse", better, true),
            (Box::new(|f| f.caller.capabilities = 0), "CAP_SYS_ADMIN", missing, false),
            (Box::new(|f| f.fusermount = None), "fusermount3", better, true),
            (Box::new(|f| f.fusermount = Some(false)), "fusermount3", better, true),
            (by_user(|f| f.fusermount = None), "fusermount3", missing, false),
            (by_user(|f| f.fusermount = Some(false)), "fusermount3", missing, false),
            (Box::new(|f| f.fuse_conf = Some("# user_allow_other".to_owned())), "user_allow_other", better, true),
            (Box::new(off), "FUSE-over-io_uring", better, false),
            (Box::new(|f| f.module = Some(Module::default())), "FUSE-over-io_uring", better, false),
            (Box::new(|f| f.module = None), "FUSE-over-io_uring", better, false),
            (Box::new(|f| f.max_pages = Some(32)), "max_pages_limit", better, true),
            (Box::new(|f| f.nofile.hard = 4096), "open files", better, true),
            (Box::new(|f| f.cpus.allowed = 2), "CPUs", better, true),
            (Box::new(|f| f.ram = Some(64 << 20)), "memory", better, true),
        ];
        for (change, item, mark, fast) in cases {
            let report = judge(&host(change));
            assert_eq!(faults(&report), [(item, mark)], "{report:?}");
            assert_eq!((report.mounts, report.fast), (mark != Mark::Missing, fast), "{item}");
        }
    }

    #[test]
    fn what_is_not_ok_comes_with_a_way_out() {
        let facts = host(|facts| {
            facts.release = "5.15.0".to_owned();
            facts.device = Device::Missing;
            facts.caller.capabilities = 0;
            (facts.fusermount, facts.module) = (None, None);
            (facts.max_pages, facts.ram) = (Some(1), Some(1 << 20));
            facts.nofile = Limit { soft: 1, hard: 1 };
            facts.cpus = Cpus { allowed: 1, online: 8, possible: 8 };
            forbidden(2)(facts);
        });
        let report = judge(&facts);
        assert_eq!(faults(&report).len(), 10, "{report:?}");
        for finding in report.findings {
            assert_eq!(finding.command.is_some(), finding.mark != Mark::Ok, "{finding:?}");
            assert!(!finding.value.is_empty() && !finding.worth.is_empty());
        }
    }

    #[test]
    fn who_forbids_io_uring_is_named() {
        let forbidden_to_user = |groups: Vec<i64>| {
            host(|facts| {
                plain_user(facts);
                forbidden(1)(facts);
                (facts.caller.groups, facts.io_uring_group) = (groups, Some(44));
            })
        };
        let cases = [
            (host(forbidden(2)), "kernel.io_uring_disabled=2"),
            (forbidden_to_user(vec![1000]), "kernel.io_uring_disabled=1"),
            // It cannot be the sysctl, if the caller is in its group, or root.
            (forbidden_to_user(vec![1000, 44]), "it is forbidden"),
            (host(forbidden(1)), "it is forbidden"),
            (host(|f| (forbidden(0)(f), f.caller.seccomp = 2).0), "seccomp"),
            (host(|f| (forbidden(0)(f), f.release = "5.15.0".to_owned()).0), "too old"),
        ];
        for (facts, word) in cases {
            let finding = of(&facts, "io_uring");
            assert_eq!(finding.mark, Mark::Better);
            assert!(finding.value.contains(word), "{word}: {finding:?}");
            assert!(!judge(&facts).fast && judge(&facts).mounts);
        }
        let config = KernelConfig { io_uring: false, fuse_io_uring: true, fuse_passthrough: true };
        let without = host(|f| (forbidden(0)(f), f.kernel_config = Some(config)).0);
        assert!(of(&without, "io_uring").value.contains("built without"));
    }

    #[test]
    fn a_switch_that_is_on_is_not_enough() {
        let finding = of(&host(forbidden(2)), "FUSE-over-io_uring");
        assert_eq!(finding.mark, Mark::Better);
        assert!(finding.value.contains("io_uring cannot be used"), "{finding:?}");
    }

    #[test]
    fn the_next_boot_is_thought_of() {
        let facts = host(|f| f.module.as_mut().expect("there").enabled_at_boot = false);
        let finding = of(&facts, "FUSE-over-io_uring");
        assert_eq!((finding.mark, finding.value.as_str()), (Mark::Ok, "on, until the next boot"));
    }

    #[test]
    fn the_limit_of_mounts_is_read() {
        for (text, value) in
            [("", "1000"), ("#mount_max = 7", "1000"), ("mount_max = 7\n", "7"), ("mount_max = -1", "no limit")]
        {
            let facts = host(|f| f.fuse_conf = Some(text.to_owned()));
            assert!(of(&facts, "mount_max").value.starts_with(value), "{text}");
        }
    }

    #[test]
    fn passthrough_is_told_from_configuration_and_version() {
        let with = |fuse_passthrough| Some(KernelConfig { io_uring: true, fuse_io_uring: true, fuse_passthrough });
        for (config, release, word) in [
            (with(true), "6.18.1", "has it"),
            (with(false), "6.18.1", "has none"),
            (None, "6.8.0", "has none"),
            (None, "6.9.0", "unknown"),
        ] {
            let facts = host(|f| (f.kernel_config, f.release) = (config, release.to_owned()));
            assert!(of(&facts, "kernel passthrough").value.contains(word), "{release}");
        }
    }

    #[test]
    fn the_source_is_judged() {
        let filesystem = Filesystem {
            kind: "nfs4".to_owned(),
            local: false,
            read_only: true,
            handles: Handles::Given,
            xattrs: false,
            acls: true,
        };
        let named = |found| Some(Source { path: PathBuf::from("/srv"), found });
        let facts = host(|f| f.source = named(Ok(filesystem)));
        assert_eq!(faults(&judge(&facts)), [("SOURCE handles", Mark::Better)]);
        assert!(of(&facts, "SOURCE type").value.contains("nfs4, not known as local"));
        assert!(of(&facts, "SOURCE writable").value.starts_with("no"));
        assert!(of(&facts, "SOURCE xattrs").value.starts_with("no"));
        assert_eq!(of(&facts, "SOURCE ACLs").value, "yes");
        let facts = host(|f| f.source = named(Err("No such file".to_owned())));
        assert_eq!(faults(&judge(&facts)), [("SOURCE", Mark::Missing)]);
        assert!(!judge(&facts).mounts);
    }
}
