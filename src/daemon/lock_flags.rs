//! The flags that say who keeps locks.

use clap::{ArgAction, Args};

use crate::core::config::Config;

/// Flags of the heading Locks.
#[derive(Args, Debug)]
pub struct LockFlags {
    /// Pass locks of fcntl(2) on, so that they conflict with the host's own; without, close(2) is one request cheaper
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Locks")]
    posix_lock: bool,

    /// Pass locks of flock(2) on
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Locks")]
    flock: bool,
}

impl LockFlags {
    /// The config with what the flags say.
    pub fn apply(&self, config: Config) -> Config {
        Config { posix_lock: self.posix_lock, flock: self.flock, ..config }
    }
}
