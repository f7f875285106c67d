//! `--bind SRC:TARGET`: bind mounts inside the mount, made once it answers and taken down before it goes.
//!
//! A child does that, since a thread of the daemon must not wait for its own mount (`sys::apart`). What clients make of
//! the tree meanwhile leads it nowhere else: it finds TARGET beneath the mount's root, and its mounts by their numbers.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::mount::Mounted;
use crate::sys::beneath::{self, Mounts};
use crate::sys::mount::{self as sys, MountId, Refuses};
use crate::sys::mountinfo;
use crate::sys::process::{Companion, clear_umask};
use crate::sys::signal::ready_within;

/// How long the child may take for all binds: it waits for the mount's own answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to bind where, as the command line has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindSpec {
    /// A directory or a file of the host.
    source: PathBuf,
    /// Where it is to be seen, relative to the mount point.
    target: PathBuf,
}

impl BindSpec {
    /// Reads `SRC:TARGET`. A relative SRC is taken from `/`, as libfuse-fs does (`proc:/proc`).
    pub fn parse(text: &str) -> Result<BindSpec, String> {
        let wrong = || "must be SRC:TARGET, TARGET a path below the mount point".to_owned();
        let (source, target) = text.split_once(':').ok_or_else(wrong)?;
        let target = Path::new(target.trim_start_matches('/'));
        let plain = target.components().all(|component| matches!(component, Component::Normal(_)));
        if source.is_empty() || target.as_os_str().is_empty() || target.as_os_str().as_encoded_bytes().contains(&b':') {
            return Err(wrong());
        }
        if !plain {
            return Err("TARGET must not leave the mount point: no `.` and `..`".to_owned());
        }
        Ok(BindSpec { source: Path::new("/").join(source), target: target.to_owned() })
    }
}

/// The child that binds: it is told by one way of a line, and reports by the other.
pub struct Binder {
    child: Companion<UnixStream>,
}

impl Binder {
    /// Starts the child, if there is anything to bind. To be called before there are threads, and before the mount.
    pub fn start(specs: &[BindSpec], refuses: Refuses) -> io::Result<Option<Binder>> {
        if specs.is_empty() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        let child = Companion::start(c"ptfs-binder", ours, theirs, |line| serve(&line, specs, refuses))?;
        Ok(Some(Binder { child }))
    }

    /// Binds below `mounted`, which is served by now; all or nothing.
    pub fn put_up(&self, mounted: &Mounted) -> Result<(), String> {
        let Some(mut line) = self.child.tie() else { return Ok(()) };
        let place = mounted.path().as_os_str().as_bytes();
        let order = [&mounted.id().to_bytes(), place, &[0]].concat();
        line.write_all(&order).map_err(|error| format!("cannot bind: {error}"))?;
        if !ready_within(line, PATIENCE) {
            return Err(format!("cannot bind: the mount did not answer within {} s", PATIENCE.as_secs()));
        }
        let mut report = Vec::new();
        let read = BufReader::new(line).read_until(0, &mut report);
        match report.split_last() {
            Some((0, [])) => Ok(()),
            Some((0, line)) => Err(String::from_utf8_lossy(line).into_owned()),
            _ => Err(format!("cannot bind: the child that does it is gone ({read:?})")),
        }
    }

    /// Takes all down, and removes what was made to bind on. What could not be done is logged.
    pub fn take_down(self) {
        let Some(line) = self.child.tie() else { return };
        // The end of its orders is the order to end.
        let _ = line.shutdown(Shutdown::Write);
        match read_to_end(line) {
            Some(report) => String::from_utf8_lossy(&report).lines().for_each(|line| tracing::warn!("{line}")),
            None => {
                tracing::warn!("the mount does not answer: what was bound goes with it");
                // So does the child, which is not to be waited for.
                std::mem::forget(self);
            }
        }
    }
}

/// What comes until the other end is closed, `None` if that does not come in time.
fn read_to_end(mut line: &UnixStream) -> Option<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while ready_within(line, PATIENCE) {
        match line.read(&mut buffer) {
            Ok(length @ 1..) => all.extend_from_slice(&buffer[..length]),
            _ => return Some(all),
        }
    }
    None
}

