//! What this host is like: read once, judged elsewhere.

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::source::Source;
use super::tree::Tree;
use crate::uring;

/// The switch of FUSE-over-io_uring.
pub const ENABLE_URING: &str = "/sys/module/fuse/parameters/enable_uring";
/// How many pages a request may carry.
pub const MAX_PAGES: &str = "/proc/sys/fs/fuse/max_pages_limit";
/// What plain users may do with `fusermount3`.
pub const FUSE_CONF: &str = "/etc/fuse.conf";

/// Everything that findings are made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The kernel's release, as `uname -r` has it.
    pub release: String,
    /// Who asks.
    pub caller: Caller,
    /// What the kernel was built with, if it tells.
    pub kernel_config: Option<KernelConfig>,
    /// `/dev/fuse`.
    pub device: Device,
    /// The FUSE module, if it is there (or built in).
    pub module: Option<Module>,
    /// Whether a ring could be made, or why not.
    pub io_uring: Result<(), String>,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u32>,
    /// `kernel.io_uring_group`; -1 for none.
    pub io_uring_group: Option<i64>,
    /// `fusermount3`, and whether it is setuid.
    pub fusermount: Option<bool>,
    /// The text of `/etc/fuse.conf`.
    pub fuse_conf: Option<String>,
    /// `fs.fuse.max_pages_limit`; older kernels have it fixed at 256.
    pub max_pages: Option<u32>,
    /// Open files.
    pub nofile: Limit,
    /// Bytes of locked memory.
    pub memlock: Limit,
    /// `fs.nr_open`, beyond which no limit of open files goes.
    pub nr_open: Option<u64>,
    /// CPUs.
    pub cpus: Cpus,
    /// Bytes of memory.
    pub ram: Option<u64>,
    /// The directory to serve, if one was named.
    pub source: Option<Source>,
}

/// Who asks: root and plain users mount in different ways.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Effective uid.
    pub uid: u32,
    /// Effective capabilities.
    pub capabilities: u64,
    /// All groups.
    pub groups: Vec<i64>,
    /// Mode of seccomp: 2 is a filter.
    pub seccomp: u32,
}

/// CAP_SYS_ADMIN.
pub const SYS_ADMIN: u32 = 21;

impl Caller {
    /// As the daemon sees it.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether a capability is in effect.
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }

    fn read(status: &str) -> Caller {
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().split_whitespace()
        };
        let mut groups: Vec<i64> = field("Groups").filter_map(|group| group.parse().ok()).collect();
        groups.extend(field("Gid").nth(1).and_then(|gid| gid.parse::<i64>().ok()));
        Caller {
            uid: field("Uid").nth(1).and_then(|uid| uid.parse().ok()).unwrap_or_default(),
            capabilities: field("CapEff")
                .next()
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .unwrap_or_default(),
            groups,
            seccomp: field("Seccomp").next().and_then(|mode| mode.parse().ok()).unwrap_or_default(),
        }
    }
}

/// Some of the kernel's build options.
#[derive(Clone, Copy, Debug)]
pub struct KernelConfig {
    /// CONFIG_IO_URING.
    pub io_uring: bool,
    /// CONFIG_FUSE_IO_URING.
    pub fuse_io_uring: bool,
    /// CONFIG_FUSE_PASSTHROUGH.
    pub fuse_passthrough: bool,
}

/// The state of `/dev/fuse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// Not there.
    Missing,
    /// There, but not for this caller: why.
    Closed(String),
    /// This caller can open it; whether everybody can.
    Open {
        /// By its mode.
        by_all: bool,
    },
}

/// The FUSE module's state.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// It was loaded, and its options come from modprobe.d; else it is part of the kernel.
    pub loadable: bool,
    /// `Y` or `N`, where the kernel has FUSE-over-io_uring.
    pub enable_uring: Option<String>,
    /// Something sets it at boot.
    pub enabled_at_boot: bool,
}

/// A limit of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// What counts.
    pub soft: u64,
    /// What the soft limit can be raised to.
    pub hard: u64,
}

/// How many CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpus {
    /// That this process may run on.
    pub allowed: usize,
    /// That are running.
    pub online: usize,
    /// That there may ever be.
    pub possible: usize,
}

impl Facts {
    /// Looks at everything. Whether a ring can be made, and the directory to serve, are this process's own matter and
    /// no part of the tree.
    pub fn collect(tree: &Tree, source: Option<&Path>) -> Facts {
        let release = tree.value("/proc/sys/kernel/osrelease").unwrap_or_default();
        let status = tree.text("/proc/self/status").unwrap_or_default();
        let limits = tree.text("/proc/self/limits").unwrap_or_default();
        Facts {
            kernel_config: kernel_config(tree, &release),
            release,
            caller: Caller::read(&status),
            device: device(tree),
            module: module(tree),
            io_uring: uring::support(),
            io_uring_disabled: tree.number("/proc/sys/kernel/io_uring_disabled"),
            io_uring_group: tree.number("/proc/sys/kernel/io_uring_group"),
            fusermount: fusermount(tree),
            fuse_conf: tree.text(FUSE_CONF),
            max_pages: tree.number(MAX_PAGES),
            nofile: limit(&limits, "Max open files"),
            memlock: limit(&limits, "Max locked memory"),
            nr_open: tree.number("/proc/sys/fs/nr_open"),
            cpus: cpus(tree, &status),
            ram: ram(tree),
            source: source.map(Source::examine),
        }
    }

