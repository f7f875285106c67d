//! `--pidfile`: one daemon's number in a file, for as long as it serves.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that holds our number, locked. Dropping it removes it.
///
/// The lock tells a file of a running daemon from one that a killed daemon left: its number may be another's by now.
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Refuses if a running daemon has the file.
    pub fn check(path: &Path) -> Result<(), String> {
        match File::open(path) {
            // Shared, so that two that only look do not take each other for a daemon.
            Ok(file) => taken(file.try_lock_shared(), &file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unusable(path, &error)),
        }
    }

    /// Writes our number.
    pub fn write(path: &Path) -> Result<PidFile, String> {
        let mut options = OpenOptions::new();
        // A link there may have been laid by somebody else, to have root write where it leads.
        options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(libc::O_NOFOLLOW);
        let mut file = loop {
            let file = options.open(path).map_err(|error| unusable(path, &error))?;
            taken(file.try_lock(), &file, path)?;
            // A daemon that ended meanwhile has removed it: then this is no pid file any more.
            if is_at(&file, path) {
                break file;
            }
        };
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| unusable(path, &error))?;
        Ok(PidFile { path: path.to_owned(), file })
    }

    /// Removes the file, unless another has taken its place.
    pub fn remove(&self) {
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether the file is the one that the path leads to.
fn is_at(file: &File, path: &Path) -> bool {
    let (ours, found) = (file.metadata(), fs::symlink_metadata(path));
    matches!((ours, found), (Ok(ours), Ok(found)) if (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
}

fn taken(locked: Result<(), TryLockError>, mut file: &File, path: &Path) -> Result<(), String> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let pid = text.trim();
            Err(format!("{} belongs to a daemon that runs (process {pid})", path.display()))
        }
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> String {
    format!("cannot use the pid file {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_daemons() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        PidFile::check(&path).expect("nobody has it");
        assert!(!path.exists());
        fs::write(&path, "1\n").expect("what a killed daemon left");
        PidFile::check(&path).expect("nobody has it locked");
        let held = PidFile::write(&path).expect("free");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{}\n", std::process::id()));
        let error = PidFile::check(&path).expect_err("held");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(PidFile::write(&path).is_err());
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, target) = (dir.path().join("pid"), dir.path().join("target"));
        fs::write(&target, "precious").expect("new");
        std::os::unix::fs::symlink(&target, &path).expect("new");
        assert!(PidFile::write(&path).is_err());
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious");
    }

    #[test]
    fn another_file_in_its_place_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        let held = PidFile::write(&path).expect("free");
        fs::rename(&path, dir.path().join("moved")).expect("there");
        fs::write(&path, "another's").expect("new");
        drop(held);
        assert!(path.exists());
    }
}
