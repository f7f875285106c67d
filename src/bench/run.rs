//! The run: workload by workload, and within one round by round, each on all targets in turn.

use std::collections::BTreeMap;

use super::cli::Plan;
use super::client::Trouble;
use super::crew::{Circumstances, Crew, Outcome};
use super::distrust::{self, Served};
use super::load::{Sweep, search};
use super::place::Place;
use super::progress::Progress;
use super::result::{Cell, Load, Results, Round};
use super::stop::Stop;
use super::target::Target;
use super::workload::Workload;

/// A sweep starts from this where no closed loop has told a better rate.
const SOME_RATE: f64 = 1000.0;
/// Points that a sweep takes, as a guess for the time that is left.
const SWEEP_POINTS: f64 = 8.0;

/// Measures all of `plan`, until `stop`.
pub struct Run<'a> {
    plan: &'a Plan,
    place: &'a Place,
    stop: &'a Stop,
    progress: Progress,
    results: &'a mut Results,
    /// Targets that could not be mounted, and why: the next workload would have to wait for that again.
    hopeless: BTreeMap<String, String>,
    lost: bool,
}

/// The targets of one workload, each with its crew, or with the reason why it has none (any more).
struct Team<'a> {
    members: Vec<(&'a Target, Result<Crew<'a>, String>)>,
}

impl<'a> Run<'a> {
    /// Fills the cells of `results`.
    pub fn new(plan: &'a Plan, place: &'a Place, stop: &'a Stop, results: &'a mut Results) -> Run<'a> {
        let progress = Progress::new(plan.workloads.iter().map(|workload| seconds(plan, workload)).sum());
        Run { plan, place, stop, progress, results, hopeless: BTreeMap::new(), lost: false }
    }

    /// To the end, or until it is stopped. False if something was lost that may still hang.
    pub fn all(mut self) -> bool {
        for workload in &self.plan.workloads {
            if self.stop.is_set() {
                break;
            }
            self.workload(workload);
        }
        self.results.interrupted = self.stop.is_set();
        !self.lost
    }

    fn workload(&mut self, workload: &'a Workload) {
        let around = Circumstances { plan: self.plan, place: self.place, stop: self.stop, workload };
        let mut team = self.assemble(around);
        for load in self.plan.loads_of(workload) {
            self.cells(workload, load, &mut team);
        }
        if let Some(clients) = self.plan.sweep.filter(|_| !workload.is_job()) {
            self.sweeps(workload, clients, &mut team);
        }
        for (target, member) in team.members {
            let troubles = member.map(Crew::dismiss).unwrap_or_default();
            self.results
                .warnings
                .extend(troubles.iter().map(|why| format!("{} after {}: {why}", target.name, workload.name())));
        }
    }

    fn assemble(&mut self, around: Circumstances<'a>) -> Team<'a> {
        let mut members = Vec::new();
        for target in &self.plan.targets {
            self.progress.at(&format!("{}: preparing {}", around.workload.name(), target.name), true);
            let member = match self.hopeless.get(&target.name) {
                Some(why) => Err(why.clone()),
                None if self.stop.is_set() => Err(String::new()),
                None => self.assemble_one(around, target),
            };
            // At once: whoever has misspelt a command is not to wait until the others are measured.
            if let Some(why) = member.as_ref().err().filter(|why| !why.is_empty()) {
                self.progress.say(&format!("{} on {}: {why}", around.workload.name(), target.name));
            }
            members.push((target, member));
        }
        Team { members }
    }

    fn assemble_one(&mut self, around: Circumstances<'a>, target: &'a Target) -> Result<Crew<'a>, String> {
        match Crew::assemble(around, target) {
            Ok(crew) => {
                let facts = self.results.targets.iter_mut().find(|facts| facts.name == target.name);
                if let Some(facts) = facts {
                    *facts = crew.facts();
                }
                Ok(crew)
            }
            Err(Trouble::Stopped) => Err(String::new()),
            Err(Trouble::Failed(why)) => Err(why),
            Err(Trouble::Lost(why)) => {
                self.lost = true;
                self.hopeless.insert(target.name.clone(), why.clone());
                Err(why)
            }
        }
    }

    /// One load on all targets.
    fn cells(&mut self, workload: &Workload, load: Load, team: &mut Team<'a>) {
        let first = self.results.cells.len();
        for (target, member) in &team.members {
            let mut cell = new_cell(workload, target, load);
            cell.failure = member.as_ref().err().cloned();
            self.results.cells.push(cell);
        }
        let mut late = vec![0; team.members.len()];
        for round in 0..self.plan.rounds {
            for at in rotated(team.members.len(), round as usize) {
                let what = format!(
                    "{}, {}: {}, round {} of {}",
                    workload.name(),
                    in_words(load),
                    team.members[at].0.name,
                    round + 1,
                    self.plan.rounds
                );
                self.progress.at(&what, round == 0);
                self.one(&mut team.members[at], first + at, load, &mut late[at]);
                self.progress.advance(self.plan.duration.as_secs_f64());
                if self.stop.is_set() {
                    break;
                }
            }
        }
        for (cell, late) in self.results.cells[first..].iter_mut().zip(late) {
            finish(cell, workload, late, self.stop);
        }
        // What was stopped before it had begun is no cell.
        let stopped = self.stop.is_set();
        let begun = |cell: &Cell| {
            !stopped || !cell.rounds.is_empty() || cell.failure.as_ref().is_some_and(|why| !why.is_empty())
        };
        self.results.cells.retain(begun);
    }

    fn one(&mut self, member: &mut (&'a Target, Result<Crew<'a>, String>), cell: usize, load: Load, late: &mut u64) {
        let Some(cell) = self.results.cells.get_mut(cell) else { return };
        let Ok(crew) = &mut member.1 else {
            cell.failure = cell.failure.take().or_else(|| member.1.as_ref().err().cloned());
            return;
        };
        if cell.failure.is_some() {
            return;
        }
        match crew.round(load) {
            Ok(outcome) => *late += take(cell, outcome),
            Err(Trouble::Stopped) => {}
            Err(Trouble::Failed(why)) => cell.failure = Some(why),
            Err(Trouble::Lost(why)) => {
                self.lost = true;
                cell.failure = Some(why.clone());
                if let Ok(crew) = std::mem::replace(&mut member.1, Err(why)) {
                    crew.dismiss();
                }
            }
        }
        if let Some(why) = cell.failure.as_ref() {
            self.progress.say(&format!("{} on {}: {why}", cell.workload, cell.target));
        }
    }

    /// The points of one target come one after the other: they are its own.
    fn sweeps(&mut self, workload: &Workload, clients: u32, team: &mut Team<'a>) {
        for (target, member) in &mut team.members {
            let Ok(crew) = member else { continue };
            let base_rate = closed_rate(&self.results.cells, workload.name(), &target.name).unwrap_or(SOME_RATE);
            let mut failure = None;
            let sweep = search(clients, base_rate, self.stop, |rate| {
                let load = Load::Open { clients, rate };
                self.progress.at(&format!("{}, sweep, {}: {}", workload.name(), in_words(load), target.name), true);
                self.progress.advance(self.plan.duration.as_secs_f64());
                crew.round(load).map_err(|trouble| failure = Some((load, trouble))).ok()
            });
            self.points(workload, target, sweep);
            if let Some((load, Trouble::Failed(why) | Trouble::Lost(why))) = failure {
                let mut cell = new_cell(workload, target, load);
                cell.failure = Some(why);
                self.results.cells.push(cell);
            }
        }
    }

    fn points(&mut self, workload: &Workload, target: &Target, sweep: Sweep<Outcome>) {
        for (at, (load, outcome)) in sweep.points.into_iter().enumerate() {
            let mut cell = new_cell(workload, target, load);
            cell.knee = sweep.knee == Some(at);
            let late = take(&mut cell, outcome);
            finish(&mut cell, workload, late, self.stop);
            self.results.cells.push(cell);
        }
    }
}

