//! What it says to who asks, and to who asks wrongly.

use std::fs;

use crate::harness::Scratch;

#[test]
fn wrong_command_lines_are_refused_in_a_line() {
    let scratch = Scratch::new();
    let file = scratch.path("bad.toml");
    fs::write(&file, "about = \"x\"\n[operation]\nkind = \"no-such-kind\"\n").expect("new");
    let bad = file.display().to_string();
    let refused: &[(&[&str], &str)] = &[
        (&["--target", "x"], "names no target"),
        (&["--target", "x=/no/such/dir"], "{mnt}"),
        (&["--target", "a b=/tmp"], "no name for a target"),
        (&["--target", "x=/", "--target", "x=/"], "two targets"),
        (&["--base", "x"], "no target of that name"),
        (&["--rounds", "0"], "--rounds"),
        (&["--duration", "2h"], "--duration"),
        (&["--rate", "x"], "operations a second"),
        (&["--no-such"], "--no-such"),
        (&["compare"], "OLD"),
        (&["--workload", "nonsense"], "--list"),
        (&["--workload", &bad], "bad.toml: line 3"),
        (&["--targt", "x=/"], "'--target'"),
        (&["--show", "nonsense"], "--list"),
        (&["/no/such/dir"], "/no/such/dir"),
        (&["--place", "/no/such/dir"], "/no/such/dir"),
        (&["--json", "/no/such/dir/x"], "/no/such/dir/x"),
        (&["compare", "/no/such/a", "/no/such/b"], "/no/such/a"),
        (&["compare", &bad, &bad], "no result"),
    ];
    for (arguments, word) in refused {
        let output = scratch.command().args(*arguments).output().expect("ptfs-bench");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("ptfs-bench: ") && said.lines().count() == 1, "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
        scratch.assert_clean();
    }
}

#[test]
fn what_is_shown_can_be_measured() {
    let scratch = Scratch::new();
    let list = scratch.command().arg("--list").output().expect("ptfs-bench");
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    assert!(list.lines().any(|line| line.starts_with("getattr ")), "{list}");
    let shown = scratch.command().args(["--show", "getattr"]).output().expect("ptfs-bench");
    let file = scratch.path("mine.toml");
    fs::write(&file, shown.stdout).expect("new");
    let found = scratch.run(&[], &["--workload", &file.display().to_string()]);
    assert_eq!(found.code, Some(0), "{}", found.said);
    found.assert_good("mine", "native");
}

#[test]
fn help_teaches_by_examples() {
    let scratch = Scratch::new();
    let output = scratch.command().arg("--help").output().expect("ptfs-bench");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success());
    for word in ["{src} {mnt}", "--sweep", "compare old.json new.json", "Exit codes"] {
        assert!(help.contains(word), "{word}");
    }
    for hidden in ["keeper", "probe", "agent"] {
        assert!(!help.contains(hidden), "{hidden}");
    }
}

#[test]
fn every_report_is_written() {
    let scratch = Scratch::new();
    let [csv, html, hgrm] = ["x.csv", "x.html", "hgrm"].map(|name| scratch.path(name).display().to_string());
    let found =
        scratch.run(&[], &["--clients=1", "--workload=getattr", "--csv", &csv, "--html", &html, "--hgrm", &hgrm]);
    assert_eq!(found.code, Some(0), "{}", found.said);
    assert!(fs::read_to_string(&csv).expect("written").lines().count() > 2);
    assert!(fs::metadata(&html).is_ok());
    assert_eq!(fs::read_dir(&hgrm).expect("made").count(), 1);
}
