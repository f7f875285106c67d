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

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: [Call; 6] = [Call::Anchor, Call::Stat, Call::Open, Call::Read, Call::Write, Call::Slow];

    #[test]
    fn auto_never_blocks_a_worker_on_a_remote_filesystem_or_a_slow_call() {
        assert!(CALLS.iter().all(|&call| way(IoMode::Auto, call, false) == Way::Ring));
        assert_eq!(way(IoMode::Auto, Call::Slow, true), Way::Ring);
        assert_eq!(way(IoMode::Auto, Call::Read, true), Way::Probe);
    }

    #[test]
    fn the_other_modes_do_as_they_say() {
        for local in [false, true] {
            assert!(CALLS.iter().all(|&call| way(IoMode::Ring, call, local) == Way::Ring));
            assert!(CALLS.iter().all(|&call| way(IoMode::Inline, call, local) == Way::Inline));
        }
    }
}
