//! From a snapshot to the document that is told.

use super::buckets::Histogram;
use super::doc::{self, Document, Holds, Latency, MountFacts, Operation};
use super::phase::Phase;
use super::work::{Tick, Work};
use super::{OpKind, Snapshot, Tally};
use crate::protocol::Errno;

impl Document {
    /// What there is to tell of a mount. `holds.in_flight` is the snapshot's to say.
    pub fn new(snapshot: &Snapshot, mount: MountFacts, holds: Holds) -> Document {
        let operation = |&kind: &OpKind| snapshot.get(kind).map(|tally| operation(kind, tally));
        Document {
            ptfs_stats: doc::VERSION,
            mount,
            seconds: snapshot.covered().as_secs_f64(),
            operations: OpKind::ALL.iter().filter_map(operation).collect(),
            work: work(snapshot.work()),
            holds: Holds { in_flight: snapshot.work().in_flight(), ..holds },
        }
    }
}

fn operation(kind: OpKind, tally: &Tally) -> Operation {
    let phase = |phase: Phase| Some((phase.name().to_owned(), latency(tally.phase(phase)?)));
    Operation {
        op: kind.name().to_owned(),
        count: tally.count(),
        bytes: tally.bytes(),
        errors: tally.errors_by_number().iter().map(|(&errno, &count)| (Errno(errno).name(), count)).collect(),
        latency: latency(tally.latency()),
        phases: Phase::ALL.into_iter().filter_map(phase).collect(),
    }
}

fn latency(histogram: &Histogram) -> Latency {
    Latency {
        count: histogram.count(),
        total: histogram.total(),
        mean: histogram.mean(),
        p50: histogram.quantile(0.5),
        p90: histogram.quantile(0.9),
        p99: histogram.quantile(0.99),
        p999: histogram.quantile(0.999),
        max: histogram.max(),
        buckets: histogram.buckets().collect(),
    }
}

fn work(work: &Work) -> doc::Work {
    doc::Work {
        depth: work.depth().buckets().collect(),
        batches: work.batches().buckets().collect(),
        inline: work.ticks(Tick::Inline),
        ring: work.ticks(Tick::Ring),
        helper: work.ticks(Tick::Helper),
        punted: work.ticks(Tick::Punted),
        anchor_hits: work.ticks(Tick::AnchorHit),
        anchor_misses: work.ticks(Tick::AnchorMiss),
        evicted: work.ticks(Tick::Evicted),
        pages_kept: work.ticks(Tick::PagesKept),
        pages_dropped: work.ticks(Tick::PagesDropped),
    }
}
