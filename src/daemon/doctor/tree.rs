//! Files of the system, which lie below a directory of their own in tests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// The root of the tree that absolute names are looked up in.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The system itself is `Tree::new("/")`.
    pub fn new(root: impl Into<PathBuf>) -> Tree {
        Tree { root: root.into() }
    }

    /// Whether this is the system itself.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name.trim_start_matches('/'))
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The whole text, if there is any.
    pub fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// The same without the line end, for what holds one value.
    pub fn value(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    /// A value that is a number.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.value(name)?.parse().ok()
    }

    /// The whole text of what was compressed.
    pub fn unzipped(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        GzDecoder::new(File::open(self.path(name)).ok()?).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The texts of all files of a directory.
    pub fn texts_in(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect()
    }

    /// The text of a file that may be missing.
    pub fn text_or_none(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a file this text; `None` removes it. A file that is there keeps its owner and mode: sysfs knows no other
    /// way, and /etc should not notice.
    pub fn put(&self, name: &str, text: Option<&str>) -> io::Result<()> {
        let path = self.path(name);
        let Some(text) = text else { return fs::remove_file(path) };
        // sysfs and procfs refuse to create, also what is there.
        let create = !path.exists();
        let mut file = OpenOptions::new().write(true).truncate(true).create(create).open(path)?;
        file.write_all(text.as_bytes())
    }

    /// Makes the directory of a file. Gives the names of those that were missing, outermost first.
    pub fn make_room_for(&self, name: &str) -> io::Result<Vec<String>> {
        let above: Vec<&str> = name.match_indices('/').skip(1).map(|(at, _)| &name[..at]).collect();
        let missing: Vec<String> =
            above.into_iter().filter(|directory| !self.has(directory)).map(str::to_owned).collect();
        missing.iter().try_for_each(|directory| fs::create_dir(self.path(directory)))?;
        Ok(missing)
    }

    /// Removes a directory if nothing is in it.
    pub fn remove_if_empty(&self, name: &str) {
        let _ = fs::remove_dir(self.path(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(directory.path());
        let file = File::create(tree.path("/config.gz")).expect("new");
        let mut zip = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        zip.write_all(b"CONFIG_IO_URING=y\n").and_then(|()| zip.finish()).expect("room");
        assert_eq!(tree.unzipped("/config.gz").as_deref(), Some("CONFIG_IO_URING=y\n"));
        tree.put("/config.gz", Some("plain")).expect("ours");
        assert_eq!((tree.unzipped("/config.gz"), tree.unzipped("/none")), (None, None));
    }

    #[test]
    fn only_missing_directories_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(directory.path());
        assert_eq!(tree.make_room_for("/a/b/file").expect("room"), ["/a", "/a/b"]);
        assert!(tree.make_room_for("/a/b/file").expect("room").is_empty());
        assert!(!tree.is_real() && Tree::new("/").is_real());
    }
}
