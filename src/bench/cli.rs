//! The command line of `ptfs-bench`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::result::Load;
use super::target::{self, Target};
use super::workload::Workload;

/// What is measured if nothing else is asked for: a few seconds a target, and what a mount is used for most.
const USUAL: [&str; 6] = ["getattr", "stat-cold", "open-close", "read-small", "create-write-unlink", "read-random-4k"];

const EXAMPLES: &str = "\
Examples:
  Compare a mount that is there with the directory behind it:
    ptfs-bench /srv/data --target mine=/mnt/data

  Compare daemons, which are mounted for the run and unmounted after it:
    ptfs-bench --target ptfs='ptfs {src} {mnt}' --target bindfs='bindfs -f {src} {mnt}' \\
        --workload getattr,read-small --html report.html

  How slow do answers get as requests come faster, whether or not answers come?
    ptfs-bench --target ptfs='ptfs {src} {mnt}' --workload getattr --rate 1000,5000,20000
    ptfs-bench --target ptfs='ptfs {src} {mnt}' --workload getattr --sweep

  Has an upgrade changed anything?
    ptfs-bench --target ptfs='ptfs {src} {mnt}' --json new.json
    ptfs-bench compare old.json new.json --threshold 5%

Exit codes: 0 all was measured; 1 something could not be, or `compare` found a regression or nothing
to compare; 2 the command line is wrong; 130 interrupted (what was measured until then is written).";

/// Measures file systems side by side, and distrusts what it measures.
///
/// Makes directories of its own below SOURCE, and removes them. Targets are measured in turn, round by round (A B C A B
/// C), so that what disturbs the machine hits all alike.
#[derive(Debug, Parser)]
#[command(name = "ptfs-bench", version, after_long_help = EXAMPLES, after_help = "--help shows examples")]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true, args_override_self = true)]
pub struct Cli {
    /// See [`Other`].
    #[command(subcommand)]
    pub other: Option<Other>,
    /// See [`Options`].
    #[command(flatten)]
    pub options: Options,
}

/// What else it can do.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Tell what has changed beyond noise between two results
    Compare {
        /// What `--json` wrote before
        old: PathBuf,
        /// And after
        new: PathBuf,
        /// How much worse is too much
        #[arg(long, default_value = "5%", value_parser = percentage, value_name = "PERCENT")]
        threshold: f64,
    },
    /// Does the work on one target
    #[command(hide = true)]
    Agent,
    /// Asks a mount for its attributes
    #[command(hide = true)]
    Probe {
        /// There
        path: PathBuf,
    },
    /// Cleans up when its standard input ends
    #[command(hide = true)]
    Keeper {
        /// The run's
        mark: String,
        /// Where its mount points are
        mounts: PathBuf,
        /// What to remove
        directories: Vec<PathBuf>,
    },
}

/// What clap finds wrong, without its paragraphs.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("tip: to pass"));
    let lines = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let said = lines.collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    format!("{}; --help tells more", said.strip_prefix("error: ").unwrap_or(&said))
}

/// The options of a run.
#[derive(Debug, Args)]
pub struct Options {
    /// The backing directory: what mounts are made of, and the target `native` [default: a temporary one]
    #[arg(value_name = "SOURCE")]
    pub source_argument: Option<PathBuf>,
    /// The same as SOURCE
    #[arg(long, value_name = "DIR", conflicts_with = "source_argument")]
    pub source: Option<PathBuf>,
    /// Where temporary directories and mount points are made [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    pub place: Option<PathBuf>,
    /// A directory to measure, or a command that mounts {src} at {mnt}: NAME=DIR, NAME='CMD {src} {mnt}'
    #[arg(long = "target", short, value_name = "NAME=WHAT")]
    pub targets: Vec<String>,
    /// The target that others are compared with
    #[arg(long, value_name = "NAME", default_value = target::NATIVE)]
    pub base: String,
    /// What to measure: a name of --list, `all`, or a file like --show prints [default: a few that tell most]
    #[arg(long = "workload", short, value_name = "NAME|FILE.toml", value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// List the workloads
    #[arg(long)]
    pub list: bool,
    /// Print a workload's TOML, to be changed and given to --workload
    #[arg(long, value_name = "NAME")]
    pub show: Option<String>,
    /// Measurements of each cell
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// How long each takes, as 2s, 500ms or 1m
    #[arg(long, short, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Clients that each ask again once they are answered
    #[arg(long, short, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: Vec<u32>,
    /// Operations a second, made whether or not answers come; latency counts from when each was due
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = rate)]
    pub rate: Vec<f64>,
    /// Operations in flight at once from one thread, by io_uring
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub depth: Vec<u32>,
    /// Raise the rate until answers no longer keep up
    #[arg(long)]
    pub sweep: bool,
    /// Size of what is laid out, as a part of what the workload says
    #[arg(long, value_name = "FACTOR", value_parser = scale)]
    pub scale: Option<f64>,
    /// Two short rounds on a tenth of the files: to see whether it works, not to believe
    #[arg(long)]
    pub quick: bool,
    /// How long an operation may take before its target is given up
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub patience: Duration,
    /// Write all results as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a line for each round as CSV; - is standard output
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write an HdrHistogram percentile file for each cell
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
    /// Write a page with everything, to be opened in a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What to measure, and how.
