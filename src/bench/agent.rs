//! The process that does the work on one target: this program again, told what to do by lines of JSON.
//!
//! A mount that hangs takes whoever uses it along, in the kernel, where no signal reaches. So the run itself never
//! touches a target: its agents do, and one that does not answer is given up.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::caches::Caches;
use super::load::{self, Measured, Ran, told};
use super::result::{Load, Usage};
use super::stop::Stop;
use super::workload::{Prepared, Workload};
use crate::sys::usage::{self, Spent};

/// What an agent is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// First of all: lay out a workload in a new directory.
    Prepare {
        /// See [`Workload::parse`].
        name: String,
        /// See [`Workload::parse`].
        toml: String,
        /// Through the target.
        directory: PathBuf,
        /// The same on the host, where that is known.
        host: Option<PathBuf>,
        /// See [`Workload::prepare`].
        scale: f64,
    },
    /// Have the caches hold all of it.
    Warm,
    /// Have the caches hold nothing of it.
    Chill,
    /// One round.
    Run {
        /// See [`load::run`].
        load: Load,
        /// See [`load::run`].
        duration: Duration,
    },
    /// After each round: read back what was written.
    LookBack,
    /// Remove the directory.
    Remove,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To all but what measures. What is to be said of it, each once.
    Done {
        /// See there.
        notes: Vec<String>,
        /// Not all of the caches could be reached: for that one must be root.
        partly: bool,
    },
    /// What was measured.
    Measured(Sample),
    /// What was found wrong afterwards.
    Found(Vec<String>),
    /// Why not.
    Failed(String),
}

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields of Measured and of Round")]
pub struct Sample {
    pub operations: u64,
    pub bytes: u64,
    pub errors: BTreeMap<String, u64>,
    pub seconds: f64,
    pub latency: Vec<(u64, u64)>,
    pub wrong: Vec<String>,
    pub late: u64,
    pub client: Usage,
}

/// Serves until its standard input ends, which also stops what it is doing.
pub fn main() -> io::Result<()> {
    let stop = Stop::new();
    let asks = listen(stop.clone());
    let mut agent = Agent { stop, ready: None };
    let mut answers = io::stdout().lock();
    for ask in asks {
        let answer = agent.answer(ask).unwrap_or_else(Answer::Failed);
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

fn listen(stop: Stop) -> Receiver<Ask> {
    let (sender, asks) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        for ask in lines.map_while(|line| serde_json::from_str(&line).ok()) {
            if sender.send(ask).is_err() {
                break;
            }
        }
        stop.set();
    });
    asks
}

struct Agent {
    stop: Stop,
    ready: Option<Ready>,
}

struct Ready {
    prepared: Prepared,
    directory: PathBuf,
    caches: Caches,
    /// The last round's [`Ran::look_back`].
    look_back: Option<Box<dyn FnOnce() -> Vec<String>>>,
}

impl Agent {
    fn answer(&mut self, ask: Ask) -> Result<Answer, String> {
        if let Ask::Prepare { name, toml, directory, host, scale } = ask {
            return self.prepare(&name, &toml, directory, host, scale);
        }
        let Some(ready) = &mut self.ready else { return Err("nothing is prepared".to_owned()) };
        match ask {
            Ask::Prepare { .. } => {}
            Ask::Warm => return Ok(done(ready.caches.warm(&self.stop))),
            Ask::Chill => {
                let (notes, whole) = ready.caches.chill(&self.stop);
                return Ok(Answer::Done { notes, partly: !whole });
            }
            Ask::Run { load, duration } => return ready.run(load, duration, &self.stop),
            Ask::LookBack => {
                let look_back = ready.look_back.take();
                return Ok(Answer::Found(told(look_back.map(|look_back| look_back()).unwrap_or_default())));
            }
            Ask::Remove => {
                let removed = fs::remove_dir_all(&ready.directory);
                removed.map_err(|error| format!("cannot remove {}: {error}", ready.directory.display()))?;
            }
        }
        Ok(done(Vec::new()))
    }

    fn prepare(
        &mut self,
        name: &str,
        toml: &str,
        directory: PathBuf,
        host: Option<PathBuf>,
        scale: f64,
    ) -> Result<Answer, String> {
        let workload = Workload::parse(name, toml)?;
        fs::create_dir(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        let prepared = workload.prepare(&directory, scale, &self.stop)?;
        let caches = Caches::of(&directory, host);
        self.ready = Some(Ready { prepared, directory, caches, look_back: None });
        Ok(done(Vec::new()))
    }
}

impl Ready {
    fn run(&mut self, load: Load, duration: Duration, stop: &Stop) -> Result<Answer, String> {
        let before = usage::spent().unwrap_or_default();
        let Ran { measured, look_back } = load::measure(&self.prepared, load, duration, stop)?;
        let after = usage::spent().unwrap_or_default();
        let used = before.into_iter().zip(after).map(|(before, after)| between(before, after));
        let client = used.fold(Usage::default(), |a, b| Usage {
            user: a.user + b.user,
            system: a.system + b.system,
            voluntary: a.voluntary + b.voluntary,
            involuntary: a.involuntary + b.involuntary,
        });
        self.look_back = Some(look_back);
        Ok(Answer::Measured(sample(measured, client)))
    }
}

fn done(notes: Vec<String>) -> Answer {
    Answer::Done { notes, partly: false }
}

fn between(before: Spent, after: Spent) -> Usage {
    Usage {
        user: after.user.saturating_sub(before.user).as_secs_f64(),
        system: after.system.saturating_sub(before.system).as_secs_f64(),
        voluntary: after.voluntary.saturating_sub(before.voluntary),
        involuntary: after.involuntary.saturating_sub(before.involuntary),
    }
}

fn sample(measured: Measured, client: Usage) -> Sample {
    let latency = &measured.latency;
    let buckets = latency.iter_recorded();
    let buckets =
        buckets.map(|bucket| (latency.highest_equivalent(bucket.value_iterated_to()), bucket.count_at_value()));
    Sample {
        latency: buckets.collect(),
        operations: measured.operations,
        bytes: measured.bytes,
        errors: measured.errors,
        seconds: measured.seconds,
        wrong: measured.wrong,
        late: measured.late,
        client,
    }
}
