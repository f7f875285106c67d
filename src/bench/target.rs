//! What is measured, and mounting it: nothing that a mount does or fails to do may stop the run.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::family;
use super::stop::Stop;
use crate::sys::adopt::Process;
use crate::sys::mount::{self, MountId};

/// The name of the backing directory as a target.
pub const NATIVE: &str = "native";

/// How long an unmount may take: it writes back what is dirty.
const UNMOUNTS_WITHIN: Duration = Duration::from_secs(20);
/// How long a server may take to end once its mount is gone.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a server that has died may take to be gone.
const DIES_WITHIN: Duration = Duration::from_secs(1);
/// How long SIGKILL may take.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// Lines kept of what a command says.
const LINES: usize = 20;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique in a run; fit to be a file's name.
    pub name: String,
    /// See [`Kind`].
    pub kind: Kind,
}

/// What makes a directory a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is the backing directory itself.
    Native,
    /// It is there, and somebody else's.
    Directory(PathBuf),
    /// This command mounts it, with `{src}` and `{mnt}` for the two directories.
    Command(String),
}

impl Target {
    /// Reads `NAME=DIR` or `NAME=CMD`.
    pub fn parse(text: &str) -> Result<Target, String> {
        let (name, what) = text.split_once('=').ok_or_else(|| {
            format!("{text:?} names no target: say NAME=DIR, or NAME='COMMAND {{src}} {{mnt}}' to have it mounted")
        })?;
        let fit = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fit) {
            return Err(format!("{name:?} is no name for a target: letters, digits and -_.+ are"));
        }
        if name == NATIVE {
            return Err(format!("{NATIVE} is the backing directory's own name: choose another"));
        }
        let kind = if what.contains("{mnt}") {
            Kind::Command(what.to_owned())
        } else if Path::new(what).is_dir() {
            let directory = fs::canonicalize(what).map_err(|error| format!("{what}: {error}"))?;
            Kind::Directory(directory)
        } else {
            return Err(format!("{name}: {what:?} is no directory; a command that mounts says where, with {{mnt}}"));
        };
        Ok(Target { name: name.to_owned(), kind })
    }

    /// The backing directory.
    pub fn native() -> Target {
        Target { name: NATIVE.to_owned(), kind: Kind::Native }
    }
}

/// A mount that was made for the run. Take it down with [`Mounted::take_down`].
pub struct Mounted {
    point: PathBuf,
    id: Option<MountId>,
    child: Child,
    said: Said,
    mark: String,
}

impl Mounted {
    /// Runs `command` and waits until what it mounts answers. `mark` is what its processes are found by.
    pub fn mount(
        command: &str,
        [source, point]: [&Path; 2],
        mark: &str,
        patience: Duration,
        stop: &Stop,
    ) -> Result<Mounted, String> {
        for directory in [source, point] {
            fs::create_dir_all(directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        }
        let before = mount::identify(point).map_err(|error| format!("{}: {error}", point.display()))?;
        let mut mounted = Mounted::start(command, source, point, mark)?;
        let outcome = mounted.wait(before, patience, stop);
        if let Err(why) = outcome {
            let why = format!("{why}{}", mounted.said.in_words());
            mounted.take_down();
            return Err(why);
        }
        Ok(mounted)
    }

    fn start(command: &str, source: &Path, point: &Path, mark: &str) -> Result<Mounted, String> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(filled_in(command, source, point)).env(family::VARIABLE, mark);
        // A process group of its own: a terminal's Ctrl-C is for the run, which ends it in order.
        shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
        let said = Said::default();
        said.listen(child.stdout.take());
        said.listen(child.stderr.take());
        Ok(Mounted { point: point.to_owned(), id: None, child, said, mark: mark.to_owned() })
    }

