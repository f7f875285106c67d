//! Holds the rules of ARCHITECTURE.md by reading `src`: which room imports which, where `unsafe` and `cfg` may stand.
//!
//! It reads text, not syntax trees: comments and literals are blanked out first, and the rest is plain search.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may name with `crate::`. A room may always name itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("core", &["protocol"]),
    ("stats", &["protocol", "core"]),
    ("ops", &["protocol", "core", "stats"]),
    ("sys", &["protocol", "core"]),
    ("uring", &["protocol", "core", "ops", "stats", "sys"]),
    ("pool", &["protocol", "core", "ops", "stats", "sys"]),
    ("bench", &["protocol", "core", "stats", "sys"]),
    ("embed", &["protocol", "core", "ops", "stats"]),
    ("daemon", &["protocol", "core", "ops", "stats", "sys", "uring", "pool", "embed"]),
];

/// The rooms under `src` where `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &["sys", "uring"];

/// A file beyond this has more than one subject: split it by meaning.
const MAX_FILE_BYTES: usize = 32 * 1024;

type Rule = fn(&Source) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("imports run one way", imports),
    ("unsafe stays in its rooms", unsafe_rooms),
    ("unsafe blocks carry a SAFETY line", safety_lines),
    ("the platform switch is in lib.rs", platform_switch),
    ("files stay small", file_size),
    ("no unwrap or expect outside tests", no_unwrap),
];

#[test]
fn src_keeps_the_rules() {
    let sources = sources_under(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(!sources.is_empty(), "no source found: this test reads nothing");
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            RULES.iter().flat_map(move |(name, rule)| {
                rule(source).into_iter().map(move |fault| format!("{}: {name}: {fault}", source.file()))
            })
        })
        .collect();
    assert!(faults.is_empty(), "{} broken rules:\n{}", faults.len(), faults.join("\n"));
}

/// The siblings of `src/sys` for another platform. For every rule they are the room `sys`.
const SIBLINGS: &str = "src-macos";

#[test]
fn siblings_have_the_names_of_those_that_they_stand_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources_under(root);
    let siblings: Vec<&str> = files.iter().filter_map(|source| source.path.strip_prefix("src-macos/")).collect();
    assert!(siblings.len() > 2, "none found: this test reads nothing");
    for name in siblings {
        assert!(root.join("src/sys").join(name).exists(), "{SIBLINGS}/{name} stands for nothing in src/sys");
    }
}

