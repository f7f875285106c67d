//! The process: in the background, with a pid file, a log, a configuration file, and a service manager that waits.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::harness::{PTFS, Scratch, finish, mounted, refusal, refused, run, signal, until};

fn daemonize(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(PTFS);
    finish(command.arg("--daemonize").args(arguments).arg(scratch.source()).arg(scratch.mnt()))
}

fn pid_in(file: &Path) -> u32 {
    fs::read_to_string(file).expect("a pid file").trim().parse().expect("a number")
}

fn is_gone(pid: u32) -> bool {
    // A zombie of a parent that does not wait is gone too.
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[test]
fn it_returns_when_the_mount_answers() {
    let scratch = Scratch::new();
    let (pidfile, log) = (scratch.path("pid"), scratch.path("log"));
    // Returning at all shows that nobody holds its output any more.
    let output = daemonize(&scratch, &[&flag("pidfile", &pidfile), &flag("log-file", &log), "-oauto_unmount"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    // No Ctrl-C reaches it.
    assert!(said.starts_with("ptfs: serving ") && !said.contains("Ctrl-C"), "{said}");
    assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");

    let pid = pid_in(&pidfile);
    let of = |what: &str| fs::read_link(format!("/proc/{pid}/{what}")).expect("runs");
    assert_eq!(of("exe"), fs::canonicalize(PTFS).expect("there"));
    assert_eq!(of("cwd"), Path::new("/"));
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("runs") {
        assert_eq!(fs::read_link(task.expect("a thread").path().join("cwd")).expect("runs"), Path::new("/"));
    }
    for standard in 0..=2 {
        assert_eq!(of(&format!("fd/{standard}")), Path::new("/dev/null"));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("runs");
    let session = stat.rsplit_once(") ").expect("a name").1.split(' ').nth(3).expect("a session").to_owned();
    assert_eq!(session, pid.to_string(), "a session of its own");

    signal(pid, "USR1");
    until("the report", || fs::read_to_string(&log).expect("a log").contains("latency from reaping"));
    signal(pid, "TERM");
    until("its end", || is_gone(pid));
    assert!(mounted(&scratch.mnt()).is_none() && !pidfile.exists());
    let log = fs::read_to_string(&log).expect("a log");
    assert!(log.contains("ptfs: serving ") && log.contains("SIGTERM: unmounting"), "{log}");
}

#[test]
fn a_failure_is_told_before_it_returns() {
    let scratch = Scratch::new();
    for (arguments, hint) in [
        (vec![scratch.path("missing")], "missing: No such file"),
        (vec![scratch.source().join("hello")], "Not a directory"),
    ] {
        let mut command = Command::new(PTFS);
        let (code, said) = refusal(command.arg("--daemonize").args(&arguments).arg(scratch.mnt()));
        assert!(code == Some(1) && said.contains(hint), "{code:?} {said}");
    }
    // As late as it can be: the mount is there by then.
    let bind = format!("--bind={}:x", scratch.path("missing").display());
    let mut command = Command::new(PTFS);
    let (code, said) = refusal(command.args(["--daemonize", &bind]).arg(scratch.source()).arg(scratch.mnt()));
    assert!(code == Some(1) && said.contains("cannot bind"), "{code:?} {said}");
    assert!(mounted(&scratch.mnt()).is_none());
    let nowhere = flag("log-file", &scratch.path("no/log"));
    let (code, said) = refused(&[&nowhere, "--daemonize", "/", "/a"]);
    assert!(code == Some(1) && said.contains("log file"), "{code:?} {said}");
}

#[test]
fn a_pid_file_is_one_daemons() {
    let scratch = Scratch::new();
    let pidfile = scratch.path("pid");
    let option = flag("pidfile", &pidfile);
    fs::write(&pidfile, "1\n").expect("left by one that was killed; process 1 is another");
    let mut first = scratch.serve(&[&option]);
    assert_eq!(pid_in(&pidfile), first.pid());

    let (source, other) = (scratch.source(), scratch.path("other"));
    let arguments = [option.as_ref(), source.as_os_str(), other.as_os_str()];
    let (code, said) = refused(&arguments);
    assert!(code == Some(1) && said.contains(&format!("process {}", first.pid())), "{code:?} {said}");
    assert!(!other.exists() && pid_in(&pidfile) == first.pid());
    // That is the first to be looked at: nothing else is begun.
    let missing = scratch.path("missing");
    let (code, said) = refused(&[option.as_ref(), missing.as_os_str(), other.as_os_str()]);
    assert!(code == Some(1) && said.contains("process "), "{code:?} {said}");

    first.signal("KILL");
    assert_eq!(first.end(), None);
    assert!(pidfile.exists());
    assert!(run(Command::new("umount").arg(scratch.mnt())).status.success());
    let second = scratch.serve(&[&option]);
    assert_eq!(pid_in(&pidfile), second.pid());
    second.stop();
    assert!(!pidfile.exists());
}

fn config(scratch: &Scratch, text: &str) -> PathBuf {
    let path = scratch.path("ptfs.toml");
    fs::write(&path, text).expect("writable");
    path
}

#[test]
fn a_file_says_what_the_command_line_does_not() {
    let scratch = Scratch::new();
    let text = format!(
        "source = '{}'\nmountpoint = '{}'\nengine = 'pool'\nallow-other = true\nmax-write = '128K'\n\
         attr-timeout = 0.5\noptions = ['noexec', 'fsname=filed']\nstats-at-exit = false\n",
        scratch.source().display(),
        scratch.mnt().display()
    );
    let option = flag("config", &config(&scratch, &text));
    let start = |arguments: &[&str]| {
        let mut command = Command::new(PTFS);
        command.arg(&option).args(arguments);
        crate::harness::Daemon::start(command)
    };
    let table = || {
        let table = fs::read_to_string("/proc/self/mounts").expect("a mount table");
        let point = scratch.mnt().to_string_lossy().into_owned();
        table.lines().find(|line| line.contains(&point)).expect("mounted").to_owned()
    };
    let daemon = start(&[]);
    let line = table();
    assert!(line.starts_with("filed ") && line.contains("noexec") && line.contains("allow_other"), "{line}");
    assert!(daemon.said().contains("pool engine"), "{}", daemon.said());
    daemon.stop();
    let daemon = start(&["--engine=uring", "-oexec,fsname=typed", "--no-allow-other"]);
    let line = table();
    assert!(line.starts_with("typed ") && !line.contains("noexec") && !line.contains("allow_other"), "{line}");
    assert!(daemon.said().contains("uring engine"), "{}", daemon.said());
    daemon.stop();
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let scratch = Scratch::new();
    let cases = [
        ("engin = 'pool'", "unknown key 'engin'; there is 'engine'"),
        ("sauce = '/'", "unknown key 'sauce'; there is 'source'"),
        ("config = 'other'", "unknown key 'config'"),
        ("engine = 'fast'", "key 'engine': invalid value 'fast'"),
        ("queue-depth = 0", "key 'queue-depth'"),
        ("queue-depth = [1, 2]", "key 'queue-depth' takes one value"),
        ("stats-at-exit = 'yes'", "key 'stats-at-exit' takes true or false"),
        ("options = 'allow_othr'", "key 'options': unknown mount option 'allow_othr'; there is 'allow_other'"),
        ("source = 3", "key 'source' takes a path"),
        ("\nengine = ", "line 2"),
    ];
    for (text, hint) in cases {
        let option = flag("config", &config(&scratch, text));
        let (code, said) = refused(&[&option, "/", "/a"]);
        assert!(code == Some(2) && said.contains("ptfs.toml: ") && said.contains(hint), "{text}: {code:?} {said}");
        assert_eq!(said.matches("see ptfs --help").count(), 1, "{said}");
    }
    let (code, said) = refused(&["--config=/no/such.toml", "/", "/a"]);
    assert!(code == Some(2) && said.contains("/no/such.toml: No such file"), "{code:?} {said}");
}

fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("told in time");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_service_manager_is_told() {
    let scratch = Scratch::new();
    let path = scratch.path("notify");
    let hidden = format!("ptfs-test-{}", std::process::id());
    let abstract_address = SocketAddr::from_abstract_name(&hidden).expect("short enough");
    let sockets = [
        (UnixDatagram::bind(&path).expect("new"), path.to_string_lossy().into_owned()),
        (UnixDatagram::bind_addr(&abstract_address).expect("new"), format!("@{hidden}")),
    ];
    for (socket, name) in sockets {
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("possible");
        let pidfile = scratch.path("pid");
        let mut command = Command::new(PTFS);
        command.env("NOTIFY_SOCKET", &name).arg("--daemonize").arg(flag("pidfile", &pidfile));
        assert!(finish(command.arg(scratch.source()).arg(scratch.mnt())).status.success());
        let ready = told(&socket);
        let pid = pid_in(&pidfile);
        assert!(ready.contains("READY=1\n") && ready.contains(&format!("MAINPID={pid}\n")), "{ready}");
        assert!(ready.contains("STATUS=serving "), "{ready}");
        assert_eq!(fs::read(scratch.mnt().join("hello")).expect("readable"), b"hello\n");
        signal(pid, "TERM");
        let stopping = told(&socket);
        assert!(stopping.contains("STOPPING=1\n") && stopping.contains("STATUS=unmounting"), "{stopping}");
        until("its end", || is_gone(pid));
    }
}
