//! The reference model: random operations on a mount and on a plain directory side by side, which must answer alike.
//!
//! After each step the answers, errnos, stats, contents and attributes of what it touched are compared; every
//! [`TREE_EVERY`] steps the whole trees. A difference is shrunk to the fewest steps that show it.
//!
//! - `PTFS_MODEL_SEED` (1): the sequences follow from it.
//! - `PTFS_MODEL_STEPS` (8000): steps on each backing.
//! - `PTFS_MODEL_FS` (`ext4,tmpfs`): the backings; there are `xfs`, `btrfs`, `overlay` and `sshfs` too.
//! - `PTFS_MODEL_FINDINGS` (1): go on until so many different differences are known.
//!
//! # What is not compared
//! A mount answers as its host does, but for these:
//! - `st_dev`: a mount is a filesystem of its own.
//! - `st_blocks`: ext4 allocates late, so that it follows the time of writeback.
//! - Times as such: a time near the test's start is "now", any other is compared to the nanosecond. The backing is
//!   mounted noatime, since the kernel answers reads from a FUSE file's page cache and the host cannot know of them.
//! - Times of a FIFO: the kernel serves it alone, and leaves a FUSE file's times to a daemon that never hears of it.
//! - Mappings: bytes beyond the end of file (POSIX leaves them open), and whether a store takes file capabilities away
//!   and sets mtime, since the kernel sends the page to the daemon as a WRITE.
//! - File capabilities, SUID and SGID after a fallocate that fails: the kernel's FUSE client removes the former before it
//!   asks the daemon, and does not see that the host (overlayfs) has removed the latter.
//! - mtime after a truncate to 0, and SUID and SGID of what was empty already (README, Limits).
//! - mtime after a copy_file_range that fails: the kernel's FUSE client keeps what it knew, the host may have set it.
//! - SEEK_DATA over preallocated blocks, where the page cache decides, and over a tmpfs's holes that a mapping touched.
//! - Order of names in a directory, and the position of a directory's fd: both are the filesystem's own.
//! - FALLOC_FL_COLLAPSE_RANGE, INSERT_RANGE and UNSHARE_RANGE: the kernel's FUSE client refuses them itself.
//! - What a request does not tell (README, Limits): the writer's supplementary groups, for SGID of a file that its group
//!   may not execute; why file capabilities go, for SUID and SGID of such a file; a stranger's chown(-1, -1).
//! - An overlayfs's d_ino, STATX_SUBVOL.
//! - How long the kernel keeps what an overlayfs changes by itself, and sshfs behind another name: their mounts have
//!   timeouts of 0.
//! - The alignment that O_DIRECT asks for: the model reads and writes whole pages with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/model"]
mod model {
    pub mod generate;
    pub mod ops;
    pub mod shrink;
    pub mod side;
    use super::support;
}

use model::generate::Generator;
use model::ops::Step;
use model::side::{Mutant, Side};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Backing, Fs, Mount, Variant, env, sys};

/// Steps in one sequence, which starts on fresh directories.
const EPISODE: usize = 400;
const TREE_EVERY: usize = 100;
/// A step that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn model_fuse_uring() {
    against(Some(&support::FUSE_URING));
}

#[test]
fn model_dev_fuse() {
    against(Some(&support::DEV_FUSE));
}

#[test]
fn model_pool() {
    against(Some(&support::POOL));
}

#[test]
fn model_cache_never() {
    const ARGS: &[&str] = &["--engine=uring", "--transport=fuse-uring", "--cache=never"];
    const NEVER: &Variant = &Variant { name: "cache=never", args: ARGS };
    against(Some(NEVER));
}

/// The harness itself: two plain directories never differ.
#[test]
fn directories_agree() {
    against(None);
}

