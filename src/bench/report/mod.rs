//! What people read: every report is made from [`Results`](super::result::Results) alone, so that it can be made again
//! from `--json`.

pub mod compare;
mod csv;
#[cfg(test)]
mod fixture;
mod grid;
mod hgrm;
mod html;
mod human;
mod notes;
pub mod stats;
mod summary;
mod table;

pub use csv::csv;
pub use hgrm::write_hgrm;
pub use html::html;
pub use table::table;
