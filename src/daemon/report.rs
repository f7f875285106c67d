//! What SIGUSR1 and `--stats-at-exit` print, and the memory that is given back meanwhile.

use std::fs;

use super::observe::Observed;
use super::say;
use crate::core::Core;
use crate::sys::process::{page_size, trim_heap};

/// Prints the table of latencies, and what the daemon holds.
pub fn say_report(observed: &Observed) {
    let Observed { stats, core, .. } = observed;
    say(format_args!("latency from reaping a request to its answer\n{}\n{}", stats.snapshot(), gauges(core)));
}

fn gauges(core: &Core) -> String {
    let nodes = &core.nodes;
    format!(
        "nodes {}, node fds {} (pinned {}), open files {}, fd budget {}, resident memory {} KiB",
        nodes.len(),
        nodes.fds(),
        nodes.pinned_fds(),
        core.handles.len(),
        core.config.fd_budget,
        resident().map_or("?".to_owned(), |bytes| (bytes >> 10).to_string()),
    )
}

/// Bytes of memory that this process has resident.
pub fn resident() -> Option<u64> {
    // The second field is in pages.
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::from(page_size()))
}

/// Notices when the kernel has forgotten most nodes, and then has the allocator give their memory back to the system;
/// by itself it does so for the end of its heap only, and a single node that is left there holds all the rest. (200,000
/// nodes, then `drop_caches`: 31 MB resident, for good; 9.6 MB after a trim.)
#[derive(Default)]
pub struct Trimmer {
    /// The most nodes that were seen since the last time.
    peak: usize,
}

/// A trim takes milliseconds and the heap's locks; fewer nodes are not worth it.
const WORTH_IT: usize = 10_000;

impl Trimmer {
    /// To be told the number of nodes now and then.
    pub fn look(&mut self, nodes: usize) {
        if self.is_due(nodes) {
            trim_heap();
            tracing::debug!("{nodes} nodes are left: gave back memory");
        }
    }

    fn is_due(&mut self, nodes: usize) -> bool {
        self.peak = self.peak.max(nodes);
        let due = nodes < self.peak / 2 && self.peak - nodes > WORTH_IT;
        if due {
            self.peak = nodes;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_after_most_nodes_went() {
        let mut trimmer = Trimmer::default();
        let looks = [10, 9_000, 100, 100_000, 60_000, 49_999, 49_000, 24_000, 10_000, 0, 0, 90_000, 40_000];
        let due: Vec<usize> = looks.into_iter().filter(|&nodes| trimmer.is_due(nodes)).collect();
        assert_eq!(due, [49_999, 24_000, 10_000, 40_000]);
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident().is_some_and(|bytes| bytes > 100 << 10));
    }
}
