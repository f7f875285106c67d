//! A target during one workload: its mount, its agent, and who serves it.

use std::path::PathBuf;

use super::agent::{Answer, Ask, Sample};
use super::cli::Plan;
use super::client::{Bound, Client, Trouble};
use super::family;
use super::load::Point;
use super::place::Place;
use super::result::{self, Load, Round};
use super::server::Server;
use super::stop::Stop;
use super::target::{Kind, Mounted, Target};
use super::watch;
use super::workload::{Caches, Workload};
use crate::sys::mountinfo;

/// What is the same for all targets during a workload.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The run's.
    pub plan: &'a Plan,
    /// The run's.
    pub place: &'a Place,
    /// The run's.
    pub stop: &'a Stop,
    /// What is measured.
    pub workload: &'a Workload,
}

/// See above.
pub struct Crew<'a> {
    /// What it works on.
    pub target: &'a Target,
    around: Circumstances<'a>,
    mounted: Option<Mounted>,
    client: Client,
    server: Option<Server>,
    directory: PathBuf,
}

/// A round, and what it says of the cell that it belongs to.
pub struct Outcome {
    /// See there.
    pub round: Round,
    /// Why the cell cannot be believed at all.
    pub wrong: Vec<String>,
    /// Arrivals that were never made.
    pub late: u64,
    /// What is to be said, each once.
    pub notes: Vec<String>,
}

impl Point for Outcome {
    fn rate(&self) -> f64 {
        if self.round.seconds > 0.0 { self.round.operations as f64 / self.round.seconds } else { 0.0 }
    }

    fn quantile(&self, part: f64) -> u64 {
        let all: u64 = self.round.latency.iter().map(|(_, count)| count).sum();
        let mut below = 0;
        let reached = self.round.latency.iter().find(|(_, count)| {
            below += count;
            below as f64 >= all as f64 * part
        });
        reached.map_or(0, |(high, _)| *high)
    }
}

