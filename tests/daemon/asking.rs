//! `ptfs stats` and `ptfs list`, and the socket by which they ask.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use ptfs::stats::doc::{Document, Operation};

use crate::harness::{Daemon, PTFS, Scratch, VARIANTS, refused, run};

/// `nobody`, for whom `fusermount3` mounts, and somebody else.
const USER: u32 = 65534;
const OTHER: u32 = 54321;

fn ptfs(arguments: &[&str], path: &Path) -> Output {
    run(Command::new(PTFS).args(arguments).arg(path))
}

fn said(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn document(path: &Path) -> Document {
    serde_json::from_str(&said(&ptfs(&["stats", "--json"], path))).expect("the schema")
}

fn find<'d>(document: &'d Document, op: &str) -> Option<&'d Operation> {
    document.operations.iter().find(|operation| operation.op == op)
}

/// The minor number of the filesystem's device at `point`, found without asking it.
fn minor(point: &Path) -> u32 {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
    let mut fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = fields.rfind(|fields| Path::new(fields[4]) == point).expect("mounted");
    found[2].split_once(':').expect("two numbers").1.parse().expect("a number")
}

/// The control socket of a root's daemon.
fn socket(daemon: &Daemon, point: &Path) -> PathBuf {
    PathBuf::from(format!("/run/ptfs/{}-{}.sock", minor(point), daemon.pid()))
}

/// The row of `ptfs list --json` about `point`.
fn listed(point: &Path) -> serde_json::Value {
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&said(&run(Command::new(PTFS).args(["list", "--json"])))).expect("JSON");
    let point = point.to_str().expect("UTF-8");
    rows.into_iter().find(|row| row["mountpoint"] == point).unwrap_or_else(|| panic!("{point} is not listed"))
}

#[test]
fn what_was_done_is_told() {
    for (arguments, engine) in VARIANTS {
        let scratch = Scratch::new();
        let daemon = scratch.serve(arguments);
        let mnt = scratch.mnt();
        for name in ["a", "b", "c"] {
            fs::create_dir(mnt.join(name)).expect("new");
        }
        fs::write(mnt.join("a/file"), vec![1; 50_000]).expect("new");
        fs::remove_dir(mnt.join("a")).expect_err("not empty");

        // By any path in the mount, there or not.
        let document = document(&mnt.join("a/none"));
        let mount = &document.mount;
        assert_eq!((mount.pid, Path::new(&mount.source)), (daemon.pid(), &*scratch.source()));
        assert_eq!(format!("{} engine over {}", mount.engine, mount.transport), engine);
        let mkdir = find(&document, "MKDIR").expect("three of them");
        assert_eq!((mkdir.count, mkdir.errors.len()), (3, 0), "{mkdir:?}");
        let rmdir = find(&document, "RMDIR").expect("one");
        assert_eq!((rmdir.count, rmdir.errors.get("ENOTEMPTY")), (1, Some(&1)), "{rmdir:?}");
        assert_eq!(find(&document, "WRITE").expect("some").bytes, 50_000);
        let latency = &mkdir.latency;
        assert!(
            latency.p50 <= latency.p99 && latency.p99 <= latency.max && latency.max <= latency.total,
            "{latency:?}"
        );
        assert_eq!(latency.buckets.iter().map(|&(_, count)| count).sum::<u64>(), 3);

        let table = said(&ptfs(&["stats"], &mnt));
        for part in ["operation  ", "MKDIR ", "mean per phase", "ENOTEMPTY 1", "holds ", engine] {
            assert!(table.contains(part), "no {part:?} in\n{table}");
        }
        assert!(!table.contains('\x1b'), "colours are for terminals");
        let hgrm = said(&ptfs(&["stats", "--hgrm=mkdir"], &mnt));
        assert!(hgrm.contains("Percentile") && hgrm.contains("Total count    =            3]"), "{hgrm}");
        let dir = scratch.path("hgrm");
        said(&ptfs(&["stats", &format!("--hgrm={}", dir.display())], &mnt));
        assert_eq!(fs::read_to_string(dir.join("MKDIR.hgrm")).expect("written"), hgrm);
        daemon.stop();
    }
}

