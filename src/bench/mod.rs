//! `ptfs-bench`: measures any mount, and distrusts what it measures.
//!
//! `run` goes through the cells. It never touches a target itself, since a mount that hangs takes whoever uses it
//! along: an `agent` does, a process for each target, and `crew` has that, the mount and its server together.
//! `workload` and `load` are what an agent does, `place` where, and `distrust` looks for reasons not to believe
//! it. [`result`] is what comes out, for [`report`] to show.

mod agent;
mod caches;
mod cli;
mod client;
mod crew;
mod distrust;
mod family;
pub mod load;
mod machine;
mod place;
mod progress;
pub mod report;
pub mod result;
mod run;
mod server;
pub mod stop;
mod target;
mod watch;
pub mod workload;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use cli::{Cli, Options, Other};
use place::{Keeper, Place};
use report::compare;
use result::Results;
use stop::Stop;
use workload::Workload;

use crate::sys::adopt;
use crate::sys::interrupts::Interrupts;

/// Something could not be measured, or has become worse.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Large trees are removed through mounts.
const CLEARED_WITHIN: Duration = Duration::from_secs(120);
/// The same where somebody waits for the end, or a mount hangs, which the keeper goes on waiting for.
const CLEARED_IN_A_HURRY: Duration = Duration::from_secs(15);

/// The command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return complain(&cli::one_line(&error), USAGE),
        Err(help) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    match cli.other {
        Some(other) => auxiliary(other),
        None => measure(&cli.options).unwrap_or_else(|why| complain(&why, USAGE)),
    }
}

fn auxiliary(other: Other) -> ExitCode {
    let good = match other {
        Other::Compare { old, new, threshold } => return compare_files(&old, &new, threshold),
        Other::Agent => agent::main().is_ok(),
        Other::Probe { path } => crate::sys::mount::wait_for_answer(&path).is_ok(),
        Other::Keeper { mark, mounts, directories } => place::keep(&mark, &mounts, &directories),
    };
    ExitCode::from(u8::from(!good))
}

fn compare_files(old: &Path, new: &Path, threshold: f64) -> ExitCode {
    match read(old).and_then(|old| Ok((old, read(new)?))) {
        Ok((old, new)) => {
            let comparison = compare::compare(&old, &new, threshold);
            print(&comparison.to_string());
            ExitCode::from(if comparison.regressed() || comparison.is_empty() { FAILED } else { 0 })
        }
        Err(why) => complain(&why, USAGE),
    }
}

fn read(file: &Path) -> Result<Results, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let results: Results = serde_json::from_str(&text)
        .map_err(|error| format!("{} is no result of ptfs-bench: {error}", file.display()))?;
    match results.ptfs_bench {
        result::SCHEMA => Ok(results),
        other => Err(format!("{} is of version {other}; this ptfs-bench reads {}", file.display(), result::SCHEMA)),
    }
}

fn measure(options: &Options) -> Result<ExitCode, String> {
    if options.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.show {
        print(cli::find(&Workload::builtin(), name)?.toml());
        return Ok(ExitCode::SUCCESS);
    }
    let plan = options.plan()?;
    let (place, keeper) = Place::make(plan.source.as_deref(), plan.place.as_deref(), &plan.targets)?;
    // Daemons that targets leave behind are to be reaped here. Where that cannot be had, init does it.
    let _ = adopt::adopt_orphans();
    let stop = Stop::new();
    let keeper = Arc::new(Mutex::new(Some(keeper)));
    listen(stop.clone(), Arc::clone(&keeper));
    let mut results = Results {
        ptfs_bench: result::SCHEMA,
        machine: machine::facts(place.backing()),
        command: std::env::args().collect(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        base: options.base.clone(),
        targets: plan.targets.iter().map(named).collect(),
        warnings: doubts(),
        ..Results::default()
    };
    let well = run::Run::new(&plan, &place, &stop, &mut results).all();
    let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
    let patience = if well && !stop.is_set() { CLEARED_WITHIN } else { CLEARED_IN_A_HURRY };
    results.warnings.extend(keeper.and_then(|keeper| keeper.finish(patience).err()));
    let mut failed = results.cells.iter().any(|cell| cell.failure.is_some());
    for why in write(options, &results) {
        failed = true;
        complain(&why, FAILED);
    }
    Ok(ExitCode::from(match (results.interrupted, failed) {
        (true, _) => INTERRUPTED,
        (false, true) => FAILED,
        (false, false) => 0,
    }))
}

/// The first signal has the run end in order, the second has it end.
fn listen(stop: Stop, keeper: Arc<Mutex<Option<Keeper>>>) {
    let Ok(mut interrupts) = Interrupts::catch() else { return };
    std::thread::spawn(move || {
        while let Ok(signal) = interrupts.wait() {
            if !stop.is_set() {
                stop.set();
                complain(&format!("{signal}: stopping; once more ends it at once"), INTERRUPTED);
                continue;
            }
            let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Err(why)) = keeper.map(|keeper| keeper.finish(CLEARED_IN_A_HURRY)) {
                complain(&why, INTERRUPTED);
            }
            std::process::exit(INTERRUPTED.into());
        }
    });
}

/// What is known before anything is measured; for a mount, until it is there.
fn named(target: &target::Target) -> result::Target {
    result::Target { name: target.name.clone(), ..result::Target::default() }
}

fn doubts() -> Vec<String> {
    let unoptimised = cfg!(debug_assertions).then(|| "this ptfs-bench was built without optimisation".to_owned());
    unoptimised.into_iter().collect()
}

/// Writes all reports that were asked for; those that could not be.
fn write(options: &Options, results: &Results) -> Vec<String> {
    let json = || serde_json::to_string_pretty(results).map(|text| text + "\n").unwrap_or_default();
    let mut failures = Vec::new();
    let mut to_stdout = false;
    let mut write = |to: &Option<PathBuf>, text: &dyn Fn() -> String| match to {
        Some(to) if to.as_os_str() == "-" => {
            to_stdout = true;
            print(&text());
        }
        Some(to) => failures.extend(fs::write(to, text()).err().map(|error| cannot_write(to, &error))),
        None => {}
    };
    write(&options.json, &json);
    write(&options.csv, &|| report::csv(results));
    write(&options.html, &|| report::html(results));
    if !to_stdout {
        print(&report::table(results, io::stdout().is_terminal()));
    }
    if let Some(to) = &options.hgrm {
        failures.extend(report::write_hgrm(results, to).err().map(|error| cannot_write(to, &error)));
    }
    failures
}

fn cannot_write(to: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", to.display())
}

fn list() {
    let workloads = Workload::builtin();
    let width = workloads.iter().map(|workload| workload.name().len()).max().unwrap_or_default();
    let lines = workloads.iter().map(|workload| format!("{:width$}  {}\n", workload.name(), workload.about()));
    print(&lines.collect::<String>());
}

/// Whoever has closed standard output has read enough.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "ptfs-bench: {why}");
    ExitCode::from(code)
}