impl<'a> Crew<'a> {
    /// Mounts the target, if that is to be done, and has the workload laid out in it.
    pub fn assemble(around: Circumstances<'a>, target: &'a Target) -> Result<Crew<'a>, Trouble> {
        let mounted = mount(around, target).map_err(Trouble::Lost)?;
        let directory = around.place.directory(target);
        if target.kind == Kind::Native {
            std::fs::create_dir_all(&directory)
                .map_err(|error| Trouble::Lost(format!("cannot make {}: {error}", directory.display())))?;
        }
        let mark = mark(around.place, family::CLIENT, target);
        let client = match Client::start(&mark) {
            Ok(client) => client,
            Err(why) => {
                mounted.map(Mounted::take_down);
                return Err(Trouble::Failed(why));
            }
        };
        let directory = directory.join(around.workload.name());
        let mut crew = Crew { target, around, mounted, client, server: None, directory };
        crew.server = crew.find_server();
        match crew.prepare() {
            Ok(()) => Ok(crew),
            Err(trouble) => {
                let trouble = crew.explained(trouble);
                crew.dismiss();
                Err(trouble)
            }
        }
    }

    fn prepare(&mut self) -> Result<(), Trouble> {
        let Circumstances { plan, place, workload, .. } = self.around;
        let host = matches!(self.target.kind, Kind::Command(_));
        let ask = Ask::Prepare {
            name: workload.name().to_owned(),
            toml: workload.toml().to_owned(),
            directory: self.directory.clone(),
            host: host.then(|| place.source(self.target).join(workload.name())),
            scale: plan.scale,
        };
        self.ask(&ask, Bound::WhileItAnswers).map(drop)
    }

    /// What a reader is told of the target.
    pub fn facts(&self) -> result::Target {
        let entry = self.entry();
        result::Target {
            name: self.target.name.clone(),
            command: match &self.target.kind {
                Kind::Command(command) => Some(command.clone()),
                _ => None,
            },
            directory: self.around.place.directory(self.target).display().to_string(),
            filesystem: entry.map(|entry| entry.fstype).unwrap_or_default(),
            server: self.server.as_ref().and_then(Server::name),
        }
    }

    /// One round, after the caches have become what the workload wants.
    pub fn round(&mut self, load: Load) -> Result<Outcome, Trouble> {
        let outcome = self.try_round(load);
        outcome.map_err(|trouble| self.explained(trouble))
    }

    fn try_round(&mut self, load: Load) -> Result<Outcome, Trouble> {
        let notes = match self.around.workload.caches() {
            Caches::Any => Vec::new(),
            Caches::Warm => self.told(&Ask::Warm)?.0,
            Caches::Cold => self.chill()?,
        };
        let duration = self.around.plan.duration;
        let bound = match load {
            Load::Job => Bound::WhileItAnswers,
            _ => Bound::By(duration + self.around.plan.patience),
        };
        let (cpus, before) = (watch::Moment::now(), self.server.as_ref().map(Server::now));
        let answer = self.ask(&Ask::Run { load, duration }, bound)?;
        let (later, after) = (watch::Moment::now(), self.server.as_ref().map(Server::now));
        let Answer::Measured(mut sample) = answer else { return Err(nonsense()) };
        let moments = before.as_ref().zip(after.as_ref());
        let served = self.server.as_ref().zip(moments).map(|(server, (before, after))| server.between(before, after));
        let known = std::iter::once(&sample.client).chain(served.as_ref().map(|served| &served.usage));
        let known = known.map(|usage| usage.user + usage.system).sum();
        let shares = cpus.until(later, known);
        sample.wrong.extend(self.look_back()?);
        if sample.operations == 0 && !self.around.stop.is_set() {
            return Err(Trouble::Failed(nothing_went_well(&sample)));
        }
        Ok(outcome(sample, served, shares, notes))
    }

    /// What is wrong with what was written: found out now that the figures of the round are taken, to which it does not
    /// belong. Who is in a hurry does without.
    fn look_back(&mut self) -> Result<Vec<String>, Trouble> {
        match self.ask(&Ask::LookBack, Bound::WhileItAnswers) {
            Ok(Answer::Found(wrong)) => Ok(wrong),
            Ok(_) => Err(nonsense()),
            Err(Trouble::Stopped) => Ok(Vec::new()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Ends all of it. What went wrong with that.
    pub fn dismiss(mut self) -> Vec<String> {
        let stopping = self.around.stop.is_set();
        let mut troubles = Vec::new();
        // By the mount, which is told so of each file, and by the native way for what is no mount of ours.
        let removed = if stopping { Ok(Vec::new()) } else { self.told(&Ask::Remove).map(|(notes, _)| notes) };
        if let Err(Trouble::Failed(why)) = &removed {
            troubles.push(why.clone());
        }
        self.client.end(stopping || removed.is_err());
        troubles.extend(self.mounted.into_iter().flat_map(Mounted::take_down));
        troubles
    }

    /// Drops what the caches hold. Who is not root mounts anew, since the names that a mount remembers are out of reach.
    fn chill(&mut self) -> Result<Vec<String>, Trouble> {
        let (mut notes, partly) = self.told(&Ask::Chill)?;
        if !partly {
            return Ok(notes);
        }
        notes.push(match self.mounted.take() {
            Some(mounted) => {
                mounted.take_down();
                self.mounted = mount(self.around, self.target).map_err(Trouble::Lost)?;
                self.server = self.find_server();
                "not root: caches were dropped file by file and by mounting anew; names stay warm on the host"
                    .to_owned()
            }
            None => "not root: caches were dropped file by file; names stay warm".to_owned(),
        });
        Ok(notes)
    }

    fn told(&mut self, ask: &Ask) -> Result<(Vec<String>, bool), Trouble> {
        match self.ask(ask, Bound::WhileItAnswers)? {
            Answer::Done { notes, partly } => Ok((notes, partly)),
            _ => Err(nonsense()),
        }
    }

    fn ask(&mut self, ask: &Ask, bound: Bound) -> Result<Answer, Trouble> {
        let Circumstances { plan, place, stop, .. } = self.around;
        self.client.ask(ask, bound, plan.patience, &place.directory(self.target), stop)
    }

    /// An error in a mount that is gone is the mount's.
    fn explained(&mut self, trouble: Trouble) -> Trouble {
        let why = match &trouble {
            Trouble::Stopped => return trouble,
            Trouble::Failed(why) | Trouble::Lost(why) => why,
        };
        match self.mounted.as_mut().and_then(Mounted::trouble) {
            Some(cause) => Trouble::Lost(format!("{why}: {cause}")),
            None => trouble,
        }
    }

    fn find_server(&self) -> Option<Server> {
        let entry = self.entry().filter(mountinfo::Entry::is_fuse)?;
        let mark = self.mounted.as_ref().map(Mounted::mark);
        Server::find(entry.device, mark, &entry.point)
    }

    fn entry(&self) -> Option<mountinfo::Entry> {
        let table = mountinfo::read().ok()?;
        mountinfo::covering(&self.around.place.directory(self.target), &table).cloned()
    }
}

fn mount(around: Circumstances<'_>, target: &Target) -> Result<Option<Mounted>, String> {
    let Kind::Command(command) = &target.kind else { return Ok(None) };
    let mark = mark(around.place, family::SERVER, target);
    let (source, point) = (around.place.source(target), around.place.mountpoint(target));
    Mounted::mount(command, [&source, &point], &mark, around.plan.patience, around.stop).map(Some)
}

fn mark(place: &Place, role: &str, target: &Target) -> String {
    format!("{}/{role}/{}/", place.mark(), target.name)
}

fn nonsense() -> Trouble {
    Trouble::Lost("its agent makes no sense".to_owned())
}

fn nothing_went_well(sample: &Sample) -> String {
    let wrong = sample.wrong.first().cloned();
    let errors = sample.errors.iter().map(|(errno, count)| format!("{count} times {errno}")).collect::<Vec<_>>();
    let errors = (!errors.is_empty()).then(|| errors.join(", "));
    let why = wrong.or(errors).unwrap_or_else(|| "none was finished in time".to_owned());
    format!("no operation went well: {why}")
}

fn outcome(sample: Sample, server: Option<result::Server>, shares: watch::Shares, notes: Vec<String>) -> Outcome {
    Outcome {
        wrong: sample.wrong,
        late: sample.late,
        notes,
        round: Round {
            operations: sample.operations,
            bytes: sample.bytes,
            errors: sample.errors,
            seconds: sample.seconds,
            latency: sample.latency,
            client: sample.client,
            server,
            steal: shares.steal,
            others: shares.others,
        },
    }
}
