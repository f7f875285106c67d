//! A [`Document`] in the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::doc::{Document, Holds, Operation, Work};

/// What the text is to be served as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the latency buckets in seconds, from what a cached answer takes to what a client gives up on: fixed,
/// so that figures of several mounts and versions add up.
const SECONDS: [f64; 22] = [
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
/// The same for counts: requests in service, entries of a batch.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const NANOSECONDS: f64 = 1e9;

/// All of it.
pub fn write(document: &Document) -> String {
    let mut page = Page::default();
    mount(&mut page, document);
    operations(&mut page, &document.operations);
    work(&mut page, &document.work);
    holds(&mut page, &document.holds);
    page.text
}

fn mount(page: &mut Page, document: &Document) {
    let mount = &document.mount;
    page.family("ptfs_build_info", "gauge", "The version of ptfs; always 1.");
    page.sample("ptfs_build_info", &[("version", &mount.version)], 1);
    page.family("ptfs_mount_info", "gauge", "What is served where, and how; always 1.");
    let (source, point) = (("source", mount.source.as_str()), ("mountpoint", mount.mountpoint.as_str()));
    let (engine, transport) = (("engine", mount.engine.as_str()), ("transport", mount.transport.as_str()));
    page.sample("ptfs_mount_info", &[source, point, engine, transport], 1);
    page.single("ptfs_workers", "gauge", "Threads that serve requests.", mount.workers);
    page.single("ptfs_uptime_seconds", "gauge", "Seconds since the mount answered first.", mount.uptime);
}

fn operations(page: &mut Page, operations: &[Operation]) {
    let name = "ptfs_operation_duration_seconds";
    page.family(name, "histogram", "From reaping a request to its answer, failed ones included.");
    for operation in operations {
        let latency = &operation.latency;
        let sum = latency.total as f64 / NANOSECONDS;
        page.histogram(name, &[("op", &operation.op)], &SECONDS, NANOSECONDS, &latency.buckets, sum);
    }
    page.family("ptfs_operation_errors_total", "counter", "Answers that were an error, by its name.");
    for operation in operations {
        for (errno, count) in &operation.errors {
            page.sample("ptfs_operation_errors_total", &[("op", &operation.op), ("errno", errno)], count);
        }
    }
    page.family("ptfs_operation_bytes_total", "counter", "Bytes of file data read or written.");
    for operation in operations.iter().filter(|operation| operation.bytes > 0) {
        page.sample("ptfs_operation_bytes_total", &[("op", &operation.op)], operation.bytes);
    }
    page.family(
        "ptfs_operation_phase_seconds_total",
        "counter",
        "Seconds of all operations in each phase: queue (until a worker took it up), inline, ring and helper (the \
         backing call, by how it was made), lock (waiting for another client), own (the rest).",
    );
    for operation in operations {
        for (phase, latency) in &operation.phases {
            let labels = [("op", operation.op.as_str()), ("phase", phase)];
            page.sample("ptfs_operation_phase_seconds_total", &labels, latency.total as f64 / NANOSECONDS);
        }
    }
}

fn work(page: &mut Page, work: &Work) {
    let mut spread = |name: &str, help: &str, buckets: &[(u64, u64)]| {
        let sum: u64 = buckets.iter().map(|&(value, times)| value * times).sum();
        page.family(name, "histogram", help);
        page.histogram(name, &[], &COUNTS, 1.0, buckets, sum as f64);
    };
    spread("ptfs_depth_requests", "Requests in service as each new one was reaped, itself included.", &work.depth);
    spread("ptfs_batch_entries", "Entries submitted by each io_uring_enter.", &work.batches);
    page.family("ptfs_calls_total", "counter", "Backing calls: on the spot, on the ring, by a helper thread.");
    for (way, count) in [("inline", work.inline), ("ring", work.ring), ("helper", work.helper)] {
        page.sample("ptfs_calls_total", &[("way", way)], count);
    }
    page.single("ptfs_punted_total", "counter", "Calls that would have blocked on the spot.", work.punted);
    page.family("ptfs_anchors_total", "counter", "Nodes reached by a descriptor held (hit) or opened again (miss).");
    for (result, count) in [("hit", work.anchor_hits), ("miss", work.anchor_misses)] {
        page.sample("ptfs_anchors_total", &[("result", result)], count);
    }
    page.single("ptfs_evicted_fds_total", "counter", "Descriptors given up for the budget.", work.evicted);
    page.family("ptfs_opens_total", "counter", "Opens that kept the kernel's pages, and those that dropped them.");
    for (pages, count) in [("kept", work.pages_kept), ("dropped", work.pages_dropped)] {
        page.sample("ptfs_opens_total", &[("pages", pages)], count);
    }
}

fn holds(page: &mut Page, holds: &Holds) {
    for (name, help, value) in [
        ("ptfs_nodes", "Nodes that the kernel remembers.", holds.nodes),
        ("ptfs_node_fds", "Descriptors of nodes.", holds.node_fds),
        ("ptfs_pinned_fds", "Descriptors of nodes that cannot be given up.", holds.pinned_fds),
        ("ptfs_open_handles", "Open files and directories.", holds.handles),
        ("ptfs_fd_budget", "The most descriptors of nodes and open files.", holds.fd_budget),
        ("ptfs_in_flight_requests", "Requests in service.", holds.in_flight),
        ("ptfs_waiting_clients", "Clients that wait for locks.", holds.waiting),
        ("ptfs_resident_memory_bytes", "Memory resident.", holds.memory),
    ] {
        page.single(name, "gauge", help, value);
    }
}

/// The text so far. Writing to a String cannot fail.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    /// A bucket of ours belongs to the first bound that its highest value does not exceed: never to one too fast.
    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        unit: f64,
        buckets: &[(u64, u64)],
        sum: f64,
    ) {
        let with_le = |le: &str| {
            let le = ("le", le.to_owned());
            let labels = labels.iter().map(|&(label, value)| (label, value.to_owned())).chain([le]);
            labels.collect::<Vec<_>>()
        };
        let bucket = format!("{name}_bucket");
        let mut line = |le: &str, count: u64| {
            let labels = with_le(le);
            let labels: Vec<(&str, &str)> = labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
            self.sample(&bucket, &labels, count);
        };
        for bound in bounds {
            let below = buckets.iter().filter(|&&(value, _)| value as f64 / unit <= *bound);
            line(&bound.to_string(), below.map(|&(_, count)| count).sum());
        }
        let count: u64 = buckets.iter().map(|&(_, count)| count).sum();
        line("+Inf", count);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count);
    }
}