/// One file below `src`, or below [`SIBLINGS`], with what the rules search in.
struct Source {
    /// Relative to `src`, with `/`; of siblings, with their directory.
    path: String,
    text: String,
    /// `text` with comments and literals blanked out; byte offsets and lines stay the same.
    code: String,
    /// What is compiled for tests only, as offsets into `code`.
    test_only: Vec<Range<usize>>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = blank_out(text);
        let test_only = test_items(&code);
        Source { path: path.to_owned(), text: text.to_owned(), code, test_only }
    }

    /// The directory below `src`, or the file's stem for `src/NAME.rs`.
    fn room(&self) -> &str {
        match self.path.split_once('/') {
            Some((SIBLINGS, _)) => "sys",
            Some((room, _)) => room,
            None => self.path.trim_end_matches(".rs"),
        }
    }

    /// Relative to the repository.
    fn file(&self) -> String {
        if self.path.starts_with(SIBLINGS) { self.path.clone() } else { format!("src/{}", self.path) }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    fn in_test(&self, offset: usize) -> bool {
        self.test_only.iter().any(|range| range.contains(&offset))
    }

    /// The offsets at which `word` stands in the code as a whole word.
    fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !(before.is_some_and(is_name) || word.ends_with(is_name) && after.is_some_and(is_name))
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

// ---- the rules ----

fn imports(source: &Source) -> Vec<String> {
    let room = source.room();
    if room == "lib" {
        return Vec::new();
    }
    let (root, allowed) = match IMPORTS.iter().find(|(name, _)| *name == room) {
        Some((_, allowed)) => ("crate::", *allowed),
        None if room == "bin" => ("ptfs::", &["daemon", "bench"][..]),
        None => return vec![format!("`{room}` is no room that this test knows")],
    };
    let mut faults = Vec::new();
    for at in source.words(root) {
        for target in first_segments(&source.code[at + root.len()..]) {
            if target != room && !allowed.contains(&target) {
                faults.push(format!("line {}: {room} names {root}{target}", source.line_of(at)));
            }
        }
    }
    // Two steps up from src/ROOM/FILE.rs leave the room, and one step up from src/ROOM/mod.rs.
    let way_out = if source.path.ends_with("/mod.rs") { "super::" } else { "super::super::" };
    if source.path.matches('/').count() == 1 {
        for at in source.words(way_out).filter(|&at| !source.in_test(at)) {
            faults.push(format!("line {}: names another room by `super`: say `crate::`", source.line_of(at)));
        }
    }
    faults
}

/// `a::b` gives `a`; `{a::b, c::{d, e}}` gives `a` and `c`.
fn first_segments(path: &str) -> Vec<&str> {
    let name = |text: &'_ str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let Some(group) = path.strip_prefix('{') else {
        return vec![&path[..name(path)]];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        let item_ends = depth == 0 && (c == ',' || c == '}');
        if item_ends {
            let item = group[start..at].trim_start();
            found.extend((!item.is_empty()).then(|| &item[..name(item)]));
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

fn unsafe_rooms(source: &Source) -> Vec<String> {
    if UNSAFE_ROOMS.contains(&source.room()) {
        return Vec::new();
    }
    source.words("unsafe").map(|at| format!("line {}", source.line_of(at))).collect()
}

fn safety_lines(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    source
        .words("unsafe")
        .filter(|&at| {
            let rest = source.code[at + "unsafe".len()..].trim_start();
            rest.starts_with('{') || rest.starts_with("impl")
        })
        .map(|at| source.line_of(at))
        .filter(|&line| {
            // Up through the statement that the block is part of, and through the comment above it.
            let statement_ended = |line: &str| line.trim_end().ends_with([';', '{', '}']) || line.is_empty();
            let above = (0..line - 1).rev().take_while(|&n| !statement_ended(code[n]) || lines[n].contains("//"));
            !std::iter::once(line - 1).chain(above).any(|n| lines[n].contains("SAFETY:"))
        })
        .map(|line| format!("line {line}"))
        .collect()
}

fn platform_switch(source: &Source) -> Vec<String> {
    if source.path == "lib.rs" {
        return Vec::new();
    }
    source.words("target_os").map(|at| format!("line {}: write a sibling file", source.line_of(at))).collect()
}

fn file_size(source: &Source) -> Vec<String> {
    let bytes = source.text.len();
    if bytes > MAX_FILE_BYTES { vec![format!("{bytes} bytes")] } else { Vec::new() }
}

fn no_unwrap(source: &Source) -> Vec<String> {
    [".unwrap()", ".expect("]
        .iter()
        .flat_map(|call| source.code.match_indices(call))
        .filter(|&(at, _)| !source.in_test(at))
        .map(|(at, call)| format!("line {}: {call}", source.line_of(at)))
        .collect()
}

// ---- reading ----

/// Every `.rs` file below `root/src` and its siblings. A file that another declares as `#[cfg(test)] mod name;` is test code whole.
fn sources_under(root: &Path) -> Vec<Source> {
    let src = root.join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    if root.join(SIBLINGS).is_dir() {
        collect(&root.join(SIBLINGS), &mut files);
    }
    files.sort();
    let mut test_files = HashSet::new();
    let mut sources = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let path = file
            .strip_prefix(&src)
            .or_else(|_| file.strip_prefix(root))
            .expect("below")
            .to_string_lossy()
            .replace('\\', "/");
        let source = Source::new(&path, &text);
        for range in &source.test_only {
            test_files.extend(declared_file(file, &source.code[range.clone()]));
        }
        sources.push(source);
    }
    for (source, file) in sources.iter_mut().zip(&files) {
        if test_files.contains(file) {
            source.test_only = std::iter::once(0..source.code.len()).collect();
        }
    }
    sources
}

/// The file that `mod name;` in `parent` stands for, when `item` is such a declaration.
fn declared_file(parent: &Path, item: &str) -> Option<PathBuf> {
    let name = item.trim_end().strip_suffix(';')?.rsplit_once("mod ")?.1.trim();
    let directory = match parent.file_stem()?.to_str()? {
        "mod" | "lib" => parent.parent()?.to_path_buf(),
        _ => parent.with_extension(""),
    };
    Some(directory.join(name).with_extension("rs"))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The items below `#[cfg(test)]` and its like (`cfg(all(test, ...))`), attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let Some(length) = code[start..].find(']') else { continue };
        let condition = &code[start..start + length];
        let for_tests = condition.split(|c| !is_name(c)).any(|word| word == "test") && !condition.contains("not(test)");
        if !for_tests {
            continue;
        }
        let mut depth = 0;
        for (at, c) in code[start + length..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                items.push(start..start + length + at + 1);
                break;
            }
        }
    }
    items
}

/// Replaces the bytes of comments, strings and characters by spaces, so that searches find code only.
fn blank_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = out.chars().next_back().is_some_and(is_name);
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => 1 + string_body(&rest[1..]),
            'r' if !after_name => raw_string(rest),
            'b' | 'c' if !after_name && rest[1..].starts_with('r') => match raw_string(&rest[1..]) {
                0 => 0,
                length => 1 + length,
            },
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest.bytes().take(length).map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length up to and with the closing quote.
fn string_body(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"..."` or `r#"..."#`, or 0 if `text` begins with no such thing.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let Some(body) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// The length of a character literal, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            chars.find(|&(_, c)| c == '\'').map_or(0, |(at, _)| at + 1)
        }
        _ => chars.next().filter(|&(_, c)| c == '\'').map_or(0, |(at, _)| at + 1),
    }
}

