//! The process around an engine: command line, mount, signals, and an end that leaves nothing behind.

mod choice;
mod cli;
mod handshake;
mod idmap_flags;
mod mount;
mod options;
mod policy;
mod remount;
mod report;
mod signals;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use tracing_subscriber::EnvFilter;

use self::choice::Choice;
use self::cli::{Invocation, Remount, Serve};
use self::mount::Mounted;
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
use crate::sys::signal::Signals;
use crate::sys::{self, creds, limits, process};

/// The whole program. The exit code is 0 when the mount came and went, 1 after a failure, 2 for a wrong command line.
pub fn main() -> ExitCode {
    let outcome = match Invocation::from_args() {
        Ok(Invocation::Serve(wanted)) => {
            start_logging(&wanted.log);
            report_panics();
            serve(*wanted)
        }
        Ok(Invocation::Remount(wanted)) => remount(&wanted),
        Err(code) => return code,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            say(line);
            ExitCode::FAILURE
        }
    }
}

fn remount(wanted: &Remount) -> Result<(), String> {
    if let Some(path) = &wanted.namespace {
        let entered = File::open(path).and_then(|file| sys::mount::enter_namespace(file.as_fd()));
        entered.map_err(|error| format!("cannot enter the mount namespace {}: {error}", path.display()))?;
    }
    if wanted.fake { Ok(()) } else { remount::remount(&wanted.mountpoint, wanted.flags) }
}

/// From the command line to the end of the mount.
fn serve(wanted: Serve) -> Result<(), String> {
    let Serve { source, mountpoint, mut config, mut options, stats_at_exit, .. } = wanted;
    let files = limits::raise_nofile().map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    config.fd_budget = limits::fd_budget(files);
    let choice = Choice::make(&config)?;
    let unusable = |error| format!("cannot serve {}: {error}", source.display());
    let source = fs::canonicalize(&source).map_err(unusable)?;
    // Before the mount, which may cover it.
    let (core, read_only) = open_core(&source, config.clone()).map_err(unusable)?;
    if read_only && !options.read_only {
        // The kernel answers EROFS before it looks for names, as below, only if it knows.
        say(format_args!("{} is read-only, so the mount is too", source.display()));
        options.read_only = true;
    }
    options.host_checks = config.identity.squash.is_some();
    creds::drop_groups();
    let signals = Signals::block().map_err(|error| format!("cannot take charge of signals: {error}"))?;

    // Dropped in reverse: on every way out the device closes before the mount is taken down (see `Mounted`).
    let (mounted, device) = mount::mount(&source, &mountpoint, &options)?;
    // After the mount, whose mount point is made with the operator's umask.
    process::clear_umask();
    let device = File::from(device);
    let init = handshake::handshake(&device, &choice.wants(&config))?;
    Choice::accept(&config, &init)?;
    if let Err(error) = mounted.set_readahead(config.max_readahead) {
        tracing::debug!("readahead stays at {} bytes: {error}", init.max_readahead);
    }

    let stats = Arc::new(Stats::default());
    let core = Arc::new(core);
    let session = Session { core: Arc::clone(&core), device: device.into(), init, stats: Arc::clone(&stats) };
    let outcome = attend(session, &choice, &source, &signals, &mounted, stats_at_exit);
    drop(mounted);
    if stats_at_exit {
        say_report(&stats, &core);
    }
    outcome
}

/// Runs the engine, and listens to signals meanwhile.
fn attend(
    session: Session,
    choice: &Choice,
    source: &Path,
    signals: &Signals,
    mounted: &Mounted,
    stats_at_exit: bool,
) -> Result<(), String> {
    let (ended, alive) = io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    // The session goes before those who listen to signals do.
    let (stats, core) = (Arc::clone(&session.stats), Arc::clone(&session.core));
    let desk = Desk { signals, ended: &ended, mounted, stats: &stats, core: &core, stats_at_exit };
    thread::scope(|scope| {
        // Both go when the engine has ended, in whatever way: the device, so that no unmount waits for an answer that
        // nobody gives; and then the pipe, which sends the listeners home.
        let (alive, session) = (alive, session);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn_scoped(scope, move || desk.attend(scope))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let ready = |started| choice.announce(source, mounted.path(), &session, &started);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // Those who listen to signals unmount as root.
            let _squashed = squash(&session.core.config)?;
            choice.run(&session, &ready)
        }));
        drop((session, alive));
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
    let Some(Squash { uid, gid }) = config.identity.squash else { return Ok(None) };
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
    let mount = ops::mount_of(&host, fd);
    drop(squashed);
    Ok((Core::new(config, &stat, root, mount, host.is_local(fd)), read_only))
}

fn start_logging(filter: &str) {
    tracing_subscriber::fmt()
        // Checked by the command line.
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would print them, and panic if standard error is a closed pipe.
        .log_internal_errors(false)
        .init();
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

/// A line to the operator. Unlike `eprintln!` it does not panic when standard error is a closed pipe.
fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "ptfs: {line}");
}
