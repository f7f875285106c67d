//! Removing more files than the daemon may hold descriptors: the kernel tells a little after a removal that it has forgotten
//! the file, which until then takes one.

use std::fs::{self, File};
use std::process::Command;

use super::support::{Backing, Fs};
use super::*;

const BUDGET: [&str; 3] = ["--fd-budget=96", "-o", "allow_other"];
/// The budget, and what rings, threads and requests in flight need beside it.
const MOST: usize = 256;

#[test]
fn trees_larger_than_the_budget_are_removed() {
    const TREES: usize = 4;
    for variant in &VARIANTS {
        let backing = Backing::new(Fs::Tmpfs, 64, "");
        for tree in 0..TREES {
            for dir in 0..5 {
                let dir = backing.path().join(format!("tree-{tree}/dir-{dir}"));
                fs::create_dir_all(&dir).unwrap();
                (0..350).for_each(|n| drop(File::create(dir.join(format!("file-{n}"))).unwrap()));
            }
        }
        fs::write(backing.path().join("hello"), "hello\n").unwrap();
        let mount = Mount::with_args(variant, &BUDGET, backing.path());
        let remove = |n| Command::new("rm").arg("-r").arg(mount.path().join(format!("tree-{n}"))).spawn().unwrap();
        let mut removing: Vec<_> = (0..TREES).map(remove).collect();
        // Whoever removes nothing is not refused anything either.
        let (mut most, mut read) = (0, Ok(String::new()));
        while removing.iter_mut().any(|rm| rm.try_wait().unwrap().is_none()) {
            read = read.and_then(|_| fs::read_to_string(mount.path().join("hello")));
            most = most.max(mount.fds().len());
        }
        for rm in &mut removing {
            assert!(rm.wait().unwrap().success(), "{}", variant.name);
        }
        assert!(read.is_ok(), "{}: {read:?}", variant.name);
        assert!(most < MOST, "{}: {most} fds", variant.name);
        (0..TREES).for_each(|n| assert!(!backing.path().join(format!("tree-{n}")).exists()));
        drop(mount);
    }
}

/// Files that clients have open stay for as long as they like: nobody waits for each of them.
#[test]
fn files_removed_while_they_are_open_hold_nobody_up() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--fd-budget=96"], |_| {});
        let start = Instant::now();
        let open: Vec<File> = (0..40)
            .map(|n| {
                let path = served.at(&n.to_string());
                let file = File::create(&path).unwrap();
                fs::remove_file(path).unwrap();
                file
            })
            .collect();
        assert!(start.elapsed() < Duration::from_secs(8), "{}: {:?}", variant.name, start.elapsed());
        assert!(open.iter().all(|file| file.metadata().unwrap().len() == 0));
    }
}
