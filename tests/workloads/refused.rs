//! What a TOML file gets wrong is told in one line, with the line's number.

use ptfs::bench::workload::Workload;

/// A workload that is good, so that each change below is the only fault.
const GOOD: &str = r#"about = "reads"
caches = "any"
clients = [1]
depth = [4]

[files]
count = 4
size = "64 KiB"

[operation]
kind = "read"
block = "4 KiB"
"#;

#[test]
fn the_good_one_is_read() {
    Workload::parse("good", GOOD).expect("a good workload");
    Workload::parse("number", &GOOD.replace("\"4 KiB\"", "4096")).expect("a size in bytes");
    Workload::parse("verify", &format!("verify = false\n{GOOD}")).expect("without verification");
}

#[test]
fn faults_are_told_with_their_line() {
    for (from, to, line, says) in [
        ("about = \"reads\"", "", 1, "about"),
        ("about = \"reads\"", "about = \"\"", 1, "'about' is one line"),
        ("about = \"reads\"", "about = 3", 1, "string"),
        ("caches = \"any\"", "caches = \"hot\"", 2, "unknown variant `hot`, expected one of `any`, `warm`, `cold`"),
        ("caches = \"any\"", "cashes = \"any\"", 2, "unknown field `cashes`"),
        ("clients = [1]", "clients = [0]", 3, "0 is not between 1 and 4096"),
        ("clients = [1]", "clients = [1, 5000]", 3, "5000 is not between"),
        ("clients = [1]", "clients = 1", 3, "sequence"),
        ("clients = [1]", "clients = [-1]", 3, "-1"),
        ("count = 4", "count = 4.5", 7, "4.5"),
        ("count = 4", "count = 999999999", 6, "'count' is at most"),
        ("count = 4", "count = 2000", 11, "keeps all files open"),
        ("count = 4", "counts = 4", 7, "unknown field `counts`"),
        ("count = 4", "", 11, "needs [files] with a 'count'"),
        ("count = 4", "count = 4\nper-directory = 0", 6, "'per-directory' is at least 1"),
        ("size = \"64 KiB\"", "size = \"64 KB\"", 8, "'64 KB' is no size: say \"4 KiB\""),
        ("size = \"64 KiB\"", "size = \"999999999999 GiB\"", 8, "is no size"),
        ("size = \"64 KiB\"", "size = -1", 8, "not negative"),
        ("size = \"64 KiB\"", "size = true", 8, "a size: bytes"),
        ("size = \"64 KiB\"", "size = \"1024 GiB\"", 6, "more than 1024 GiB"),
        ("size = \"64 KiB\"", "size = \"63 KiB\"", 12, "not a multiple of 'block'"),
        ("kind = \"read\"", "kind = \"reed\"", 11, "unknown variant `reed`"),
        ("kind = \"read\"", "", 10, "missing field `kind`"),
        ("kind = \"read\"", "kind = \"stat\"", 12, "'block' means nothing"),
        ("block = \"4 KiB\"", "", 11, "needs a 'block'"),
        ("block = \"4 KiB\"", "block = 100", 12, "multiple of 512"),
        ("block = \"4 KiB\"", "block = 0", 12, "multiple of 512"),
        ("block = \"4 KiB\"", "block = 4096\nsync = \"full\"", 13, "'sync' means nothing"),
        ("block = \"4 KiB\"", "block = 4096\nhow = \"mmap\"", 4, "'depth' is for reads and writes that are not mmap"),
        ("block = \"4 KiB\"", "block = 4096\npattern = \"zigzag\"", 13, "unknown variant `zigzag`"),
        ("[operation]", "[operator]", 10, "unknown field `operator`"),
        ("[operation]", "[job]\nrun = \"x\"\n[operation]", 10, "either [operation] or [job], not both"),
        ("[operation]", "[operation", 10, "table"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let why = Workload::parse("mine", &GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(why.starts_with(&format!("mine: line {line}: ")), "{to}: {why}");
        assert!(why.contains(says), "{to}: {why}");
        assert!(!why.contains('\n'), "{to}: {why:?}");
    }
}

#[test]
fn other_kinds_have_faults_of_their_own() {
    for (text, line, says) in [
        ("about = \"x\"", 1, "nothing to measure"),
        ("", 1, "about"),
        ("about = \"x\"\n[job]\nrun = \" \"", 2, "'run' is empty"),
        ("about = \"x\"\n[job]\nran = \"true\"", 3, "unknown field `ran`"),
        ("about = \"x\"\nclients = [1]\n[job]\nrun = \"true\"", 2, "a job takes neither"),
        ("about = \"x\"\n[job]\nrun = \"true\"\ncopies = \"there\"", 2, "'copies' needs [files]"),
        ("about = \"x\"\n[files]\ncount = 3\n[operation]\nkind = \"build-cache\"\nhits = 1.5", 6, "between 0 and 1"),
        (
            "about = \"x\"\n[files]\ncount = 3\nsize = 512\n[operation]\nkind = \"write\"\nblock = 512\nhow = \"mmap\"\nsync = \"data\"",
            9,
            "'sync' does not go with mmap",
        ),
        ("about = \"x\"\ndepth = [2]\n[files]\ncount = 3\n[operation]\nkind = \"stat\"", 2, "'depth' is for"),
    ] {
        let why = Workload::parse("mine", text).expect_err(text);
        assert!(why.starts_with(&format!("mine: line {line}: ")) && why.contains(says), "{text}: {why}");
    }
}
