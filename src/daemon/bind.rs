//! `--bind SRC:TARGET`: bind mounts inside the mount, made once it answers and taken down before it goes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use crate::sys::mount::{self as sys, MountId};

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

/// A bind mount of ours. Dropping it takes it down, and removes what was made for it.
pub struct Bound {
    target: PathBuf,
    id: MountId,
    // Last: what is mounted on cannot be removed.
    _made: Made,
}

impl Bound {
    /// Binds below `point`, which is served by now.
    pub fn make(spec: &BindSpec, point: &Path) -> Result<Bound, String> {
        let target = point.join(&spec.target);
        let failed = |why: String| format!("cannot bind {} to {}: {why}", spec.source.display(), target.display());
        let because = |error: io::Error| {
            let hint = if error.raw_os_error() == Some(libc::EPERM) { "; only root may" } else { "" };
            failed(format!("{error}{hint}"))
        };
        let is_dir = fs::metadata(&spec.source).map_err(because)?.is_dir();
        let made = Made::at(&target, point, is_dir).map_err(because)?;
        // Symbolic links of the served tree are followed, but not out of the mount.
        let found = fs::canonicalize(&target).map_err(because)?;
        if !found.starts_with(point) {
            return Err(failed(format!("a symbolic link leads out of the mount, to {}", found.display())));
        }
        sys::bind(&spec.source, &found).map_err(because)?;
        match sys::identify(&found) {
            Ok(id) => Ok(Bound { target: found, id, _made: made }),
            Err(error) => {
                let _ = sys::unmount(&found, true);
                Err(because(error))
            }
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Somebody may have taken it down, and mounted there anew.
        if sys::identify(&self.target).is_ok_and(|found| found == self.id)
            && let Err(error) = sys::unmount(&self.target, true)
        {
            tracing::warn!("cannot unmount {}: {error}", self.target.display());
        }
    }
}

/// The directories, and the file, that had to be made to mount on. Dropping it removes them if they are empty.
struct Made {
    /// What they were made in: when that is gone, their paths lead elsewhere.
    within: MountId,
    dirs: Vec<PathBuf>,
    file: Option<PathBuf>,
}

impl Made {
    fn at(target: &Path, point: &Path, is_dir: bool) -> io::Result<Made> {
        let mut made = Made { within: sys::identify(point)?, dirs: Vec::new(), file: None };
        let parent = target.parent().filter(|parent| parent.starts_with(point)).unwrap_or(point);
        let dirs = if is_dir { target } else { parent };
        let missing: Vec<&Path> = dirs.ancestors().take_while(|dir| !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            DirBuilder::new().mode(0o755).create(dir)?;
            made.dirs.push(dir.to_owned());
        }
        if !is_dir && !target.exists() {
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(target)?;
            made.file = Some(target.to_owned());
        }
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let is_ours =
            |path: &Path| path.parent().is_some_and(|dir| sys::identify(dir).is_ok_and(|id| id == self.within));
        if let Some(path) = &self.file
            && is_ours(path)
            && File::open(path).and_then(|file| file.metadata()).is_ok_and(|meta| meta.len() == 0)
        {
            let _ = fs::remove_file(path);
        }
        for dir in self.dirs.iter().rev().filter(|dir| is_ours(dir)) {
            let _ = fs::remove_dir(dir);
        }
    }
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
        drop(Made::at(&point.join("a/b"), point, true).expect("new"));
        assert!(!point.join("a").exists());
        let made = Made::at(&point.join("a/file"), point, false).expect("new");
        assert!(point.join("a/file").is_file());
        fs::write(point.join("a/file"), "somebody's").expect("writable");
        drop(made);
        assert!(point.join("a/file").is_file(), "not ours any more");
        drop(Made::at(&point.join("a/file"), point, false).expect("is there"));
        assert!(point.join("a/file").is_file(), "never was ours");
    }
}
