//! What an engine is started with, what it says of itself, and the polling that engines share.

use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::core::Core;
use crate::core::config::Config;
use crate::core::host::{Host, Result};
use crate::core::ids::HostFd;
use crate::protocol::{Errno, Request, init};
use crate::stats::Stats;

use super::reach::mount_of;
use super::{Answer, Os, Stall, serve};

/// Called upon a fault after which the mount is not to be served for long: it must be taken down. Once is enough, more do
/// no harm.
pub type Alarm = Arc<dyn Fn() + Send + Sync>;

/// A mount that is ready to be served: INIT is done.
pub struct Session {
    /// The tables.
    pub core: Arc<Core>,
    /// `/dev/fuse`.
    pub device: OwnedFd,
    /// What INIT agreed on.
    pub init: init::Session,
    /// Where latencies go.
    pub stats: Arc<Stats>,
    /// See [`Alarm`].
    pub alarm: Alarm,
    /// A fault to be injected.
    pub stall: Option<Stall>,
}

impl Session {
    /// Answers one request.
    pub async fn serve<O: Os>(&self, os: &O, request: Request<'_>) -> Answer<'_> {
        if let Some(stall) = &self.stall {
            stall.hold(os, &request.op).await;
        }
        serve(&self.core, os, request).await
    }
}

/// How an engine serves, for the start-up line.
#[derive(Clone, Debug)]
pub struct Started {
    /// `FUSE-over-io_uring` or `/dev/fuse`.
    pub transport: &'static str,
    /// Threads that serve.
    pub workers: usize,
    /// Requests that each keeps in flight.
    pub depth: usize,
    /// Bytes of payload buffers, over all workers.
    pub payload_bytes: u64,
    /// Why this is not the fastest way that ptfs knows.
    pub why_not_fast: Option<String>,
}

/// The tables of a mount whose root directory `root` anchors (O_PATH).
pub fn tables<H: Host>(host: &H, config: Config, root: OwnedFd) -> Result<Core> {
    let fd = HostFd(root.as_raw_fd());
    let stat = host.stat(fd)?;
    let mount = mount_of(host, fd, config.inode_handles)?;
    Ok(Core::new(config, &stat, root, mount, host.is_local(fd)))
}

/// Polls a request's future; a panic inside becomes EIO for its caller, after which `alarm` is for the engine to sound:
/// tables that a panic left behind are not to be served from for long.
pub fn poll<'c>(task: Pin<&mut impl Future<Output = Answer<'c>>>, alarm: impl FnOnce()) -> Poll<Answer<'c>> {
    let mut context = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| task.poll(&mut context))).unwrap_or_else(|_| {
        alarm();
        Poll::Ready(Errno::EIO.into())
    })
}
