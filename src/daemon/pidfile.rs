//! `--pidfile`: one daemon's number in a file, for as long as it serves.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sys::beneath;

/// Where the number is to be written.
#[derive(Clone)]
pub struct Place {
    /// Open since before the mount: what has come into the way by then, perhaps the mount itself, is not asked.
    dir: Arc<OwnedFd>,
    name: OsString,
    /// To be shown.
    path: PathBuf,
}

impl Place {
    /// Finds it. To be called before the mount is made.
    pub fn find(path: &Path) -> Result<Place, String> {
        let name =
            path.file_name().ok_or_else(|| format!("cannot use the pid file {}: it is a directory", path.display()))?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir);
        let dir = dir.map_err(|error| unusable(path, &error))?;
        Ok(Place { dir: Arc::new(dir.into()), name: name.to_owned(), path: path.to_owned() })
    }

    /// Refuses if a running daemon has the file.
    pub fn check(&self) -> Result<(), String> {
        match self.open(libc::O_RDONLY) {
            // Shared, so that two that only look do not take each other for a daemon.
            Ok(file) => self.taken(file.try_lock_shared(), &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unusable(&self.path, &error)),
        }
    }

    /// Writes our number.
    pub fn write(&self) -> Result<PidFile, String> {
        let unusable = |error| unusable(&self.path, &error);
        let mut file = loop {
            let file = self.open(libc::O_RDWR | libc::O_CREAT).map_err(unusable)?;
            self.taken(file.try_lock(), &file)?;
            // A daemon that ended meanwhile has removed it: then this is no pid file any more.
            if self.is_at(&file) {
                break file;
            }
        };
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unusable)?;
        Ok(PidFile { place: self.clone(), file })
    }

    fn open(&self, flags: libc::c_int) -> io::Result<File> {
        // A link there may have been laid by somebody else, to have root write where it leads. A FIFO would be waited at.
        let flags = flags | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::from(beneath::open(self.dir.as_fd(), &self.name, flags, 0o644)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
    }

    /// Whether the file is the one that the path leads to.
    fn is_at(&self, file: &File) -> bool {
        let found = beneath::open(self.dir.as_fd(), &self.name, libc::O_PATH | libc::O_NOFOLLOW, 0);
        let (ours, found) = (file.metadata(), found.and_then(|found| File::from(found).metadata()));
        matches!((ours, found), (Ok(ours), Ok(found)) if (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
    }

    fn taken(&self, locked: Result<(), TryLockError>, mut file: &File) -> Result<(), String> {
        match locked {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let pid = text.trim();
                Err(format!("{} belongs to a daemon that runs (process {pid})", self.path.display()))
            }
            Err(TryLockError::Error(error)) => Err(unusable(&self.path, &error)),
        }
    }
}

/// A file that holds our number, locked. Dropping it removes it.
///
/// The lock tells a file of a running daemon from one that a killed daemon left: its number may be another's by now.
pub struct PidFile {
    place: Place,
    file: File,
}

impl PidFile {
    /// Removes the file, unless another has taken its place.
    pub fn remove(&self) {
        if self.place.is_at(&self.file) {
            let _ = beneath::remove_file(self.place.dir.as_fd(), &self.place.name);
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn unusable(path: &Path, error: &io::Error) -> String {
    format!("cannot use the pid file {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn place(path: &Path) -> Place {
        Place::find(path).expect("its directory is there")
    }

    #[test]
    fn a_file_is_one_daemons() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        let place = place(&path);
        place.check().expect("nobody has it");
        assert!(!path.exists());
        fs::write(&path, "1\n").expect("what a killed daemon left");
        place.check().expect("nobody has it locked");
        let held = place.write().expect("free");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{}\n", std::process::id()));
        let error = place.check().expect_err("held");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(place.write().is_err());
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, target) = (dir.path().join("pid"), dir.path().join("target"));
        fs::write(&target, "precious").expect("new");
        std::os::unix::fs::symlink(&target, &path).expect("new");
        assert!(place(&path).check().is_err() && place(&path).write().is_err());
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious");
    }

    #[test]
    fn another_file_in_its_place_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        let held = place(&path).write().expect("free");
        fs::rename(&path, dir.path().join("moved")).expect("there");
        fs::write(&path, "another's").expect("new");
        drop(held);
        assert!(path.exists());
    }

    /// What is mounted over the directory, or made of its path, meanwhile.
    #[test]
    fn the_directory_stays_the_one_that_was_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        fs::create_dir(&before).expect("new");
        let place = place(&before.join("pid"));
        fs::rename(&before, &after).expect("there");
        let held = place.write().expect("free");
        assert!(after.join("pid").exists());
        drop(held);
        assert!(!after.join("pid").exists());
    }
}
