//! What people read: every report is made from [`Results`](super::result::Results) alone, so that it can be made again
//! from `--json`.

pub mod compare;
mod csv;
#[cfg(test)]
mod fixture;
mod grid;
mod hgrm;
mod human;
mod notes;
pub mod stats;
mod summary;
mod table;

pub use csv::csv;
pub use hgrm::write_hgrm;
pub use table::table;

/// A page that needs no network.
pub fn html(_results: &super::result::Results) -> String {
    String::new()
}
