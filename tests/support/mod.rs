//! What the tests that mount share: the daemon's guard, backing filesystems, raw calls under other people's ids.
//!
//! Nothing here skips: a test that cannot run panics with the reason.
//!
//! - `PTFS_BIN`: run another daemon in ptfs's place; it gets the same arguments (`ptfs [args] SOURCE MOUNTPOINT`).
//! - `PTFS_ARGS`: more arguments for each mount, separated by blanks.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod idmapped;
pub mod sys;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One way to run the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    pub args: &'static [&'static str],
}

pub const FUSE_URING: Variant = Variant { name: "fuse-uring", args: &["--engine=uring", "--transport=fuse-uring"] };
pub const DEV_FUSE: Variant = Variant { name: "dev-fuse", args: &["--engine=uring", "--transport=dev-fuse"] };
pub const POOL: Variant = Variant { name: "pool", args: &["--engine=pool"] };
pub const VARIANTS: [Variant; 3] = [FUSE_URING, DEV_FUSE, POOL];

/// With what takes milliseconds on a machine that is not busy; longer than the 10 s that the daemon gives to those who
/// still use its mount.
const PATIENCE: Duration = Duration::from_secs(40);

/// A number or word from the environment.
pub fn env<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} does not parse")))
}

/// A running daemon and its mount; both are gone when this is dropped, also by a panic.
pub struct Mount {
    child: Child,
    stderr: Arc<Mutex<String>>,
    source: PathBuf,
    mountpoint: TempDir,
    finished: bool,
}

impl Mount {
    /// Starts the daemon on `source`, for every user, and waits until the mount answers.
    pub fn start(variant: &Variant, source: &Path) -> Mount {
        Mount::with_args(variant, &["-o", "allow_other"], source)
    }

    /// The same with these arguments and no others.
    pub fn with_args(variant: &Variant, more: &[&str], source: &Path) -> Mount {
        assert!(Path::new("/dev/fuse").exists(), "cannot test a mount: there is no /dev/fuse");
        if variant.args.contains(&"--transport=fuse-uring") && sys::is_root() {
            let switch = "/sys/module/fuse/parameters/enable_uring";
            std::fs::write(switch, "Y").unwrap_or_else(|e| panic!("cannot set {switch}: {e}"));
        }
        let binary = std::env::var("PTFS_BIN").unwrap_or(env!("CARGO_BIN_EXE_ptfs").into());
        let extra: String = env("PTFS_ARGS").unwrap_or_default();
        let mountpoint = tempfile::Builder::new().prefix("ptfs-mount-").tempdir().unwrap();
        let before = std::fs::metadata(mountpoint.path()).unwrap().dev();
        let mut child = Command::new(&binary)
            .args(variant.args)
            .args(more)
            .args(extra.split_whitespace())
            .args([source, mountpoint.path()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {binary}: {e}"));
        let stderr = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), stderr.clone());
        let source = source.to_path_buf();
        let mut mount = Mount { child, stderr, source, mountpoint, finished: false };
        let end = Instant::now() + PATIENCE;
        while std::fs::metadata(mount.path()).map_or(true, |meta| meta.dev() == before) {
            let ended = mount.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > end {
                sleep(Duration::from_millis(50));
                let why = ended.map_or("no mount in time".into(), |status| status.to_string());
                panic!("{binary} ({}): {why}; it said:\n{}", variant.name, mount.stderr());
            }
            sleep(Duration::from_millis(5));
        }
        mount
    }

    pub fn path(&self) -> &Path {
        self.mountpoint.path()
    }

    pub fn source(&self) -> &Path {
        &self.source
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What the daemon has written to its standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// One field of `/proc/PID/status`, as `VmRSS`, without its unit.
    pub fn status(&self, field: &str) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        line.split_whitespace().next().map(str::to_string)
    }

    /// Waits until no thread of the daemon has anything to do. Some requests are counted after they were answered, and
    /// RELEASE is not waited for by close(2).
    pub fn idle(&self) {
        let sleeps = |task: std::io::Result<std::fs::DirEntry>| {
            // One that has ended does nothing either.
            let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['S', 'I', 'Z', 'X']))
        };
        let tasks = format!("/proc/{}/task", self.pid());
        let end = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 3 {
            assert!(Instant::now() < end, "the daemon is never idle");
            sleep(Duration::from_millis(5));
            quiet = if std::fs::read_dir(&tasks).unwrap().all(sleeps) { quiet + 1 } else { 0 };
        }
    }

    /// The daemon's open descriptors, and what each refers to.
    pub fn fds(&self) -> Vec<(i32, PathBuf)> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten();
        let fd = |path: &Path| path.file_name()?.to_str()?.parse().ok();
        entries.filter_map(|entry| Some((fd(&entry.path())?, std::fs::read_link(entry.path()).ok()?))).collect()
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Ends the daemon without a chance to clean up: releases clients that hang.
    pub fn kill(&self) {
        sys::kill(self.pid(), libc::SIGKILL).ok();
    }

    /// Ends the daemon as an operator would; the answer is its exit status, `None` if it had to be killed.
    fn stop(&mut self) -> Option<std::process::ExitStatus> {
        sys::unmount(self.path()).ok();
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        sys::kill(self.pid(), libc::SIGTERM).ok();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            sleep(Duration::from_millis(10));
        }
        self.kill();
        self.child.wait().ok();
        None
    }
}

