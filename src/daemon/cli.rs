//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser, ValueEnum, value_parser};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::bind::BindSpec;
use super::config_file;
use super::dialect::{Manner, Translation, translate};
use super::helper;
use super::idmap_flags::IdMapFlags;
use super::options::MountOptions;
use super::pass_flags::PassFlags;
use super::policy::PolicyFlags;
use super::remount::{self, Caller};
use super::report_flags::ReportFlags;
use super::say;
use crate::core::config::{Config, Engine, InodeHandles, IoMode, Transport};

/// What one run of `ptfs` is to do.
#[derive(Debug)]
pub enum Invocation {
    /// Mount, and serve until the mount is gone.
    Serve(Box<Serve>),
    /// Change the flags of a mount that is there, and leave.
    Remount(Remount),
}

/// The exit codes of one way to be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codes {
    /// After a wrong command line.
    pub usage: u8,
    /// After a failure.
    pub failure: u8,
}

impl Codes {
    /// Those of ptfs.
    pub const OWN: Codes = Codes { usage: 2, failure: 1 };
    /// Those that mount(8) has, and expects of its helpers.
    pub const MOUNT: Codes = Codes { usage: 1, failure: 32 };
}

/// `-o remount`.
#[derive(Debug)]
pub struct Remount {
    /// Where the mount is.
    pub mountpoint: PathBuf,
    /// The flags of mount(2) that it is to have.
    pub flags: libc::c_ulong,
    /// The mount namespace to do it in, if not this process's (`mount -N`).
    pub namespace: Option<PathBuf>,
    /// Only look at the arguments (`mount -f`).
    pub fake: bool,
    /// What to end with.
    pub codes: Codes,
}

/// A mount to make.
#[derive(Debug)]
pub struct Serve {
    /// The directory to serve.
    pub source: PathBuf,
    /// Where to serve it.
    pub mountpoint: PathBuf,
    /// How to serve it. `fd_budget` is not yet bounded by the limits of the process.
    pub config: Config,
    /// How the mount shows itself.
    pub options: MountOptions,
    /// Print the table of latencies at the end.
    pub stats_at_exit: bool,
    /// What to log, as `RUST_LOG` has it.
    pub log: String,
    /// Where to write what is said, beside standard error.
    pub log_file: Option<PathBuf>,
    /// What to report of single operations.
    pub reports: ReportFlags,
    /// Return once the mount answers, and serve it in the background.
    pub daemonize: bool,
    /// Where to write the process number.
    pub pidfile: Option<PathBuf>,
    /// What to bind into the mount.
    pub binds: Vec<BindSpec>,
    /// What the operator should know about the command line.
    pub notes: Vec<String>,
    /// The mount namespace to do it in, if not this process's (`mount -N`).
    pub namespace: Option<PathBuf>,
    /// Only look at the arguments (`mount -f`).
    pub fake: bool,
    /// What to end with.
    pub codes: Codes,
}

const EXAMPLES: &str = "\
Examples:
  ptfs ~/src ~/view              Serve ~/src at ~/view (made if missing) until Ctrl-C
  ls ~/view                      Look, from another terminal
  fusermount3 -u ~/view          Stop from outside; as root: umount ~/view
  ptfs top ~/view                Watch live what it does and how long that takes; q quits
  ptfs stats ~/view              Print that once; kill -USR1 has the daemon itself print it
  ptfs list                      All mounts of ptfs, and who serves them
  ptfs doctor ~/src              What this host offers to a mount of it, and how to get the rest
  sudo ptfs -o allow_other,auto_unmount /srv/data /mnt/data
                                 Let all users in; leave no dead mount behind, even after kill -9
  ptfs --daemonize --log-file /var/log/ptfs.log ~/src ~/view
                                 Return once the mount answers, and serve it in the background
  sudo mount -t fuse.ptfs /srv/data /mnt/data -o ro,allow_other
                                 By mount(8), which finds ptfs at /sbin/mount.fuse.ptfs

Command lines of libfuse-fs, libfuse's examples, bindfs and virtiofsd are understood
(docs/dropin.md).
The first lines on standard error say which engine and transport serve, and what would be faster.
SIGINT, SIGTERM and SIGHUP unmount and finish what was begun; one more of them leaves at once.
A plain user needs fusermount3 (package fuse3); root needs nothing.
Exit code: 0 when the mount came and went (with --daemonize: when it answers), 1 after a failure,
2 for a wrong command line. Under mount(8): 0, 32 and 1.";

