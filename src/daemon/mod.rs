//! The process around an engine: command line, mount, signals, and an end that leaves nothing behind.

mod address;
mod bind;
mod choice;
mod cli;
mod config_file;
mod dialect;
pub mod embedded;
mod fixtures;
mod handshake;
mod helper;
mod idmap_flags;
mod log;
mod mount;
mod notify;
mod observe;
mod options;
mod pass_flags;
mod pidfile;
mod policy;
mod remount;
mod report;
mod report_flags;
mod signals;

// What ptfs does beside serving.
mod doctor;
mod generate;
mod viewer;
mod words;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use self::choice::{Announcement, Choice};
use self::cli::{Invocation, Remount, Serve};
use self::fixtures::Fixtures;
use self::log::say;
use self::observe::{Observed, Observer};
use self::report::say_report;
use self::signals::Desk;
use crate::core::Core;
use crate::core::config::Config;
use crate::core::host::Host;
use crate::core::idmap::Squash;
use crate::core::ids::HostFd;
use crate::ops::{self, engine::Session};
use crate::stats::Stats;
use crate::sys::creds::Squashed;
use crate::sys::fs::Linux;
use crate::sys::process::{Forked, Launch};
use crate::sys::signal::Signals;
use crate::sys::{self, creds, limits, process};

/// The whole program. The exit code is 0 when the mount came and went, 1 after a failure, 2 for a wrong command line;
/// mount(8) has codes of its own: see `cli::Codes`.
pub fn main() -> ExitCode {
    if let Some(code) = words::run() {
        return code;
    }
    let (outcome, failure) = match Invocation::from_args() {
        Ok(Invocation::Serve(wanted)) => {
            let failure = wanted.codes.failure;
            (start(*wanted), failure)
        }
        Ok(Invocation::Remount(wanted)) => (remount(&wanted).map(|()| 0), wanted.codes.failure),
        Err(code) => return code,
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(line) => {
            say(line);
            ExitCode::from(failure)
        }
    }
}

fn remount(wanted: &Remount) -> Result<(), String> {
    enter(wanted.namespace.as_deref())?;
    if wanted.fake { Ok(()) } else { remount::remount(&wanted.mountpoint, wanted.flags) }
}

/// Enters the mount namespace that mount(8) names, if it does.
fn enter(namespace: Option<&Path>) -> Result<(), String> {
    let Some(path) = namespace else { return Ok(()) };
    let entered = File::open(path).and_then(|file| sys::mount::enter_namespace(file.as_fd()));
    entered.map_err(|error| format!("cannot enter the mount namespace {}: {error}", path.display()))
}

/// Serves, here or in the background; the exit code.
fn start(wanted: Serve) -> Result<u8, String> {
    if wanted.fake {
        return Ok(0);
    }
    if let Some(path) = &wanted.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        log::copy_to(file.map_err(|error| format!("cannot write to the log file {}: {error}", path.display()))?);
    }
    enter(wanted.namespace.as_deref())?;
    let launch = if wanted.daemonize {
        match process::fork_to_background().map_err(|error| format!("cannot go to the background: {error}"))? {
            Forked::Parent(code) => return Ok(code),
            Forked::Child(launch) => Some(launch),
        }
    } else {
        None
    };
    log::start(&wanted.log);
    report_panics();
    serve(wanted, launch).map(|()| 0)
}

/// From the command line to the end of the mount.
fn serve(wanted: Serve, launch: Option<Launch>) -> Result<(), String> {
    let Serve { source, mountpoint, mut config, mut options, stats_at_exit, .. } = wanted;
    for note in &wanted.notes {
        tracing::info!("{note}");
    }
    let in_background = launch.is_some();
    let fixtures = Fixtures::plan(wanted.binds, absolute(wanted.pidfile)?, launch)?;
    let files = limits::raise_nofile().map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    config.fd_budget = config.fd_budget.min(limits::fd_budget(files));
    let (mut config, given_up) = config.settle()?;
    given_up.iter().for_each(say);
    options.read_only |= config.readonly;
    let choice = Choice::make(&config)?;
    let unusable = |error| format!("cannot serve {}: {error}", source.display());
    let source = fs::canonicalize(&source).map_err(unusable)?;
    config.root_dir = source.clone();
    // Before the mount, which may cover it.
    let (core, read_only) = open_core(&source, config.clone()).map_err(unusable)?;
    if read_only && !options.read_only {
        // The kernel answers EROFS before it looks for names, as below, only if it knows.
        say(format_args!("{} is read-only, so the mount is too", source.display()));
        options.read_only = true;
    }
    options.host_checks = config.mapping.squash.is_some();
    creds::drop_groups();
    // Before the mount too, for the same reason.
    let observer = Observer::plan(wanted.reports.metrics.as_ref())?;
    let signals = Signals::block().map_err(|error| format!("cannot take charge of signals: {error}"))?;

    // Dropped in reverse: on every way out the device closes before the mount is taken down (see `Mounted`).
    let (mounted, device) = mount::mount(&source, &mountpoint, &options)?;
    // After the mount, whose mount point is made with the operator's umask.
    process::clear_umask();
    if in_background {
        // Before there are threads, each of which would keep the directory that ptfs was started in from unmounting.
        std::env::set_current_dir("/").map_err(|error| format!("cannot go to /: {error}"))?;
    }
    observer.prepare(&mounted)?;
    let device = File::from(device);
    let init = handshake::handshake(&device, &choice.wants(&config))?;
    Choice::accept(&config, &init)?;
    if let Err(error) = mounted.set_readahead(config.max_readahead) {
        tracing::debug!("readahead stays at {} bytes: {error}", init.max_readahead);
    }

    let stats = Arc::new(Stats::new(wanted.reports.slow_log()));
    let core = Arc::new(core);
    let alarm = Arc::new(process::ask_to_stop);
    let observed = Observed::new(Arc::clone(&stats), Arc::clone(&core));
    let session = Session { core, device: device.into(), init, stats, alarm, stall: wanted.reports.stall() };
    let (ended, alive) = io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    let (observed, observer) = (&observed, &observer);
    let desk = Desk {
        signals: &signals,
        ended: &ended,
        mounted: &mounted,
        fixtures: &fixtures,
        observed,
        observer,
        stats_at_exit,
    };
    let outcome = attend(session, alive, &choice, &source, desk);
    fixtures.take_down();
    drop(mounted);
    if stats_at_exit {
        say_report(observed);
    }
    outcome.and_then(|()| fixtures.failure().map_or(Ok(()), Err))
}

