//! `--fix` and `--undo`: changes, each written down before it is made, and taken back from what is written down.

use std::io;

use serde::{Deserialize, Serialize};

use super::plan::{Step, What};
use super::tree::Tree;

/// Where the changes are written down.
pub const RECORD: &str = "/var/lib/ptfs/doctor.json";

/// All that `--fix` has done and `--undo` has not taken back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Directories that were made, in order.
    directories: Vec<String>,
    /// Files that were changed, in order; each once.
    changes: Vec<Change>,
}

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub path: String,
    /// Its text before; `None` if it was not there.
    pub before: Option<String>,
    /// Its text afterwards.
    pub after: String,
    /// The lines that were added; none if the file is one value.
    lines: Vec<String>,
}

/// What was done about one file.
#[derive(Debug, Serialize)]
pub struct Done {
    /// The file.
    pub path: String,
    /// In words.
    pub what: String,
    /// It did not succeed.
    pub failed: bool,
}

impl Done {
    fn new(path: &str, what: impl Into<String>) -> Done {
        Done { path: path.to_owned(), what: what.into(), failed: false }
    }

    fn failed(path: &str, error: &io::Error) -> Done {
        Done { path: path.to_owned(), what: format!("left as it was: {error}"), failed: true }
    }
}

/// Makes changes, and gives what was done. `Err` if nothing can be written down, and so nothing is done.
pub fn fix(tree: &Tree, steps: &[Step]) -> Result<Vec<Done>, String> {
    let mut record = Record::read(tree)?;
    steps.iter().map(|step| record.make(tree, step).map_err(|error| not_written(&error))).collect()
}

/// Takes back every change that is written down, the last one first.
pub fn undo(tree: &Tree) -> Result<Vec<Done>, String> {
    let mut record = Record::read(tree)?;
    let mut done = Vec::new();
    for change in std::mem::take(&mut record.changes).into_iter().rev() {
        match change.take_back(tree) {
            Ok(what) => done.push(Done::new(&change.path, what)),
            Err(error) => {
                done.push(Done::failed(&change.path, &error));
                record.changes.insert(0, change);
            }
        }
    }
    if !record.changes.is_empty() {
        record.write(tree).map_err(|error| not_written(&error))?;
        return Ok(done);
    }
    if tree.has(RECORD) {
        tree.put(RECORD, None).map_err(|error| not_written(&error))?;
    }
    record.directories.iter().rev().for_each(|directory| tree.remove_if_empty(directory));
    Ok(done)
}

fn not_written(error: &io::Error) -> String {
    format!("cannot write {RECORD}: {error}")
}

impl Record {
    fn read(tree: &Tree) -> Result<Record, String> {
        let text = tree.text_or_none(RECORD).map_err(|error| format!("cannot read {RECORD}: {error}"))?;
        let Some(text) = text else { return Ok(Record::default()) };
        serde_json::from_str(&text)
            .map_err(|error| format!("{RECORD} is damaged ({error}): undo by hand, and remove it"))
    }

    /// A new file takes the old one's place, so that a crash leaves one of them whole.
    fn write(&mut self, tree: &Tree) -> io::Result<()> {
        self.make_room_for(tree, RECORD)?;
        let new = format!("{RECORD}.new");
        tree.put(&new, Some(&format!("{}\n", serde_json::to_string_pretty(self)?)))?;
        std::fs::rename(tree.path(&new), tree.path(RECORD))
    }

    fn make_room_for(&mut self, tree: &Tree, path: &str) -> io::Result<()> {
        self.directories.extend(tree.make_room_for(path)?);
        Ok(())
    }

    /// Writes down and makes one change. `Err` if it could not be written down.
    fn make(&mut self, tree: &Tree, step: &Step) -> io::Result<Done> {
        let change = match Change::of(tree, step) {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(Done::new(step.path, "is as it should be")),
            Err(error) => return Ok(Done::failed(step.path, &error)),
        };
        let known = self.changes.clone();
        self.note(change.clone());
        self.write(tree)?;
        let made = self.make_room_for(tree, step.path).and_then(|()| tree.put(step.path, Some(&change.after)));
        if made.is_err() {
            self.changes = known;
        }
        // With the directories that were made.
        self.write(tree)?;
        Ok(match made {
            Ok(()) => Done::new(step.path, format!("{}: {}", step.what.said(), step.why)),
            Err(error) => Done::failed(step.path, &error),
        })
    }

    /// A second change of a file adds to the first, if nobody else came between; else it counts alone.
    fn note(&mut self, mut change: Change) {
        if let Some(at) = self.changes.iter().position(|known| known.path == change.path) {
            let known = self.changes.remove(at);
            if change.before.as_deref().is_some_and(|text| same(text, &known.after)) {
                change.before = known.before;
                change.lines.splice(0..0, known.lines);
            }
        }
        self.changes.push(change);
    }
}

/// The kernel ends its values with a line end, whether it was written or not.
fn same(one: &str, other: &str) -> bool {
    one.trim_end() == other.trim_end()
}

