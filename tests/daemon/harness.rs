//! A daemon on directories of its own, and its end in any case.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub const PTFS: &str = env!("CARGO_BIN_EXE_ptfs");

/// Patience with what should take milliseconds; machines that run tests are slow and shared.
const LONG: Duration = Duration::from_secs(60);

/// Written to by the test that changes the kernel's switch; read by whoever starts a daemon.
pub static SWITCH_LOCK: RwLock<()> = RwLock::new(());
/// Acts on mounts made later.
pub const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// Every engine with every transport.
pub const VARIANTS: [(&[&str], &str); 3] = [
    (&["--engine=uring", "--transport=fuse-uring"], "uring engine over FUSE-over-io_uring"),
    (&["--engine=uring", "--transport=dev-fuse"], "uring engine over /dev/fuse"),
    (&["--engine=pool"], "pool engine over /dev/fuse"),
];

/// A directory to serve and a place to serve it at; nothing is left of both.
pub struct Scratch {
    root: TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        let root = tempfile::Builder::new().prefix("ptfs-daemon-").tempdir().expect("a scratch directory");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let scratch = Scratch { root };
        fs::create_dir(scratch.source()).expect("new");
        fs::create_dir(scratch.mnt()).expect("new");
        fs::write(scratch.source().join("hello"), "hello\n").expect("new");
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn source(&self) -> PathBuf {
        self.path("source")
    }

    pub fn mnt(&self) -> PathBuf {
        self.path("mnt")
    }

    /// Serves `source` at `mnt`, and returns when it does.
    pub fn serve(&self, arguments: &[&str]) -> Daemon {
        let mut command = Command::new(PTFS);
        command.args(arguments).arg(self.source()).arg(self.mnt());
        Daemon::start(command)
    }
}

impl Drop for Scratch {
    /// Trusts the mount table and no path below a mount, which may hang.
    fn drop(&mut self) {
        for (point, _) in mounts().into_iter().rev().filter(|(point, _)| point.starts_with(self.root.path())) {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

/// All mount points in the order of mounting, each with its options.
fn mounts() -> Vec<(PathBuf, String)> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
    let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.map(|fields| (PathBuf::from(fields[4]), fields[5].to_owned())).collect()
}

/// The options of the topmost mount at `point`, if there is any.
pub fn mounted(point: &Path) -> Option<Vec<String>> {
    let (_, options) = mounts().into_iter().rfind(|(at, _)| at == point)?;
    Some(options.split(',').map(str::to_owned).collect())
}

/// Waits for what comes by itself.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "in vain waited for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command to its end, which must come.
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// Runs a `ptfs` that is to leave the foreground, or to fail; if it does neither it is killed.
pub fn finish(command: &mut Command) -> Output {
    let _undisturbed = SWITCH_LOCK.read();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let guard = guard(child.id());
    let output = child.wait_with_output().expect("our child");
    drop(guard);
    output
}

/// Runs `ptfs` on a command line that it is to refuse: its exit code and what it says.
pub fn refused<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> (Option<i32>, String) {
    refusal(Command::new("timeout").args(["20", PTFS]).args(arguments))
}

/// The same for a prepared command. A refusal is one line on standard error, and nothing else.
pub fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = finish(command);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.starts_with("ptfs: ") && said.ends_with('\n') && said.lines().count() == 1, "not one line: {said}");
    assert!(output.stdout.is_empty());
    (output.status.code(), said)
}

/// A running `ptfs`. Dropping it kills it.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
    /// Its end calls the guard off.
    guard: Option<Sender<()>>,
}

impl Daemon {
    /// Runs the command, and returns when it serves.
    pub fn start(command: Command) -> Daemon {
        let _undisturbed = SWITCH_LOCK.read();
        Daemon::start_as_it_is(command)
    }

    /// The same for whoever holds `SWITCH_LOCK`.
    pub fn start_as_it_is(mut command: Command) -> Daemon {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ptfs can be run");
        let said = Arc::new(Mutex::new(String::new()));
        let listener = listen(child.stderr.take().expect("piped"), Arc::clone(&said));
        let guard = Some(guard(child.id()));
        let mut daemon = Daemon { child, said, listener, guard };
        daemon.wait_for("ptfs: serving ");
        daemon
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic there").clone()
    }

    /// Waits until it says so.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            let ended = self.child.try_wait().expect("our child");
            let said = self.said();
            assert!(ended.is_none(), "ended ({ended:?}) without saying {text:?}:\n{said}");
            assert!(start.elapsed() < LONG, "does not say {text:?}:\n{said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Waits for its end: the exit code, `None` for a signal.
    pub fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                self.guard = None;
                until("its last lines", || self.listener.is_finished());
                return status.code();
            }
            assert!(start.elapsed() < LONG, "does not end:\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as an operator does, and expects that all goes well.
    pub fn stop(mut self) {
        self.signal("TERM");
        let code = self.end();
        assert_eq!(code, Some(0), "{}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.guard = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon said:\n{}", self.said());
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let number = match name {
        "CONT" => libc::SIGCONT,
        "HUP" => libc::SIGHUP,
        "INT" => libc::SIGINT,
        "KILL" => libc::SIGKILL,
        "STOP" => libc::SIGSTOP,
        "TERM" => libc::SIGTERM,
        "USR1" => libc::SIGUSR1,
        _ => panic!("which signal is {name}?"),
    };
    // SAFETY: takes plain numbers. No kill(1): a busy machine may take a second to start one.
    let sent = unsafe { libc::kill(pid as libc::pid_t, number) };
    assert_eq!(sent, 0, "cannot send {name} to {pid}");
}

fn listen(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            into.lock().expect("no panic there").push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    })
}

/// A call that hangs in a mount cannot time out by itself: the death of the daemon ends it, and fails the test.
fn guard(pid: u32) -> Sender<()> {
    let (called_off, wait) = mpsc::channel();
    thread::spawn(move || {
        if let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(3 * LONG) {
            eprintln!("the daemon {pid} takes too long: killing it");
            signal(pid, "KILL");
        }
    });
    called_off
}
