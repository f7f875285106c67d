//! A page that needs no network: `page.html` with style, script, tables and data in it.

use std::fmt::Write;

use serde::Serialize;

use super::human;
use super::notes::{self, Kind, Note};
use super::stats::Measure;
use super::summary::{self, Block, Row};
use crate::bench::result::{Load, Results, Target};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. It carries the results as JSON in `<script id="results">`, so that every figure can be checked.
pub fn html(results: &Results) -> String {
    let blocks = summary::blocks(results);
    let mut out = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len());
    let mut rest = PAGE;
    // In one pass: what is filled in is never looked at for more names.
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        match name {
            "css" => out.push_str(STYLE),
            "js" => out.push_str(SCRIPT),
            "title" | "heading" => out.push_str(&escaped(&title(results))),
            "facts" => out.push_str(&escaped(&summary::facts(results).join(" · "))),
            "base" => out.push_str(&escaped(&results.base)),
            "notes" => notes_of(&mut out, &notes::of_run(results)),
            "tables" => blocks.iter().for_each(|block| table(&mut out, results, block)),
            "run" => run(&mut out, results),
            "results" => out.push_str(&json(results)),
            "blocks" => out.push_str(&json(&blocks)),
            _ => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Text as content and as the value of an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// JSON that can stand in a `<script>`: nothing in it ends or comments out the element, and the two line ends that
/// JavaScript once had and JSON has not are escaped too. All of these occur in strings only, where JSON has escapes.
fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

fn title(results: &Results) -> String {
    let names: Vec<&str> = results.targets.iter().map(|target| target.name.as_str()).collect();
    format!("ptfs-bench: {}", names.join(", "))
}

fn notes_of(out: &mut String, notes: &[Note]) {
    for note in notes {
        let (class, word) = match note.kind {
            Kind::Failure => ("failure", "Failed"),
            Kind::Warning => ("warning", "Doubtful"),
            Kind::Remark => ("remark", "Found"),
        };
        let _ = writeln!(out, "<p class=\"note {class}\"><b>{word}:</b> {}</p>", escaped(&note.text));
    }
}

/// A figure as shown, and as computed.
type Cell = Option<(String, f64)>;

/// The columns: heading, name in `data-figure`, figure.
type Column<'a> = (String, &'a str, &'a dyn Fn(&Row) -> Cell);

fn table(out: &mut String, results: &Results, block: &Block) {
    let of = match block.measure {
        Measure::Rate => "rate",
        Measure::Latency => "p50",
    };
    let time = |ns: Option<u64>| ns.map(|ns| (human::duration(ns as f64), ns as f64));
    let cpu = |us: Option<f64>| us.map(|us| (human::duration(us * 1e3), us));
    let per_operation = |n: Option<f64>| n.map(|n| (human::ratio(n), n));
    let columns: [Column; 14] = [
        ("rate".into(), "rate", &|row| row.rate.map(|rate| (format!("{}/s", human::number(rate)), rate))),
        ("data".into(), "throughput", &|row| row.throughput.map(|rate| (format!("{}B/s", human::bytes(rate)), rate))),
        ("p50".into(), "p50", &|row| time(row.p50)),
        ("p99".into(), "p99", &|row| time(row.p99)),
        ("p99.9".into(), "p999", &|row| time(row.p999)),
        ("max".into(), "max", &|row| time(row.max)),
        (format!("{of} / {}", results.base), "ratio", &|row| per_operation(row.ratio)),
        ("client CPU/op".into(), "client_cpu", &|row| cpu(row.client_cpu)),
        ("server CPU/op".into(), "server_cpu", &|row| cpu(row.server_cpu)),
        ("switches/op".into(), "switches", &|row| per_operation(row.switches)),
        ("served/op".into(), "requests", &|row| per_operation(row.requests)),
        ("server memory".into(), "memory", &|row| row.memory.map(|n| (human::bytes(n as f64), n as f64))),
        ("server fds".into(), "fds", &|row| row.fds.map(|n| (n.to_string(), n as f64))),
        ("rounds".into(), "rounds", &|row| Some((row.rounds.to_string(), row.rounds as f64))),
    ];
    // A job is one operation: its rate is its time said less well.
    let wanted = |column: &&Column| {
        let (_, name, cell) = *column;
        (block.load != Load::Job || *name != "rate") && block.rows.iter().any(|row| cell(row).is_some())
    };
    let columns: Vec<&Column> = columns.iter().filter(wanted).collect();
    let (workload, how) = (escaped(&block.workload), escaped(&block.how));
    let _ = write!(
        out,
        "<div class=\"block\"><h3>{workload}<small>{how}</small></h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"{workload}, {how}\"><table><thead><tr><th scope=\"col\">target</th>"
    );
    for (heading, _, _) in &columns {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(heading));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &block.rows {
        let _ = write!(out, "<tr><th scope=\"row\" title=\"{0}\">{0}</th>", escaped(&row.target));
        for (_, name, cell) in &columns {
            figure(out, row, name, cell(row));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    notes_of(out, &notes::of_block(results, block));
    out.push_str("</div>\n");
}

fn figure(out: &mut String, row: &Row, name: &str, cell: Cell) {
    let Some((shown, value)) = cell else {
        out.push_str("<td class=\"none\"><span aria-label=\"none\">–</span></td>");
        return;
    };
    let _ = write!(out, "<td data-figure=\"{name}\" data-value=\"{value}\">{}", escaped(&shown));
    if let Some(interval) = row.interval.filter(|_| name == "ratio") {
        let _ = write!(out, " <small>({}–{})</small>", human::ratio(interval.low), human::ratio(interval.high));
    }
    out.push_str("</td>");
}

fn run(out: &mut String, results: &Results) {
    let machine = &results.machine;
    let command = results.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let mut entries = vec![
        ("Command".to_owned(), code(&command)),
        ("Started".to_owned(), escaped(&human::date(results.started))),
        ("Kernel".to_owned(), escaped(&format!("{} {}", machine.kernel, machine.arch))),
        ("CPU".to_owned(), escaped(&format!("{} × {}", machine.cpus, machine.cpu))),
        ("Memory".to_owned(), escaped(&format!("{}iB", human::bytes(machine.memory as f64)))),
    ];
    entries.extend(machine.notes.iter().map(|note| ("Also".to_owned(), escaped(note))));
    entries.extend(results.targets.iter().map(|target| (target.name.clone(), about(target))));
    out.push_str("<dl>\n");
    for (name, text) in entries.iter().filter(|(_, text)| !text.is_empty()) {
        let _ = writeln!(out, "<dt>{}</dt><dd>{text}</dd>", escaped(name));
    }
    out.push_str("</dl>\n");
}

fn about(target: &Target) -> String {
    let parts = [
        Some(format!("{} at {}", escaped(&target.filesystem), code(&target.directory))),
        target.command.as_ref().map(|command| format!("mounted by {}", code(command))),
        target.server.as_ref().map(|server| format!("served by {}", escaped(server))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    /// What stands between the tags of the script with that id.
    fn script<'a>(page: &'a str, id: &str) -> &'a str {
        let start = format!("<script type=\"application/json\" id=\"{id}\">");
        page.split_once(&start).unwrap().1.split_once("</script>").unwrap().0
    }

    #[test]
    fn the_page_carries_the_results() {
        let results = fixture::results();
        let page = html(&results);
        assert_eq!(serde_json::from_str::<Results>(script(&page, "results")).unwrap(), results);
        let blocks: serde_json::Value = serde_json::from_str(script(&page, "blocks")).unwrap();
        assert_eq!(blocks[0]["rows"][1]["ratio"], 0.26);
        assert!(!page.contains("{{"), "a name in the page that nothing is known of");
        assert!(page.contains("Doubtful:</b> the machine was busy") && page.contains("exit 128"));
    }

    #[test]
    fn nothing_is_fetched() {
        let page = html(&fixture::results());
        let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!without_namespace.contains(word), "{word}");
        }
    }

    #[test]
    fn what_users_give_is_text() {
        let evil = "</script><script>alert(1)</script><!-- \" ' & \u{2028}{{css}}";
        let mut results = fixture::results();
        results.targets[1].name = evil.to_owned();
        results.targets[1].command = Some(evil.to_owned());
        results.command.push(evil.to_owned());
        results.warnings = vec![evil.to_owned()];
        results.machine.kernel = evil.to_owned();
        for cell in &mut results.cells {
            cell.workload = evil.to_owned();
            cell.warnings.push(evil.to_owned());
            cell.failure = Some(evil.to_owned());
        }
        let page = html(&results);
        assert!(
            !page.contains("<script>alert") && !page.contains("<!--") && !script(&page, "results").contains('\u{2028}')
        );
        // The page's own, the two of data, and one of code.
        assert_eq!(page.matches("<script").count(), 3);
        assert_eq!(page.matches("</script").count(), 3);
        assert_eq!(page.matches(STYLE).count(), 1);
        assert_eq!(serde_json::from_str::<Results>(script(&page, "results")).unwrap(), results);
    }

    #[test]
    fn commands_can_be_given_to_a_shell() {
        assert_eq!(
            [quoted("--target"), quoted("a={src}"), quoted("it's"), quoted("")],
            ["--target", "'a={src}'", r"'it'\''s'", "''"]
        );
    }

    #[test]
    fn a_run_of_nothing_is_a_page() {
        assert!(html(&Results::default()).contains("</html>"));
    }
}
