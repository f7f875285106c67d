//! One line a round, for who computes on.

use std::fmt::Write;

use super::stats::{self, Distribution};
use crate::bench::result::{Load, Results, Round, Server};

/// The columns. Times end in their unit: `_ns` is nanoseconds, `_s` seconds. `asked_rate` is that of an open loop, `rate`
/// what was reached; `round` counts from 1. The percentiles are those of the round, and empty where it has too few
/// samples for them; all of `server_` are empty where there is none; `steal` and `others` are parts of all CPU time.
const COLUMNS: [&str; 33] = [
    "workload",
    "target",
    "load",
    "clients",
    "asked_rate",
    "depth",
    "round",
    "operations",
    "bytes",
    "errors",
    "seconds",
    "rate",
    "p50_ns",
    "p99_ns",
    "p99.9_ns",
    "max_ns",
    "client_user_s",
    "client_system_s",
    "client_voluntary_switches",
    "client_involuntary_switches",
    "server_user_s",
    "server_system_s",
    "server_voluntary_switches",
    "server_involuntary_switches",
    "server_memory_bytes",
    "server_fds",
    "server_requests",
    "server_io_bytes",
    "steal",
    "others",
    "base",
    "failure",
    "warnings",
];

/// The table as RFC 4180 has it, with the names of the columns in its first line.
pub fn csv(results: &Results) -> String {
    let mut out = String::new();
    line(&mut out, COLUMNS.map(str::to_owned));
    for cell in &results.cells {
        let (kind, clients, asked, depth) = load(&cell.load);
        // A cell that failed before its first round has a line all the same, lest it be missing in silence.
        let nothing = cell.rounds.is_empty().then(|| (String::new(), vec![String::new(); 23]));
        let rounds = cell.rounds.iter().enumerate().map(|(index, round)| ((index + 1).to_string(), figures(round)));
        for (number, figures) in rounds.chain(nothing) {
            let names = [cell.workload.clone(), cell.target.clone(), kind.to_owned()];
            let end = [results.base.clone(), cell.failure.clone().unwrap_or_default(), cell.warnings.join("; ")];
            let load = [clients.clone(), asked.clone(), depth.clone(), number];
            line(&mut out, names.into_iter().chain(load).chain(figures).chain(end));
        }
    }
    out
}

/// Kind, clients, rate asked for, depth.
fn load(load: &Load) -> (&'static str, String, String, String) {
    let none = String::new;
    match *load {
        Load::Closed { clients } => ("closed", clients.to_string(), none(), none()),
        Load::Open { clients, rate } => ("open", clients.to_string(), rate.to_string(), none()),
        Load::Depth { depth } => ("depth", none(), none(), depth.to_string()),
        Load::Job => ("job", none(), none(), none()),
    }
}

fn figures(round: &Round) -> Vec<String> {
    let all = Distribution::of([round]);
    let known = |figure: Option<u64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
    let mut figures = vec![
        round.operations.to_string(),
        round.bytes.to_string(),
        round.errors.values().sum::<u64>().to_string(),
        round.seconds.to_string(),
        stats::rate(round).map(|rate| rate.to_string()).unwrap_or_default(),
        known(all.quantile(0.5)),
        known(all.quantile(0.99)),
        known(all.quantile(0.999)),
        known(all.max()),
        round.client.user.to_string(),
        round.client.system.to_string(),
        round.client.voluntary.to_string(),
        round.client.involuntary.to_string(),
    ];
    figures.extend(round.server.as_ref().map_or(vec![String::new(); 8], server));
    figures.extend([round.steal.to_string(), round.others.to_string()]);
    figures
}

fn server(server: &Server) -> Vec<String> {
    let requests = server.requests.as_ref().map(|requests| requests.values().sum::<u64>().to_string());
    vec![
        server.usage.user.to_string(),
        server.usage.system.to_string(),
        server.usage.voluntary.to_string(),
        server.usage.involuntary.to_string(),
        server.memory.to_string(),
        server.fds.to_string(),
        requests.unwrap_or_default(),
        server.io_bytes.to_string(),
    ]
}

fn line(out: &mut String, fields: impl IntoIterator<Item = String>) {
    for (index, field) in fields.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = if field.contains([',', '"', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", field.replace('"', "\"\""))
        } else {
            write!(out, "{comma}{field}")
        };
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn each_round_has_a_line_of_all_columns() {
        let text = csv(&fixture::results());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        // 3 + 3 + 2 + 2 + 1 rounds, a cell without any, and the names.
        assert_eq!(lines.len(), 13, "{text}");
        assert!(lines.iter().all(|line| line.len() == COLUMNS.len()), "{text}");
        let at = |line: usize, name| lines[line][COLUMNS.iter().position(|&column| column == name).unwrap()];
        assert_eq!((at(4, "target"), at(4, "round"), at(4, "rate"), at(4, "p50_ns")), ("ptfs", "1", "26000", "40000"));
        assert_eq!((at(4, "clients"), at(4, "asked_rate"), at(7, "asked_rate")), ("1", "", "10000"));
        assert_eq!((at(4, "server_requests"), at(1, "server_requests")), ("26000", ""));
        assert_eq!((at(12, "failure"), at(12, "round"), at(12, "base")), ("git status: exit 128", "", "native"));
    }

    #[test]
    fn what_would_break_a_line_is_quoted() {
        let mut results = fixture::results();
        results.cells.truncate(1);
        results.cells[0].rounds.truncate(1);
        results.cells[0].target = "a \"b\", c\nd".to_owned();
        assert!(csv(&results).contains("\r\ngetattr,\"a \"\"b\"\", c\nd\",closed,1,"));
    }
}
