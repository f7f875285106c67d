//! What is on the screen: a pure function of the figures and the size.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use crate::stats::doc::{Document, Latency, Operation};
use crate::stats::sheet::{by_time, grouped, plain, share, size, span};
use crate::stats::{Phase, human};

/// The figures of one look.
pub struct Frame {
    /// The whole document, and what is new in it since the look before.
    whole: Document,
    news: Document,
    /// There has been no look before.
    is_first: bool,
    trouble: Option<String>,
}

impl Frame {
    /// All since the start, until there is a second look.
    pub fn first(document: Document) -> Frame {
        Frame { news: document.clone(), whole: document, is_first: true, trouble: None }
    }

    /// One look later.
    pub fn next(&mut self, document: Document) {
        self.news = document.since(&self.whole);
        self.whole = document;
        self.is_first = false;
        self.trouble = None;
    }

    /// A look came to nothing.
    pub fn fail(&mut self, error: &io::Error) {
        self.trouble = Some(error.to_string());
    }

    /// No answer has come for so long.
    pub fn wait(&mut self, time: Duration) {
        if time >= Duration::from_secs(1) {
            self.trouble = Some(format!("no answer for {} s", time.as_secs()));
        }
    }

    /// The daemon.
    pub fn pid(&self) -> u32 {
        self.whole.mount.pid
    }
}

/// How a piece of text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Bold,
    Dim,
    Reverse,
    Alarm,
    /// The colour of a phase, by its place.
    Phase(usize),
}

impl Look {
    fn code(self) -> String {
        // Backgrounds: blue, green, cyan, yellow, red, magenta.
        const PHASES: [u8; 6] = [44, 42, 46, 43, 41, 45];
        match self {
            Look::Plain => String::new(),
            Look::Bold => "\x1b[1m".to_owned(),
            Look::Dim => "\x1b[2m".to_owned(),
            Look::Reverse => "\x1b[7m".to_owned(),
            Look::Alarm => "\x1b[1;31m".to_owned(),
            Look::Phase(at) => format!("\x1b[{}m", PHASES.get(at).copied().unwrap_or(0)),
        }
    }
}

/// Pieces of text side by side.
#[derive(Default)]
struct Line(Vec<(Look, String)>);

impl Line {
    fn of(look: Look, text: impl Into<String>) -> Line {
        Line(vec![(look, text.into())])
    }

