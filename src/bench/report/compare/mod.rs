//! What changed from one run to another, beyond noise.
//!
//! Rounds of one run differ, and so do whole runs of the same thing: another layout of memory, another neighbour on the
//! machine. A change has to stand out from both.
//!
//! - Everything is computed on logarithms of the figures, on which noise is about as large for 300 ns as for 3 s. The
//!   change of a figure is the difference of the means of its rounds.
//! - **Noise between rounds** is their variance in both runs.
//! - **Noise between runs** cannot be seen from one cell. The base (`native`) has not been changed, so what its cells did
//!   from run to run is that noise. A little is always assumed: two runs are never the same.
//! - If all of the base moved in one direction, the machine did, and all changes are measured from there. If the base
//!   moved in one cell, other targets must have changed there not only by themselves but also in ratio to it, round by
//!   round.
//! - Student's t says how likely a change is by chance (Welch's, with the degrees of freedom of all variances added up).
//!   With as many chances as there are figures some come true, so Holm's method keeps the likelihood of any false finding
//!   below 5 %. Permutations of rounds would assume less, but of five rounds and five there are 252, and one of 252 is
//!   no rare thing among 70 cells.
//!
//! What disturbs other targets from run to run, but never the base, is taken for a change: the threshold is for that.

mod figure;
mod show;
mod student;

use std::collections::HashMap;

use super::summary;
use crate::bench::result::{Cell, Results};

use figure::{Estimate, Figure, Noise};

/// The likelihood that anything is found where nothing has changed.
const FALSE_FINDINGS: f64 = 0.05;
/// A cell of the base moved if chance does that this rarely.
const BASE_MOVED: f64 = 0.05;

/// What changed. [`Display`](std::fmt::Display) gives the table.
#[derive(Debug)]
pub struct Comparison {
    threshold: f64,
    base: String,
    changes: Vec<Change>,
    /// Of each figure that was compared.
    noises: Vec<(Figure, Noise)>,
    /// Cells that failed in the new run only.
    broken: Vec<String>,
    /// What the two runs do not have in common.
    notes: Vec<String>,
}

/// What is said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verdict {
    WithinNoise,
    Better,
    Worse,
    /// Worse beyond the threshold.
    Regressed,
    /// One round on either side says nothing of noise.
    TooFewRounds,
    /// It is the base's: others are measured by it.
    Ruler,
}

/// One figure of one cell.
#[derive(Debug)]
struct Change {
    workload: String,
    target: String,
    how: String,
    figure: Figure,
    old: f64,
    new: f64,
    /// As logarithm, with what the machine did taken out; nothing if there are too few rounds.
    effect: Option<Estimate>,
    /// The change of the ratio to the base, as logarithm.
    to_base: Option<Estimate>,
    /// The base moved here, so `to_base` counts too.
    base_moved: bool,
    verdict: Verdict,
}

impl Comparison {
    /// Whether anything is worse by more than the threshold and beyond noise, or fails that did not.
    pub fn regressed(&self) -> bool {
        self.found(Verdict::Regressed) > 0 || !self.broken.is_empty()
    }

    /// How many figures have that verdict.
    pub fn found(&self, verdict: Verdict) -> usize {
        self.changes.iter().filter(|change| change.verdict == verdict).count()
    }
}

/// Compares two runs. `threshold` is the part of a figure (0.05 for 5 %) by which it may get worse.
pub fn compare(old: &Results, new: &Results, threshold: f64) -> Comparison {
    let pairs: Vec<Pair> =
        new.cells.iter().filter_map(|cell| Some(Pair { old: same(old, cell)?, new: cell })).collect();
    let (mut changes, mut noises) = (Vec::new(), Vec::new());
    for figure in Figure::ALL {
        let is_base = |pair: &Pair| old.base == new.base && pair.new.target == new.base;
        let rulers: Vec<Estimate> =
            pairs.iter().filter(|pair| is_base(pair)).filter_map(|pair| pair.estimate(figure)).collect();
        let noise = Noise::of(&rulers);
        let base = |pair: &Pair| pairs.iter().find(|base| is_base(base) && base.stands_beside(pair));
        let found = pairs.iter().filter_map(|pair| pair.change(figure, &noise, base(pair)));
        let before = changes.len();
        changes.extend(found);
        if changes.len() > before {
            noises.push((figure, noise));
        }
    }
    judge(&mut changes, threshold);
    in_order_of(new, &mut changes);
    let broken = pairs.iter().filter_map(Pair::broken).collect();
    Comparison { threshold, base: new.base.clone(), changes, noises, broken, notes: notes(old, new) }
}

/// The cell of `results` that measured the same as `cell`.
fn same<'a>(results: &'a Results, cell: &Cell) -> Option<&'a Cell> {
    let key = |cell: &Cell| (cell.workload.clone(), cell.target.clone(), cell.load);
    results.cells.iter().find(|other| key(other) == key(cell))
}

/// One cell in both runs.
#[derive(Clone, Copy)]
struct Pair<'a> {
    old: &'a Cell,
    new: &'a Cell,
}