// ---- each rule can fail ----

fn broken(rule: Rule, path: &str, text: &str) -> bool {
    !rule(&Source::new(path, text)).is_empty()
}

#[test]
fn imports_against_the_stream_are_found() {
    for (path, text) in [
        ("protocol/init.rs", "use crate::core::Config;"),
        ("core/nodes.rs", "use crate::sys;"),
        ("core/nodes.rs", "use crate::{protocol::NodeId, ops::Os};"),
        ("stats/mod.rs", "fn f() { crate::uring::run() }"),
        ("ops/lookup.rs", "let x = crate::sys::statx();"),
        ("sys/fs.rs", "pub use crate::ops::Os;"),
        ("uring/run.rs", "use crate::pool::Reader;"),
        ("pool/mod.rs", "use crate::daemon::Mount;"),
        ("bin/ptfs.rs", "use ptfs::{daemon::main, core::Config};"),
        ("core/nodes.rs", "use super::super::ops;"),
        ("core/mod.rs", "use super::ops;"),
        ("core/nodes.rs", "use crate::Reexported;"),
        ("attic/mod.rs", ""),
    ] {
        assert!(broken(imports, path, text), "not found: {path}: {text}");
    }
    for (path, text) in [
        ("protocol/init.rs", "use crate::protocol::abi; // never crate::core"),
        ("ops/lookup.rs", "use crate::{core::{Nodes, Handles}, protocol::*, stats};"),
        ("uring/run.rs", "use crate::sys::ring; use crate::ops::{self, Os};"),
        ("daemon/mod.rs", "use crate::uring; use crate::pool;"),
        ("bin/ptfs.rs", "fn main() { ptfs::daemon::main() }"),
        ("core/mod.rs", "#[cfg(test)] mod tests { use super::*; }"),
        ("core/nodes.rs", "const HELP: &str = \"see crate::ops\";"),
    ] {
        assert!(!broken(imports, path, text), "wrongly found: {path}: {text}");
    }
}