/// Serve a host directory through FUSE, as fast as the kernel allows.
#[derive(Parser, Debug)]
#[command(name = "ptfs", version, after_help = EXAMPLES, max_term_width = 110, args_override_self = true)]
struct Cli {
    /// Directory to serve
    source: PathBuf,

    /// Where to serve it; made if missing, and then removed at the end
    mountpoint: PathBuf,

    /// Mount options: allow_other, auto_unmount, ro, rw, [no]dev, [no]suid, [no]exec, [no]atime and the other flags
    /// of mount(8), fsname=NAME, subtype=NAME, max_read=BYTES, default_permissions (always on). Default:
    /// rw,nodev,nosuid. With remount: set the flags of the mount that is there, and exit
    #[arg(short = 'o', long, value_name = "OPT[,OPT...]", help_heading = "Mount")]
    options: Vec<String>,

    /// Let other users in, as -o allow_other
    #[arg(long, overrides_with = "no_allow_other", help_heading = "Mount")]
    allow_other: bool,

    /// Let nobody else in: the default, and takes back --allow-other
    #[arg(long, help_heading = "Mount")]
    no_allow_other: bool,

    /// Bind a directory or file of the host into the mount while it serves; root only, may be repeated
    #[arg(long, value_name = "SRC:TARGET", value_parser = BindSpec::parse, help_heading = "Mount")]
    bind: Vec<BindSpec>,

    /// Return once the mount answers a request, and serve in the background
    #[arg(long, overrides_with = "foreground", help_heading = "Process")]
    daemonize: bool,

    /// Stay in the foreground: the default, and takes back --daemonize
    #[arg(long, help_heading = "Process")]
    foreground: bool,

    /// Write the process number there once the mount answers; refuse if a running daemon has
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pidfile: Option<PathBuf>,

    /// Take from a TOML file what the command line does not say: its keys are the long flags, source and mountpoint
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    config: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyFlags,

    #[command(flatten)]
    pass: PassFlags,

    #[command(flatten)]
    identity: IdMapFlags,

    /// Who answers requests
    #[arg(long, value_enum, default_value = "auto", help_heading = "Engine")]
    engine: Engine,

    /// How requests come to the uring engine
    #[arg(long, value_enum, default_value = "auto", help_heading = "Engine")]
    transport: Transport,

    /// How backing calls of the uring engine run
    #[arg(long, value_enum, default_value = "auto", help_heading = "Engine")]
    io: IoMode,

    /// Requests in flight per worker, 1 to 4096 [default: 16, or what --memory-cap allows]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096), help_heading = "Limits")]
    queue_depth: Option<u32>,

    /// Memory for payload buffers, over all workers: bytes, or a number with K, M or G. One request per queue is the
    /// least [default: 256M, at most 1/8 of RAM]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    memory_cap: Option<u64>,

    /// Largest write and read: 4096 to 1M, a multiple of 4096
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = max_write, help_heading = "Limits")]
    max_write: u32,

    /// Asynchronous requests that the kernel keeps outstanding [default: 16 per CPU, 64 to 1024]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..), help_heading = "Limits")]
    max_background: Option<u16>,

    /// Asynchronous requests at which the mount counts as congested [default: 3/4 of --max-background]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..), help_heading = "Limits")]
    congestion_threshold: Option<u16>,

    /// How far the kernel reads ahead; beyond 128K only as root [default: --max-write]
    #[arg(long, value_name = "SIZE", value_parser = readahead, help_heading = "Limits")]
    readahead: Option<u32>,

    /// Print the table of latencies at the end, as SIGUSR1 does at any time
    #[arg(long, help_heading = "Reports")]
    stats_at_exit: bool,

    /// off, error, warn, info, debug, trace, or a filter as in RUST_LOG
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = log_filter, help_heading = "Reports")]
    log: String,

    /// Append what is said on standard error to a file too
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    log_file: Option<PathBuf>,

    #[command(flatten)]
    reports: ReportFlags,
}