/// What the child does: binds when it is told where the mount is, and takes all down at the end of its orders.
fn serve(mut reports: &UnixStream, specs: &[BindSpec], refuses: Refuses) {
    clear_umask();
    let mut orders = BufReader::new(reports);
    let (mut id, mut point) = ([0; 16], Vec::new());
    if orders.read_exact(&mut id).is_err() || !orders.read_until(0, &mut point).is_ok_and(|_| point.pop() == Some(0)) {
        return; // nothing was mounted
    }
    let root = Root { id: MountId::from_bytes(id), point: PathBuf::from(OsString::from_vec(point)) };
    let mut bound = Vec::new();
    let line = specs.iter().find_map(|spec| match Bound::make(spec, &root, refuses) {
        Ok(one) => {
            bound.push(one);
            None
        }
        Err(line) => Some(line),
    });
    let _ = reports.write_all(&[line.unwrap_or_default().as_bytes(), &[0]].concat());
    let _ = orders.read(&mut [0]);
    while let Some(last) = bound.pop() {
        if let Err(line) = last.take_down(&root) {
            let _ = writeln!(reports, "{line}");
        }
    }
}

/// The mount that is bound into.
struct Root {
    id: MountId,
    point: PathBuf,
}

impl Root {
    /// Opens it. Not for long: it cannot be unmounted while it is open.
    fn open(&self) -> io::Result<OwnedFd> {
        let root = open_path(&self.point)?;
        // Somebody may have unmounted it, or mounted over it.
        if sys::identify_open(root.as_fd())? == self.id { Ok(root) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    // O_PATH opens nothing; the standard library wants an access mode all the same.
    Ok(File::options().read(true).custom_flags(libc::O_PATH).open(path)?.into())
}

/// A bind mount of ours.
struct Bound {
    id: MountId,
    /// In the mount table.
    number: u64,
    made: Vec<Made>,
}

impl Bound {
    fn make(spec: &BindSpec, root: &Root, refuses: Refuses) -> Result<Bound, String> {
        let failed = |error: io::Error| {
            let (source, target) = (spec.source.display(), root.point.join(&spec.target));
            format!("cannot bind {source} to {}: {}", target.display(), because(&error))
        };
        let is_dir = fs::metadata(&spec.source).map_err(failed)?.is_dir();
        let mut made = Vec::new();
        let outcome = Bound::bind(spec, root, is_dir, refuses, &mut made);
        let (id, number) = outcome.map_err(|error| {
            remove(&made, root);
            failed(error)
        })?;
        Ok(Bound { id, number, made })
    }

    fn bind(
        spec: &BindSpec,
        root: &Root,
        is_dir: bool,
        refuses: Refuses,
        made: &mut Vec<Made>,
    ) -> io::Result<(MountId, u64)> {
        let top = root.open()?;
        let target = find_or_make(&top, &spec.target, is_dir, made)?;
        sys::bind(&spec.source, target.as_fd(), refuses)
    }

    fn take_down(self, root: &Root) -> Result<(), String> {
        let outcome = self.unmount();
        remove(&self.made, root);
        outcome
    }

    fn unmount(&self) -> Result<(), String> {
        // Clients may have renamed what lies above it.
        let table = mountinfo::read().map_err(|error| error.to_string())?;
        for place in table.into_iter().filter(|entry| entry.number == self.number).map(|entry| entry.point) {
            let unmounted = open_path(&place).and_then(|found| match sys::identify_open(found.as_fd()) {
                // A way that leads elsewhere by now, or a number that is another's, is not ours to unmount.
                Ok(id) if id == self.id => sys::unmount_open(found.as_fd()),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            });
            unmounted.map_err(|error| format!("cannot unmount {}: {error}", place.display()))?;
        }
        Ok(())
    }
}

fn because(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EXDEV) => "a symbolic link leads out of the mount".to_owned(),
        Some(libc::ENOSYS) => "this kernel cannot do it safely; Linux 5.12 can".to_owned(),
        Some(libc::EPERM) => format!("{error}; only root may"),
        _ => error.to_string(),
    }
}