/// Seconds of measuring that a workload takes.
fn seconds(plan: &Plan, workload: &Workload) -> f64 {
    let rounds = plan.loads_of(workload).len() as f64 * f64::from(plan.rounds);
    let points = if plan.sweep.is_some() && !workload.is_job() { SWEEP_POINTS } else { 0.0 };
    (rounds + points) * plan.targets.len() as f64 * plan.duration.as_secs_f64()
}

/// A B C, B C A, C A B: whatever being first is worth, each gets it.
fn rotated(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + round) % count)
}

fn new_cell(workload: &Workload, target: &Target, load: Load) -> Cell {
    Cell {
        workload: workload.name().to_owned(),
        target: target.name.clone(),
        load,
        rounds: Vec::new(),
        failure: None,
        knee: false,
        warnings: Vec::new(),
    }
}

/// Adds a round to a cell; how many arrivals were late.
fn take(cell: &mut Cell, outcome: Outcome) -> u64 {
    let Outcome { round, wrong, late, notes } = outcome;
    if round.operations > 0 {
        cell.rounds.push(round);
    }
    if !wrong.is_empty() {
        cell.failure = Some(format!("wrong answers: {}", wrong.join("; ")));
    }
    for note in notes {
        if !cell.warnings.contains(&note) {
            cell.warnings.push(note);
        }
    }
    late
}

/// Says what there is to be doubted in a cell that has all its rounds.
fn finish(cell: &mut Cell, workload: &Workload, late: u64, stop: &Stop) {
    if cell.rounds.is_empty() {
        return;
    }
    let served = if workload.may_be_cached() { Served::MayBeCached } else { Served::Always };
    let mut doubts = distrust::judge(cell, served);
    doubts.extend(distrust::late(cell, late));
    if stop.is_set() {
        doubts.push(format!("interrupted: {} rounds only, the last of them cut short", cell.rounds.len()));
    }
    cell.warnings.append(&mut doubts);
}

/// Operations a second that the target's first closed loop reached.
fn closed_rate(cells: &[Cell], workload: &str, target: &str) -> Option<f64> {
    let closed =
        |cell: &&Cell| matches!(cell.load, Load::Closed { .. }) && cell.workload == workload && cell.target == target;
    let rounds = &cells.iter().find(closed)?.rounds;
    let rate = |round: &Round| (round.seconds > 0.0).then(|| round.operations as f64 / round.seconds);
    rounds.iter().filter_map(rate).reduce(f64::max)
}

fn in_words(load: Load) -> String {
    match load {
        Load::Closed { clients: 1 } => "1 client".to_owned(),
        Load::Closed { clients } => format!("{clients} clients"),
        Load::Open { clients, rate } => format!("{rate:.0} a second from {clients} clients"),
        Load::Depth { depth } => format!("depth {depth}"),
        Load::Job => "whole".to_owned(),
    }
}
