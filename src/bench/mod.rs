//! `ptfs-bench`: measures any mount, and distrusts what it measures.

pub mod report;
pub mod result;
