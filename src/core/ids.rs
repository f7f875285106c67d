//! The host's side of the names: what the wire calls `nodeid` and `fh` stands for one of these below.

pub use crate::protocol::{Fh, NodeId, Unique};

/// A file descriptor of this process, as a plain number: the tables that hold it say when it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HostFd(pub i32);

/// A filesystem below the root, by its place in [`super::devices::Devices`]. 0 is the root's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Dev(pub u16);

/// A user as the host numbers it. The wire's plain numbers are ids that the mount shows: [`super::idmap`] is between.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HostUid(pub u32);

/// A group as the host numbers it; see [`HostUid`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HostGid(pub u32);
