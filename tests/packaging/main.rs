//! What is installed beside the binary: man page, completions, and the unit for systemd. `tests/run` installs the
//! programs that judge them.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod unit;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary.
pub const PTFS: &str = env!("CARGO_BIN_EXE_ptfs");

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// What a command says on standard output. It must succeed, and complain of nothing.
pub fn said(command: &mut Command) -> String {
    let output = run(command);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn generate(what: &str) -> String {
    said(Command::new(PTFS).args(["generate", what]))
}

/// Every `--flag` of a help text.
fn flags(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let found = lines.filter_map(|line| line.find("--").map(|at| &line[at..]));
    found
        .map(|flag| {
            &flag[..flag
                .find(|c: char| c != '-' && !c.is_ascii_lowercase() && !c.is_ascii_digit())
                .unwrap_or(flag.len())]
        })
        .collect()
}

fn with_file(text: &str, check: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("generated");
    fs::write(&path, text).expect("room");
    check(&path);
}

#[test]
fn the_man_page_renders_and_tells_every_flag() {
    with_file(&generate("man"), |page| {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l"]).arg(page);
        man.envs([("LC_ALL", "C.UTF-8"), ("MANWIDTH", "200"), ("MANROFFSEQ", ""), ("MANPAGER", "cat")]);
        let rendered = said(&mut man);
        for help in
            [&["--help"][..], &["doctor", "--help"], &["stats", "--help"], &["top", "--help"], &["list", "--help"]]
        {
            let help = said(Command::new(PTFS).args(help));
            assert!(flags(&help).len() > 1, "no flags found: {help}");
            for flag in flags(&help) {
                assert!(rendered.contains(flag), "{flag} is not in the man page");
            }
        }
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "STATS",
            "TOP",
            "LIST",
            "DOCTOR",
            "EXAMPLES",
            "FSTAB",
            "EXIT STATUS",
            "FILES",
        ] {
            assert!(rendered.lines().any(|line| line == section), "{section}");
        }
    });
}

/// What bash would offer when the last of `words` is completed.
fn bash_offers(words: &[&str]) -> Vec<String> {
    const COMPLETE: &str = r#"
        source "$1"; shift
        complete -p ptfs >/dev/null || exit 1
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _ptfs ptfs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut offers = String::new();
    with_file(&generate("bash"), |script| {
        offers = said(Command::new("bash").args(["--norc", "-c", COMPLETE, "bash"]).arg(script).args(words));
    });
    offers.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes() {
    with_file(&generate("bash"), |script| drop(said(Command::new("bash").arg("-n").arg(script))));
    assert!(bash_offers(&["ptfs", "--eng"]).contains(&"--engine".to_owned()));
    assert_eq!(bash_offers(&["ptfs", "--engine", "u"]), ["uring"]);
    assert_eq!(bash_offers(&["ptfs", "/src", "/mnt", "--transp"]), ["--transport"]);
    assert_eq!(bash_offers(&["ptfs", "do"]), ["doctor"]);
    assert_eq!(bash_offers(&["ptfs", "doctor", "--u"]), ["--undo"]);
    assert_eq!(bash_offers(&["ptfs", "st"]), ["stats"]);
    assert_eq!(bash_offers(&["ptfs", "stats", "--r"]), ["--reset"]);
    let all = bash_offers(&["ptfs", "--"]);
    for flag in flags(&said(Command::new(PTFS).arg("--help"))) {
        assert!(all.contains(&flag.to_owned()), "{flag} is not offered: {all:?}");
    }
}

#[test]
fn zsh_understands() {
    let text = generate("zsh");
    assert!(text.starts_with("#compdef ptfs\n") && text.contains("--engine="), "{text}");
    with_file(&text, |script| drop(said(Command::new("zsh").arg("-n").arg(script))));
}

#[test]
fn fish_completes() {
    with_file(&generate("fish"), |script| {
        let offers = |line: &str| {
            let program = "source $argv[1]; complete -C $argv[2]";
            let text = said(Command::new("fish").args(["--no-config", "-c", program]).arg(script).arg(line));
            text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert!(offers("ptfs --eng").contains(&"--engine".to_owned()));
        assert_eq!(offers("ptfs --engine u"), ["uring"]);
        assert!(offers("ptfs doctor --u").contains(&"--undo".to_owned()));
        assert_eq!(offers("ptfs doct"), ["doctor"]);
        assert!(offers("ptfs top --de").contains(&"--delay".to_owned()));
    });
}

#[test]
fn nothing_else_is_generated() {
    let output = run(Command::new(PTFS).args(["generate", "tcsh"]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
    assert!(output.stdout.is_empty() && complaint.contains("man, bash, zsh, fish"), "{complaint}");
}

#[test]
fn the_example_has_keys_of_flags() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/ptfs.toml.example");
    let text = fs::read_to_string(path).expect("there");
    let keys: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start_matches('#').split_once(" = ").map(|(key, _)| key)).collect();
    assert!(keys.len() > 5 && keys[..3] == ["source", "mountpoint", "options"], "{keys:?}");
    let help = said(Command::new(PTFS).arg("--help"));
    for key in &keys[3..] {
        assert!(flags(&help).contains(&&*format!("--{key}")), "no flag of ptfs: {key}");
    }
}

#[test]
fn make_installs_it_and_removes_it_again() {
    let stage = tempfile::tempdir().expect("a directory");
    let make = |target: &str| {
        let mut make = Command::new("make");
        make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "-f", "packaging/install.mk", target, "PREFIX=/opt"]);
        said(make.arg(format!("DESTDIR={}", stage.path().display())).arg(format!("BINARY={PTFS}")));
    };
    let text =
        |name: &str| fs::read_to_string(stage.path().join("opt").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let files = || said(Command::new("find").arg(stage.path()).args(["-type", "f"])).lines().count();
    make("install");
    for (what, name) in [
        ("man", "share/man/man1/ptfs.1"),
        ("bash", "share/bash-completion/completions/ptfs"),
        ("zsh", "share/zsh/site-functions/_ptfs"),
        ("fish", "share/fish/vendor_completions.d/ptfs.fish"),
    ] {
        assert_eq!(text(name), generate(what));
    }
    let unit = text("lib/systemd/system/ptfs@.service");
    assert!(unit.contains("ExecStart=/opt/bin/ptfs --config") && !unit.contains("/usr/bin/ptfs"), "{unit}");
    assert!(text("share/doc/ptfs/ptfs.toml.example").contains("source = "));
    assert!(
        text("share/doc/ptfs/grafana.json").contains("ptfs_") && text("share/doc/ptfs/alerts.yml").contains("ptfs_")
    );
    assert_eq!(files(), 8);
    make("uninstall");
    assert_eq!(files(), 0);
    assert!(!stage.path().join("opt/share/doc/ptfs").exists(), "it is nobody else's");
}
