//! `ptfs doctor` on trees that look like a system's; nothing of this machine is changed.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const PTFS: &str = env!("CARGO_BIN_EXE_ptfs");
const SWITCH: &str = "sys/module/fuse/parameters/enable_uring";

/// A system with FUSE-over-io_uring off, as root of it sees it.
struct System {
    root: TempDir,
}

impl System {
    fn new() -> System {
        let system = System { root: tempfile::tempdir().expect("a directory") };
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.18.1\n"),
            ("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t0\nCpus_allowed_list:\t0-1\n"),
            ("proc/self/limits", "Max open files            1024                 524288               files\n"),
            ("proc/meminfo", "MemTotal:       16384000 kB\n"),
            ("proc/sys/fs/fuse/max_pages_limit", "256\n"),
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("sys/devices/system/cpu/possible", "0-1\n"),
            (SWITCH, "N\n"),
            ("etc/fuse.conf", "#user_allow_other\n"),
            ("usr/bin/fusermount3", ""),
            ("dev/fuse", ""),
            ("boot/config-6.18.1", "CONFIG_IO_URING=y\nCONFIG_FUSE_PASSTHROUGH=y\n# CONFIG_FUSE_IO_URING is not set\n"),
        ] {
            system.put(path, text);
        }
        fs::set_permissions(system.path("usr/bin/fusermount3"), fs::Permissions::from_mode(0o4755)).expect("ours");
        fs::set_permissions(system.path("dev/fuse"), fs::Permissions::from_mode(0o666)).expect("ours");
        system
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("room");
        fs::write(path, text).expect("room");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `ptfs doctor ARGUMENTS`: exit code and what it says on standard output.
    fn doctor(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(PTFS);
        command.arg("doctor").args(arguments).env("PTFS_DOCTOR_ROOT", self.root.path()).env("PATH", "/usr/bin:/bin");
        let output = command.stdin(Stdio::null()).output().expect("ptfs can be run");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("no signal"), String::from_utf8(output.stdout).expect("UTF-8"))
    }

    fn report(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let (code, text) = self.doctor(&[&["--json"], arguments].concat());
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// Every file's mode and text.
    fn image(&self) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
        fn look(path: &Path, into: &mut BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>) {
            let found = fs::metadata(path).expect("there");
            into.insert(path.to_owned(), (found.permissions().mode(), fs::read(path).ok()));
            if found.is_dir() {
                fs::read_dir(path).expect("a directory").for_each(|entry| look(&entry.expect("an entry").path(), into));
            }
        }
        let mut all = BTreeMap::new();
        look(self.root.path(), &mut all);
        all
    }
}

/// Runs `ptfs doctor` on this machine, only where it changes nothing.
fn doctor_here(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(PTFS).arg("doctor").args(arguments).stdin(Stdio::null()).output().expect("can be run");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn finding<'r>(report: &'r serde_json::Value, item: &str) -> &'r serde_json::Value {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().find(|finding| finding["item"] == item).unwrap_or_else(|| panic!("no {item}: {report}"))
}

#[test]
fn a_switch_that_is_off_is_told_with_the_command_that_turns_it_on() {
    let system = System::new();
    let (code, report) = system.report(&[]);
    assert_eq!((code, &report["mounts"], &report["fast"]), (0, &true.into(), &false.into()));
    let switch = finding(&report, "FUSE-over-io_uring");
    assert_eq!((&switch["mark"], &switch["value"]), (&"better".into(), &"off".into()));
    assert!(
        switch["command"].as_str().expect("a command").starts_with("echo Y >/sys/module/fuse/parameters/enable_uring")
    );
    assert!(finding(&report, "kernel passthrough")["value"].as_str().expect("text").contains("has it"));
    let (code, table) = system.doctor(&[]);
    assert_eq!(code, 0);
    assert!(table.contains("better   FUSE-over-io_uring off\n"), "{table}");
    assert!(table.contains("not at full speed") && table.contains("makes 3 changes"), "{table}");
}

#[test]
fn no_mount_is_exit_code_1() {
    let system = System::new();
    fs::remove_file(system.path("dev/fuse")).expect("there");
    let (code, table) = system.doctor(&[]);
    assert_eq!(code, 1);
    assert!(
        table.contains("MISSING  /dev/fuse          is not there\n") && table.contains("No mount works here"),
        "{table}"
    );
    let plain = System::new();
    plain.put("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0\n");
    assert_eq!(plain.doctor(&[]).0, 0);
    fs::remove_file(plain.path("usr/bin/fusermount3")).expect("there");
    assert_eq!(plain.doctor(&[]).0, 1);
}

