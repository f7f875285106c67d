//! Which way a backing call takes. The figures behind `auto` are in `perf/`.

use crate::core::config::IoMode;

/// A backing call that can take more than one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// openat2(2) of an anchor.
    Anchor,
    /// statx(2) of a held descriptor.
    Stat,
    /// openat(2) of a held inode.
    Open,
    /// pread(2).
    Read,
    /// pwrite(2).
    Write,
    /// What changes names or sizes, or waits for the disk by its nature.
    Slow,
}

/// Where a call runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// On the worker, whatever it takes.
    Inline,
    /// On the worker if the answer is in memory (RESOLVE_CACHED, RWF_NOWAIT), else on the ring.
    Probe,
    /// On the ring.
    Ring,
}

/// `local`: every filesystem met waits for nothing but a local disk. On others even a held inode may have to be asked
/// for over a network.
pub fn way(mode: IoMode, call: Call, local: bool) -> Way {
    match (mode, call) {
        (IoMode::Ring, _) => Way::Ring,
        (IoMode::Inline, _) => Way::Inline,
        (IoMode::Auto, Call::Slow) => Way::Ring,
        (IoMode::Auto, _) if !local => Way::Ring,
        (IoMode::Auto, Call::Stat | Call::Open) => Way::Inline,
        (IoMode::Auto, Call::Anchor | Call::Read | Call::Write) => Way::Probe,
    }
}