impl Change {
    /// What a step changes, if it changes anything.
    fn of(tree: &Tree, step: &Step) -> io::Result<Option<Change>> {
        let before = tree.text_or_none(step.path)?;
        let now = before.clone().unwrap_or_default();
        let (after, lines) = match &step.what {
            What::Value(value) => (format!("{value}\n"), Vec::new()),
            What::Lines(lines) => {
                let lines: Vec<String> = lines.iter().filter(|line| !has_line(&now, line)).cloned().collect();
                (lines.iter().fold(now, |text, line| with_line(text, line)), lines)
            }
        };
        let path = step.path.to_owned();
        Ok((before.as_ref() != Some(&after)).then_some(Change { path, before, after, lines }))
    }

    /// Gives the file its text from before; of a file that has changed since only what is ours is taken.
    fn take_back(&self, tree: &Tree) -> io::Result<&'static str> {
        let now = tree.text_or_none(&self.path)?;
        if now == self.before {
            return Ok("is as it was before");
        }
        let Some(now) = now else { return Ok("is gone: nothing to take back") };
        if same(&now, &self.after) {
            tree.put(&self.path, self.before.as_deref())?;
            return Ok(if self.before.is_some() { "is as it was before" } else { "removed" });
        }
        if !self.lines.iter().any(|line| has_line(&now, line)) {
            return Ok("left alone: it has changed since");
        }
        let rest = self.lines.iter().fold(now, |text, line| without_line(&text, line));
        tree.put(&self.path, Some(&rest))?;
        Ok("has lost our lines, and keeps what was changed since")
    }
}

impl What {
    fn said(&self) -> String {
        match self {
            What::Value(value) => format!("set to {value}"),
            // The last is the one that matters: a heading may come before.
            What::Lines(lines) => format!("says now: {}", lines.last().map_or("", String::as_str)),
        }
    }
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found.trim() == line)
}

fn with_line(text: String, line: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{line}\n")
}