#[derive(Debug)]
pub struct Plan {
    /// `base` first.
    pub targets: Vec<Target>,
    /// See [`Options::source`].
    pub source: Option<PathBuf>,
    /// See [`Options::place`].
    pub place: Option<PathBuf>,
    /// In the order of the command line.
    pub workloads: Vec<Workload>,
    /// Instead of those that workloads ask for, unless it is empty.
    pub loads: Vec<Load>,
    /// With so many clients.
    pub sweep: Option<u32>,
    /// Of each cell.
    pub rounds: u32,
    /// Of each round.
    pub duration: Duration,
    /// See [`Options::scale`].
    pub scale: f64,
    /// See [`Options::patience`].
    pub patience: Duration,
}

impl Options {
    /// The plan, or why there is none, in a line.
    pub fn plan(&self) -> Result<Plan, String> {
        let (rounds, duration, scale) =
            if self.quick { (2, Duration::from_millis(300), 0.1) } else { (5, Duration::from_secs(2), 1.0) };
        self.check_outputs()?;
        Ok(Plan {
            targets: self.all_targets()?,
            source: self.source.clone().or_else(|| self.source_argument.clone()),
            place: self.place.clone(),
            workloads: chosen(&self.workloads)?,
            loads: self.loads(),
            sweep: self.sweep.then(|| self.clients.iter().copied().max().unwrap_or(4)),
            rounds: self.rounds.unwrap_or(rounds),
            duration: self.duration.unwrap_or(duration),
            scale: self.scale.unwrap_or(scale),
            patience: self.patience,
        })
    }

