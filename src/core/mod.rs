//! What the daemon remembers. Memory only: nothing here opens, closes or stats anything.

pub mod attr;
pub mod blobs;
pub mod config;
pub mod devices;
pub mod fd_lru;
pub mod handles;
pub mod host;
pub mod id_xattrs;
pub mod idmap;
pub mod ids;
pub mod kept;
pub mod lazy;
pub mod locks;
pub mod nodes;
pub mod removals;
pub mod retries;
pub mod slab;
mod sync;
pub mod xattrmap;

use std::os::fd::OwnedFd;

use config::Config;
use devices::Devices;
use handles::Handles;
use lazy::Lazy;
use locks::{Locks, Waits};
use nodes::{Closing, Nodes};
use removals::Removals;
use retries::Retries;

/// All tables of one mount.
pub struct Core {
    /// Nodes, by nodeid and by identity.
    pub nodes: Nodes,
    /// Names that go through this mount.
    pub removals: Removals,
    /// Threads that were told to look a name up again.
    pub retries: Retries,
    /// Open files, by fh.
    pub handles: Handles,
    /// Which of them serve nodes that were never opened (`no_open`).
    pub lazy: Lazy,
    /// Locks that clients hold.
    pub locks: Locks,
    /// Requests that wait for a lock.
    pub waits: Waits,
    /// Filesystems below the root.
    pub devices: Devices,
    /// The choices that the mount was made with.
    pub config: Config,
}

impl Core {
    /// The tables of a mount whose root `fd` anchors. `mount` opens file handles of the root's filesystem.
    pub fn new(config: Config, stat: &attr::Stat, fd: OwnedFd, mount: Option<OwnedFd>, local: bool) -> Core {
        let devices = Devices::new(config.enable_mntid, config.use_host_ino);
        let dev = devices.add(stat, mount, local).unwrap_or_default();
        let nodes = Nodes::new(dev, stat.ino, fd);
        let (handles, lazy) = (Handles::new(config.fd_budget), Lazy::new(config.fd_budget / 2));
        let (removals, retries) = (Removals::default(), Retries::default());
        let (locks, waits) = (Locks::default(), Waits::default());
        Core { nodes, removals, retries, handles, lazy, locks, waits, devices, config }
    }

    /// True if cached descriptors must be given up to stay within the budget.
    pub fn over_budget(&self) -> bool {
        self.nodes.fds() + self.in_use() > self.config.fd_budget
    }

    /// Descriptors that clients' open files and locks need.
    pub fn in_use(&self) -> usize {
        self.handles.len() + self.locks.len()
    }

    /// Descriptors that were given up and must be closed now.
    pub fn take_dead(&self) -> impl Iterator<Item = Closing> + use<> {
        self.nodes.dead().take().into_iter().chain(self.handles.dead().take())
    }
}