/// Without the last one of this kind, which is ours: it was added at the end.
fn without_line(text: &str, line: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let ours = lines.iter().rposition(|found| found.trim() == line);
    lines.iter().enumerate().filter(|(at, _)| Some(*at) != ours).map(|(_, line)| *line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::daemon::doctor::facts::{ENABLE_URING, FUSE_CONF, MAX_PAGES};
    use crate::daemon::doctor::plan::{MODPROBE, TMPFILES};

    const CONF: &str = "# of the package\n#user_allow_other\n";

    /// A host with the switch off.
    fn host() -> (TempDir, Tree) {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(directory.path());
        for (path, text) in [(ENABLE_URING, "N\n"), (FUSE_CONF, CONF), (MAX_PAGES, "32\n")] {
            tree.make_room_for(path).expect("room");
            tree.put(path, Some(text)).expect("new");
        }
        (directory, tree)
    }

    fn value(path: &'static str, value: &str) -> Step {
        Step { path, what: What::Value(value.to_owned()), why: "for a test" }
    }

    fn lines(path: &'static str, lines: &[&str]) -> Step {
        Step { path, what: What::Lines(lines.iter().map(|&line| line.to_owned()).collect()), why: "for a test" }
    }

    fn steps() -> Vec<Step> {
        vec![
            value(ENABLE_URING, "Y"),
            lines(TMPFILES, &["# ours", "w switch"]),
            value(MAX_PAGES, "256"),
            lines(TMPFILES, &["# ours", "w pages"]),
            lines(FUSE_CONF, &["user_allow_other"]),
        ]
    }

    /// Everything below a directory: mode and text.
    fn image(directory: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
        let mut all = BTreeMap::new();
        let mut waiting = vec![directory.to_owned()];
        while let Some(path) = waiting.pop() {
            let found = fs::symlink_metadata(&path).expect("there");
            if found.is_dir() {
                waiting.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
            }
            all.insert(path.display().to_string(), (found.permissions().mode(), fs::read(&path).ok()));
        }
        all
    }

    fn said(done: &[Done], path: &str) -> String {
        done.iter().find(|done| done.path == path).expect("is told").what.clone()
    }

    #[test]
    fn a_fix_sets_and_undo_takes_back_to_the_byte() {
        let (directory, tree) = host();
        fs::set_permissions(tree.path(FUSE_CONF), fs::Permissions::from_mode(0o640)).expect("ours");
        let before = image(directory.path());
        assert!(fix(&tree, &steps()).expect("can be recorded").iter().all(|done| !done.failed));
        assert_eq!(tree.value(ENABLE_URING).as_deref(), Some("Y"));
        assert_eq!(tree.text(TMPFILES).as_deref(), Some("# ours\nw switch\nw pages\n"));
        assert_eq!(tree.text(FUSE_CONF), Some(format!("{CONF}user_allow_other\n")));
        let fixed = image(directory.path());
        assert!(fix(&tree, &steps()).expect("can be recorded").iter().all(|done| done.what == "is as it should be"));
        assert_eq!(image(directory.path()), fixed, "a second --fix changes nothing");
        assert_eq!(undo(&tree).expect("a good record").len(), 4);
        assert_eq!(image(directory.path()), before);
        assert!(undo(&tree).expect("none").is_empty(), "a second --undo has nothing to do");
        assert_eq!(image(directory.path()), before);
    }

    #[test]
    fn what_others_change_meanwhile_stays() {
        let (_directory, tree) = host();
        fix(&tree, &steps()).expect("can be recorded");
        tree.put(FUSE_CONF, Some("mount_max = 5\nuser_allow_other\nother\n")).expect("there");
        tree.put(MAX_PAGES, Some("512\n")).expect("there");
        tree.put(TMPFILES, None).expect("there");
        tree.put(ENABLE_URING, None).expect("there");
        let done = undo(&tree).expect("a good record");
        assert_eq!(tree.text(FUSE_CONF).as_deref(), Some("mount_max = 5\nother\n"));
        assert_eq!(tree.value(MAX_PAGES).as_deref(), Some("512"));
        assert!(said(&done, MAX_PAGES).starts_with("left alone"));
        assert_eq!(said(&done, TMPFILES), "is as it was before");
        assert!(said(&done, ENABLE_URING).starts_with("is gone"));
        assert!(!tree.has(RECORD));
    }

    #[test]
    fn a_boot_between_loses_nothing() {
        let (directory, tree) = host();
        let before = image(directory.path());
        fix(&tree, &steps()).expect("can be recorded");
        tree.put(ENABLE_URING, Some("N\n")).expect("there");
        fix(&tree, &steps()).expect("can be recorded");
        assert_eq!(tree.value(ENABLE_URING).as_deref(), Some("Y"));
        undo(&tree).expect("a good record");
        assert_eq!(image(directory.path()), before);
    }

    #[test]
    fn a_change_that_fails_is_told_and_not_recorded() {
        let (directory, tree) = host();
        let before = image(directory.path());
        // A directory cannot be written to.
        fs::create_dir_all(tree.path(MODPROBE)).expect("new");
        let done = fix(&tree, &[lines(MODPROBE, &["options"]), value(ENABLE_URING, "Y")]).expect("can be recorded");
        assert_eq!(done.iter().map(|done| done.failed).collect::<Vec<_>>(), [true, false]);
        fs::remove_dir_all(tree.path("/etc/modprobe.d")).expect("ours");
        assert_eq!(undo(&tree).expect("a good record").len(), 1);
        assert_eq!(image(directory.path()), before);
    }

    #[test]
    fn what_cannot_be_taken_back_stays_recorded() {
        let (_directory, tree) = host();
        fix(&tree, &steps()).expect("can be recorded");
        let after = tree.text(TMPFILES);
        tree.put(TMPFILES, None).expect("there");
        fs::create_dir(tree.path(TMPFILES)).expect("new");
        assert!(undo(&tree).expect("a good record").iter().any(|done| done.failed));
        fs::remove_dir(tree.path(TMPFILES)).expect("ours");
        tree.put(TMPFILES, after.as_deref()).expect("new");
        let done = undo(&tree).expect("a good record");
        assert_eq!((done.len(), said(&done, TMPFILES).as_str()), (1, "removed"));
    }

    #[test]
    fn a_crash_before_the_change_leaves_nothing_to_take_back() {
        let (directory, tree) = host();
        let before = image(directory.path());
        let mut record = Record::default();
        record.note(Change::of(&tree, &value(ENABLE_URING, "Y")).expect("there").expect("a change"));
        record.write(&tree).expect("room");
        assert_eq!(said(&undo(&tree).expect("a good record"), ENABLE_URING), "is as it was before");
        assert_eq!(image(directory.path()), before);
    }

    #[test]
    fn a_damaged_record_stops_both() {
        let (directory, tree) = host();
        tree.make_room_for(RECORD).expect("room");
        tree.put(RECORD, Some("{")).expect("new");
        let before = image(directory.path());
        assert!(fix(&tree, &steps()).expect_err("damaged").contains("is damaged"));
        assert!(undo(&tree).expect_err("damaged").contains("is damaged"));
        assert_eq!(image(directory.path()), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the files hold, whichever steps are taken and how often: undo gives every byte back.
        #[test]
        fn undo_gives_every_byte_back(
            conf in proptest::option::of("([a-z #]{0,9}\n?|user_allow_other\n?){0,4}"),
            taken in proptest::collection::vec(proptest::sample::select(steps()), 0..9),
        ) {
            let (directory, tree) = host();
            tree.put(FUSE_CONF, conf.as_deref()).expect("there");
            let before = image(directory.path());
            for step in taken {
                prop_assert!(!fix(&tree, std::slice::from_ref(&step)).expect("can be recorded")[0].failed);
            }
            undo(&tree).expect("a good record");
            prop_assert_eq!(image(directory.path()), before);
        }
    }
}