/// The harness itself: each wrong answer is found, and shrunk to a few steps.
#[test]
fn wrong_answers_are_found() {
    in_thread(|| {
        for mutant in [Mutant::Errno, Mutant::Byte, Mutant::Sgid, Mutant::HardLinks] {
            let mut pair = Pair::new(Fs::Tmpfs, None);
            pair.mutant = Some(mutant);
            let found = (0..50).find_map(|seed| pair.episode(seed, EPISODE));
            let found = found.unwrap_or_else(|| panic!("{mutant:?} is not found"));
            println!("{mutant:?}: {}", found.text());
            assert!(found.steps.len() <= 6, "{mutant:?} is not shrunk: {}", found.text());
        }
    });
}

fn against(variant: Option<&'static Variant>) {
    let seed: u64 = env("PTFS_MODEL_SEED").unwrap_or(1);
    let steps: usize = env("PTFS_MODEL_STEPS").unwrap_or(8000);
    let wanted: usize = env("PTFS_MODEL_FINDINGS").unwrap_or(1);
    let filesystems: Vec<Fs> = match env::<String>("PTFS_MODEL_FS") {
        Some(names) => names.split(',').map(Fs::named).collect(),
        None => support::FILESYSTEMS.into(),
    };
    for fs in filesystems {
        let name = variant.map_or("plain directory", |variant| variant.name);
        println!("{name} on {fs:?}: PTFS_MODEL_SEED={seed} PTFS_MODEL_STEPS={steps}");
        in_thread(move || {
            let mut pair = Pair::new(fs, variant);
            let mut found: Vec<Difference> = Vec::new();
            for n in 0..steps.div_ceil(EPISODE) {
                let episode = seed.wrapping_mul(1_000_003).wrapping_add(n as u64);
                let steps = EPISODE.min(steps - n * EPISODE);
                let new = pair.episode(episode, steps);
                found.extend(new.filter(|new| found.iter().all(|known| known.kind() != new.kind())));
                if found.len() >= wanted {
                    break;
                }
            }
            let texts: Vec<String> = found.iter().map(Difference::text).collect();
            assert!(found.is_empty(), "{name} on {fs:?}, seed {seed}:\n{}", texts.join("\n"));
        });
    }
}