impl Invocation {
    /// Reads the command line. `Err` is what the process is to end with after `--help`, `--version` (0) or a usage
    /// error; what there is to say has been said.
    pub fn from_args() -> Result<Invocation, ExitCode> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_default();
        let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let arguments: Vec<OsString> = arguments.collect();
        let under_mount = helper::NAMES.contains(&&*name) || helper::is_under_mount();
        let codes = if under_mount { Codes::MOUNT } else { Codes::OWN };
        let parsed = match &*name {
            name if helper::NAMES.contains(&name) => helper::parse(&arguments),
            name => parse(&arguments, Manner::of(name, under_mount), codes),
        };
        parsed.map_err(|error| {
            if error.use_stderr() {
                say(one_line(&error));
                return ExitCode::from(codes.usage);
            }
            // A closed pipe has read enough.
            let _ = error.print();
            ExitCode::SUCCESS
        })
    }
}

/// The flags of ptfs.
pub fn command() -> Command {
    Cli::command()
}

/// Reads the arguments of `ptfs`, its own and those of others.
pub fn parse(arguments: &[OsString], manner: Manner, codes: Codes) -> Result<Invocation, clap::Error> {
    let wrong = |line| usage_error(ErrorKind::InvalidValue, line);
    let own = command();
    let translation = translate(arguments, manner, &own).map_err(wrong)?;
    let defaults = match config_of(&translation) {
        Some(path) => config_file::read(&path, &own).map_err(wrong)?,
        None => Translation::default(),
    };
    let notes = [defaults.notes.clone(), translation.notes.clone()].concat();
    let cli = Cli::try_parse_from(translation.into_arguments(defaults).map_err(wrong)?)?;
    if remount::is_asked_for(&cli.options) {
        let flags = remount::flags(&cli.options, Caller::Direct).map_err(wrong)?;
        let remount = Remount { mountpoint: cli.mountpoint, flags, namespace: None, fake: false, codes };
        return Ok(Invocation::Remount(remount));
    }
    let serve = Serve::try_from(cli)?;
    Ok(Invocation::Serve(Box::new(Serve { notes, codes, ..serve })))
}

/// What `--config` names: it has to be read before the rest can be.
fn config_of(translation: &Translation) -> Option<PathBuf> {
    let value = |flag: &OsString| flag.as_bytes().strip_prefix(b"--config=").map(<[u8]>::to_vec);
    translation.flags.iter().rev().find_map(value).map(|path| OsString::from_vec(path).into())
}

/// What is wrong and where to read on, in one line: a daemon's operator finds it in a log.
pub fn one_line(error: &clap::Error) -> String {
    format!("{}; see ptfs --help", said(error))
}

/// What is wrong, without clap's paragraphs.
pub fn said(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("tip: to pass"));
    let said: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    let said = said.join(" ").replace(" tip: ", "; ");
    said.strip_prefix("error: ").unwrap_or(&said).to_owned()
}

/// A usage error that ends as clap's own do.
pub fn usage_error(kind: ErrorKind, line: impl Display) -> clap::Error {
    Cli::command().error(kind, line)
}

impl TryFrom<Cli> for Serve {
    type Error = clap::Error;

    fn try_from(cli: Cli) -> Result<Serve, clap::Error> {
        let mut options = MountOptions { allow_other: cli.allow_other, ..MountOptions::default() };
        for list in &cli.options {
            options.apply(list).map_err(|line| usage_error(ErrorKind::InvalidValue, line))?;
        }
        if cli.engine == Engine::Pool && cli.transport == Transport::FuseUring {
            let line = "--transport=fuse-uring needs the uring engine, and --engine=pool forbids it";
            return Err(usage_error(ErrorKind::ArgumentConflict, line));
        }
        if cli.engine == Engine::Pool && cli.io != IoMode::Auto {
            let line = "--io is for the uring engine, and --engine=pool forbids it";
            return Err(usage_error(ErrorKind::ArgumentConflict, line));
        }
        let machine = Machine::this().defaults();
        let max_background = cli.max_background.unwrap_or(machine.max_background);
        let congestion_threshold = cli.congestion_threshold.unwrap_or(three_quarters(max_background));
        if congestion_threshold > max_background {
            let line =
                format!("--congestion-threshold={congestion_threshold} exceeds --max-background={max_background}");
            return Err(usage_error(ErrorKind::InvalidValue, line));
        }
        let config = Config {
            engine: cli.engine,
            transport: cli.transport,
            io: cli.io,
            queue_depth: cli.queue_depth,
            max_write: cli.max_write,
            max_background,
            congestion_threshold,
            max_readahead: cli.readahead.unwrap_or(cli.max_write),
            memory_cap: cli.memory_cap.unwrap_or(machine.memory_cap),
            ..machine
        };
        let config = cli.pass.apply(cli.policy.apply(config));
        let config = cli.identity.apply(config).map_err(|line| usage_error(ErrorKind::InvalidValue, line))?;
        let Cli { source, mountpoint, stats_at_exit, log, log_file, reports, daemonize, pidfile, bind: binds, .. } =
            cli;
        Ok(Serve {
            source,
            mountpoint,
            config,
            options,
            stats_at_exit,
            log,
            log_file,
            reports,
            daemonize,
            pidfile,
            binds,
            notes: Vec::new(),
            namespace: None,
            fake: false,
            codes: Codes::OWN,
        })
    }
}

