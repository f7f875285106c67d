//! Files of the daemon's own must not lie in its mount: it would wait for itself.

use std::io;
use std::path::{Path, PathBuf};

use super::cli::Serve;

/// Refuses a pid file or a log file below the mount point.
pub fn check(wanted: &Serve) -> Result<(), String> {
    for (flag, path) in [("--pidfile", &wanted.pidfile), ("--log-file", &wanted.log_file)] {
        if let Some(path) = path
            && lies_below(path, &wanted.mountpoint)
        {
            let (path, point) = (path.display(), wanted.mountpoint.display());
            return Err(format!("{flag}={path} lies below the mount point {point}: choose a place outside of it"));
        }
    }
    Ok(())
}

/// Whether the mount will be on the way to `path`. What cannot be found out is said later, when it is opened.
fn lies_below(path: &Path, point: &Path) -> bool {
    matches!((resolve(path), resolve(point)), (Ok(path), Ok(point)) if path.starts_with(&point))
}

/// Where a path leads whose end may not be there yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                Ok(resolve(parent)?.join(name))
            }
            _ => Err(error),
        },
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn below_is_below_by_every_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("mnt/sub")).expect("new");
        fs::create_dir(at("other")).expect("new");
        symlink(at("mnt/sub"), at("link")).expect("new");
        symlink("mnt", at("mount-link")).expect("new");
        symlink(at("mnt/sub/pid"), at("other/pid")).expect("new");
        let below = |path: &str, point: &str| lies_below(&at(path), &at(point));
        for path in ["mnt/pid", "mnt/sub/pid", "link/pid", "other/../mnt/pid", "link/../pid", "mnt/no/such/dir/pid"] {
            for point in ["mnt", "mount-link", "other/../mnt", "mnt/"] {
                assert!(below(path, point), "{path} {point}");
            }
        }
        assert!(below("new/pid", "new"), "what is to be made");
        for path in ["pid", "mnt2/pid", "mnt/../pid", "other/new"] {
            assert!(!below(path, "mnt"), "{path}");
        }
    }
}
