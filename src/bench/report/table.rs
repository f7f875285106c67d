//! The table for a terminal.

use super::grid::{Column, Paint, WIDTH, grid, wrapped};
use super::human::{self, printable, shortened};
use super::notes::{self, Kind, Note};
use super::stats::Measure;
use super::summary::{self, Block, Row};
use crate::bench::result::{Load, Results};

/// Names longer than this end in an ellipsis.
const NAME_WIDTH: usize = 22;

/// The whole report: a block for each workload and load, and below it what makes it doubtful.
pub fn table(results: &Results, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = heading(results, paint);
    for block in summary::blocks(results) {
        out.push('\n');
        out.push_str(&paint.bold(&format!("{} · {}", printable(&block.workload), block.how)));
        out.push_str(&paint.dim(&format!("  {}\n", rounds(&block))));
        out.push_str(&grid(&columns(&block, results), 1, paint));
        for note in notes::of_block(results, &block) {
            write_note(&mut out, &note, paint);
        }
    }
    let whole = notes::of_run(results);
    if !whole.is_empty() {
        out.push('\n');
    }
    for note in whole {
        write_note(&mut out, &note, paint);
    }
    out
}

fn heading(results: &Results, paint: Paint) -> String {
    let mut out = String::new();
    for line in wrapped(&printable(&summary::facts(results).join(" · ")), WIDTH) {
        out.push_str(&paint.dim(&line));
        out.push('\n');
    }
    out
}

/// `5 rounds of 2.00s`, as most rows have it.
fn rounds(block: &Block) -> String {
    let most = block.rows.iter().max_by_key(|row| row.rounds);
    let Some(Row { rounds, seconds: Some(seconds), .. }) = most else { return "nothing measured".to_owned() };
    let plural = if *rounds == 1 { "round" } else { "rounds" };
    format!("{rounds} {plural} of {}", human::duration(seconds * 1e9))
}

fn columns(block: &Block, results: &Results) -> Vec<Column> {
    let column = |heading: [&str; 2], cell: &dyn Fn(&Row) -> Option<String>| {
        Column::new(heading, block.rows.iter().map(|row| cell(row).unwrap_or_default()).collect())
    };
    let time = |ns: Option<u64>| ns.map(|ns| human::duration(ns as f64));
    let cpu = |us: Option<f64>| us.map(|us| human::duration(us * 1e3));
    let base = shortened(&results.base, 12);
    let of = match block.measure {
        Measure::Rate => "rate to",
        Measure::Latency => "p50 to",
    };
    // A job is one operation: its rate is its time said less well.
    let rate = |row: &Row| row.rate.filter(|_| block.load != Load::Job).map(human::number);
    let mut columns = vec![
        column(["", ""], &|row| Some(shortened(&row.target, NAME_WIDTH))),
        column(["", "rate/s"], &rate),
        column(["", "bytes/s"], &|row| row.throughput.map(human::bytes)),
        column(["", "p50"], &|row| time(row.p50)),
        column(["", "p99"], &|row| time(row.p99)),
        column(["", "p99.9"], &|row| time(row.p999)),
        column(["", "max"], &|row| time(row.max)),
        column([of, &base], &|row| row.ratio.map(human::ratio)),
        column(["", "95 %"], &|row| row.interval.map(|i| format!("{}–{}", human::ratio(i.low), human::ratio(i.high)))),
        column(["CPU/op", "client"], &|row| cpu(row.client_cpu)),
        column(["CPU/op", "server"], &|row| cpu(row.server_cpu)),
        column(["switch", "/op"], &|row| row.switches.map(human::ratio)),
        column(["served", "/op"], &|row| row.requests.map(human::ratio)),
        column(["server", "memory"], &|row| row.memory.map(|bytes| human::bytes(bytes as f64))),
        column(["server", "fds"], &|row| row.fds.map(|fds| fds.to_string())),
    ];
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    columns
}

fn write_note(out: &mut String, note: &Note, paint: Paint) {
    let sign = match note.kind {
        Kind::Failure => "✗",
        Kind::Warning => "!",
        Kind::Remark => "▸",
    };
    for (index, line) in wrapped(&printable(&note.text), WIDTH - 4).iter().enumerate() {
        let line = format!("  {} {line}", if index == 0 { sign } else { " " });
        out.push_str(&match note.kind {
            Kind::Failure => paint.red(&line),
            Kind::Warning => paint.yellow(&line),
            Kind::Remark => line,
        });
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn a_block_has_a_line_for_each_target() {
        let text = table(&fixture::results(), false);
        assert!(text.contains("getattr · closed loop, 1 client  3 rounds of 1.00s\n"), "{text}");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let start = lines.iter().position(|words| words.starts_with(&["getattr"])).unwrap();
        let native = &lines[start + 3];
        assert_eq!(native[..6], ["native", "80.0k", "10.0µs", "10.0µs", "10.0µs", "20.0µs"], "{text}");
        let ptfs = &lines[start + 4];
        assert_eq!(ptfs[..7], ["ptfs", "20.0k", "40.0µs", "40.0µs", "40.0µs", "90.0µs", "0.260"], "{text}");
        assert_eq!(ptfs[8..], ["13.6µs", "9.09µs", "1.14", "1.00", "9.00M", "12"], "{text}");
    }

    #[test]
    fn failures_and_warnings_stand_below() {
        let text = table(&fixture::results(), false);
        assert!(text.contains("  ✗ ptfs: git status: exit 128\n"), "{text}");
        assert!(text.trim_end().ends_with("! the machine was busy"), "{text}");
        assert!(text.contains("monorepo · whole job"), "{text}");
    }

    #[test]
    fn lines_fit_and_are_aligned_with_long_names_too() {
        let mut results = fixture::results();
        let long = "a-passthrough-daemon-of-another-make-with-a-long-name";
        results.targets[1].name = long.to_owned();
        for cell in results.cells.iter_mut().filter(|cell| cell.target == "ptfs") {
            cell.target = long.to_owned();
            cell.warnings = vec!["word ".repeat(60)];
        }
        let text = table(&results, false);
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
        assert!(text.contains("a-passthrough-daemon-…"), "{text}");
    }

    #[test]
    fn colour_is_an_option_and_names_cannot_bring_it() {
        let mut results = fixture::results();
        results.warnings = vec!["\x1b[2J".to_owned()];
        assert!(!table(&results, false).contains('\x1b'));
        let coloured = table(&results, true);
        assert!(coloured.contains("\x1b[1mgetattr") && !coloured.contains("\x1b[2J"));
    }
}
