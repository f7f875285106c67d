//! `ptfs-bench`: measures any mount, and distrusts what it measures.

pub mod load;
pub mod report;
pub mod result;
pub mod stop;
pub mod workload;
