//! A [`Document`] for eyes: what `ptfs stats` prints.

use std::fmt::Write as _;
use std::time::Duration;

use super::doc::{Document, Latency, Operation, Work};
use super::{Phase, human};

/// Writing to a String cannot fail, here and below. `head` decorates the lines that head a table.
pub fn write(document: &Document, head: impl Fn(&str) -> String) -> String {
    let mount = &document.mount;
    let mut text = format!(
        "{}: {}, {} engine over {}, {} worker{}, ptfs {}, process {}\nup {}; figures of the last {}\n",
        plain(&mount.mountpoint),
        plain(&mount.source),
        plain(&mount.engine),
        plain(&mount.transport),
        mount.workers,
        plural(mount.workers),
        plain(&mount.version),
        mount.pid,
        span(mount.uptime),
        span(document.seconds),
    );
    if document.operations.is_empty() {
        text.push_str("\nNobody has asked for anything.\n");
    } else {
        let sorted = by_time(&document.operations);
        operations(&mut text, &sorted, &head);
        phases(&mut text, &sorted, &head);
        errors(&mut text, &sorted, &head);
    }
    text.push('\n');
    work(&mut text, &document.work);
    holds(&mut text, document);
    text
}

/// Those that took most time together come first.
pub fn by_time(operations: &[Operation]) -> Vec<&Operation> {
    let mut sorted: Vec<&Operation> = operations.iter().collect();
    sorted.sort_by_key(|operation| std::cmp::Reverse(operation.latency.total));
    sorted
}

const HEADINGS: [(&str, usize); 10] = [
    ("count", 13),
    ("errors", 9),
    ("bytes", 7),
    ("mean", 7),
    ("p50", 7),
    ("p90", 7),
    ("p99", 7),
    ("p99.9", 7),
    ("max", 7),
    ("time", 6),
];

fn operations(text: &mut String, sorted: &[&Operation], head: &impl Fn(&str) -> String) {
    let row = |name: &str, cells: [String; HEADINGS.len()]| {
        let cells = cells.iter().zip(HEADINGS).map(|(cell, (_, width))| format!(" {cell:>width$}"));
        format!("{name:<15}{}", cells.collect::<String>())
    };
    let whole: u64 = sorted.iter().map(|operation| operation.latency.total).sum();
    let _ = writeln!(text, "\n{}", head(&row("operation", HEADINGS.map(|(heading, _)| heading.to_owned()))));
    let line = |name: &str, count: u64, errors: u64, bytes: u64, latency: &Latency| {
        let time = |ns| human(Duration::from_nanos(ns));
        let cells = [
            grouped(count),
            blank_if_none(errors, grouped),
            blank_if_none(bytes, size),
            time(latency.mean),
            time(latency.p50),
            time(latency.p90),
            time(latency.p99),
            time(latency.p999),
            time(latency.max),
            share(latency.total, whole),
        ];
        row(&plain(name), cells)
    };
    for operation in sorted {
        let errors = operation.errors.values().sum();
        let _ = writeln!(text, "{}", line(&operation.op, operation.count, errors, operation.bytes, &operation.latency));
    }
    if sorted.len() > 1 {
        let sum = |of: fn(&Operation) -> u64| sorted.iter().map(|operation| of(operation)).sum();
        let merged = Latency::merged(sorted.iter().map(|operation| &operation.latency));
        let errors = sum(|operation| operation.errors.values().sum());
        let _ = writeln!(text, "{}", line("total", sum(|o| o.count), errors, sum(|o| o.bytes), &merged));
    }
}

/// What an operation spends in each phase on average, and the share of its time.
fn phases(text: &mut String, sorted: &[&Operation], head: &impl Fn(&str) -> String) {
    if sorted.iter().all(|operation| operation.phases.is_empty()) {
        return;
    }
    let headings: String = Phase::ALL.iter().map(|phase| phase.name()).map(|phase| format!(" {phase:>13}")).collect();
    let _ = writeln!(text, "\n{}", head(&format!("{:<15}{headings}", "mean per phase")));
    for operation in sorted {
        let cells = Phase::ALL.iter().map(|phase| match operation.phases.get(phase.name()) {
            Some(latency) if latency.total > 0 => {
                let mean = human(Duration::from_nanos(latency.total / operation.count.max(1)));
                format!(" {mean:>7}{:>6}", share(latency.total, operation.latency.total))
            }
            _ => format!(" {:>13}", "-"),
        });
        let _ = writeln!(text, "{}", format!("{:<15}{}", plain(&operation.op), cells.collect::<String>()).trim_end());
    }
}

