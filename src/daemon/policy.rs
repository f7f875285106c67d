//! The flags that say what the kernel may keep and what clients may do.

use std::time::Duration;

use clap::{ArgAction, Args};

use crate::core::config::Config;

/// Flags of the headings Caching and Access.
#[derive(Args, Debug)]
pub struct PolicyFlags {
    /// Seconds that the kernel may keep attributes
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = seconds, help_heading = "Caching",
        allow_negative_numbers = true)]
    attr_timeout: Duration,

    /// Seconds that the kernel may keep names
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = seconds, help_heading = "Caching",
        allow_negative_numbers = true)]
    entry_timeout: Duration,

    /// Tell apart two bind mounts of one file
    #[arg(long, help_heading = "Caching")]
    enable_mntid: bool,

    /// Pass O_DIRECT on to the backing files
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Caching")]
    allow_direct_io: bool,
}

impl PolicyFlags {
    /// The config with what the flags say.
    pub fn apply(&self, config: Config) -> Config {
        Config {
            allow_direct_io: self.allow_direct_io,
            attr_timeout: self.attr_timeout,
            entry_timeout: self.entry_timeout,
            enable_mntid: self.enable_mntid,
            ..config
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let most = f64::from(u32::MAX);
    if !(0.0..=most).contains(&seconds) {
        return Err(format!("must be from 0 to {most} seconds"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
