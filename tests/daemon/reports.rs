//! The table of latencies.

use std::fs;

use crate::harness::{Daemon, Scratch, VARIANTS, until};

/// Count, errors and bytes of a row in the last table.
fn row(said: &str, name: &str) -> Option<(u64, u64, u64)> {
    let table = said.rsplit("latency from ").next()?;
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let cells = rows.find(|cells| cells.first() == Some(&name))?;
    let number = |at: usize| cells.get(at)?.parse().ok();
    Some((number(1)?, number(2)?, number(3)?))
}

/// A number on the last line of gauges.
fn gauge(said: &str, name: &str) -> Option<u64> {
    let line = said.lines().rfind(|line| line.starts_with("nodes "))?;
    let after = &line[line.find(name)? + name.len()..];
    after.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

fn ask(daemon: &mut Daemon, times: usize) -> String {
    daemon.signal("USR1");
    until("the report", || daemon.said().matches("resident memory").count() == times);
    daemon.said()
}

#[test]
fn the_table_at_the_end_counts_what_was_done() {
    for (arguments, _) in VARIANTS {
        let scratch = Scratch::new();
        let mut daemon = scratch.serve(&[arguments, &["--stats-at-exit"]].concat());
        let mnt = scratch.mnt();
        for name in ["a", "b", "c"] {
            fs::create_dir(mnt.join(name)).expect("new");
        }
        fs::remove_dir(mnt.join("b")).expect("empty");
        fs::write(mnt.join("a/file"), vec![1; 50_000]).expect("new");
        fs::remove_dir(mnt.join("a")).expect_err("not empty");
        fs::hard_link(mnt.join("a/file"), mnt.join("c/link")).expect("new");
        fs::rename(mnt.join("a/file"), mnt.join("moved")).expect("there");
        fs::remove_file(mnt.join("moved")).expect("there");
        daemon.signal("TERM");
        assert_eq!(daemon.end(), Some(0));
        let said = daemon.said();
        let counts = |name| row(&said, name).unwrap_or_else(|| panic!("no {name} in:\n{said}"));
        assert_eq!(counts("MKDIR"), (3, 0, 0), "{said}");
        assert_eq!(counts("RMDIR"), (2, 1, 0), "{said}");
        assert_eq!(counts("CREATE"), (1, 0, 0), "{said}");
        assert_eq!(counts("LINK"), (1, 0, 0), "{said}");
        assert_eq!(counts("RENAME"), (1, 0, 0), "{said}");
        assert_eq!(counts("UNLINK"), (1, 0, 0), "{said}");
        assert_eq!(counts("WRITE").1, 0, "{said}");
        assert_eq!(counts("WRITE").2, 50_000, "{said}");
        assert!(row(&said, "SYMLINK").is_none(), "{said}");
        assert!(gauge(&said, "resident memory ").is_some_and(|kib| kib > 100), "{said}");
    }
}

#[test]
fn sigusr1_prints_the_table_and_what_is_held() {
    let scratch = Scratch::new();
    let mut daemon = scratch.serve(&["--entry-timeout=1000"]);
    let said = ask(&mut daemon, 1);
    assert_eq!((gauge(&said, "nodes "), gauge(&said, "open files ")), (Some(1), Some(0)), "{said}");

    let open: Vec<_> = (0..20).map(|n| fs::File::create(scratch.mnt().join(n.to_string())).expect("new")).collect();
    // An operation is counted after it was answered.
    let mut times = 1;
    until("all to be counted", || {
        times += 1;
        row(&ask(&mut daemon, times), "CREATE") == Some((20, 0, 0))
    });
    let said = daemon.said();
    assert_eq!(gauge(&said, "open files "), Some(20), "{said}");
    assert_eq!(gauge(&said, "nodes "), Some(21), "{said}");
    assert!(gauge(&said, "node fds ") <= gauge(&said, "nodes "), "{said}");
    drop(open);
    // RELEASE is not waited for by close(2).
    until("all files to be closed", || {
        times += 1;
        gauge(&ask(&mut daemon, times), "open files ") == Some(0)
    });
    assert!(daemon.is_running());
    daemon.stop();
}