fn errors(text: &mut String, sorted: &[&Operation], head: &impl Fn(&str) -> String) {
    let failed: Vec<_> = sorted.iter().filter(|operation| !operation.errors.is_empty()).collect();
    if failed.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", head("errors"));
    for operation in failed {
        let mut errors: Vec<_> = operation.errors.iter().collect();
        errors.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
        let list = errors.iter().map(|&(name, &count)| format!("{} {}", plain(name), grouped(count)));
        let _ = writeln!(text, "{:<15} {}", plain(&operation.op), list.collect::<Vec<_>>().join(", "));
    }
}

fn work(text: &mut String, work: &Work) {
    let calls = work.inline + work.ring + work.helper;
    if calls > 0 {
        let _ = writeln!(
            text,
            "calls   inline {} ({}), ring {} ({}), helper {} ({}), punted {}",
            grouped(work.inline),
            share(work.inline, calls),
            grouped(work.ring),
            share(work.ring, calls),
            grouped(work.helper),
            share(work.helper, calls),
            grouped(work.punted),
        );
    }
    let spreads = [("in service", &work.depth), ("batch", &work.batches)];
    let spreads = spreads.iter().filter(|(_, spread)| !spread.is_empty()).map(|(name, spread)| {
        let latency = Latency::of(spread.to_vec(), spread.iter().map(|&(value, times)| value * times).sum());
        let mean = latency.total as f64 / latency.count.max(1) as f64;
        format!("{name} {mean:.1} on average, {} at most", latency.max)
    });
    let spreads: Vec<String> = spreads.collect();
    if !spreads.is_empty() {
        let _ = writeln!(text, "depth   {}", spreads.join("; "));
    }
    let anchors = work.anchor_hits + work.anchor_misses;
    let opens = work.pages_kept + work.pages_dropped;
    let _ = writeln!(
        text,
        "caches  fds: {} hits, {} evicted; pages: kept by {} of opens",
        share(work.anchor_hits, anchors),
        grouped(work.evicted),
        share(work.pages_kept, opens),
    );
}

fn holds(text: &mut String, document: &Document) {
    let holds = &document.holds;
    let _ = writeln!(
        text,
        "holds   {} node{}, {} of {} fds ({} pinned), {} open file{}, {} in flight, {} waiting for locks, {} of memory",
        grouped(holds.nodes),
        plural(holds.nodes),
        grouped(holds.node_fds + holds.handles),
        grouped(holds.fd_budget),
        grouped(holds.pinned_fds),
        grouped(holds.handles),
        plural(holds.handles),
        holds.in_flight,
        holds.waiting,
        size(holds.memory),
    );
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits and a binary unit: `640`, `1.46K`, `34.0M`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["", "K", "M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        value /= 1024.0;
        unit = next;
    }
    let decimals = match value {
        _ if unit.is_empty() => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

/// `2d 3h`, `1h 2m`, `3m 20s`, `4.2s`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{:.1}s", seconds.max(0.0)),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// `12%`, `<1%`; `-` of nothing.
pub fn share(part: u64, whole: u64) -> String {
    match part as f64 / whole as f64 * 100.0 {
        _ if whole == 0 => "-".to_owned(),
        percent if part > 0 && percent < 0.5 => "<1%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// Text of others without what would act on a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn blank_if_none(number: u64, shown: fn(u64) -> String) -> String {
    if number == 0 { "-".to_owned() } else { shown(number) }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::super::doc::samples;
    use super::*;

    #[test]
    fn the_table_shows_what_the_document_says() {
        insta::assert_snapshot!(write(&samples::busy(), str::to_owned));
    }

    #[test]
    fn a_mount_at_rest_says_so() {
        let mut document = samples::busy();
        document.operations.clear();
        document.work = Work::default();
        let text = write(&document, str::to_owned);
        assert!(text.contains("Nobody has asked") && text.contains("fds: - hits"), "{text}");
    }

    #[test]
    fn numbers_are_short_and_exact_enough() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1000, 1500, 35_651_584, u64::MAX].map(size),
            ["0", "999", "0.98K", "1.46K", "34.0M", "16.0E"]
        );
        assert_eq!([0.04, 59.94, 60.0, 3725.0, 183_600.0].map(span), ["0.0s", "59.9s", "1m 0s", "1h 2m", "2d 3h"]);
        assert_eq!(
            [(0, 0), (0, 5), (1, 1000), (1, 3), (3, 3)].map(|(a, b)| share(a, b)),
            ["-", "0%", "<1%", "33%", "100%"]
        );
        assert_eq!(plain("a\x1b[2Jb\n"), "a?[2Jb?");
    }
}