/// A path that stays the same when the daemon goes to `/`.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()));
    path.map(absolute).transpose()
}

/// Runs the engine, and listens to signals and questions meanwhile. `alive` is the other end of what the desk watches.
fn attend(session: Session, alive: PipeWriter, choice: &Choice, source: &Path, desk: Desk<'_>) -> Result<(), String> {
    thread::scope(|scope| {
        // Both go when the engine has ended, in whatever way: the device, so that no unmount waits for an answer that
        // nobody gives; and then the pipe, which sends the listeners home.
        let (alive, session) = (alive, session);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn_scoped(scope, move || desk.attend(scope))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let slow = desk.observed.stats.slow().map(|log| observe::slow::start(scope, log)).transpose();
        let _logging = slow.map_err(|error| format!("cannot start a thread: {error}"))?;
        // A worker tells when it serves. It cannot wait for its own answer, so somebody else does, with the
        // credentials and the umask of the process.
        let (serves, started) = mpsc::channel::<Announcement>();
        thread::Builder::new()
            .name("fixtures".to_owned())
            .spawn_scoped(scope, move || {
                if let Ok(announcement) = started.recv() {
                    desk.open(announcement, scope);
                }
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let ready = |started| {
            let _ = serves.send(choice.announce(source, desk.mounted.path(), &session, &started));
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // Those who listen to signals unmount as root.
            let _squashed = squash(&session.core.config)?;
            choice.run(&session, &ready)
        }));
        // Also those who wait for an engine that never came up go home.
        drop((session, alive, serves));
        match outcome {
            Ok(result) => result.map_err(|error| match error.raw_os_error() {
                Some(libc::EMFILE) => "the engine failed: too few file descriptors; raise `ulimit -n`".to_owned(),
                _ => format!("the engine failed: {error}"),
            }),
            Err(_) => Err("the engine panicked: a bug in ptfs".to_owned()),
        }
    })
}

/// Makes this thread and those that it starts the one user that all callers are on the host, if that is asked for.
fn squash(config: &Config) -> io::Result<Option<Squashed>> {
    let Some(Squash { uid, gid }) = config.mapping.squash else { return Ok(None) };
    let squashed = creds::squash(uid, gid);
    squashed.map(Some).map_err(|error| io::Error::other(format!("cannot act as {}:{}: {error}", uid.0, gid.0)))
}

/// The tables of a mount of `source`, and whether that is read-only.
fn open_core(source: &Path, config: Config) -> io::Result<(Core, bool)> {
    let host = Linux::new()?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let root: OwnedFd = OpenOptions::new().read(true).custom_flags(flags).open(source)?.into();
    let fd = HostFd(root.as_raw_fd());
    let stat = host.stat(fd)?;
    let read_only = host.is_read_only(fd);
    // Whether file handles open files is to be seen with the rights of those who will serve.
    let squashed = squash(&config)?;
    let mount = ops::mount_of(&host, fd, config.inode_handles).map_err(|_| {
        io::Error::other("its files cannot be reached by file handle, and --inode-handles=always allows nothing else")
    });
    drop(squashed);
    Ok((Core::new(config, &stat, root, mount?, host.is_local(fd)), read_only))
}

/// Panics end the run (engines report those of their workers), and are shown whatever the log filter says.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        say(format_args!("thread '{}' {panic}", thread.name().unwrap_or("unnamed")));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            say(backtrace);
        }
    }));
}