#[test]
fn a_reset_shows_what_was_and_begins_anew() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    let mnt = scratch.mnt();
    fs::create_dir(mnt.join("before")).expect("new");
    let before = said(&ptfs(&["stats", "--json", "--reset"], &mnt));
    let before: Document = serde_json::from_str(&before).expect("the schema");
    assert_eq!(find(&before, "MKDIR").map(|mkdir| mkdir.count), Some(1));
    let after = document(&mnt);
    assert!(find(&after, "MKDIR").is_none() && after.seconds < before.seconds + 5.0, "{after:?}");
    fs::create_dir(mnt.join("after")).expect("new");
    assert_eq!(find(&document(&mnt), "MKDIR").map(|mkdir| mkdir.count), Some(1));
    daemon.stop();
}

#[test]
fn a_path_is_followed_to_the_mount_and_no_further() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    let (link, mnt) = (scratch.path("link"), scratch.mnt());
    std::os::unix::fs::symlink(mnt.join("some/where"), &link).expect("new");
    assert_eq!(document(&link).mount.pid, daemon.pid());
    let inside = run(Command::new(PTFS).args(["stats", "."]).current_dir(&mnt));
    assert!(said(&inside).starts_with(&*mnt.to_string_lossy()), "{inside:?}");
    for outside in [mnt.join(".."), scratch.source()] {
        let (code, line) = refused(&["stats".as_ref(), outside.as_os_str()]);
        assert!(code == Some(1) && line.contains("no mount of ptfs is at"), "{line}");
    }
    daemon.stop();
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_2() {
    let cases: [&[&str]; 8] = [
        &["stats", "--json", "--hgrm", "/"],
        &["stats", "a", "b"],
        &["stats", "--jsn"],
        &["list", "a"],
        &["top", "-d", "0"],
        &["top", "-d", "soon"],
        &["top", "--delay=1e9"],
        &["top", "a", "b"],
    ];
    for arguments in cases {
        let (code, line) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {line}");
    }
    for word in ["stats", "list", "top"] {
        let help = said(&run(Command::new(PTFS).args([word, "--help"])));
        assert!(help.contains(&format!("Usage: ptfs {word}")) && help.contains("Exit code: 0"), "{help}");
    }
}

/// Runs it where this mount and those of `also` are the only ones of FUSE.
fn alone(script: &str, points: &[&Path]) -> Output {
    let kept = points.iter().map(|point| point.display().to_string()).collect::<Vec<_>>().join(" ");
    let script = format!(
        "awk '$0 ~ / - fuse/ {{ print $5 }}' /proc/self/mountinfo | while read -r point; do
            case ' {kept} ' in *\" $point \"*) ;; *) umount -l \"$point\" ;; esac
        done; {script}"
    );
    run(Command::new("unshare").args(["-m", "sh", "-c", &script]))
}

#[test]
fn the_only_mount_need_not_be_named() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let daemons = [one.serve(&[]), two.serve(&[])];
    let only = said(&alone(&format!("{PTFS} stats"), &[&one.mnt()]));
    assert!(only.starts_with(&*one.mnt().to_string_lossy()), "{only}");
    let both = alone(&format!("{PTFS} stats"), &[&one.mnt(), &two.mnt()]);
    let line = String::from_utf8_lossy(&both.stderr);
    assert!(both.status.code() == Some(2) && line.contains("which mount? There are "), "{both:?}");
    let none = alone(&format!("{PTFS} stats"), &[]);
    let line = String::from_utf8_lossy(&none.stderr);
    assert!(none.status.code() == Some(1) && line.contains("no mount of ptfs is here"), "{none:?}");
    let table = said(&alone(&format!("{PTFS} list"), &[&one.mnt()]));
    let elsewhere = table.lines().find(|line| line.contains(&*two.mnt().to_string_lossy()));
    assert!(elsewhere.is_some_and(|line| line.contains(" elsewhere ")), "{table}");
    daemons.into_iter().for_each(Daemon::stop);
}

#[test]
fn mounts_are_listed() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&["--engine=pool", "-osubtype=disguised"]);
    let row = listed(&scratch.mnt());
    assert_eq!((row["state"].as_str(), row["pid"].as_u64()), (Some("serving"), Some(daemon.pid().into())), "{row}");
    assert_eq!((row["engine"].as_str(), row["transport"].as_str()), (Some("pool"), Some("/dev/fuse")), "{row}");
    assert!(row["uptime"].as_f64().is_some_and(|uptime| uptime < 60.0), "{row}");
    let table = said(&run(Command::new(PTFS).arg("list")));
    let line = table.lines().find(|line| line.starts_with(&*scratch.mnt().to_string_lossy())).expect("listed");
    assert!(table.starts_with("MOUNTPOINT ") && line.contains(&daemon.pid().to_string()), "{table}");
    daemon.stop();
}