/// Runs `f` where umask, working directory, descriptors and user ids are its own.
fn in_thread(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        sys::own_context();
        f();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Steps after which the two sides differ, and how.
struct Difference {
    steps: Vec<Step>,
    /// What the plain directory and the mount showed, line by line where they differ.
    lines: Vec<(String, String)>,
    /// The answers of each step on both sides.
    answers: Vec<(String, String)>,
    note: String,
}

impl Difference {
    fn text(&self) -> String {
        let mut text = format!("{} steps{}\n", self.steps.len(), self.note);
        for (i, step) in self.steps.iter().enumerate() {
            text += &format!("  {step:?}\n");
            if let Some((plain, mount)) = self.answers.get(i) {
                text += &match plain == mount {
                    true => format!("      both:  {}\n", brief(plain)),
                    false => format!("      plain: {plain}\n      mount: {mount}\n"),
                };
            }
        }
        for (plain, mount) in &self.lines {
            text += &format!("  plain: {plain}\n  mount: {mount}\n");
        }
        text
    }

    /// What tells one difference from another: the last operation, and what differs in the answers.
    fn kind(&self) -> String {
        let last = self.steps.last().map(|step| format!("{:?}", step.op)).unwrap_or_default();
        let words = self.lines.first().map(|(plain, mount)| {
            let mut pairs = plain.split(' ').zip(mount.split(' ')).filter(|(a, b)| a != b);
            pairs.next().map(|pair| format!("{pair:?}"))
        });
        let kind = format!("{} {words:?}", last.split(' ').next().unwrap_or_default());
        kind.replace(|c: char| c.is_ascii_digit(), "")
    }
}

fn brief(text: &str) -> String {
    if text.len() > 100 { format!("{} ...", text.chars().take(100).collect::<String>()) } else { text.into() }
}

/// Sequences, and tries to shrink one, that find something in an overlay's lower layer.
const LOWER_EPISODES: u64 = 1500;

/// What a sequence's working directory has in the lower layer: each write to it is a copy upwards first.
fn lower_layer(dir: &Path) {
    std::fs::create_dir_all(dir.join("d/e")).unwrap();
    for (name, mode, owner) in [("a", 0o644, 0), ("b", 0o666, 1000), ("d/a", 0o4755, 1000), ("d/b", 0o2775, 2000)] {
        let path = dir.join(name);
        std::fs::write(&path, name.repeat(5000)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        sys::chmod(sys::At::Path(sys::b(&path)), mode).unwrap();
    }
    sys::setxattr(sys::At::Path(sys::b(&dir.join("a"))), "user.a", b"below", 0).unwrap();
    std::os::unix::fs::symlink("d/a", dir.join("c")).unwrap();
}

/// The filesystem with the plain directory in `plain`, and what the mount shows in `source`.
struct Pair {
    backing: Backing,
    variant: Option<&'static Variant>,
    mount: Option<Mount>,
    mutant: Option<Mutant>,
    /// The next fresh directory's number.
    next: u64,
    epoch: i64,
    watch: Arc<Watch>,
}

impl Pair {
    fn new(fs: Fs, variant: Option<&'static Variant>) -> Pair {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 - 1;
        let backing = Backing::filled(fs, 2048, "noatime", |lower| {
            for dir in ["plain", "source"] {
                (1..=LOWER_EPISODES).for_each(|n| lower_layer(&lower.join(dir).join(format!("t{n}/w"))));
            }
        });
        for dir in ["plain", "source"] {
            std::fs::create_dir_all(backing.path().join(dir)).unwrap();
        }
        let watch = Watch::start();
        Pair { backing, variant, mount: None, mutant: None, next: 0, epoch, watch }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.backing.path().join(name).join(format!("t{}", self.next))
    }

    /// Two fresh and equal directories, behind a daemon that lives.
    fn fresh(&mut self) -> [Side; 2] {
        for name in ["plain", "source"] {
            std::fs::remove_dir_all(self.dir(name)).ok();
        }
        self.next += 1;
        for name in ["plain", "source"] {
            std::fs::create_dir_all(self.dir(name).join("w")).unwrap();
        }
        if let Some(variant) = self.variant {
            let dead = |mount: &mut Mount| !mount.running() || mount.path().metadata().is_err();
            if self.mount.as_mut().is_none_or(dead) {
                self.mount = None;
                let args = [&["-o", "allow_other"], self.backing.fs.args()].concat();
                let mount = Mount::with_args(variant, &args, &self.backing.path().join("source"));
                self.watch.pid.store(mount.pid(), Ordering::Relaxed);
                self.mount = Some(mount);
            }
        }
        let mounted = self.mount.as_ref().map(|mount| mount.path().join(format!("t{}", self.next)));
        let fs = self.backing.fs;
        let plain = Side::new(fs, &self.dir("plain"), self.epoch, None);
        [plain, Side::new(fs, &mounted.unwrap_or(self.dir("source")), self.epoch, self.mutant)]
    }

    /// One random sequence; a difference comes back shrunk.
    fn episode(&mut self, seed: u64, len: usize) -> Option<Difference> {
        let mut generator = Generator::new(seed);
        let mut found = self.run(len, |plain| {
            generator.look_at(plain);
            generator.step()
        })?;
        println!("seed {seed}: a difference after {} steps, shrinking", found.steps.len());
        let patience = Duration::from_secs(env("PTFS_MODEL_SHRINK").unwrap_or(120));
        let steps = model::shrink::shrink(found.steps.clone(), patience, |steps| self.replay(steps).is_some());
        match self.replay(&steps) {
            Some(shrunk) => found = shrunk,
            None => found.note = " (it did not show again when these were replayed)".into(),
        }
        Some(found)
    }

    fn replay(&mut self, steps: &[Step]) -> Option<Difference> {
        let mut rest = steps.iter();
        self.run(steps.len(), |_| rest.next().unwrap().clone())
    }

    /// Runs `len` steps on both sides; `next` gives each, and may look at the plain side for it.
    fn run(&mut self, len: usize, mut next: impl FnMut(&Side) -> Step) -> Option<Difference> {
        let [mut plain, mut mount] = self.fresh();
        let mut difference = Difference { steps: vec![], lines: vec![], answers: vec![], note: String::new() };
        for n in 0..len {
            let step = next(&plain);
            self.watch.beat(&step);
            let (a, b) = (plain.step(&step), mount.step(&step));
            difference.steps.push(step);
            difference.answers.push((a[0].clone(), b[0].clone()));
            difference.lines = differing(a.into_iter().zip(b));
            if difference.lines.is_empty() && (n + 1 == len || n % TREE_EVERY == TREE_EVERY - 1) {
                difference.lines = self.trees(&plain, &mount);
            }
            if !difference.lines.is_empty() {
                return Some(difference);
            }
        }
        None
    }

    /// Compares everything there is, and the mount's inode numbers with the host's.
    fn trees(&self, plain: &Side, mount: &Side) -> Vec<(String, String)> {
        let (a, b) = (plain.tree(), mount.tree());
        let mut paths: Vec<&Vec<u8>> = a.lines.keys().chain(b.lines.keys()).collect();
        paths.sort();
        paths.dedup();
        let line = |lines: &std::collections::BTreeMap<Vec<u8>, String>, path: &Vec<u8>| {
            let text = lines.get(path).map_or("is not there", String::as_str);
            format!("tree {} {text}", path.escape_ascii())
        };
        let mut lines = differing(paths.into_iter().map(|path| (line(&a.lines, path), line(&b.lines, path))));
        if self.mount.is_some() && lines.is_empty() {
            let source = self.dir("source");
            for (path, ino) in &b.inos {
                let host = [sys::b(&source), path].concat();
                let host = sys::stat(sys::At::Link(&host)).map(|stat| stat.st_ino);
                // A path can be too long to be walked from the host's root.
                if host != Ok(*ino) && host != Err(libc::ENAMETOOLONG) {
                    let name = path.escape_ascii();
                    lines.push((format!("{name}: host's inode {host:?}"), format!("{name}: inode {ino}")));
                }
            }
        }
        lines
    }
}

fn differing(lines: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    lines.filter(|(a, b)| a != b).take(6).collect()
}

/// Ends a daemon that lets a step hang, so that the step answers and the test can say which one it was.
struct Watch {
    steps: AtomicU64,
    pid: AtomicI32,
    step: Mutex<String>,
}

impl Watch {
    fn start() -> Arc<Watch> {
        let watch = Arc::new(Watch { steps: 0.into(), pid: 0.into(), step: Mutex::new(String::new()) });
        let weak = Arc::downgrade(&watch);
        std::thread::spawn(move || {
            let (mut last, mut quiet) = (0, Duration::ZERO);
            while let Some(watch) = weak.upgrade() {
                let now = watch.steps.load(Ordering::Relaxed);
                quiet = if now == last { quiet + Duration::from_secs(1) } else { Duration::ZERO };
                last = now;
                let pid = watch.pid.load(Ordering::Relaxed);
                if quiet > PATIENCE && pid != 0 {
                    eprintln!("hangs, so the daemon is killed: {}", watch.step.lock().unwrap());
                    watch.pid.store(0, Ordering::Relaxed);
                    sys::kill(pid, libc::SIGKILL).ok();
                }
                drop(watch);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        watch
    }

    fn beat(&self, step: &Step) {
        *self.step.lock().unwrap() = format!("{step:?}");
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
}
