//! What people read: every report is made from [`Results`] alone, so that it can be made again from `--json`.

use std::io;
use std::path::Path;

use super::result::Results;

pub mod compare;
pub mod stats;

/// The table for a terminal, at most 120 columns wide.
pub fn table(_results: &Results, _colour: bool) -> String {
    String::new()
}

/// One line a round.
pub fn csv(_results: &Results) -> String {
    String::new()
}

/// A page that needs no network.
pub fn html(_results: &Results) -> String {
    String::new()
}

/// Writes a file for each cell into `dir`, which is made.
pub fn write_hgrm(_results: &Results, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)
}