    fn all_targets(&self) -> Result<Vec<Target>, String> {
        let mut targets = vec![Target::native()];
        for text in &self.targets {
            let target = Target::parse(text)?;
            if targets.iter().any(|other| other.name == target.name) {
                return Err(format!("two targets are called {}", target.name));
            }
            targets.push(target);
        }
        let base = targets.iter().position(|target| target.name == self.base);
        let base = base.ok_or_else(|| format!("--base={}: there is no target of that name", self.base))?;
        targets[..=base].rotate_right(1);
        Ok(targets)
    }

    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        if self.rate.is_empty() {
            loads.extend(self.clients.iter().map(|&clients| Load::Closed { clients }));
        }
        let clients = if self.clients.is_empty() { &[4][..] } else { &self.clients };
        for &clients in clients {
            loads.extend(self.rate.iter().map(|&rate| Load::Open { clients, rate }));
        }
        loads.extend(self.depth.iter().map(|&depth| Load::Depth { depth }));
        loads
    }

    /// Before anything is measured, whether it can be written.
    fn check_outputs(&self) -> Result<(), String> {
        let to_stdout = |path: &&Path| path.as_os_str() == "-";
        let files = [&self.json, &self.csv, &self.html];
        let files = || files.into_iter().flatten().map(PathBuf::as_path);
        if files().filter(to_stdout).count() > 1 {
            return Err("only one report can go to standard output".to_owned());
        }
        for file in files().filter(|path| !to_stdout(path)) {
            let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            if file.is_dir() || !directory.unwrap_or(Path::new(".")).is_dir() {
                return Err(format!("cannot write {}: no such directory, or a directory itself", file.display()));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The loads of one workload.
    pub fn loads_of(&self, workload: &Workload) -> Vec<Load> {
        if workload.is_job() || self.loads.is_empty() { workload.loads() } else { self.loads.clone() }
    }
}

fn chosen(names: &[String]) -> Result<Vec<Workload>, String> {
    let builtin = Workload::builtin();
    if names.is_empty() {
        let usual = builtin.into_iter().filter(|workload| USUAL.contains(&workload.name()));
        return Ok(usual.collect());
    }
    let mut found: Vec<Workload> = Vec::new();
    for name in names {
        if name == "all" {
            found.extend(Workload::builtin());
        } else {
            found.push(find(&builtin, name)?);
        }
    }
    for (at, workload) in found.iter().enumerate() {
        if found[..at].iter().any(|other| other.name() == workload.name()) {
            return Err(format!("two workloads are called {}", workload.name()));
        }
    }
    Ok(found)
}

/// The workload of that name, or in that file.
pub fn find(builtin: &[Workload], name: &str) -> Result<Workload, String> {
    if let Some(found) = builtin.iter().find(|workload| workload.name() == name) {
        return Ok(found.clone());
    }
    if !name.contains('/') && !name.ends_with(".toml") {
        return Err(format!("there is no workload {name:?}; --list tells which there are, FILE.toml reads another"));
    }
    let text = std::fs::read_to_string(name).map_err(|error| format!("{name}: {error}"))?;
    let stem = Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Workload::parse(&stem, &text).map_err(|why| why.replacen(&stem, name, 1))
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err("say it as 2s, 500ms or 1m".to_owned()),
    };
    let seconds = number.parse::<f64>().map_err(|_| "say it as 2s, 500ms or 1m")? * factor;
    if (0.001..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it must be between 1ms and a day".to_owned())
    }
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let percent = number.ok().filter(|percent| (0.0..=1000.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| "say it as 5%".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.1..=1e8).contains(rate));
    rate.ok_or_else(|| "a rate is operations a second, from 0.1 to 100000000".to_owned())
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().ok().filter(|scale| (1e-6..=1e6).contains(scale));
    scale.ok_or_else(|| "a scale is a factor, as 0.1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let line = ["ptfs-bench"].iter().chain(arguments);
        Cli::try_parse_from(line).map_err(|error| error.to_string())?.options.plan()
    }

    #[test]
    fn what_is_usual_is_there() {
        assert_eq!(chosen(&[]).expect("built in").len(), USUAL.len());
    }

    #[test]
    fn clap_is_content() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!((duration("2"), duration("0.5m")), (Ok(Duration::from_secs(2)), Ok(Duration::from_secs(30))));
        assert_eq!((percentage("5%"), percentage("7.5")), (Ok(0.05), Ok(0.075)));
        for wrong in ["", "s", "2h", "-1s", "0", "1e9s", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loads_are_what_was_asked_for() {
        let loads = |arguments: &[&str]| plan(arguments).expect("a plan").loads;
        assert_eq!(loads(&[]), []);
        assert_eq!(loads(&["--clients=1,4"]), [Load::Closed { clients: 1 }, Load::Closed { clients: 4 }]);
        assert_eq!(loads(&["--rate=1000", "--clients=2"]), [Load::Open { clients: 2, rate: 1000.0 }]);
        assert_eq!(loads(&["--depth=32"]), [Load::Depth { depth: 32 }]);
    }

    #[test]
    fn the_base_comes_first() {
        let plan = plan(&["-t", "a=/", "-t", "b=/tmp", "--base=b"]).expect("a plan");
        let names: Vec<&str> = plan.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["b", "native", "a"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for (arguments, word) in [
            (&["--base=x"][..], "no target of that name"),
            (&["-t", "a=/", "-t", "a=/tmp"], "two targets"),
            (&["-w", "nonsense"], "no workload"),
            (&["-w", "/nonsense.toml"], "/nonsense.toml"),
            (&["--rounds=0"], "rounds"),
            (&["--json=-", "--csv=-"], "standard output"),
            (&["--html=/no/such/dir/x.html"], "/no/such/dir/x.html"),
        ] {
            let error = plan(arguments).expect_err("nonsense");
            assert!(error.contains(word), "{error}");
        }
    }
}
