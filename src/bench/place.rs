//! The directories of a run, and the keeper: a process that takes all of it down again, however the run ends.
//!
//! The keeper waits for the end of a pipe, which comes with the end of the run, be it orderly, by a panic, or SIGKILL.
//! There is one way to clean up, and it is always the one that is taken.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::family;
use super::target::{self, Kind, Target};
use crate::sys::mountinfo;

/// How long SIGKILL may take: an agent that hangs in somebody else's mount does not die of it.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// Where one run works.
pub struct Place {
    /// The name of all its directories: none is anybody else's.
    mark: String,
    backing: PathBuf,
    mounts: PathBuf,
}

/// The process that removes everything once this is dropped, or this process is gone.
pub struct Keeper {
    child: Child,
    backing: PathBuf,
}

impl Place {
    /// Makes the directories below `source` (or a temporary directory below `place`), those below the targets that are
    /// directories, and one for mount points.
    pub fn make(source: Option<&Path>, place: Option<&Path>, targets: &[Target]) -> Result<(Place, Keeper), String> {
        let mark = format!("ptfs-bench.{}", unique());
        let temporary = place.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let temporary = absolute(&temporary)?;
        let backing = match source {
            Some(source) => absolute(source)?,
            None => temporary.clone(),
        };
        // Never below the backing directory, which a mount would then contain itself in.
        let mounts = temporary.join(format!("{mark}.mnt"));
        let place = Place { backing: backing.join(&mark), mounts, mark };
        let mut ours = vec![place.backing.clone()];
        for target in targets {
            if let Kind::Directory(_) = &target.kind {
                ours.push(place.directory(target));
            }
        }
        // First, so that there is no moment in which something is there that nobody would remove.
        let keeper = Keeper::start(&place, &ours)?;
        for directory in ours.iter().chain([&place.mounts]) {
            fs::create_dir(directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        }
        Ok((place, keeper))
    }

    /// What tells this run from others, in names of directories and in the environment of its processes.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The directory below the backing one in which all is.
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// The part of the backing directory that is one target's, so that none warms the caches of another.
    pub fn source(&self, target: &Target) -> PathBuf {
        self.backing.join(&target.name)
    }

    /// Where a target is mounted that is mounted for the run.
    pub fn mountpoint(&self, target: &Target) -> PathBuf {
        self.mounts.join(&target.name)
    }

    /// The directory in which a target is measured: for a mount, once it is there.
    pub fn directory(&self, target: &Target) -> PathBuf {
        match &target.kind {
            Kind::Native => self.source(target),
            // It may be a view of the backing directory: there are to be two.
            Kind::Directory(directory) => directory.join(format!("{}.{}", self.mark, target.name)),
            Kind::Command(_) => self.mountpoint(target),
        }
    }
}

impl Keeper {
    fn start(place: &Place, directories: &[PathBuf]) -> Result<Keeper, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.arg("keeper").arg(&place.mark).arg(&place.mounts).args(directories);
        // Out of reach of a terminal's Ctrl-C.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("cannot start the process that cleans up: {error}"))?;
        Ok(Keeper { child, backing: place.backing.clone() })
    }

    /// Has everything removed. What could not be, in words.
    pub fn finish(mut self, patience: Duration) -> Result<(), String> {
        drop(self.child.stdin.take());
        let what = self.backing.display();
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) | Err(_) => return Err(format!("not everything could be removed of {what}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("still removing {what}, which goes on"))
    }
}

/// What the keeper does. False if something is left.
pub fn keep(mark: &str, mounts: &Path, directories: &[PathBuf]) -> bool {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    // Clients first, lest they fill what is being removed.
    family::end(&format!("{mark}/{}/", family::CLIENT), Duration::ZERO, KILLED_WITHIN);
    for point in mounted_below(mounts) {
        target::force(&point);
    }
    family::end(&format!("{mark}/"), Duration::from_secs(2), KILLED_WITHIN);
    // Some mount only now.
    for point in mounted_below(mounts) {
        target::force(&point);
    }
    let mut clean = true;
    // Nothing but empty directories: what is mounted there still must not be looked into.
    for point in fs::read_dir(mounts).into_iter().flatten().flatten() {
        clean &= gone(fs::remove_dir(point.path()));
    }
    // Others' mounts, which may hang, come last.
    clean
        & gone(fs::remove_dir(mounts))
        & directories.iter().map(|directory| gone(fs::remove_dir_all(directory))).fold(true, |all, one| all & one)
}

fn gone(removed: io::Result<()>) -> bool {
    removed.err().is_none_or(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The youngest first.
fn mounted_below(mounts: &Path) -> Vec<PathBuf> {
    let table = mountinfo::read().unwrap_or_default();
    table.into_iter().rev().map(|entry| entry.point).filter(|point| point.starts_with(mounts)).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    let found = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_dir() { Ok(found) } else { Err(format!("{} is not a directory", path.display())) }
}

fn unique() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("{}-{:06x}", std::process::id(), nanos >> 6)
}
