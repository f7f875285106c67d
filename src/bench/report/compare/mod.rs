//! What changed from one run to another, beyond noise.
//!
//! Rounds of one run differ, and so do whole runs of the same thing: another layout of memory, another neighbour on the
//! machine. A change has to stand out from both.
//!
//! - Everything is computed on logarithms of the figures, on which noise is about as large for 300 ns as for 3 s. The
//!   change of a figure is the difference of the means of its rounds.
//! - **Noise between rounds** is their variance in both runs. Of few rounds some agree by chance, so it is shrunk towards
//!   what is usual for the target.
//! - **Noise between runs** cannot be seen from one cell. The base (`native`) has not been changed, so what its cells did
//!   from run to run is that noise. A little is always assumed: two runs are never the same.
//! - If all of the base moved in one direction, the machine did, and all changes are measured from there. If the base
//!   moved in one cell, other targets must have changed there not only by themselves but also in ratio to it, round by
//!   round.
//! - Student's t says how likely a change is by chance. With as many chances as there are figures some come true, so Holm's method keeps the likelihood of any false finding
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

use figure::{Estimate, Figure, Noise, Rounds, Usual};

/// The likelihood that anything is found where nothing has changed.
const FALSE_FINDINGS: f64 = 0.05;
/// What is asked for that: noise that is itself estimated makes some likelihoods look smaller than they are.
const ASKED: f64 = FALSE_FINDINGS / 2.0;
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

    /// Whether the runs have nothing in common: no regression can be found there.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.broken.is_empty()
    }

    /// How many figures have that verdict.
    pub fn found(&self, verdict: Verdict) -> usize {
        self.changes.iter().filter(|change| change.verdict == verdict).count()
    }
}

/// Compares two runs. `threshold` is the part of a figure (0.05 for 5 %) by which it may get worse.
pub fn compare(old: &Results, new: &Results, threshold: f64) -> Comparison {
    let common: Vec<(&Cell, &Cell)> = new.cells.iter().filter_map(|cell| Some((same(old, cell)?, cell))).collect();
    // Where the base is another, nothing is measured by the same in both runs.
    let base = (old.base == new.base).then_some(new.base.as_str());
    let (mut changes, mut noises) = (Vec::new(), Vec::new());
    for figure in Figure::ALL {
        let pairs: Vec<Pair> = common.iter().filter_map(|&(old, new)| Pair::new(old, new, figure)).collect();
        if !pairs.is_empty() {
            let field = Field::new(figure, pairs, base);
            changes.extend(field.pairs.iter().filter_map(|pair| field.change(pair)));
            noises.push((figure, field.noise));
        }
    }
    judge(&mut changes, threshold);
    in_order_of(new, &mut changes);
    let broken = common.iter().filter_map(|(old, new)| broken(old, new)).collect();
    Comparison { threshold, base: new.base.clone(), changes, noises, broken, notes: notes(old, new) }
}

/// The cell of `results` that measured the same as `cell`.
fn same<'a>(results: &'a Results, cell: &Cell) -> Option<&'a Cell> {
    let is_same =
        |other: &&Cell| other.load == cell.load && (&other.workload, &other.target) == (&cell.workload, &cell.target);
    results.cells.iter().find(is_same)
}

/// One figure of one cell in both runs: its logarithm in each round that has it.
struct Pair<'a> {
    cell: &'a Cell,
    old: Vec<Option<f64>>,
    new: Vec<Option<f64>>,
}

impl<'a> Pair<'a> {
    /// Nothing if either run lacks the figure.
    fn new(old: &Cell, new: &'a Cell, figure: Figure) -> Option<Pair<'a>> {
        let pair = Pair { cell: new, old: figure.logarithms(old), new: figure.logarithms(new) };
        let some = |rounds: &[Option<f64>]| rounds.iter().any(Option::is_some);
        (some(&pair.old) && some(&pair.new)).then_some(pair)
    }

    fn rounds(&self) -> Rounds {
        let known = |rounds: &[Option<f64>]| rounds.iter().copied().flatten().collect();
        Rounds { old: known(&self.old), new: known(&self.new) }
    }

    /// The ratios to `base`, round by round.
    fn ratios(&self, base: &Pair) -> Rounds {
        let known = |rounds: &[Option<f64>], base: &[Option<f64>]| {
            rounds.iter().zip(base).filter_map(|(round, base)| Some((*round)? - (*base)?)).collect()
        };
        Rounds { old: known(&self.old, &base.old), new: known(&self.new, &base.new) }
    }
}

/// All pairs of a figure, with what can be learnt from them together.
struct Field<'a> {
    figure: Figure,
    pairs: Vec<Pair<'a>>,
    base: Option<&'a str>,
    noise: Noise,
    /// How much rounds scatter, and their ratios to the base, for each target.
    usual: HashMap<&'a str, (Usual, Usual)>,
}