#[test]
fn the_socket_goes_with_the_mount() {
    type End = fn(&mut Daemon, &Path);
    let ends: [(&str, End); 3] = [
        ("a signal", |daemon, _| daemon.signal("TERM")),
        ("umount(8)", |_, mnt| assert!(run(Command::new("umount").arg(mnt)).status.success())),
        ("a second signal", |daemon, mnt| {
            let _busy = fs::File::open(mnt.join("hello")).expect("there");
            daemon.signal("TERM");
            daemon.wait_for("is in use");
            thread::sleep(Duration::from_millis(1100));
            daemon.signal("TERM");
            daemon.wait_for("leaving at once");
        }),
    ];
    for (how, end) in ends {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(&[]);
        let socket = socket(&daemon, &scratch.mnt());
        let room = fs::metadata(socket.parent().expect("a directory")).expect("there");
        assert_eq!((room.uid(), room.mode() & 0o777), (0, 0o700));
        assert_eq!(fs::metadata(&socket).expect("there").mode() & 0o777, 0o600);
        end(&mut daemon, &scratch.mnt());
        daemon.end();
        assert!(!socket.exists(), "{how}");
    }
}

#[test]
fn what_a_killed_daemon_left_is_removed() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&[]);
    let (socket, mnt) = (socket(&daemon, &scratch.mnt()), scratch.mnt());
    daemon.signal("KILL");
    daemon.end();
    assert!(socket.exists());
    let row = listed(&mnt);
    assert_eq!((row["state"].as_str(), row["pid"].as_u64()), (Some("no answer"), Some(daemon.pid().into())), "{row}");
    assert!(!socket.exists());
    let (code, line) = refused(&["stats".as_ref(), mnt.as_os_str()]);
    assert!(code == Some(1) && line.contains("no daemon of ptfs answers for"), "{line}");
}

#[test]
fn a_daemon_that_hangs_hangs_nobody() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    let mnt = scratch.mnt();
    daemon.signal("STOP");
    let (code, line) = refused(&["stats".as_ref(), mnt.join("x").as_os_str()]);
    assert!(code == Some(1) && line.contains("gave no answer in 3 s"), "{line}");
    let row = listed(&mnt);
    assert_eq!(row["state"], "no answer", "{row}");
    daemon.signal("CONT");
    assert_eq!(listed(&mnt)["state"], "serving");
    daemon.stop();
}

#[test]
fn the_silent_keep_nobody_out() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    let (socket, mnt) = (socket(&daemon, &scratch.mnt()), scratch.mnt());
    let start = Instant::now();
    let mut silent: Vec<UnixStream> = (0..60).map(|_| UnixStream::connect(&socket).expect("let in")).collect();
    silent[59].write_all(b"sta").expect("heard");
    assert_eq!(document(&mnt).mount.pid, daemon.pid());
    // They are not kept for ever either.
    for mut client in silent {
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("possible");
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    let mut client = UnixStream::connect(&socket).expect("let in");
    client.write_all(b"what?\n").expect("heard");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("{\"error\":") && answer.ends_with("}\n"), "{answer}");
    daemon.stop();
}

/// A daemon of a plain user, whose binary is where that user can reach it.
struct Plain {
    scratch: Scratch,
    ptfs: PathBuf,
}

impl Plain {
    fn new() -> Plain {
        let scratch = Scratch::new();
        let ptfs = scratch.path("ptfs");
        // Not by this process: see `plain_user`.
        assert!(run(Command::new("cp").arg(PTFS).arg(&ptfs)).status.success());
        for path in [scratch.source(), scratch.mnt()] {
            chown(path, Some(USER), Some(USER)).expect("root may");
        }
        let mode = fs::metadata("/dev/fuse").expect("FUSE").permissions().mode();
        if mode & 0o006 != 0o006 {
            fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).expect("root may");
        }
        Plain { scratch, ptfs }
    }

    fn command(&self, uid: u32) -> Command {
        let mut command = Command::new(&self.ptfs);
        command.uid(uid).gid(uid).current_dir("/").env_remove("XDG_RUNTIME_DIR");
        command
    }

    fn ask(&self, uid: u32) -> Output {
        run(self.command(uid).arg("stats").arg(self.scratch.mnt()))
    }
}

