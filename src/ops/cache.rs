//! What the kernel may keep of a file or directory that it opens.

use crate::core::Core;
use crate::core::attr::Stat;
use crate::core::config::CachePolicy;
use crate::core::handles::File;
use crate::core::ids::NodeId;
use crate::core::nodes::Pin;
use crate::protocol::abi::{FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_PARALLEL_DIRECT_WRITES};

/// Whether the kernel's pages of a file that is being opened may stay: the host's file is what it was at the last such
/// look, or others are writing it here.
///
/// While a WRITE is under way its pages must stay, whatever else has changed: dropped, they would be read again before it
/// arrives, and then be old for good. What the host changes meanwhile is seen by the first open after the last writer.
pub fn keeps_pages(core: &Core, pin: &Pin<'_>, stat: &Stat) -> bool {
    core.handles.is_written(pin.nodeid()) || pin.content_unchanged(stat.content_key())
}

/// Something is read through a file: whatever the kernel was to drop at its open, it has.
pub fn is_read(core: &Core, nodeid: NodeId, file: &File<'_>) {
    if let Some(content) = file.has_dropped()
        && let Ok(pin) = core.nodes.pin(nodeid)
    {
        pin.settle(content);
    }
}

/// `FOPEN_*` of a regular file; `kept` says whether the kernel's pages of it may stay.
pub fn of_file(core: &Core, kept: bool) -> u32 {
    match core.config.cache_policy {
        CachePolicy::Never | CachePolicy::Metadata => UNCACHED,
        CachePolicy::Always => FOPEN_KEEP_CACHE,
        CachePolicy::Auto if kept => FOPEN_KEEP_CACHE,
        CachePolicy::Auto => 0,
    }
}

/// Every read and write comes to the daemon; the host orders writes that come at the same time. Maps still work, by
/// `DIRECT_IO_ALLOW_MMAP`.
pub const UNCACHED: u32 = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;

/// `FOPEN_*` of a directory; `kept` says whether the kernel's listing of it may stay.
pub fn of_directory(core: &Core, kept: bool) -> u32 {
    match core.config.cache_policy {
        CachePolicy::Metadata | CachePolicy::Always => FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE,
        CachePolicy::Auto if !core.config.cache_readdir => 0,
        CachePolicy::Auto if kept => FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE,
        CachePolicy::Auto => FOPEN_CACHE_DIR,
        CachePolicy::Never => 0,
    }
}