/// What the defaults are made from.
struct Machine {
    cpus: usize,
    ram: u64,
}

impl Machine {
    fn this() -> Machine {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let ram = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let kib = text.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok()?;
            Some(kib << 10)
        });
        Machine { cpus, ram: ram.unwrap_or(u64::MAX) }
    }

    /// Every default that depends on the machine:
    /// - 16 background requests per CPU. `max_background` also limits what FUSE-over-io_uring may have in flight, so
    ///   the kernel's 12 for a whole mount would leave most workers idle; beyond 1024 they would only queue.
    /// - payload buffers of 256 MiB, enough for 16 CPUs x 16 requests x 1 MiB, but no more than an eighth of RAM;
    ///   the engine fits the queue depth to it.
    fn defaults(&self) -> Config {
        let max_background = (16 * self.cpus).clamp(64, 1024) as u16;
        Config {
            max_background,
            congestion_threshold: three_quarters(max_background),
            memory_cap: (self.ram / 8).min(256 << 20),
            ..Config::default()
        }
    }
}

/// At least 1: the kernel takes 0 for "unset".
fn three_quarters(count: u16) -> u16 {
    (u32::from(count) * 3).div_ceil(4) as u16
}

/// Names for the values of an enum of `core::config`.
macro_rules! named_values {
    ($type:ident: $($variant:ident = $name:literal, $help:literal;)*) => {
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [$type] {
                &[$($type::$variant),*]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self { $($type::$variant => PossibleValue::new($name).help($help)),* })
            }
        }
    };
}

named_values!(Engine:
    Auto = "auto", "uring where io_uring is allowed, else pool";
    Uring = "uring", "one worker per CPU, each with its own io_uring";
    Pool = "pool", "blocking readers of /dev/fuse";
);
named_values!(Transport:
    Auto = "auto", "fuse-uring where the kernel offers it, else dev-fuse";
    FuseUring = "fuse-uring", "FUSE-over-io_uring (Linux 6.14, switched on by root)";
    DevFuse = "dev-fuse", "reads and writes of /dev/fuse";
);
named_values!(IoMode:
    Auto = "auto", "inline while a call cannot block, on the ring when it would";
    Ring = "ring", "on the ring whatever has an opcode there";
    Inline = "inline", "plain system calls (to measure: a slow disk stalls a whole CPU's callers)";
);
named_values!(InodeHandles:
    Auto = "auto", "by file handle where that works, else by name";
    Never = "never", "by name";
    Always = "always", "by file handle; a SOURCE without them is refused";
);

