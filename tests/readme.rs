//! Holds README to its word: the tests that "What works" names are there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust sources below a directory, or the one file.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let paths = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "rs"));
    paths.flat_map(|path| sources(&path)).collect()
}

/// Where the tests of a program are.
fn program(name: &str) -> Vec<PathBuf> {
    let places: &[&str] = match name {
        "lib" => &["src"],
        "conformance" => &["tests/conformance.rs", "tests/support/cases"],
        _ => &[],
    };
    let own = [format!("tests/{name}.rs"), format!("tests/{name}")];
    let all = places.iter().map(|place| root().join(place)).chain(own.iter().map(|place| root().join(place)));
    all.flat_map(|place| sources(&place)).collect()
}

#[test]
fn every_test_that_is_named_is_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("## What works").nth(1).expect("the section").split("\n## ").next().unwrap();
    let list = Command::new("bash").arg(root().join("tests/run")).arg("--list").output().unwrap();
    let cells = String::from_utf8(list.stdout).unwrap();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| operation")).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<&str> = tests.split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let (of, test) = name.split_once("::").unwrap_or_else(|| panic!("{name} in {row}"));
            let found = match of {
                "run" => cells.lines().any(|cell| cell == test),
                _ => program(of).iter().any(|path| {
                    let text = fs::read_to_string(path).unwrap();
                    text.contains(&format!("fn {test}("))
                }),
            };
            assert!(found, "{name} is not there");
        }
    }
}