impl Pair<'_> {
    fn stands_beside(&self, other: &Pair) -> bool {
        self.new.workload == other.new.workload && self.new.load == other.new.load
    }

    fn estimate(&self, figure: Figure) -> Option<Estimate> {
        let known = |cell| figure.logarithms(cell).into_iter().flatten().collect::<Vec<f64>>();
        Estimate::between(&known(self.old), &known(self.new))
    }

    /// Of the ratio to `base`, round by round.
    fn estimate_to(&self, base: &Pair, figure: Figure) -> Option<Estimate> {
        let ratios = |cell, base| {
            let rounds = figure.logarithms(cell).into_iter().zip(figure.logarithms(base));
            rounds.filter_map(|(cell, base)| Some(cell? - base?)).collect::<Vec<f64>>()
        };
        Estimate::between(&ratios(self.old, base.old), &ratios(self.new, base.new))
    }

    /// Nothing if either side lacks the figure. `base` is that beside this one, and may be this one.
    fn change(&self, figure: Figure, noise: &Noise, base: Option<&Pair>) -> Option<Change> {
        let typical = |cell| {
            let known: Vec<f64> = figure.logarithms(cell).into_iter().flatten().collect();
            super::stats::median(&known).map(f64::exp)
        };
        let (old, new) = (typical(self.old)?, typical(self.new)?);
        let corrected =
            |pair: &Pair| Some(pair.estimate(figure)?.corrected(noise.drift, noise.variance, noise.freedom));
        let is_base = base.is_some_and(|base| base.new.target == self.new.target);
        let effect = corrected(self);
        // Two cells have moved between runs, each for itself.
        let to_base = base
            .filter(|_| !is_base)
            .and_then(|base| Some(self.estimate_to(base, figure)?.corrected(0.0, 2.0 * noise.variance, noise.freedom)));
        let base_moved = base.and_then(corrected).is_some_and(|base| base.likelihood() < BASE_MOVED);
        let verdict = match effect {
            _ if is_base => Verdict::Ruler,
            None => Verdict::TooFewRounds,
            Some(_) => Verdict::WithinNoise,
        };
        let (workload, target, how) =
            (self.new.workload.clone(), self.new.target.clone(), summary::how(&self.new.load));
        Some(Change { workload, target, how, figure, old, new, effect, to_base, base_moved, verdict })
    }

    fn broken(&self) -> Option<String> {
        let failure = self.new.failure.as_ref().filter(|_| self.old.failure.is_none())?;
        Some(format!("{}: {failure}", name(self.new)))
    }
}

impl Change {
    /// The estimates that have to agree.
    fn evidence(&self) -> impl Iterator<Item = &Estimate> {
        self.effect.iter().chain(self.to_base.iter().filter(|_| self.base_moved))
    }

    /// How likely it is by chance: no evidence may be weaker, nor point the other way.
    fn likelihood(&self) -> f64 {
        let agreed = self.evidence().all(|one| one.value > 0.0) || self.evidence().all(|one| one.value < 0.0);
        if agreed { self.evidence().map(Estimate::likelihood).fold(0.0, f64::max) } else { 1.0 }
    }

    /// What is sure to have been lost, as part of the figure; less than 0 is a gain.
    fn loss(&self) -> f64 {
        let losses = self.evidence().map(|one| match self.figure.is_cost() {
            true => one.value.exp() - 1.0,
            false => 1.0 - one.value.exp(),
        });
        losses.min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
    }
}

/// Holm's method: the least likely of m may be a finding if chance makes it one in a share of FALSE_FINDINGS / m, the
/// next one of m - 1, and so on until one is not.
fn judge(changes: &mut [Change], threshold: f64) {
    let mut judged: Vec<&mut Change> =
        changes.iter_mut().filter(|change| change.verdict == Verdict::WithinNoise).collect();
    judged.sort_by(|a, b| a.likelihood().total_cmp(&b.likelihood()));
    let all = judged.len();
    for (before, change) in judged.into_iter().enumerate() {
        if change.likelihood() > FALSE_FINDINGS / (all - before) as f64 {
            break;
        }
        change.verdict = match change.loss() {
            loss if loss > threshold => Verdict::Regressed,
            loss if loss > 0.0 => Verdict::Worse,
            _ => Verdict::Better,
        };
    }
}

/// The figures of a cell stand together, and cells as in the results.
fn in_order_of(results: &Results, changes: &mut [Change]) {
    let places: HashMap<(String, String, String), usize> = results.cells.iter().map(key).zip(0..).collect();
    changes.sort_by_key(|change| {
        places.get(&(change.workload.clone(), change.how.clone(), change.target.clone())).copied()
    });
}

fn key(cell: &Cell) -> (String, String, String) {
    (cell.workload.clone(), summary::how(&cell.load), cell.target.clone())
}

fn name(cell: &Cell) -> String {
    format!("{}, {}, {}", cell.workload, summary::how(&cell.load), cell.target)
}

/// What the two runs do not have in common.
fn notes(old: &Results, new: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let machine = |results: &Results| {
        let machine = &results.machine;
        [("kernel", machine.kernel.clone()), ("CPU", machine.cpu.clone()), ("CPUs", machine.cpus.to_string())]
    };
    for ((what, old), (_, new)) in machine(old).into_iter().zip(machine(new)) {
        if old != new {
            notes.push(format!("another {what}: {old}, then {new}"));
        }
    }
    if old.base != new.base {
        notes.push(format!("another base ({}, then {}): noise between runs is not known", old.base, new.base));
    }
    for (which, results) in [("old", old), ("new", new)] {
        if results.interrupted {
            notes.push(format!("the {which} run was interrupted"));
        }
    }
    for (which, here, there) in [("old", old, new), ("new", new, old)] {
        let missing = here.cells.iter().filter(|cell| same(there, cell).is_none());
        notes.extend(missing.map(|cell| format!("only in the {which} run: {}", name(cell))));
    }
    notes
}
