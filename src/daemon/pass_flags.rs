//! The flags that say what is passed on to the host, beside names, data and attributes.

use clap::{ArgAction, Args};

use crate::core::config::Config;

/// Flags of the heading Passed on.
#[derive(Args, Debug)]
pub struct PassFlags {
    /// Pass locks of fcntl(2) on, so that they conflict with the host's own; without, close(2) is one request cheaper
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Passed on")]
    posix_lock: bool,

    /// Pass locks of flock(2) on
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Passed on")]
    flock: bool,

    /// Give new files the label that the client's security module wants (SELinux, Smack); the daemon must be allowed to
    #[arg(long, help_heading = "Passed on")]
    security_label: bool,
}

impl PassFlags {
    /// The config with what the flags say.
    pub fn apply(&self, config: Config) -> Config {
        let PassFlags { posix_lock, flock, security_label } = *self;
        Config { posix_lock, flock, security_label, ..config }
    }
}