impl<'a> Field<'a> {
    fn new(figure: Figure, pairs: Vec<Pair<'a>>, base: Option<&'a str>) -> Field<'a> {
        let noise = Noise::of(&[]);
        let mut field = Field { figure, pairs, base, noise, usual: HashMap::new() };
        for target in field.pairs.iter().map(|pair| pair.cell.target.as_str()) {
            if !field.usual.contains_key(target) {
                let of_target = || field.pairs.iter().filter(|pair| pair.cell.target == target);
                let ratios = of_target().filter_map(|pair| Some(pair.ratios(field.ruler(pair)?)));
                let usual = (Usual::of(of_target().map(Pair::rounds)), Usual::of(ratios));
                field.usual.insert(target, usual);
            }
        }
        let of_base = field.pairs.iter().filter(|pair| field.is_base(pair));
        let rulers: Vec<Estimate> = of_base.filter_map(|pair| field.between_rounds(pair)).collect();
        field.noise = Noise::of(&rulers);
        field
    }

    fn is_base(&self, pair: &Pair) -> bool {
        self.base == Some(&pair.cell.target)
    }

    /// The base's under the same workload and load.
    fn ruler(&self, pair: &Pair) -> Option<&Pair<'a>> {
        let beside = |other: &&Pair| (&other.cell.workload, other.cell.load) == (&pair.cell.workload, pair.cell.load);
        self.pairs.iter().filter(|other| self.is_base(other)).find(beside)
    }

    fn usual(&self, pair: &Pair) -> (Usual, Usual) {
        self.usual.get(pair.cell.target.as_str()).copied().unwrap_or_default()
    }

    /// How `pair` changed, unsure by the noise between rounds only.
    fn between_rounds(&self, pair: &Pair) -> Option<Estimate> {
        Estimate::between(&pair.rounds(), self.usual(pair).0)
    }

    /// How `pair` changed, once what the machine did is taken out.
    fn effect(&self, pair: &Pair) -> Option<Estimate> {
        Some(self.between_rounds(pair)?.within(&self.noise, self.noise.drift, 1.0))
    }

    /// How its ratio to `ruler` changed. Each of the two has moved between runs by itself.
    fn to_base(&self, pair: &Pair, ruler: &Pair) -> Option<Estimate> {
        Some(Estimate::between(&pair.ratios(ruler), self.usual(pair).1)?.within(&self.noise, (0.0, 0.0), 2.0))
    }

    fn change(&self, pair: &Pair) -> Option<Change> {
        let typical = |rounds: &[f64]| super::stats::median(rounds).map(f64::exp);
        let Rounds { old, new } = pair.rounds();
        let (effect, ruler) = (self.effect(pair), self.ruler(pair));
        let verdict = match effect {
            _ if self.is_base(pair) => Verdict::Ruler,
            None => Verdict::TooFewRounds,
            Some(_) => Verdict::WithinNoise,
        };
        let others = ruler.filter(|_| verdict != Verdict::Ruler);
        let moved = |ruler: &Pair| self.effect(ruler).is_some_and(|effect| effect.likelihood() < BASE_MOVED);
        Some(Change {
            workload: pair.cell.workload.clone(),
            target: pair.cell.target.clone(),
            how: summary::how(&pair.cell.load),
            figure: self.figure,
            old: typical(&old)?,
            new: typical(&new)?,
            effect,
            to_base: others.and_then(|ruler| self.to_base(pair, ruler)),
            base_moved: others.is_some_and(moved),
            verdict,
        })
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

/// Holm's method: the least likely of m is a finding if chance makes it in a share of ASKED / m only, the
/// next one of m - 1, and so on until one is not.
fn judge(changes: &mut [Change], threshold: f64) {
    let mut judged: Vec<&mut Change> =
        changes.iter_mut().filter(|change| change.verdict == Verdict::WithinNoise).collect();
    judged.sort_by(|a, b| a.likelihood().total_cmp(&b.likelihood()));
    let all = judged.len();
    for (before, change) in judged.into_iter().enumerate() {
        if change.likelihood() > ASKED / (all - before) as f64 {
            break;
        }
        change.verdict = match change.loss() {
            loss if loss > threshold => Verdict::Regressed,
            loss if loss > 0.0 => Verdict::Worse,
            _ => Verdict::Better,
        };
    }
}

fn broken(old: &Cell, new: &Cell) -> Option<String> {
    let failure = new.failure.as_ref().filter(|_| old.failure.is_none())?;
    Some(format!("{}: {failure}", name(new)))
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