#[test]
fn unsafe_outside_its_rooms_is_found() {
    assert!(broken(unsafe_rooms, "ops/data.rs", "fn f() { unsafe { g() } }"));
    assert!(broken(unsafe_rooms, "pool/mod.rs", "unsafe impl Send for X {}"));
    assert!(!broken(unsafe_rooms, "sys/fs.rs", "fn f() { unsafe { g() } }"));
    assert!(!broken(unsafe_rooms, "ops/data.rs", "#![forbid(unsafe_code)] // unsafe\nconst A: &str = r#\"unsafe\"#;"));
}

#[test]
fn an_undocumented_unsafe_block_is_found() {
    assert!(broken(safety_lines, "sys/fs.rs", "fn f() {\n    unsafe { g() }\n}"));
    assert!(broken(safety_lines, "sys/fs.rs", "// SAFETY: of f\nlet a = f();\nlet b = unsafe { g() };"));
    assert!(broken(safety_lines, "sys/fs.rs", "unsafe impl Send for X {}"));
    assert!(!broken(safety_lines, "sys/fs.rs", "// SAFETY: g has no duties\nlet b =\n    unsafe { g() };"));
    assert!(!broken(safety_lines, "sys/fs.rs", "// SAFETY: X holds\n// no pointer;\nunsafe impl Send for X {}"));
    assert!(!broken(safety_lines, "sys/fs.rs", "pub unsafe fn f() {}"));
}

#[test]
fn a_platform_switch_outside_lib_is_found() {
    assert!(broken(platform_switch, "ops/mod.rs", "#[cfg(target_os = \"linux\")]\nfn f() {}"));
    assert!(broken(platform_switch, "ops/mod.rs", "if cfg!(not(target_os = \"macos\")) {}"));
    assert!(!broken(platform_switch, "lib.rs", "#[cfg(target_os = \"linux\")]\nmod uring;"));
    assert!(broken(platform_switch, "src-macos/mount.rs", "#[cfg(target_os = \"macos\")]\nfn f() {}"));
    assert!(broken(imports, "src-macos/mount.rs", "use crate::ops::Os;"));
    assert!(!broken(unsafe_rooms, "src-macos/mount.rs", "// SAFETY: f wants nothing\nunsafe { f() }"));
}

#[test]
fn a_file_of_many_subjects_is_found() {
    assert!(broken(file_size, "ops/mod.rs", &"x".repeat(MAX_FILE_BYTES + 1)));
    assert!(!broken(file_size, "ops/mod.rs", &"x".repeat(MAX_FILE_BYTES)));
}

#[test]
fn unwrap_and_expect_are_found() {
    assert!(broken(no_unwrap, "core/slab.rs", "fn f() { g().unwrap(); }"));
    assert!(broken(no_unwrap, "core/slab.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nfn f() { g().expect(\"g\") }"));
    assert!(broken(no_unwrap, "core/slab.rs", "const C: char = '\\''; fn f() { g().unwrap() }"));
    assert!(broken(no_unwrap, "core/slab.rs", "#[cfg(not(test))]\nfn f() { g().unwrap() }"));
    assert!(!broken(
        no_unwrap,
        "core/slab.rs",
        "#[cfg(all(test, not(ptfs_loom)))]\nmod tests { fn f() { g().unwrap() } }"
    ));
    assert!(!broken(no_unwrap, "core/slab.rs", "/// `.unwrap()`\nfn f<'a>(a: &'a str) { a.unwrap_or(\".expect(\") }"));
}

#[test]
fn a_module_declared_for_tests_is_test_code() {
    let tree = tempfile::tempdir().expect("a directory");
    let room = tree.path().join("src/core");
    fs::create_dir_all(&room).expect("src/core");
    fs::write(room.join("mod.rs"), "#[cfg(test)]\nmod tests;\nmod real;").expect("mod.rs");
    fs::write(room.join("tests.rs"), "fn f() { g().unwrap() }").expect("tests.rs");
    fs::write(room.join("real.rs"), "fn f() { g().unwrap() }").expect("real.rs");
    let faulty: Vec<String> = sources_under(tree.path())
        .iter()
        .filter(|source| !no_unwrap(source).is_empty())
        .map(|source| source.path.clone())
        .collect();
    assert_eq!(faulty, ["core/real.rs"]);
}
