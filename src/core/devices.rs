//! The filesystems met below the root.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use super::attr::{Stat, shown_ino};
use super::ids::{Dev, HostFd};
use std::os::fd::AsRawFd;

/// What tells one filesystem from another: the device, and the mount where that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    device: (u32, u32),
    mnt_id: u64,
}

/// One filesystem.
pub struct Device {
    key: Key,
    /// Opens file handles on it; `None` where that is not permitted or there are no handles.
    mount: Option<OwnedFd>,
}

/// All filesystems met so far; never forgets one, since nodes name them by place.
pub struct Devices {
    by_mount: bool,
    host_ino: bool,
    root: OnceLock<Key>,
    all: RwLock<Vec<Device>>,
    remote: AtomicBool,
}

impl Devices {
    /// `by_mount`: two mounts of one filesystem count as two (`--enable-mntid`). `host_ino`: inode numbers are shown as
    /// they are (`--use-host-ino`).
    pub fn new(by_mount: bool, host_ino: bool) -> Devices {
        Devices { by_mount, host_ino, root: OnceLock::new(), all: RwLock::default(), remote: AtomicBool::new(false) }
    }

    fn key(&self, stat: &Stat) -> Key {
        Key { device: stat.dev, mnt_id: if self.by_mount { stat.mnt_id } else { 0 } }
    }

    /// The filesystem of a file, if it was met before. The root's own costs no lock.
    pub fn find(&self, stat: &Stat) -> Option<Dev> {
        let key = self.key(stat);
        if self.root.get() == Some(&key) {
            return Some(Dev(0));
        }
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().position(|d| d.key == key).map(|at| Dev(at as u16))
    }

    /// Adds a filesystem; the first is the root's. `None` when 65,535 are known.
    pub fn add(&self, stat: &Stat, mount: Option<OwnedFd>, local: bool) -> Option<Dev> {
        let key = self.key(stat);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = all.iter().position(|d| d.key == key) {
            return Some(Dev(at as u16));
        }
        let dev = Dev(u16::try_from(all.len()).ok()?);
        all.push(Device { key, mount });
        let _ = self.root.set(key);
        if !local {
            self.remote.store(true, Ordering::Relaxed);
        }
        Some(dev)
    }

    /// The descriptor that opens file handles of this filesystem.
    pub fn mount(&self, dev: Dev) -> Option<HostFd> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(dev.0 as usize)?.mount.as_ref().map(|fd| HostFd(fd.as_raw_fd()))
    }

    /// True while every filesystem met waits for nothing but a local disk.
    pub fn all_local(&self) -> bool {
        !self.remote.load(Ordering::Relaxed)
    }

    /// The inode number that the mount shows for the host's `ino` on the filesystem of `stat`.
    pub fn shown_ino(&self, dev: Dev, stat: &Stat, ino: u64) -> u64 {
        if self.host_ino { ino } else { shown_ino(dev, stat.dev, self.key(stat).mnt_id, ino) }
    }
}