/// As label values are.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::doc::samples;
    use super::*;

    #[test]
    fn samples_say_what_the_document_does() {
        let text = write(&samples::busy());
        for line in [
            "ptfs_build_info{version=\"0.1.0\"} 1",
            "ptfs_operation_errors_total{op=\"LOOKUP\",errno=\"ENOENT\"} 1020",
            "ptfs_operation_bytes_total{op=\"READ\"} 3000000000",
            "ptfs_operation_duration_seconds_bucket{op=\"LOOKUP\",le=\"0.00001\"} 0",
            "ptfs_operation_duration_seconds_bucket{op=\"LOOKUP\",le=\"0.000025\"} 119999",
            "ptfs_operation_duration_seconds_bucket{op=\"LOOKUP\",le=\"0.001\"} 120000",
            "ptfs_operation_duration_seconds_bucket{op=\"LOOKUP\",le=\"+Inf\"} 120000",
            "ptfs_operation_duration_seconds_count{op=\"LOOKUP\"} 120000",
            "ptfs_operation_phase_seconds_total{op=\"GETATTR\",phase=\"inline\"} 1.12",
            "ptfs_depth_requests_bucket{le=\"2\"} 500000",
            "ptfs_depth_requests_sum 1090000",
            "ptfs_calls_total{way=\"ring\"} 9000",
            "ptfs_nodes 12345",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut document = samples::busy();
        document.mount.source = "/a\\b\"c\nd".to_owned();
        assert!(write(&document).contains("source=\"/a\\\\b\\\"c\\nd\","));
    }
}
