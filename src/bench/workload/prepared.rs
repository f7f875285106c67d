//! Laying out the files of a workload, and what is known of them afterwards.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::content::{Content, Place, mix};
use super::spec::{Call, Files, Kind, Spec};
use super::{Workload, script};
use crate::bench::stop::Stop;

/// Where the prepared files are, below a workload's directory.
pub const TREE: &str = "tree";
/// Where operations make files of their own.
pub const WORK: &str = "work";
/// Permissions of every prepared file, whatever the umask.
pub const MODE: u32 = 0o644;
/// Files are written by pieces of this size.
const PIECE: usize = 1 << 20;
/// What scaling leaves of the count, and then of the size, if there was as much.
const FEWEST: u64 = 16;
const SMALLEST: u64 = 64 << 10;
/// The same in blocks: there must be some for every client and every request in flight.
const FEWEST_BLOCKS: u64 = 8;

/// Which files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub size: u64,
    /// How many share a directory.
    pub per_directory: u64,
}

/// What a workload has laid out below a directory, and what is known of it. It holds no descriptor, so that the mount
/// may come and go between rounds.
pub struct Prepared {
    pub(in crate::bench) spec: Arc<Spec>,
    pub(in crate::bench) dir: PathBuf,
    pub(in crate::bench) layout: Layout,
    pub(in crate::bench) content: Content,
    /// The files relative to `TREE`, by number.
    pub(in crate::bench) names: Arc<[CString]>,
}

impl Layout {
    /// First there are fewer files, then smaller ones, as multiples of `block`.
    pub fn scaled(files: &Files, scale: f64, block: u64) -> Layout {
        let count = shrink(files.count, scale, FEWEST);
        let left = scale * files.count as f64 / count.max(1) as f64;
        let size = shrink(files.size.0, left, SMALLEST.max(block * FEWEST_BLOCKS));
        let size = if block > 0 { size.next_multiple_of(block) } else { size };
        Layout { count, size: if left < 1.0 { size } else { files.size.0 }, per_directory: files.per_directory }
    }

    /// How many directories the files are in.
    pub fn directories(&self) -> u64 {
        self.count.div_ceil(self.per_directory)
    }

    /// A directory's name.
    pub fn directory(number: u64) -> String {
        format!("d{number:05}")
    }

    /// A file's name in its directory.
    pub fn file(number: u64) -> String {
        format!("f{number:07}")
    }

    /// The numbers of the files in a directory.
    pub fn files_of(&self, directory: u64) -> std::ops::Range<u64> {
        directory * self.per_directory..((directory + 1) * self.per_directory).min(self.count)
    }

    fn path(&self, number: u64) -> String {
        format!("{}/{}", Layout::directory(number / self.per_directory), Layout::file(number))
    }
}

/// Where a content-addressed store keeps something: a directory by the first byte of its hash.
pub fn hashed_path(number: u64) -> String {
    let hash = mix(number);
    format!("{:02x}/{:014x}", hash >> 56, hash & (u64::MAX >> 8))
}

/// `scale` of `n`, but not below `least`; and never more than `n` by that rule.
fn shrink(n: u64, scale: f64, least: u64) -> u64 {
    ((n as f64 * scale).round() as u64).max(least.min(n))
}

impl Prepared {
    pub(super) fn new(workload: &Workload, dir: &Path, scale: f64, stop: &Stop) -> Result<Prepared, String> {
        let spec = workload.spec.clone();
        let block = spec.operation.as_ref().map_or(0, |op| op.get_ref().block() as u64);
        let layout = Layout::scaled(spec.files.get_ref(), scale, block);
        let hashed = spec.operation.as_ref().is_some_and(|op| op.get_ref().call() == Call::BuildCache);
        let name = |number| if hashed { hashed_path(number) } else { layout.path(number) };
        let names = (0..layout.count).map(|number| CString::new(name(number)));
        let prepared = Prepared {
            content: Content::new(seed(), spec.files.get_ref().content == Kind::Text),
            names: names.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            dir: dir.to_path_buf(),
            layout,
            spec,
        };
        script::check_needs(&prepared.spec)?;
        prepared.lay_out(stop)?;
        script::set_up(&prepared, stop)?;
        Ok(prepared)
    }

    /// A path below its directory.
    pub(in crate::bench) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn lay_out(&self, stop: &Stop) -> Result<(), String> {
        let tree = self.path(TREE);
        make_directory(&tree)?;
        make_directory(&self.path(WORK))?;
        let mut made = HashSet::new();
        let mut buffer = vec![0; PIECE.min(self.layout.size as usize)];
        for (number, name) in (0..).zip(self.names.iter()) {
            if stop.is_set() {
                return Err("interrupted".to_owned());
            }
            let path = tree.join(OsStr::from_bytes(name.to_bytes()));
            if let Some(parent) = path.parent().filter(|parent| !made.contains(*parent)) {
                make_directory(parent)?;
                made.insert(parent.to_path_buf());
            }
            self.write_file(&path, number, &mut buffer)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn write_file(&self, path: &Path, number: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        let mut offset = 0;
        while offset < self.layout.size {
            let length = (self.layout.size - offset).min(buffer.len() as u64) as usize;
            self.content.fill(Place { file: number, offset, version: 0 }, &mut buffer[..length]);
            file.write_all(&buffer[..length])?;
            offset += length as u64;
        }
        file.set_permissions(Permissions::from_mode(MODE))
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    fs::create_dir(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

/// Another one for each preparation, so that what an earlier run has left behind is not taken for its own.
pub fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    mix(since.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40))
}

#[cfg(test)]
mod tests {
    use super::super::spec::Size;
    use super::*;

    fn scaled(count: u64, size: u64, scale: f64, block: u64) -> (u64, u64) {
        let files = Files { count, size: Size(size), per_directory: 100, content: Kind::Bytes };
        let layout = Layout::scaled(&files, scale, block);
        (layout.count, layout.size)
    }

    #[test]
    fn scaling_takes_files_first_and_then_bytes() {
        assert_eq!(scaled(1000, 4096, 1.0, 0), (1000, 4096));
        assert_eq!(scaled(1000, 4096, 0.1, 0), (100, 4096));
        assert_eq!(scaled(1000, 4096, 0.001, 0), (16, 4096));
        assert_eq!(scaled(4, 64 << 20, 0.5, 4096), (4, 32 << 20));
        assert_eq!(scaled(4, 64 << 20, 0.000_001, 1 << 20), (4, 8 << 20));
        assert_eq!(scaled(4, 1 << 20, 0.33, 4096).1 % 4096, 0);
        assert_eq!(scaled(10, 4096, 2.0, 0), (20, 4096));
        assert_eq!(scaled(0, 0, 0.01, 0), (0, 0));
        assert_eq!(scaled(100, 10, 0.01, 0), (16, 10));
    }

    #[test]
    fn each_file_is_in_one_directory() {
        let layout = Layout { count: 250, size: 0, per_directory: 100 };
        assert_eq!(layout.directories(), 3);
        assert_eq!(layout.files_of(2), 200..250);
        assert_eq!(layout.path(199), "d00001/f0000199");
    }
}