#[test]
fn the_source_counts() {
    let system = System::new();
    let source = system.path("etc");
    let (code, report) = system.report(&[&source.to_string_lossy()]);
    assert_eq!((code, &finding(&report, "SOURCE writable")["value"]), (0, &"yes".into()));
    let (code, report) = system.report(&[&system.path("none").to_string_lossy()]);
    assert_eq!((code, &finding(&report, "SOURCE")["mark"]), (1, &"missing".into()));
}

#[test]
fn fix_and_undo_are_a_round_trip() {
    for loadable in [false, true] {
        let system = System::new();
        if loadable {
            system.put("sys/module/fuse/initstate", "live\n");
        }
        let before = system.image();
        let (code, said) = system.doctor(&["--fix"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("/sys/module/fuse/parameters/enable_uring: set to Y"), "{said}");
        assert_eq!(system.text(SWITCH), "Y\n");
        assert!(
            system
                .text("etc/tmpfiles.d/ptfs.conf")
                .contains("\nw /sys/module/fuse/parameters/enable_uring - - - - Y\n")
        );
        assert_eq!(system.path("etc/modprobe.d/ptfs.conf").exists(), loadable);
        assert_eq!(system.text("etc/fuse.conf"), "#user_allow_other\nuser_allow_other\n");
        let (_, report) = system.report(&[]);
        assert_eq!(finding(&report, "FUSE-over-io_uring")["value"], "on, also after a boot");
        assert_eq!(finding(&report, "user_allow_other")["mark"], "ok");

        let fixed = system.image();
        assert_eq!(system.doctor(&["--fix"]), (0, "Nothing to set: all that --fix can do is done.\n".to_owned()));
        assert_eq!(system.image(), fixed);
        let (code, said) = system.doctor(&["--undo"]);
        assert_eq!((code, said.lines().count()), (0, if loadable { 4 } else { 3 }), "{said}");
        assert_eq!(system.image(), before);
        assert_eq!(system.doctor(&["--undo"]), (0, "Nothing to take back.\n".to_owned()));
        assert_eq!(system.image(), before);
    }
}

#[test]
fn io_uring_is_not_allowed_by_fix() {
    let system = System::new();
    system.put("proc/sys/kernel/io_uring_disabled", "2\n");
    system.doctor(&["--fix"]);
    assert_eq!(system.text("proc/sys/kernel/io_uring_disabled"), "2\n");
    assert!(!system.text("var/lib/ptfs/doctor.json").contains("io_uring_disabled"));
}

#[test]
fn a_change_that_fails_is_exit_code_1() {
    let system = System::new();
    fs::create_dir_all(system.path("etc/tmpfiles.d/ptfs.conf")).expect("room");
    let (code, said) = system.doctor(&["--fix", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &said["changes"][1]["failed"], &said["changes"][2]["failed"]), (1, &true.into(), &false.into()));
}

#[test]
fn the_real_system_needs_root() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let binary = directory.path().join("ptfs");
    // By another process: a child forked meanwhile would hold the file open for writing (ETXTBSY).
    assert!(Command::new("cp").arg(PTFS).arg(&binary).status().expect("cp").success());
    for word in ["--fix", "--undo"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary).args(["doctor", word]);
        let output = command.stdin(Stdio::null()).output().expect("setpriv(1)");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("run it as root") && said.lines().count() == 1 && output.stdout.is_empty(), "{said}");
    }
}

#[test]
fn this_machine_is_told() {
    let (code, table, said) = doctor_here(&["/"]);
    assert!(code == 0 || table.contains("MISSING"), "{table}");
    assert!(said.is_empty() && table.contains("SOURCE"), "{said}");
    let lines = table.lines().filter(|line| line.chars().count() > 120).collect::<Vec<_>>();
    assert!(lines.is_empty(), "too long: {lines:?}");
}

#[test]
fn help_teaches_and_mistakes_are_one_line() {
    let (code, help, _) = doctor_here(&["--help"]);
    assert_eq!(code, 0);
    for word in ["--fix", "--undo", "--json", "/etc/tmpfiles.d/ptfs.conf", "Exit code", "./doctor"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    for wrong in [&["--fix", "--undo"][..], &["--wrong"], &["a", "b"]] {
        let (code, out, said) = doctor_here(wrong);
        assert_eq!((code, out.as_str(), said.lines().count()), (2, "", 1), "{wrong:?}: {said}");
    }
}
