//! Which engine serves and by which transport, and why not by the fast one.

use std::fs;
use std::io;
use std::path::Path;

use crate::core::config::{Config, Engine, Transport};
use crate::ops::engine::{Session, Started};
use crate::protocol::init::{self, Wants};
use crate::stats::doc::MountFacts;
use crate::sys::process::page_size;
use crate::{pool, uring};

/// The switch of FUSE-over-io_uring. It acts on mounts made later.
const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// What there is to say once the mount answers.
pub struct Announcement {
    /// Who serves what where, for programs.
    pub facts: MountFacts,
    /// Who serves what where, for a service manager.
    pub status: String,
    /// What else the operator should know, such as what keeps it from being faster: a line each.
    pub remarks: Vec<String>,
}

/// The engine of this run.
pub enum Choice {
    /// One io_uring per CPU.
    Uring,
    /// Blocking readers, for this reason.
    Pool(String),
}

impl Choice {
    /// Asks the machine what the command line leaves open.
    pub fn make(config: &Config) -> Result<Choice, String> {
        // Nothing but the uring engine speaks it, so whoever asks for the transport asks for the engine.
        let insists = config.engine == Engine::Uring || config.transport == Transport::FuseUring;
        match config.engine {
            Engine::Pool => Ok(Choice::Pool("--engine=pool asks for it".to_owned())),
            Engine::Auto | Engine::Uring => match uring::support() {
                Ok(()) => Ok(Choice::Uring),
                Err(why) if insists => Err(format!("the uring engine cannot run here: {why}")),
                Err(why) => Ok(Choice::Pool(format!("io_uring cannot be used here: {why}"))),
            },
        }
    }

    /// What to ask of the kernel.
    pub fn wants(&self, config: &Config) -> Wants {
        Wants {
            max_write: config.max_write,
            page_size: page_size(),
            max_background: config.max_background,
            congestion_threshold: config.congestion_threshold,
            max_readahead: config.max_readahead,
            posix_lock: config.posix_lock,
            flock: config.flock,
            security_label: config.security_label,
            fuse_uring: matches!(self, Choice::Uring) && config.transport != Transport::DevFuse,
            posix_acl: config.posix_acl() && config.mapping.squash.is_none(),
            killpriv_v2: config.killpriv_v2,
            writeback: config.writeback,
            inval_by_times: config.inval_by_times(),
        }
    }

    /// Refuses to go on over `/dev/fuse` if the operator wants no less than FUSE-over-io_uring.
    pub fn accept(config: &Config, init: &init::Session) -> Result<(), String> {
        if config.transport == Transport::FuseUring && !init.fuse_uring {
            return Err(format!("--transport=fuse-uring cannot be had: {}", why_not_offered()));
        }
        Ok(())
    }

    /// Serves until the mount is gone.
    pub fn run(&self, session: &Session, on_ready: &(dyn Fn(Started) + Sync)) -> io::Result<()> {
        match self {
            Choice::Uring => uring::run(session, on_ready),
            Choice::Pool(_) => pool::run(session, on_ready),
        }
    }

    /// What to tell the operator: who serves what where.
    pub fn announce(&self, source: &Path, point: &Path, session: &Session, started: &Started) -> Announcement {
        let Started { transport, workers, depth, payload_bytes, .. } = *started;
        let engine = match self {
            Choice::Uring => "uring",
            Choice::Pool(_) => "pool",
        };
        let plural = if workers == 1 { "" } else { "s" };
        let status = format!(
            "serving {} at {}: {engine} engine over {transport}, {workers} worker{plural}, queue depth {depth}, \
             buffers up to {} MiB, {} fds",
            source.display(),
            point.display(),
            payload_bytes.div_ceil(1 << 20),
            session.core.config.fd_budget,
        );
        let mut remarks = Vec::from_iter(self.why_not_fast(session, started));
        if payload_bytes > session.core.config.memory_cap {
            remarks.push("the buffers exceed --memory-cap: each request in flight needs --max-write".to_owned());
        }
        let facts = MountFacts {
            source: source.display().to_string(),
            mountpoint: point.display().to_string(),
            engine: engine.to_owned(),
            transport: transport.to_owned(),
            workers: workers as u64,
            ..MountFacts::default()
        };
        Announcement { facts, status, remarks }
    }

    fn why_not_fast(&self, session: &Session, started: &Started) -> Option<String> {
        if let Choice::Pool(why) = self {
            return Some(format!("the engine is pool because {why}"));
        }
        let why = match &started.why_not_fast {
            Some(why) => why.clone(),
            None if session.core.config.transport == Transport::DevFuse => {
                "--transport=dev-fuse asks for it".to_owned()
            }
            None if !session.init.fuse_uring => why_not_offered(),
            None => return None,
        };
        Some(format!("the transport is /dev/fuse because {why}"))
    }
}

/// Why INIT came without FUSE-over-io_uring, and what changes that.
fn why_not_offered() -> String {
    match fs::read_to_string(SWITCH) {
        Ok(state) if state.trim() == "N" => {
            format!("FUSE-over-io_uring is off; before the mount, as root: echo Y > {SWITCH}")
        }
        Ok(_) => "the kernel does not offer FUSE-over-io_uring to this mount".to_owned(),
        Err(_) => "this kernel has no FUSE-over-io_uring (Linux 6.14 with CONFIG_FUSE_IO_URING has)".to_owned(),
    }
}
