//! A mount inside another program: [`Mount`] serves until it is told to stop, or the mount is gone.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::choice::Choice;
use super::handshake;
use super::mount::{self, Mounted, Unmounted};
use super::open_core;
use super::options::MountOptions;
use crate::core::Core;
use crate::core::config::Config;
use crate::ops::engine::{Session, Started};
use crate::stats::{Snapshot, Stats};
use crate::sys::mount::sync_everything;
use crate::sys::{creds, process, signal};

/// How long a mount that is dropped waits for those who use it, before their files give errors.
const GRACE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// Why a mount could not be made or ended badly, in one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountError(String);

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MountError {}

/// What [`Mount::unmount`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Nothing is mounted there any more.
    Done,
    /// Somebody has files open or a working directory there: all is as before.
    Busy,
}

/// A mount to be made: see [`Mount::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    source: PathBuf,
    mountpoint: PathBuf,
    config: Config,
    options: MountOptions,
}

impl Builder {
    /// Everything that has a flag of its own on the command line.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// Options as `-o` takes them: `allow_other,ro,fsname=NAME`. The command line's documentation lists them.
    pub fn options(mut self, list: &str) -> Result<Builder, MountError> {
        self.options.apply(list).map_err(MountError)?;
        Ok(self)
    }

    /// Mounts, and serves on threads of its own. It returns when the mount answers.
    ///
    /// Files are made as their callers if this process is root; its umask and its groups are those of the engine's own
    /// threads alone, and no signal reaches these. A signal that this process has no use for, SIGURG if it may, gets a
    /// handler that does nothing: it ends the waits of clients for locks.
    pub fn mount(self) -> Result<Mount, MountError> {
        self.start().map_err(MountError)
    }

    fn start(self) -> Result<Mount, String> {
        let Builder { source, mountpoint, config, mut options } = self;
        if options.auto_unmount {
            return Err("auto_unmount needs a process of its own: use the ptfs command".to_owned());
        }
        if config.mapping.squash.is_some() {
            return Err("squashed callers need a process of their own: use the ptfs command".to_owned());
        }
        let (config, given_up) = Config { root_dir: source.clone(), ..config }.settle()?;
        given_up.iter().for_each(|line| tracing::warn!("{line}"));
        let choice = Choice::make(&config)?;
        let unusable = |error| format!("cannot serve {}: {error}", source.display());
        let source = fs::canonicalize(&source).map_err(unusable)?;
        let (core, read_only) = open_core(&source, config).map_err(unusable)?;
        options.read_only |= read_only;
        let (mounted, device) = mount::mount(&source, &mountpoint, &options)?;
        let (mounted, core, stats) = (Arc::new(mounted), Arc::new(core), Arc::new(Stats::default()));
        let (tell, told) = channel();
        let engine = Engine {
            choice,
            mounted: Arc::clone(&mounted),
            core: Arc::clone(&core),
            stats: Arc::clone(&stats),
            device: device.into(),
        };
        let thread = thread::Builder::new().name("ptfs".to_owned()).spawn(move || engine.run(&tell));
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        match told.recv() {
            Ok(started) => Ok(Mount { mounted, core, stats, started, thread: Mutex::new(Some(thread)) }),
            // It ended before it served.
            Err(_) => Err(outcome(thread).err().unwrap_or_else(|| "the mount ended before it was served".to_owned())),
        }
    }
}

/// What the engine's first thread needs.
struct Engine {
    choice: Choice,
    mounted: Arc<Mounted>,
    core: Arc<Core>,
    stats: Arc<Stats>,
    device: File,
}

impl Engine {
    /// All threads of the engine come from this one, and have what it has: no signals, its umask, its groups.
    fn run(self, tell: &Sender<Started>) -> Result<(), String> {
        let Engine { choice, mounted, core, stats, device } = self;
        let own = |error| format!("cannot have a umask of its own: {error}");
        creds::own_umask().map_err(own)?;
        process::clear_umask();
        creds::drop_groups();
        signal::block_all().map_err(|error| format!("cannot block signals: {error}"))?;
        let init = handshake::handshake(&device, &choice.wants(&core.config))?;
        Choice::accept(&core.config, &init)?;
        if let Err(error) = mounted.set_readahead(core.config.max_readahead) {
            tracing::debug!("readahead stays at {} bytes: {error}", init.max_readahead);
        }
        let alarm = {
            let mounted = Arc::clone(&mounted);
            // A worker must not wait, and unmounting may.
            Arc::new(move || {
                let mounted = Arc::clone(&mounted);
                let _ = thread::Builder::new().name("alarm".to_owned()).spawn(move || mounted.detach());
            })
        };
        let session = Session { core, device: device.into(), init, stats, alarm, stall: None };
        let ready = |started| {
            let _ = tell.send(started);
        };
        choice.run(&session, &ready).map_err(|error| format!("the engine failed: {error}"))
    }
}

fn outcome(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("the engine panicked: a bug in ptfs".to_owned()))
}

/// A mount that is served by threads of this process. Dropping it ends it, at the latest after a second, in which those
/// who use it may finish: then their files give errors if this process is root, else they go on until they are closed.
pub struct Mount {
    core: Arc<Core>,
    stats: Arc<Stats>,
    started: Started,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
    mounted: Arc<Mounted>,
}

impl Mount {
    /// A mount of the directory `source` at `mountpoint`, which is made if it is missing and then removed at the end.
    pub fn builder(source: impl Into<PathBuf>, mountpoint: impl Into<PathBuf>) -> Builder {
        Builder {
            source: source.into(),
            mountpoint: mountpoint.into(),
            config: Config::default(),
            options: MountOptions::default(),
        }
    }

    /// The mount point, as an absolute path.
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// How it is served.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// Count, errors, bytes and latencies of every operation so far.
    pub fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Files that clients have open.
    pub fn open_files(&self) -> usize {
        self.core.handles.len()
    }

    /// Unmounts unless the mount is in use. Dirty pages are written back before it returns.
    pub fn unmount(&self) -> Result<Unmount, MountError> {
        match self.mounted.unmount().map_err(MountError)? {
            Unmounted::Gone => Ok(Unmount::Done),
            Unmounted::Busy => Ok(Unmount::Busy),
        }
    }

    /// Waits until the mount is gone, by whomever it is unmounted. An error is the engine's.
    pub fn join(self) -> Result<(), MountError> {
        self.take_thread().map_or(Ok(()), outcome).map_err(MountError)
    }

    fn take_thread(&self) -> Option<JoinHandle<Result<(), String>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let Some(thread) = self.take_thread() else { return };
        let end = Instant::now() + GRACE;
        while self.mounted.unmount() == Ok(Unmounted::Busy) && Instant::now() < end {
            thread::sleep(LOOK);
        }
        // No fsync can be had any more when it is gone.
        sync_everything();
        self.mounted.force();
        // Without root's help it lasts until those who use it have left, which is not to be waited for.
        while !thread.is_finished() && Instant::now() < end + GRACE {
            thread::sleep(LOOK);
        }
        if thread.is_finished() {
            let _ = outcome(thread);
        }
    }
}