impl Mount {
    /// Unmounts and ends the daemon; one that has to be killed is an error.
    pub fn finish(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.finished, true) || self.stop().is_some() {
            return Ok(());
        }
        Err(format!("the daemon lived on after umount and SIGTERM; it said:\n{}", self.stderr()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end().ok();
            eprintln!("the daemon said:\n{}", self.stderr());
        } else if let Err(why) = self.end() {
            panic!("{why}");
        }
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fs {
    Ext4,
    Tmpfs,
    Xfs,
    Btrfs,
    /// On a tmpfs, with all its layers in it; see [`Backing::filled`].
    Overlay,
    /// A network filesystem: sshfs, on an sftp-server of this machine that serves an ext4.
    Sshfs,
}

pub const FILESYSTEMS: [Fs; 2] = [Fs::Ext4, Fs::Tmpfs];
pub const MORE_FILESYSTEMS: [Fs; 4] = [Fs::Xfs, Fs::Btrfs, Fs::Overlay, Fs::Sshfs];

impl Fs {
    pub fn named(name: &str) -> Fs {
        let mut all = FILESYSTEMS.into_iter().chain(MORE_FILESYSTEMS);
        all.find(|fs| format!("{fs:?}").eq_ignore_ascii_case(name)).unwrap_or_else(|| panic!("no filesystem {name}"))
    }

    /// With these the daemon keeps nothing longer than the filesystem does itself.
    pub fn args(self) -> &'static [&'static str] {
        match self {
            Fs::Sshfs => &["--attr-timeout=0", "--entry-timeout=0"],
            // A copy upwards changes the directories above, too.
            Fs::Overlay => &["--attr-timeout=0"],
            _ => &[],
        }
    }
}

/// A filesystem of its own (nodev, because FUSE mounts are, too), unmounted when dropped.
pub struct Backing {
    pub fs: Fs,
    mountpoint: TempDir,
    _image: Option<tempfile::NamedTempFile>,
    /// What it is made of; dropped after it is unmounted.
    _below: Option<Box<Backing>>,
}

impl Backing {
    /// A fresh filesystem of `mib` MiB; `options` are added to its mount options.
    pub fn new(fs: Fs, mib: u64, options: &str) -> Backing {
        Backing::filled(fs, mib, options, |_| {})
    }

    /// The same; an overlay's lower layer is what `fill` makes of the directory that it gets.
    pub fn filled(fs: Fs, mib: u64, options: &str, fill: impl FnOnce(&Path)) -> Backing {
        assert!(sys::is_root(), "a backing filesystem of its own needs root to mount it");
        let mountpoint = tempfile::Builder::new().prefix("ptfs-backing-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        let (mut image, mut below) = (None, None);
        let mut formatted = |mkfs: &[&str]| {
            let file = tempfile::Builder::new().prefix("ptfs-image-").tempfile().unwrap();
            file.as_file().set_len(mib << 20).unwrap();
            run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(file.path()));
            mount.arg("-o").arg(format!("loop,nodev,{options}")).arg(file.path());
            image = Some(file);
        };
        match fs {
            Fs::Ext4 => formatted(&["mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-m", "0"]),
            Fs::Xfs => formatted(&["mkfs.xfs", "-q"]),
            Fs::Btrfs => formatted(&["mkfs.btrfs", "-q"]),
            Fs::Tmpfs => {
                let options = format!("size={mib}m,mode=755,nodev,{options}");
                mount.args(["-t", "tmpfs", "-o", &options, "ptfs-test"]);
            }
            Fs::Overlay => {
                let layers = Backing::new(Fs::Tmpfs, mib, options);
                let [lower, upper, work] = ["lower", "upper", "work"].map(|name| layers.path().join(name));
                for dir in [&lower, &upper, &work] {
                    std::fs::create_dir(dir).unwrap();
                }
                fill(&lower);
                let [lower, upper, work] = [lower, upper, work].map(|dir| dir.display().to_string());
                let options = format!("lowerdir={lower},upperdir={upper},workdir={work},nodev,{options}");
                mount.args(["-t", "overlay", "-o", &options, "ptfs-test"]);
                below = Some(layers.into());
            }
            Fs::Sshfs => {
                let served = Backing::new(Fs::Ext4, mib, options);
                // To sshfs each name of a file is a file: what is done by one name shows at once by the other.
                let uncached = "dir_cache=no,attr_timeout=0,entry_timeout=0";
                let server = format!("ssh_command={}/tests/support/sftp", env!("CARGO_MANIFEST_DIR"));
                mount = Command::new("sshfs");
                mount.args(["-o", &format!("{server},allow_other,default_permissions,{uncached},nodev,{options}")]);
                mount.arg(format!("localhost:{}", served.path().display()));
                below = Some(served.into());
            }
        }
        run(mount.arg(mountpoint.path()));
        Backing { fs, mountpoint, _image: image, _below: below }
    }

    pub fn path(&self) -> &Path {
        self.mountpoint.path()
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        let _ = sys::unmount(self.path());
    }
}

/// Runs a command and panics with what it printed unless it succeeds.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
