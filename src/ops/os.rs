//! The only door to the host: which of its calls an engine may run elsewhere.

use std::ffi::CStr;
use std::future::Future;
use std::os::fd::OwnedFd;

use crate::core::attr::Stat;
use crate::core::handles::File;
use crate::core::host::{Host, Result, Suid};
use crate::core::ids::HostFd;
use crate::core::nodes::Closing;
use crate::stats::Tick;

/// One request's way to the host. An engine gives each request its own.
///
/// Calls that have no method here go through [`Os::offload`], and may block there; nothing else may.
pub trait Os {
    /// The host's calls.
    type Host: Host;

    /// The host, for engines; operations call it by [`Os::inline`] or the methods below.
    fn host(&self) -> &Self::Host;

    /// Makes calls that do not block (see [`Host`]) on the spot.
    fn inline<R>(&self, call: impl FnOnce(&Self::Host) -> R) -> R {
        call(self.host())
    }

    /// Counts what happened.
    fn tick(&self, tick: Tick) {
        let _ = tick;
    }

    /// Runs `f` where it may block.
    fn offload<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Self::Host) -> Result<R> + Send + 'static,
    ) -> impl Future<Output = Result<R>>;

    /// Runs `f` where it may wait for another client of this mount, and where so many others may wait too that nothing
    /// else can be done: a thread of its own. ENOLCK if there is no room for it.
    fn park<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Self::Host) -> Result<R> + Send + 'static,
    ) -> impl Future<Output = Result<R>>;

    /// Gives `f` the payload buffer to write the reply's body into, from its start. Names and data of the request
    /// that are borrowed from the same buffer are gone afterwards.
    fn fill<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R;

    /// [`Host::anchor`].
    fn anchor(&self, dir: HostFd, name: &CStr) -> impl Future<Output = Result<OwnedFd>>;
    /// [`Host::stat`].
    fn stat(&self, fd: HostFd) -> impl Future<Output = Result<Stat>>;
    /// [`Host::open`], without O_TRUNC, which may block.
    fn open(&self, anchor: HostFd, flags: u32) -> impl Future<Output = Result<OwnedFd>>;
    /// [`Host::read`] of `size` bytes into the reply's body.
    fn read(&self, file: &File<'_>, offset: u64, size: u32) -> impl Future<Output = Result<usize>>;
    /// [`Host::write`], within [`Host::with_suid`].
    fn write(
        &self,
        file: &File<'_>,
        data: &[u8],
        offset: u64,
        append: bool,
        suid: Suid,
    ) -> impl Future<Output = Result<usize>>;
    /// [`Host::fsync`].
    fn fsync(&self, file: &File<'_>, datasync: bool) -> impl Future<Output = Result<()>>;
    /// [`Host::fallocate`], within [`Host::with_suid`].
    fn fallocate(&self, file: &File<'_>, mode: u32, range: (u64, u64), suid: Suid) -> impl Future<Output = Result<()>>;
    /// [`Host::unlink`].
    fn unlink(&self, dir: HostFd, name: &CStr) -> impl Future<Output = Result<()>>;
    /// [`Host::rmdir`].
    fn rmdir(&self, dir: HostFd, name: &CStr) -> impl Future<Output = Result<()>>;
    /// [`Host::rename`].
    fn rename(&self, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> impl Future<Output = Result<()>>;

    /// Closes what the tables gave up, where it may block if it may.
    fn close(&self, closing: Closing);
}
