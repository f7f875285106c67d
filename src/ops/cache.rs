//! What the kernel may keep of a file or directory that it opens.

use crate::core::Core;
use crate::core::config::CachePolicy;
use crate::protocol::abi::{FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_PARALLEL_DIRECT_WRITES};

/// `FOPEN_*` of a regular file. `unchanged`: the host's file is what it was at the last open, and so are the kernel's
/// pages of it.
pub fn of_file(core: &Core, unchanged: bool) -> u32 {
    match core.config.cache_policy {
        CachePolicy::Never | CachePolicy::Metadata => UNCACHED,
        CachePolicy::Always => FOPEN_KEEP_CACHE,
        CachePolicy::Auto if unchanged => FOPEN_KEEP_CACHE,
        CachePolicy::Auto => 0,
    }
}

/// Every read and write comes to the daemon; the host orders writes that come at the same time. Maps still work, by
/// `DIRECT_IO_ALLOW_MMAP`.
pub const UNCACHED: u32 = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;

/// `FOPEN_*` of a directory.
pub fn of_directory(core: &Core, unchanged: impl FnOnce() -> bool) -> u32 {
    match core.config.cache_policy {
        CachePolicy::Metadata | CachePolicy::Always => FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE,
        CachePolicy::Auto if !core.config.cache_readdir => 0,
        CachePolicy::Auto if unchanged() => FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE,
        CachePolicy::Auto => FOPEN_CACHE_DIR,
        CachePolicy::Never => 0,
    }
}