    /// Until something new is mounted, and its server answers.
    fn wait(&mut self, before: MountId, patience: Duration, stop: &Stop) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            let now = mount::identify(&self.point).map_err(|error| format!("{}: {error}", self.point.display()))?;
            if now != before {
                self.id = Some(now);
                return answers(&self.point, end.saturating_duration_since(Instant::now()))
                    .map_err(|why| format!("it is mounted but {why}"));
            }
            if let Some(status) = self.ended().filter(|status| !status.success()) {
                return Err(format!("the command failed ({status}) and has mounted nothing"));
            }
            if stop.is_set() {
                return Err("stopped".to_owned());
            }
            if Instant::now() > end {
                return Err(format!("nothing was mounted within {} s", patience.as_secs().max(1)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What its processes are found by.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Why it is no longer what it was, if that is so, for who has met with an error in it.
    pub fn trouble(&mut self) -> Option<String> {
        // Clients hear of a server's end before its last thread has ended.
        let end = Instant::now() + DIES_WITHIN;
        loop {
            let gone = mount::identify(&self.point).ok() != self.id;
            let what = match self.ended().filter(|status| !status.success()) {
                Some(status) => format!("its command has ended meanwhile ({status})"),
                None if gone => "its mount is gone meanwhile".to_owned(),
                None if Instant::now() > end => return None,
                None => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            return Some(format!("{what}{}", self.said.in_words()));
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Unmounts, by force if need be, and ends what serves it. What did not go as it should.
    pub fn take_down(mut self) -> Vec<String> {
        let mut troubles = Vec::new();
        let there = |id: Option<MountId>| id.is_some() && mount::identify(&self.point).ok() == id;
        if there(self.id) && !unmount(&self.point) {
            troubles.push("it could not be unmounted in order, and was by force".to_owned());
            force(&self.point);
        }
        // Whoever was started for it, the shell included: some mount only now.
        let patience = if self.id.is_some() { ENDS_WITHIN } else { Duration::ZERO };
        if let Some(left) = family::end(&self.mark, patience, KILLED_WITHIN).first() {
            troubles.push(format!("its process {} cannot be killed", left.pid()));
        } else {
            let _ = self.child.wait();
        }
        if there(self.id) {
            force(&self.point);
        }
        let _ = fs::remove_dir(&self.point);
        troubles
    }
}

/// `{src}` and `{mnt}` as words for the shell.
fn filled_in(command: &str, source: &Path, point: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"));
    // One after the other, so that a directory that is called {mnt} stays what it is.
    let parts: Vec<String> = command.split("{src}").map(|part| part.replace("{mnt}", &quoted(point))).collect();
    parts.join(&quoted(source))
}

/// Whether the server of `path` answers. A child does the asking: if the mount hangs, so does whoever asks.
pub fn answers(path: &Path, patience: Duration) -> Result<(), String> {
    let seconds = patience.as_secs().max(1);
    match ended_within(this_program("probe", path)?, patience) {
        Some(true) => Ok(()),
        Some(false) => Err("answers with an error".to_owned()),
        None => Err(format!("has not answered for {seconds} s")),
    }
}

/// Unmounts in order; false if that cannot be had.
fn unmount(point: &Path) -> bool {
    let end = Instant::now() + UNMOUNTS_WITHIN;
    loop {
        let mut umount = Command::new("umount");
        umount.arg(point);
        let mut fusermount = Command::new("fusermount3");
        fusermount.arg("-u").arg("--").arg(point);
        for mut command in [umount, fusermount] {
            let left = end.saturating_duration_since(Instant::now());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            match ended_within(command, left) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        // Somebody still uses it.
        if Instant::now() + Duration::from_millis(100) > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes a mount away at once from all who use it.
pub fn force(point: &Path) {
    if mount::force_unmount(point).is_err() {
        let mut fusermount = Command::new("fusermount3");
        fusermount.arg("-uz").arg("--").arg(point).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ended_within(fusermount, UNMOUNTS_WITHIN);
    }
}

/// This program again, as a helper that may hang.
fn this_program(subcommand: &str, path: &Path) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.arg(subcommand).arg(path).stdin(Stdio::null()).process_group(0);
    Ok(command)
}

/// Runs a command: whether it went well, `None` if it did not end in time. Then it is killed, and left alone if it
/// cannot be: it waits in the kernel, for a mount that somebody else has to take down.
fn ended_within(mut command: Command, patience: Duration) -> Option<bool> {
    let Ok(mut child) = command.spawn() else { return Some(false) };
    // Where there are no pidfds, waiting is all that can be done.
    let Ok(process) = Process::open(child.id()) else { return child.wait().ok().map(|status| status.success()) };
    let end = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => break,
            Err(_) => return Some(false),
        }
    }
    let _ = process.end(true);
    let _ = process.wait(Duration::from_millis(200));
    None
}

/// The last lines of what a command says.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<VecDeque<String>>>);

impl Said {
    fn listen(&self, from: Option<impl Read + Send + 'static>) {
        let Some(from) = from else { return };
        let said = self.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            // Goes on to the end, or a server that says much would wait for a reader.
            while let Ok(1..) = from.by_ref().take(4096).read_until(b'\n', &mut line) {
                let mut lines = said.0.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_back(String::from_utf8_lossy(&line).trim().to_owned());
                let surplus = lines.len().saturating_sub(LINES);
                lines.drain(..surplus);
                line.clear();
            }
        });
    }

    fn in_words(&self) -> String {
        // The last lines may still be on their way.
        std::thread::sleep(Duration::from_millis(50));
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
        match lines.as_slice() {
            [] => "; it said nothing".to_owned(),
            [.., before, last] if last.len() < 40 => format!("; it said: {before}; {last}"),
            [.., last] => format!("; it said: {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_directory_or_a_command() {
        assert_eq!(Target::parse("x=/").map(|target| target.kind), Ok(Kind::Directory("/".into())));
        let command = "ptfs -o a=b {src} {mnt}";
        assert_eq!(Target::parse(&format!("x={command}")).map(|target| target.kind), Ok(Kind::Command(command.into())));
        for (text, word) in [
            ("/mnt", "names no target"),
            ("=/", "is no name"),
            ("a/b=/", "is no name"),
            ("..=/", "is no name"),
            ("native=/", "own name"),
            ("x=/nowhere/at/all", "{mnt}"),
            ("x=bindfs /a /b", "{mnt}"),
        ] {
            let error = Target::parse(text).expect_err(text);
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn directories_are_words_whatever_they_are_called() {
        let command = filled_in("m -o x {src} {mnt} # {src}", Path::new("/a {mnt} b"), Path::new("/it's"));
        assert_eq!(command, r"m -o x '/a {mnt} b' '/it'\''s' # '/a {mnt} b'");
    }
}