/// Bytes: `4096`, `64K`, `1M`, `2G`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'm' | 'M')) => (&text[..end], 20),
        Some((end, 'g' | 'G')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size; write bytes, or a number with K, M or G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

fn max_write(text: &str) -> Result<u32, String> {
    match size(text)? {
        bytes @ 4096..=0x10_0000 if bytes % 4096 == 0 => Ok(bytes as u32),
        _ => Err("must be a multiple of 4096 from 4096 to 1M".to_owned()),
    }
}

fn readahead(text: &str) -> Result<u32, String> {
    u32::try_from(size(text)?).map_err(|_| "must be less than 4G".to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    // A word alone is a target to EnvFilter, and there is none but ours: a misspelt level would silence everything.
    let misspelt = |part: &&str| !part.is_empty() && !part.contains(['=', '[']) && !part.starts_with("ptfs");
    let is_level = |part: &&str| part.parse::<LevelFilter>().is_ok();
    match text.split(',').filter(misspelt).find(|part| !is_level(part)) {
        Some(part) => Err(format!("'{part}' is no level; there are off, error, warn, info, debug and trace")),
        None => EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let program = ["ptfs", "/src", "/mnt"];
        Cli::try_parse_from(program.iter().chain(arguments)).and_then(Serve::try_from)
    }

    fn error(arguments: &[&str]) -> String {
        let error = parse(arguments).expect_err("a usage error");
        assert!(error.use_stderr());
        let line = one_line(&error);
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_come_from_the_machine() {
        let small = Machine { cpus: 1, ram: 1 << 30 }.defaults();
        assert_eq!((small.max_background, small.congestion_threshold, small.memory_cap), (64, 48, 128 << 20));
        let large = Machine { cpus: 256, ram: 1 << 40 }.defaults();
        assert_eq!((large.max_background, large.congestion_threshold, large.memory_cap), (1024, 768, 256 << 20));
        let config = parse(&[]).expect("no option is needed").config;
        assert_eq!((config.max_write, config.max_readahead, config.queue_depth), (1 << 20, 1 << 20, None));
        assert!(config.allow_direct_io && !config.enable_mntid);
    }

    #[test]
    fn flags_reach_the_config() {
        let config = parse(&[
            "--engine=uring",
            "--transport=dev-fuse",
            "--io=ring",
            "--queue-depth=8",
            "--max-write=128K",
            "--max-background=100",
            "--readahead=2M",
            "--memory-cap=1G",
            "--allow-direct-io=false",
            "--attr-timeout=0.5",
            "--entry-timeout=0",
            "--enable-mntid",
        ])
        .expect("all are valid")
        .config;
        assert_eq!((config.engine, config.transport, config.io), (Engine::Uring, Transport::DevFuse, IoMode::Ring));
        assert_eq!((config.queue_depth, config.max_write, config.max_readahead), (Some(8), 128 << 10, 2 << 20));
        assert_eq!((config.max_background, config.congestion_threshold), (100, 75));
        assert_eq!((config.memory_cap, config.allow_direct_io, config.enable_mntid), (1 << 30, false, true));
        assert_eq!((config.attr_timeout, config.entry_timeout), (Duration::from_millis(500), Duration::ZERO));
    }

    #[test]
    fn mount_options_add_up() {
        let options = parse(&["-o", "ro,suid", "--allow-other", "-orw,auto_unmount"]).expect("all are valid").options;
        assert!(options.allow_other && options.auto_unmount && options.suid && !options.read_only);
    }

    #[test]
    fn usage_errors_name_what_is_wrong() {
        assert!(error(&["-o", "allow_othr"]).contains("'allow_other'"));
        for text in ["0", "4095", "2M", "6000", "x", "", "K", "99999999999G", "-1"] {
            assert!(error(&[&format!("--max-write={text}")]).contains("--max-write"), "{text}");
        }
        for text in ["-1", "NaN", "inf", "soon"] {
            assert!(error(&[&format!("--attr-timeout={text}")]).contains("--attr-timeout"), "{text}");
        }
        assert!(error(&["--engine=pool", "--transport=fuse-uring"]).contains("--engine=pool"));
        assert!(error(&["--max-background=8", "--congestion-threshold=9"]).contains("exceeds"));
        assert!(error(&["--queue-depth=0"]).contains("--queue-depth"));
        assert!(error(&["--log", "ptfs=loud"]).contains("--log"));
        for text in ["verbose", "inof", "ptfs=debug,verbose"] {
            assert!(error(&["--log", text]).contains("there are off, error"), "{text}");
        }
        for text in ["", "info", "WARN", "2", "debug,ptfs::slow=off", "ptfs::slow", "info,ptfs=trace"] {
            assert!(parse(&["--log", text]).is_ok(), "{text}");
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64k"), Ok(64 << 10));
        assert_eq!(size("3G"), Ok(3 << 30));
        assert!(size("é").is_err());
    }
}
