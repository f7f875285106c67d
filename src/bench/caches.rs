//! Bringing the caches into a known state, and looking whether they are.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::stop::Stop;
use crate::sys::{mount, pages};

/// Files that are looked at to tell how warm all are.
const SAMPLES: usize = 64;
/// Above this part of the data in memory a workload is warm.
const WARM: f64 = 0.95;
/// Below this it is cold.
const COLD: f64 = 0.05;
/// The kernel may keep what it is told to forget, while somebody looks at it.
const TRIES: usize = 3;

/// The caches of one workload's files.
pub struct Caches {
    /// Through the target.
    directory: PathBuf,
    /// The same on the host, where that is another path.
    host: Option<PathBuf>,
    read_once: bool,
}

impl Caches {
    /// Of the files below `directory`, which are those below `host`.
    pub fn of(directory: &Path, host: Option<PathBuf>) -> Caches {
        Caches { directory: directory.to_owned(), host, read_once: false }
    }

    /// Asks for everything once. What is to be said.
    pub fn warm(&mut self, stop: &Stop) -> Vec<String> {
        let all = files(&self.directory, stop);
        // What counts is memory that holds the data at all: a server may keep the client's kernel from caching.
        let within = self.host.clone().unwrap_or_else(|| self.directory.clone());
        let resident = || resident(&self.sample(&all, &within));
        if self.read_once && resident().is_none_or(|part| part >= WARM) {
            return Vec::new();
        }
        for file in &all {
            if stop.is_set() {
                return Vec::new();
            }
            let _ = read_whole(file);
        }
        let part = resident();
        self.read_once = true;
        part.filter(|&part| part < WARM).map(warm_in_vain).into_iter().collect()
    }

    /// Has the kernel forget everything, and whether it could be told so of all caches. What is to be said.
    pub fn chill(&self, stop: &Stop) -> (Vec<String>, bool) {
        self.give_up(stop);
        let all = files(&self.directory, stop);
        let mut left = None;
        let mut whole = false;
        for _ in 0..TRIES {
            whole = self.give_up(stop);
            // The host's side first, since looking at the other brings it back.
            let sides = self.host.iter().chain([&self.directory]);
            left = sides.filter_map(|side| resident(&self.sample(&all, side))).reduce(f64::max);
            // Looking has warmed names.
            whole &= self.give_up(stop);
            if stop.is_set() || left.is_none_or(|part| part <= COLD) {
                break;
            }
        }
        (left.filter(|&part| part > COLD).map(chill_in_vain).into_iter().collect(), whole)
    }

    /// False if some caches are out of reach for who is not root.
    fn give_up(&self, stop: &Stop) -> bool {
        // What is dirty stays.
        mount::sync_everything();
        if pages::forget_everything().is_ok() {
            return true;
        }
        for side in self.host.iter().chain([&self.directory]) {
            for file in files(side, stop).iter().filter_map(|file| File::open(file).ok()) {
                let _ = pages::forget(&file);
            }
        }
        false
    }

    /// Some of `all`, as they are called below `side`.
    fn sample(&self, all: &[PathBuf], side: &Path) -> Vec<PathBuf> {
        let step = all.len().div_ceil(SAMPLES).max(1);
        let below = all.iter().step_by(step).filter_map(|file| file.strip_prefix(&self.directory).ok());
        below.map(|file| side.join(file)).collect()
    }
}

fn warm_in_vain(part: f64) -> String {
    format!("asks for warm caches, but only {:.0} % of the files' data are in memory", part * 100.0)
}

fn chill_in_vain(part: f64) -> String {
    format!("asks for cold caches, but {:.0} % of the files' data stay in memory, as they do on tmpfs", part * 100.0)
}

/// All regular files below a directory. What vanishes meanwhile is left out.
fn files(directory: &Path, stop: &Stop) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        if stop.is_set() {
            break;
        }
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // Asks for the attributes of each, which is what warming is about.
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) if metadata.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

fn read_whole(file: &Path) -> io::Result<()> {
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// The part of these files' data that is in memory. None if nobody can tell, or there are no data.
fn resident(files: &[PathBuf]) -> Option<f64> {
    let counts = files.iter().filter_map(|file| pages::resident(&File::open(file).ok()?).ok());
    let (there, all) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    (all > 0).then(|| there as f64 / all as f64)
}