    /// No longer than the screen is wide. Without colours, letters say what is what.
    fn print(&self, columns: usize, colour: bool) -> String {
        let mut text = String::new();
        let mut room = columns;
        for (look, piece) in &self.0 {
            let piece: String = piece.chars().take(room).collect();
            room -= piece.chars().count();
            let code = if colour { look.code() } else { String::new() };
            let (piece, end) = match look {
                // The colour says it; the letter would only be hard to read.
                Look::Phase(_) if colour => (" ".repeat(piece.chars().count()), "\x1b[0m"),
                _ => (piece, if code.is_empty() { "" } else { "\x1b[0m" }),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{code}{piece}{end}");
        }
        text
    }
}

/// The bytes that draw the frame over the last one.
pub fn draw(frame: &Frame, columns: usize, rows: usize, colour: bool) -> String {
    let lines = lines(frame, columns, rows);
    let mut text = String::from("\x1b[H");
    for (at, line) in lines.iter().enumerate() {
        let end = if at + 1 < lines.len() { "\r\n" } else { "" };
        let _ = write!(text, "{}\x1b[K{end}", line.print(columns, colour));
    }
    text + "\x1b[J"
}

fn lines(frame: &Frame, columns: usize, rows: usize) -> Vec<Line> {
    let mut lines = head(frame);
    lines.push(Line::default());
    let foot = foot(frame);
    let room = rows.saturating_sub(lines.len() + 1);
    lines.extend(table(&frame.news, columns).into_iter().take(room));
    lines.resize_with(rows.saturating_sub(1), Line::default);
    lines.push(foot);
    lines
}

fn head(frame: &Frame) -> Vec<Line> {
    let Document { mount, holds, .. } = &frame.whole;
    let (news, work) = (&frame.news, &frame.news.work);
    let per_second = |count: u64| rate(count as f64 / news.seconds.max(1e-9));
    let sum = |of: &dyn Fn(&Operation) -> u64| news.operations.iter().map(of).sum::<u64>();
    let calls = work.inline + work.ring + work.helper;
    let average = |spread: &[(u64, u64)]| {
        let times: u64 = spread.iter().map(|&(_, times)| times).sum();
        let all: u64 = spread.iter().map(|&(value, times)| value * times).sum();
        if times == 0 { "-".to_owned() } else { format!("{:.1}", all as f64 / times as f64) }
    };
    vec![
        Line(vec![
            (Look::Bold, format!("ptfs top  {}", plain(&mount.mountpoint))),
            (Look::Plain, format!("  of {}", plain(&mount.source))),
        ]),
        Line::of(
            Look::Dim,
            format!(
                "{} engine over {}, workers: {}, process {}, up {}",
                plain(&mount.engine),
                plain(&mount.transport),
                mount.workers,
                mount.pid,
                span(mount.uptime)
            ),
        ),
        Line::of(
            Look::Plain,
            format!(
                "requests  {}/s   errors {}/s   data {}/s   in flight {}   waiting {}",
                per_second(sum(&|operation| operation.count)),
                per_second(sum(&|operation| operation.errors.values().sum())),
                size((sum(&|operation| operation.bytes) as f64 / news.seconds.max(1e-9)) as u64),
                holds.in_flight,
                holds.waiting,
            ),
        ),
        Line::of(
            Look::Plain,
            format!(
                "calls     inline {}   ring {}   helper {}   punted {}/s   depth {}   batch {}",
                share(work.inline, calls),
                share(work.ring, calls),
                share(work.helper, calls),
                per_second(work.punted),
                average(&work.depth),
                average(&work.batches),
            ),
        ),
        Line::of(
            Look::Plain,
            format!(
                "holds     nodes {}   fds {} of {}, pinned {}   open {}   memory {}",
                grouped(holds.nodes),
                grouped(holds.node_fds + holds.handles),
                grouped(holds.fd_budget),
                grouped(holds.pinned_fds),
                grouped(holds.handles),
                size(holds.memory),
            ),
        ),
    ]
}

/// Heading and width.
const COLUMNS: [(&str, usize); 8] =
    [("op/s", 9), ("err/s", 6), ("B/s", 6), ("mean", 6), (MEDIAN, 6), ("p99", 6), ("max", 6), ("time", 4)];
/// On wide screens only.
const MEDIAN: &str = "p50";
const NAME: usize = 15;
const WIDE: usize = 100;

fn table(news: &Document, columns: usize) -> Vec<Line> {
    let row = |name: &str, cells: [String; COLUMNS.len()]| {
        let cells = cells.iter().zip(COLUMNS).filter(|(_, (heading, _))| columns >= WIDE || *heading != MEDIAN);
        let cells = cells.map(|(cell, (_, width))| format!(" {cell:>width$}"));
        format!("{name:<NAME$}{} ", cells.collect::<String>())
    };
    let head = row("operation", COLUMNS.map(|(heading, _)| heading.to_owned()));
    let bar = columns.saturating_sub(head.chars().count());
    let head = format!("{head:<columns$}");
    let totals = || news.operations.iter().map(|operation| operation.latency.total);
    let (whole, most) = (totals().sum(), totals().max().unwrap_or(0));
    let mut lines = vec![Line::of(Look::Reverse, head)];
    if news.operations.is_empty() {
        lines.push(Line::of(Look::Dim, "nobody asks for anything"));
    }
    for operation in by_time(&news.operations) {
        let mut line = Line::of(Look::Plain, row(&plain(&operation.op), cells(operation, news.seconds, whole)));
        line.0.extend(phases(operation, most, bar));
        lines.push(line);
    }
    lines
}

fn cells(operation: &Operation, seconds: f64, whole: u64) -> [String; COLUMNS.len()] {
    let Latency { mean, p50, p99, max, total, .. } = operation.latency;
    let time = |ns| human(Duration::from_nanos(ns));
    let per_second = |count: u64| count as f64 / seconds.max(1e-9);
    let errors: u64 = operation.errors.values().sum();
    [
        rate(per_second(operation.count)),
        if errors == 0 { "-".to_owned() } else { rate(per_second(errors)) },
        if operation.bytes == 0 { "-".to_owned() } else { size(per_second(operation.bytes) as u64) },
        time(mean),
        time(p50),
        time(p99),
        time(max),
        share(total, whole),
    ]
}

/// A bar in the colours of its phases, as long as its time against that of the operation that took `most`.
fn phases(operation: &Operation, most: u64, room: usize) -> Vec<(Look, String)> {
    let mut pieces = Vec::new();
    // Ends are rounded, not lengths, so that the bar is as long as its sum.
    let (mut spent, mut drawn) = (0, 0);
    for (at, phase) in Phase::ALL.map(Phase::name).into_iter().enumerate() {
        spent += operation.phases.get(phase).map_or(0, |latency| latency.total);
        let end = ((spent as f64 / most.max(1) as f64 * room as f64).round() as usize).min(room);
        let letter = phase.get(..1).unwrap_or("?");
        pieces.push((Look::Phase(at), letter.repeat(end - drawn)));
        drawn = end;
    }
    pieces
}

fn foot(frame: &Frame) -> Line {
    if let Some(trouble) = &frame.trouble {
        return Line::of(Look::Alarm, format!("{}; q quits", plain(trouble)));
    }
    let covers = if frame.is_first { "since the start" } else { "in the last" };
    let mut pieces = vec![(Look::Dim, format!("q quits  {covers} {}  ", span(frame.news.seconds)))];
    for (at, phase) in Phase::ALL.map(Phase::name).into_iter().enumerate() {
        pieces.push((Look::Phase(at), phase.get(..1).unwrap_or("?").to_owned()));
        pieces.push((Look::Plain, format!(" {phase}  ")));
    }
    Line(pieces)
}

/// Of something in a second.
fn rate(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0".to_owned(),
        v if v < 9.95 => format!("{v:.1}"),
        v => grouped(v.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::doc::samples;

    /// Two looks, a second apart, at a mount that does as much in it as it did in an hour.
    fn frame() -> Frame {
        let mut before = samples::busy();
        before.operations.clear();
        before.work = Default::default();
        before.seconds -= 1.0;
        let mut frame = Frame::first(before);
        frame.next(samples::busy());
        frame
    }

    fn visible(frame: &Frame, columns: usize, rows: usize) -> String {
        lines(frame, columns, rows).iter().map(|line| line.print(columns, false).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_narrow_and_a_wide_screen() {
        insta::assert_snapshot!(format!("{}\n{}", visible(&frame(), 80, 14), visible(&frame(), 120, 12)));
    }

    #[test]
    fn no_size_is_too_small_and_nothing_is_too_wide() {
        for columns in [0, 1, 5, 40, 79, 80, 200] {
            for rows in [0, 1, 2, 6, 24, 100] {
                let lines = lines(&frame(), columns, rows);
                assert_eq!(lines.len(), rows.max(1), "{columns}x{rows}");
                assert!(lines.iter().all(|line| line.print(columns, false).chars().count() <= columns));
            }
        }
    }

    #[test]
    fn colours_are_there_or_not() {
        assert!(!visible(&frame(), 80, 14).contains('\x1b'));
        let plain = draw(&frame(), 80, 14, false);
        assert!(!plain.split("\x1b[").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit())), "{plain:?}");
        let coloured = draw(&frame(), 80, 14, true);
        assert!(coloured.contains("\x1b[42m") && coloured.contains("\x1b[45m"), "{coloured:?}");
        // What is begun is ended.
        let codes = coloured.split("\x1b[").filter_map(|rest| rest.split_once('m')).map(|(code, _)| code);
        let codes: Vec<&str> = codes.filter(|code| code.chars().all(|c| c.is_ascii_digit() || c == ';')).collect();
        assert!(codes.chunks(2).all(|pair| pair[0] != "0" && pair[1] == "0"), "{codes:?}");
    }

    #[test]
    fn trouble_is_told_until_it_is_over() {
        let mut frame = frame();
        frame.wait(Duration::from_millis(200));
        assert!(visible(&frame, 80, 14).contains("q quits  in the last 1.0s"));
        frame.wait(Duration::from_secs(4));
        assert!(visible(&frame, 80, 14).ends_with("no answer for 4 s; q quits\n"));
        frame.next(samples::busy());
        assert!(!visible(&frame, 80, 14).contains("no answer"));
        assert!(visible(&frame, 80, 14).contains("nobody asks"));
    }
}