    /// The kernel's version.
    pub fn version(&self) -> (u32, u32) {
        let mut parts = self.release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Whether a line of `/etc/fuse.conf` says so.
    pub fn allows_other(&self) -> bool {
        self.fuse_conf.iter().flat_map(|text| text.lines()).any(|line| line.trim() == "user_allow_other")
    }
}

fn kernel_config(tree: &Tree, release: &str) -> Option<KernelConfig> {
    let text = tree.unzipped("/proc/config.gz").or_else(|| tree.text(&format!("/boot/config-{release}")))?;
    let has = |option: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
        matches!(value, Some("y" | "m"))
    };
    Some(KernelConfig {
        io_uring: has("CONFIG_IO_URING"),
        fuse_io_uring: has("CONFIG_FUSE_IO_URING"),
        fuse_passthrough: has("CONFIG_FUSE_PASSTHROUGH"),
    })
}

fn device(tree: &Tree) -> Device {
    let path = tree.path("/dev/fuse");
    let Ok(found) = fs::metadata(&path) else { return Device::Missing };
    match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(_) => Device::Open { by_all: found.permissions().mode() & 0o006 == 0o006 },
        Err(error) => Device::Closed(error.to_string()),
    }
}

fn module(tree: &Tree) -> Option<Module> {
    tree.has("/sys/module/fuse").then(|| {
        let in_files = |text: &String| {
            let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            lines.any(|line| line.contains("enable_uring"))
        };
        let places = ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d", "/etc/modprobe.d", "/usr/lib/modprobe.d"];
        let mut at_boot = places.into_iter().flat_map(|name| tree.texts_in(name));
        let by_kernel = tree.text("/proc/cmdline").is_some_and(|line| line.contains("fuse.enable_uring=Y"));
        Module {
            // Only what was loaded has a state of loading.
            loadable: tree.has("/sys/module/fuse/initstate"),
            enable_uring: tree.value(ENABLE_URING),
            enabled_at_boot: by_kernel || at_boot.any(|text| in_files(&text)),
        }
    })
}

fn fusermount(tree: &Tree) -> Option<bool> {
    let path = env::var("PATH").unwrap_or_default();
    let mut candidates = path.split(':').map(|directory| tree.path(&format!("{directory}/fusermount3")));
    candidates.find_map(|candidate| fs::metadata(candidate).ok()).map(|found| found.permissions().mode() & 0o4000 != 0)
}

/// Of a `/proc/self/limits`.
fn limit(limits: &str, name: &str) -> Limit {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut values = line.split_whitespace().map(|value| match value {
        "unlimited" => u64::MAX,
        number => number.parse().unwrap_or_default(),
    });
    Limit { soft: values.next().unwrap_or_default(), hard: values.next().unwrap_or_default() }
}

fn cpus(tree: &Tree, status: &str) -> Cpus {
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let of = |name: &str| count(&tree.value(&format!("/sys/devices/system/cpu/{name}")).unwrap_or_default());
    Cpus { allowed: count(allowed.trim()), online: of("online"), possible: of("possible") }
}

/// How many numbers a list such as `0-3,8` holds.
fn count(list: &str) -> usize {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    ranges.map(|(first, last)| (last + 1).saturating_sub(first)).sum()
}

fn ram(tree: &Tree) -> Option<u64> {
    let text = tree.text("/proc/meminfo")?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
impl Facts {
    /// A host that has everything, asked by root.
    pub fn sample() -> Facts {
        Facts {
            release: "6.18.1-generic".to_owned(),
            caller: Caller { capabilities: u64::MAX, ..Caller::default() },
            kernel_config: Some(KernelConfig { io_uring: true, fuse_io_uring: true, fuse_passthrough: true }),
            device: Device::Open { by_all: true },
            module: Some(Module { loadable: false, enable_uring: Some("Y".to_owned()), enabled_at_boot: true }),
            io_uring: Ok(()),
            io_uring_disabled: Some(0),
            io_uring_group: Some(-1),
            fusermount: Some(true),
            fuse_conf: Some("user_allow_other\n".to_owned()),
            max_pages: Some(256),
            nofile: Limit { soft: 1024, hard: 1 << 19 },
            memlock: Limit { soft: 8 << 20, hard: u64::MAX },
            nr_open: Some(1 << 30),
            cpus: Cpus { allowed: 4, online: 4, possible: 4 },
            ram: Some(8 << 30),
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = "Name:\tptfs\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\nGroups:\t7 8 \n\
            CapEff:\t0000000000200000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let caller = Caller::read(status);
        assert_eq!((caller.uid, caller.seccomp, &caller.groups[..]), (1001, 2, &[7, 8, 6][..]));
        assert!(caller.has(SYS_ADMIN) && !caller.has(SYS_ADMIN - 1) && !caller.is_root());
    }

    #[test]
    fn limits_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n\
            Max locked memory         8388608              unlimited            bytes     \n";
        assert_eq!(limit(limits, "Max open files"), Limit { soft: 1024, hard: 524_288 });
        assert_eq!(limit(limits, "Max locked memory"), Limit { soft: 8 << 20, hard: u64::MAX });
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        for (list, number) in [("0", 1), ("0-3", 4), ("0-1,4-5,9", 5), ("", 0)] {
            assert_eq!(count(list), number, "{list}");
        }
    }

    #[test]
    fn this_machine_is_read() {
        let facts = Facts::collect(&Tree::new("/"), None);
        assert!(facts.version() >= (5, 0), "{}", facts.release);
        assert!(facts.nofile.soft > 0 && facts.nofile.hard >= facts.nofile.soft);
        assert!(facts.cpus.allowed > 0 && facts.cpus.possible >= facts.cpus.online && facts.ram > Some(1 << 20));
    }
}
