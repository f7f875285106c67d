//! What the document says beside what was recorded: who serves what, and what is held now.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::core::Core;
use crate::daemon::report::resident;
use crate::stats::doc::{Document, Holds, MountFacts};
use crate::stats::{Snapshot, Stats};

/// A mount as those who report on it see it.
pub struct Observed {
    /// What its workers record.
    pub stats: Arc<Stats>,
    /// What it holds.
    pub core: Arc<Core>,
    serving: OnceLock<(MountFacts, Instant)>,
}

impl Observed {
    /// A mount that is not served yet.
    pub fn new(stats: Arc<Stats>, core: Arc<Core>) -> Observed {
        Observed { stats, core, serving: OnceLock::new() }
    }

    /// It is served now: `facts` but for `pid`, `version` and `uptime`.
    pub fn serves(&self, facts: MountFacts) {
        // That comes once.
        let _ = self.serving.set((facts, Instant::now()));
    }

    /// All that there is to tell now, of the time since the start or the last reset.
    pub fn document(&self) -> Document {
        self.tell(&self.stats.snapshot())
    }

    /// All that there is to tell until now; from here on it begins anew.
    pub fn reset(&self) -> Document {
        self.tell(&self.stats.reset())
    }

    fn tell(&self, snapshot: &Snapshot) -> Document {
        Document::new(snapshot, self.facts(), self.holds())
    }

    /// Who serves what, and how.
    pub fn facts(&self) -> MountFacts {
        let (facts, uptime) = match self.serving.get() {
            Some((facts, since)) => (facts.clone(), since.elapsed().as_secs_f64()),
            None => Default::default(),
        };
        MountFacts { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned(), uptime, ..facts }
    }

    fn holds(&self) -> Holds {
        let core = &self.core;
        Holds {
            nodes: core.nodes.len() as u64,
            node_fds: core.nodes.fds() as u64,
            pinned_fds: core.nodes.pinned_fds() as u64,
            handles: core.handles.len() as u64,
            fd_budget: core.config.fd_budget as u64,
            in_flight: 0,
            waiting: core.waits.count() as u64,
            memory: resident().unwrap_or(0),
        }
    }
}
