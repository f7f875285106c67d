//! What went wrong, and what makes figures doubtful, as lines for every report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::human;
use super::summary::Block;
use crate::bench::result::{Cell, Results};

/// Whether something was not measured, or is doubtful; or only worth a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Failure,
    Warning,
    Remark,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// See [`Kind`].
    pub kind: Kind,
    /// Begins with the targets that it is about, if it is not about the run.
    pub text: String,
}

/// What is to be said below a block: failures first; what several targets have in common only once.
pub fn of_block(results: &Results, block: &Block) -> Vec<Note> {
    let cells = results.cells.iter().filter(|cell| cell.workload == block.workload && cell.load == block.load);
    let mut said: Vec<(Kind, String, Vec<&str>)> = Vec::new();
    for cell in cells {
        for (kind, text) in of_cell(cell) {
            match said.iter_mut().find(|(k, t, _)| (*k, t.as_str()) == (kind, text.as_str())) {
                Some((_, _, targets)) => targets.push(&cell.target),
                None => said.push((kind, text, vec![&cell.target])),
            }
        }
    }
    // Stable: within a kind they stay in the order of the targets.
    said.sort_by_key(|(kind, _, _)| *kind != Kind::Failure);
    said.into_iter()
        .map(|(kind, text, targets)| Note { kind, text: format!("{}: {text}", targets.join(", ")) })
        .collect()
}

/// What is to be said of the whole run.
pub fn of_run(results: &Results) -> Vec<Note> {
    let warning = |text: &String| Note { kind: Kind::Warning, text: text.clone() };
    let interrupted = results
        .interrupted
        .then(|| Note { kind: Kind::Failure, text: "interrupted: this is what was measured until then".to_owned() });
    interrupted.into_iter().chain(failed(results)).chain(results.warnings.iter().map(warning)).collect()
}

/// `2 of 40 cells failed: untar on bindfs, cargo on bindfs`.
fn failed(results: &Results) -> Option<Note> {
    let failed = results.cells.iter().filter(|cell| cell.failure.is_some());
    let names: Vec<String> = failed.map(|cell| format!("{} on {}", cell.workload, cell.target)).collect();
    let text = format!("{} of {} cells failed: {}", names.len(), results.cells.len(), names.join(", "));
    (!names.is_empty()).then_some(Note { kind: Kind::Failure, text })
}

fn of_cell(cell: &Cell) -> Vec<(Kind, String)> {
    let failure = cell.failure.iter().map(|failure| (Kind::Failure, failure.clone()));
    let errors = errors(cell).map(|text| (Kind::Failure, text));
    let warnings = cell.warnings.iter().map(|warning| (Kind::Warning, warning.clone()));
    let knee = cell.knee.then(|| (Kind::Remark, "the knee: the last rate that it keeps up with".to_owned()));
    failure.chain(errors).chain(knee).chain(warnings).collect()
}

/// `12 of 40.0k operations failed: EIO 10, ENOENT 2`.
fn errors(cell: &Cell) -> Option<String> {
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in cell.rounds.iter().flat_map(|round| &round.errors) {
        *errors.entry(name).or_default() += count;
    }
    let failed: u64 = errors.values().sum();
    if failed == 0 {
        return None;
    }
    let all = failed + cell.rounds.iter().map(|round| round.operations).sum::<u64>();
    let names: Vec<String> = errors.iter().map(|(name, count)| format!("{name} {count}")).collect();
    Some(format!("{failed} of {} operations failed: {}", human::number(all as f64), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{fixture, summary};

    #[test]
    fn what_targets_have_in_common_is_said_once_and_failures_first() {
        let mut results = fixture::results();
        for cell in &mut results.cells[..2] {
            cell.warnings.push("short rounds".to_owned());
        }
        results.cells[1].rounds[0].errors = BTreeMap::from([("EIO".to_owned(), 10)]);
        results.cells[1].rounds[1].errors = BTreeMap::from([("EIO".to_owned(), 1), ("ENOENT".to_owned(), 1)]);
        let block = &summary::blocks(&results)[0];
        let texts: Vec<String> = of_block(&results, block).into_iter().map(|note| note.text).collect();
        assert_eq!(texts, ["ptfs: 12 of 66.0k operations failed: EIO 11, ENOENT 1", "native, ptfs: short rounds"]);
    }

    #[test]
    fn failures_and_interruptions_are_said_of_the_run_too() {
        let mut results = fixture::results();
        assert_eq!(of_run(&results)[0].text, "1 of 6 cells failed: monorepo on ptfs");
        assert_eq!(of_run(&results).len(), 2);
        results.interrupted = true;
        assert!(of_run(&results)[0].text.starts_with("interrupted"));
        assert_eq!(of_run(&results)[0].kind, Kind::Failure);
    }
}