/// What had to be made to mount on, relative to the root of the mount.
struct Made {
    path: PathBuf,
    is_dir: bool,
}

/// Opens `target` beneath `top`, and makes what is missing of it.
fn find_or_make(top: &OwnedFd, target: &Path, is_dir: bool, made: &mut Vec<Made>) -> io::Result<OwnedFd> {
    let mut found = top.try_clone()?;
    let mut path = PathBuf::new();
    for name in target.components() {
        path.push(name);
        let is_dir = is_dir || path != target;
        found = match beneath::find(top.as_fd(), &path, Mounts::Cross) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_dir {
                    beneath::make_dir(found.as_fd(), name.as_os_str(), 0o755)?;
                } else {
                    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
                    beneath::open(found.as_fd(), name.as_os_str(), flags, 0o644)?;
                }
                made.push(Made { path: path.clone(), is_dir });
                beneath::find(top.as_fd(), &path, Mounts::Cross)?
            }
            found => found?,
        };
    }
    Ok(found)
}

/// Removes what was made, as far as it is empty, and in the mount.
fn remove(made: &[Made], root: &Root) {
    if made.is_empty() {
        return;
    }
    let Ok(top) = root.open() else { return };
    for Made { path, is_dir } in made.iter().rev() {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let Ok(dir) = beneath::find(top.as_fd(), parent, Mounts::Stay) else { continue };
        let _ = match is_dir {
            true => beneath::remove_dir(dir.as_fd(), name),
            false if is_empty_file(&dir, name) => beneath::remove_file(dir.as_fd(), name),
            false => Ok(()),
        };
    }
}

fn is_empty_file(dir: &OwnedFd, name: &OsStr) -> bool {
    let found = beneath::open(dir.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0);
    found.and_then(|file| File::from(file).metadata()).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_and_target_are_told_apart() {
        let spec = |source: &str, target: &str| Ok(BindSpec { source: source.into(), target: target.into() });
        assert_eq!(BindSpec::parse("proc:/proc"), spec("/proc", "proc"));
        assert_eq!(BindSpec::parse("/host/a:b/c"), spec("/host/a", "b/c"));
        assert_eq!(BindSpec::parse("/host/a:/b/c/"), spec("/host/a", "b/c"));
        for wrong in ["/host", ":/a", "/a:", "/a:/", "a:b:c", "/a:../b", "/a:b/../../c", "/a:."] {
            assert!(BindSpec::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_made_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let point = dir.path();
        let root = Root { id: sys::identify(point).expect("there"), point: point.to_owned() };
        let top = root.open().expect("there");
        let make = |target: &str, is_dir| {
            let mut made = Vec::new();
            find_or_make(&top, Path::new(target), is_dir, &mut made).expect("possible");
            made
        };
        let made = make("a/b", true);
        assert!(point.join("a/b").is_dir() && made.len() == 2);
        remove(&made, &root);
        assert!(!point.join("a").exists());
        let made = make("a/file", false);
        assert!(point.join("a/file").is_file());
        fs::write(point.join("a/file"), "somebody's").expect("writable");
        remove(&made, &root);
        assert!(point.join("a/file").is_file(), "not ours any more");
        assert!(make("a/file", false).is_empty(), "never was ours");
    }

    #[test]
    fn another_mount_at_the_same_place_is_not_bound_into() {
        let root = Root { id: sys::identify(Path::new("/proc")).expect("mounted"), point: PathBuf::from("/") };
        assert!(root.open().is_err());
    }

    #[test]
    fn errors_say_what_to_do() {
        let says = |errno| because(&io::Error::from_raw_os_error(errno));
        assert!(says(libc::ENOSYS).contains("Linux 5.12") && says(libc::EPERM).ends_with("only root may"));
        assert!(says(libc::EXDEV).contains("out of the mount") && says(libc::EROFS).contains("Read-only"));
    }
}
