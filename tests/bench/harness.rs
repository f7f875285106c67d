//! A `ptfs-bench` in a directory of its own, in which it must leave nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ptfs::bench::result::{Cell, Results};
use tempfile::TempDir;

pub const BENCH: &str = env!("CARGO_BIN_EXE_ptfs-bench");
pub const PTFS: &str = env!("CARGO_BIN_EXE_ptfs");

/// Patience with what should take seconds; machines that run tests are slow and shared.
pub const LONG: Duration = Duration::from_secs(120);

/// Where one test works. All that `ptfs-bench` makes is below, and all its processes carry its path in `TMPDIR`.
pub struct Scratch {
    root: TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        let root = tempfile::Builder::new().prefix("ptfs-bench-test-").tempdir().expect("a scratch directory");
        let scratch = Scratch { root };
        fs::create_dir(scratch.tmp()).expect("new");
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(BENCH);
        command.env("TMPDIR", self.tmp()).stdin(Stdio::null());
        command
    }

    /// Starts a run of short rounds on `targets`.
    pub fn start(&self, targets: &[&str], arguments: &[&str]) -> Bench {
        let mut command = self.command();
        command.args(["--rounds=2", "--duration=200ms", "--scale=0.05", "--json"]).arg(self.json());
        command.args(targets.iter().flat_map(|target| ["--target", target])).args(arguments);
        Bench::start(command)
    }

    /// Runs to the end: the exit code, what was found, and what was said.
    pub fn run(&self, targets: &[&str], arguments: &[&str]) -> Outcome {
        let mut bench = self.start(targets, arguments);
        let status = bench.end();
        self.assert_clean();
        self.outcome(status, &bench)
    }

    pub fn outcome(&self, status: ExitStatus, bench: &Bench) -> Outcome {
        let said = bench.said();
        let text = fs::read_to_string(self.json()).unwrap_or_else(|error| panic!("no results: {error}\n{said}"));
        let results = serde_json::from_str(&text).expect("results");
        Outcome { code: status.code(), results, said }
    }

    fn json(&self) -> PathBuf {
        self.path("results.json")
    }

    /// No mount, no process, no file.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.mounts(), Vec::<PathBuf>::new(), "mounts are left");
        until("its processes to end", || self.processes().is_empty());
        let files: Vec<_> = fs::read_dir(self.tmp()).expect("ours").map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files, Vec::<PathBuf>::new(), "files are left");
    }

    pub fn mounts(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
        let points = table.lines().filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?)));
        points.filter(|point| point.starts_with(self.tmp())).collect()
    }

    /// All that was started here, with what it is called.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let wanted = [b"TMPDIR=", self.tmp().as_os_str().as_bytes()].concat();
        let pids =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted)
        };
        let named = |pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        };
        pids.filter(ours).map(named).collect()
    }

    /// The ptfs that was started for the run.
    pub fn server(&self) -> u32 {
        let program = format!("{PTFS} ");
        let mut found = None;
        until("the server to be there", || {
            found = self.processes().into_iter().find(|(_, line)| line.starts_with(&program)).map(|(pid, _)| pid);
            found.is_some()
        });
        found.expect("just found")
    }
}

impl Drop for Scratch {
    /// A test that fails may have left anything; a mount that hangs is aborted by that.
    fn drop(&mut self) {
        for point in self.mounts().iter().rev() {
            let _ = Command::new("umount").args(["-f", "-l"]).arg(point).status();
        }
        for (pid, _) in self.processes() {
            let _ = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
        }
    }
}

pub struct Outcome {
    pub code: Option<i32>,
    pub results: Results,
    pub said: String,
}

impl Outcome {
    #[track_caller]
    pub fn cell(&self, workload: &str, target: &str) -> &Cell {
        let is = |cell: &&Cell| cell.workload == workload && cell.target == target;
        let cell = self.results.cells.iter().find(is);
        cell.unwrap_or_else(|| panic!("no cell {workload} on {target}: {:?}\n{}", self.results.cells, self.said))
    }

    #[track_caller]
    pub fn assert_good(&self, workload: &str, target: &str) {
        let cell = self.cell(workload, target);
        assert_eq!(cell.failure, None, "{workload} on {target}\n{}", self.said);
        assert!(!cell.rounds.is_empty() && cell.rounds.iter().all(|round| round.operations > 0));
        assert!(cell.rounds.iter().all(|round| round.errors.is_empty()), "{:?}", cell.rounds);
    }

    #[track_caller]
    pub fn failure(&self, workload: &str, target: &str) -> &str {
        let cell = self.cell(workload, target);
        let failure = cell.failure.as_deref();
        failure.unwrap_or_else(|| panic!("{workload} on {target} has not failed: {cell:?}\n{}", self.said))
    }
}

/// A running `ptfs-bench`, which is killed if the test fails.
pub struct Bench {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Bench {
    pub fn start(mut command: Command) -> Bench {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ptfs-bench can be run");
        let said = Arc::new(Mutex::new(String::new()));
        let (from, into) = (child.stderr.take().expect("piped"), Arc::clone(&said));
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                *into.lock().expect("no panic there") += &(line + "\n");
            }
        });
        Bench { child, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().expect("no panic there").clone()
    }

    /// Waits until it says so.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            let ended = self.child.try_wait().expect("our child");
            assert!(ended.is_none(), "ended without saying {text:?}:\n{}", self.said());
            assert!(start.elapsed() < LONG, "does not say {text:?}:\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("ptfs-bench to end", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        status.expect("just ended")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A ptfs that was there before: `mine`.
pub struct Theirs {
    pub source: PathBuf,
    point: PathBuf,
    daemon: Child,
}

impl Theirs {
    pub fn mount(scratch: &Scratch) -> Theirs {
        let (source, point) = (scratch.path("source"), scratch.path("point"));
        fs::create_dir(&source).expect("new");
        fs::create_dir(&point).expect("new");
        fs::write(source.join("kept"), "kept").expect("new");
        let daemon = Command::new(PTFS).arg(&source).arg(&point).spawn().expect("ptfs");
        let theirs = Theirs { source, point, daemon };
        until("the mount", || theirs.point.join("kept").exists());
        theirs
    }

    pub fn target(&self) -> String {
        format!("mine={}", self.point.display())
    }

    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// What is in it, by way of the host.
    pub fn files(&self) -> Vec<String> {
        let names = fs::read_dir(&self.source).expect("ours").map(|entry| entry.expect("ours").file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // Its mount is aborted by that, and nobody hangs in it any more.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill(1)");
    assert!(status.success(), "cannot send {name} to {pid}");
}

/// Waits for what comes by itself.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "in vain waited for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A target that is ptfs, with these options.
pub fn ptfs(name: &str, options: &str) -> String {
    format!("{name}={PTFS} {options} {{src}} {{mnt}}")
}

/// The server that lies.
pub fn wrongfs(into: &Path) -> PathBuf {
    let program = into.join("wrongfs");
    let script = "cc -O1 -Wall -Werror -o \"$1\" \"$2\" $(pkg-config --cflags --libs fuse3)";
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/wrongfs.c");
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(&program).arg(source).status().expect("sh");
    assert!(status.success(), "cannot build wrongfs: gcc, pkg-config and libfuse3-dev are needed");
    program
}
