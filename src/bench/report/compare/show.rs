//! A comparison as a table.

use std::fmt;

use super::{Change, Comparison, Estimate, FALSE_FINDINGS, Figure, Verdict};
use crate::bench::report::grid::{Column, Paint, WIDTH, grid, wrapped};
use crate::bench::report::human::{self, printable, shortened};

const NAME_WIDTH: usize = 22;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same_block = |a: &Change, b: &Change| (&a.workload, &a.how) == (&b.workload, &b.how);
        for block in self.changes.chunk_by(same_block) {
            writeln!(f, "{} · {}", printable(&block[0].workload), block[0].how)?;
            writeln!(f, "{}", grid(&columns(block), 2, Paint(false)))?;
        }
        for line in self.broken.iter().map(|broken| format!("✗ fails now: {broken}")).chain(self.remarks()) {
            for (index, line) in wrapped(&printable(&line), WIDTH).iter().enumerate() {
                writeln!(f, "{}{line}", if index == 0 { "" } else { "  " })?;
            }
        }
        writeln!(f, "{}", self.tally())
    }
}

impl Comparison {
    /// What the verdicts rest on.
    fn remarks(&self) -> Vec<String> {
        let base = &self.base;
        let mut remarks: Vec<String> = self.notes.iter().map(|note| format!("! {note}")).collect();
        for (figure, noise) in &self.noises {
            let name = figure.name();
            if noise.cells == 0 {
                remarks.push(format!(
                    "! {base} has no {name} with two rounds in both runs: noise between runs is assumed to be {:.0} %",
                    noise.deviation() * 100.0
                ));
                continue;
            }
            if noise.drift.0 != 0.0 {
                remarks.push(format!(
                    "! the {name} of {base} changed by {} over all: so did the machine, and changes are measured from there",
                    human::change(noise.drift.0.exp())
                ));
            }
            remarks.push(format!(
                "noise of the {name} between runs is {:.1} %, learnt from {} of {base}",
                noise.deviation() * 100.0,
                if noise.cells == 1 { "one cell".to_owned() } else { format!("{} cells", noise.cells) },
            ));
        }
        let moved: Vec<&Change> = self.changes.iter().filter(|change| change.moved_with_its_base()).collect();
        if !moved.is_empty() {
            remarks.push(format!(
                "* {base} itself moved there: a change counts only as far as the ratio to {base} changed too"
            ));
        }
        remarks
    }

    fn tally(&self) -> String {
        let named = [
            (Verdict::Regressed, format!("regressed by more than {:.0} %", self.threshold * 100.0)),
            (Verdict::Worse, "worse, but by less".to_owned()),
            (Verdict::Better, "better".to_owned()),
            (Verdict::WithinNoise, "within noise".to_owned()),
            (Verdict::TooFewRounds, "not judged (one round)".to_owned()),
        ];
        let counts = named.into_iter().map(|(verdict, name)| (self.found(verdict), name));
        let counts: Vec<String> =
            counts.filter(|&(count, _)| count > 0).map(|(count, name)| format!("{count} {name}")).collect();
        match counts.is_empty() {
            true => "nothing was measured in both runs".to_owned(),
            false => format!(
                "{} (chance alone finds anything in {:.0} % of comparisons)",
                counts.join(", "),
                FALSE_FINDINGS * 100.0
            ),
        }
    }
}

impl Change {
    fn moved_with_its_base(&self) -> bool {
        self.base_moved && self.verdict != Verdict::Ruler
    }
}

fn columns(block: &[Change]) -> Vec<Column> {
    let column =
        |heading: [&str; 2], cell: &dyn Fn(&Change) -> String| Column::new(heading, block.iter().map(cell).collect());
    let figure = |change: &Change, value: f64| match change.figure {
        Figure::Rate => format!("{}/s", human::number(value)),
        Figure::P50 | Figure::P99 => human::duration(value),
    };
    let percent = |estimate: &Option<Estimate>| match estimate {
        Some(estimate) => human::change(estimate.value.exp()),
        None => String::new(),
    };
    let interval = |change: &Change| match &change.effect {
        Some(effect) => {
            let (low, high) = effect.interval();
            format!("{} … {}", human::change(low.exp()), human::change(high.exp()))
        }
        None => String::new(),
    };
    vec![
        column(["", ""], &|change| shortened(&change.target, NAME_WIDTH)),
        column(["", ""], &|change| change.figure.name().to_owned()),
        column(["", "old"], &|change| figure(change, change.old)),
        column(["", "new"], &|change| figure(change, change.new)),
        column(["", "change"], &|change| percent(&change.effect)),
        column(["", "95 %"], &interval),
        column(["of ratio", "to base"], &|change| percent(&change.to_base)),
        column(["", ""], &|change| format!("{}{}", verdict(change.verdict), star(change))),
    ]
}

fn star(change: &Change) -> &'static str {
    if change.moved_with_its_base() { " *" } else { "" }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::WithinNoise => "same",
        Verdict::Better => "BETTER",
        Verdict::Worse => "worse",
        Verdict::Regressed => "REGRESSED",
        Verdict::TooFewRounds => "one round",
        Verdict::Ruler => "base",
    }
}