#[test]
fn only_the_owner_and_root_may_ask() {
    let plain = Plain::new();
    let mut serve = plain.command(USER);
    serve.arg(plain.scratch.source()).arg(plain.scratch.mnt());
    let daemon = Daemon::start(serve);
    let room = fs::metadata(format!("/tmp/ptfs-{USER}")).expect("made");
    assert_eq!((room.uid(), room.mode() & 0o777), (USER, 0o700));
    said(&plain.ask(USER));
    said(&plain.ask(0));
    let refused = plain.ask(OTHER);
    let line = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && line.contains(&format!("uid {USER}: ask as that user")), "{line}");
    let list = run(plain.command(OTHER).arg("list"));
    let point = plain.scratch.mnt();
    let list = said(&list);
    let row = list.lines().find(|line| line.starts_with(&*point.to_string_lossy())).expect("listed");
    assert!(row.contains(" another user's "), "{row}");
    daemon.stop();

    // And of root's mounts.
    let root = Scratch::new();
    let daemon = root.serve(&["--allow-other"]);
    let refused = run(plain.command(USER).arg("stats").arg(root.mnt()));
    assert!(refused.status.code() == Some(1), "{refused:?}");
    daemon.stop();
}

/// Whatever becomes of the modes.
#[test]
fn who_asks_is_looked_at() {
    let plain = Plain::new();
    let run_dir = plain.scratch.path("run");
    fs::create_dir(&run_dir).expect("new");
    chown(&run_dir, Some(USER), Some(USER)).expect("root may");
    let mut serve = plain.command(USER);
    serve.env("XDG_RUNTIME_DIR", &run_dir).arg(plain.scratch.source()).arg(plain.scratch.mnt());
    let daemon = Daemon::start(serve);
    let mine = run(plain.command(USER).env("XDG_RUNTIME_DIR", &run_dir).arg("stats").arg(plain.scratch.mnt()));
    said(&mine);
    let room = run_dir.join("ptfs");
    let socket = room.join(format!("{}-{}.sock", minor(&plain.scratch.mnt()), daemon.pid()));
    for (path, mode) in [(&room, 0o777), (&socket, 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    }
    let answer = |uid: u32| {
        let socket = socket.clone();
        let client = thread::spawn(move || {
            // SAFETY: the raw call changes this thread alone, which ends.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }, 0);
            let mut client = UnixStream::connect(socket).expect("the modes allow it");
            let mut answer = String::new();
            let _ = client.write_all(b"facts\n").and_then(|()| client.read_to_string(&mut answer).map(drop));
            answer
        });
        client.join().expect("no panic")
    };
    assert_eq!(answer(OTHER), "");
    assert!(answer(USER).contains("\"pid\"") && answer(0).contains("\"pid\""));
    // A directory that others could write to is not trusted by the next daemon, nor by who asks.
    let refused = run(plain.command(USER).env("XDG_RUNTIME_DIR", &run_dir).arg("stats").arg(plain.scratch.mnt()));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    daemon.stop();
}

#[test]
fn a_mount_over_the_sockets_hides_them_and_hangs_nobody() {
    let scratch = Scratch::new();
    // In a mount namespace of its own: nobody else is to lose its sockets.
    let script = format!(
        "{PTFS} {} /run & daemon=$!; echo pid=$daemon
         for turn in $(seq 300); do grep -q ' /run .* fuse.ptfs ' /proc/self/mountinfo && break; sleep 0.1; done
         timeout 20 {PTFS} stats /run; echo code=$?; timeout 20 {PTFS} list; echo code=$?
         kill $daemon; wait $daemon; echo end=$?",
        scratch.source().display()
    );
    let output = run(Command::new("timeout").args(["100", "unshare", "-m", "sh", "-c", &script]));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("code=1\n") && text.contains("code=0\n") && text.ends_with("end=0\n"), "{output:?}");
    let pid = text.lines().find_map(|line| line.strip_prefix("pid=")).expect("it says so");
    let left = fs::read_dir("/run/ptfs").expect("there").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(&format!("-{pid}.sock"))).collect();
    assert!(left.is_empty(), "{left:?}");
}
