//! The flags that say what the kernel may keep and what clients may do.

use std::time::Duration;

use clap::{ArgAction, Args, value_parser};

use crate::core::config::{CachePolicy, Config, InodeHandles};
use crate::core::xattrmap::XattrMap;

/// Flags of the headings Caching and Access.
#[derive(Args, Debug)]
pub struct PolicyFlags {
    /// What the kernel may keep: never (or none) nothing, metadata names, attributes and listings, auto also file data
    /// until a file is seen to have changed when it is opened, always all of it (SOURCE must be ours alone)
    #[arg(long, value_name = "POLICY", default_value = "auto", help_heading = "Caching")]
    cache: CachePolicy,

    /// Seconds that the kernel may keep attributes [default: 5; 0 under --cache=never]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Caching", allow_negative_numbers = true)]
    attr_timeout: Option<Duration>,

    /// Seconds that the kernel may keep names [default: 5; 0 under --cache=never]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Caching", allow_negative_numbers = true)]
    entry_timeout: Option<Duration>,

    /// The same for attributes of directories [default: --attr-timeout]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Caching", allow_negative_numbers = true)]
    dir_attr_timeout: Option<Duration>,

    /// The same for names of directories [default: --entry-timeout]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Caching", allow_negative_numbers = true)]
    dir_entry_timeout: Option<Duration>,

    /// Seconds that the kernel may remember that a name is not there
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = seconds, help_heading = "Caching",
        allow_negative_numbers = true)]
    negative_timeout: Duration,

    /// Keep listings until a directory is seen to have changed (--cache=metadata and always keep them anyway)
    #[arg(long, help_heading = "Caching")]
    cache_readdir: bool,

    /// Let the kernel collect writes: SOURCE must be ours alone
    #[arg(long, help_heading = "Caching")]
    writeback: bool,

    /// Spare a request for each open(2) of a file and each close(2) of its last descriptor; needs --cache=always
    #[arg(long, help_heading = "Caching")]
    no_open: bool,

    /// The same for directories, whose listings the kernel then keeps
    #[arg(long, help_heading = "Caching")]
    no_opendir: bool,

    /// Pass O_DIRECT on to the backing files
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Caching")]
    allow_direct_io: bool,

    /// Refuse every change, also when the mount is made writable again
    #[arg(long, help_heading = "Access")]
    readonly: bool,

    /// Offer extended attributes, POSIX ACLs among them (the default)
    #[arg(long, overrides_with = "no_xattr", help_heading = "Access")]
    xattr: bool,

    /// Offer none
    #[arg(long, help_heading = "Access")]
    no_xattr: bool,

    /// Store attributes under other names: virtiofsd's rules :TYPE:SCOPE:KEY:PREPEND: (prefix, ok, bad, unsupported; client,
    /// server, all) and :map:KEY:PREPEND:
    #[arg(long, value_name = "RULES", help_heading = "Access")]
    xattrmap: Option<XattrMap>,

    /// Take SUID, SGID and capabilities from what is written by ourselves; the kernel asks twice for each write if not
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set, help_heading = "Access")]
    killpriv_v2: bool,

    /// List every directory as empty; names can still be looked up
    #[arg(long, help_heading = "Access")]
    no_readdir: bool,

    /// Refuse to change the size of a file (EPERM)
    #[arg(long, help_heading = "Access")]
    seal_size: bool,

    /// Tell apart two bind mounts of one file
    #[arg(long, help_heading = "Access")]
    enable_mntid: bool,

    /// Show the host's inode numbers on filesystems mounted below SOURCE too, though they may collide
    #[arg(long, help_heading = "Access")]
    use_host_ino: bool,

    /// How what has no descriptor is reached: auto by file handle where possible, never by name alone, always by handle
    /// or not at all
    #[arg(long, value_name = "HOW", value_enum, default_value = "auto", help_heading = "Limits")]
    inode_handles: InodeHandles,

    /// File descriptors for files and directories, from 16 up to what RLIMIT_NOFILE allows [default: all of that]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(16..), help_heading = "Limits")]
    fd_budget: Option<u32>,
}

/// How long the kernel may keep what it may keep, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(5);

impl PolicyFlags {
    /// The config with what the flags say.
    pub fn apply(&self, config: Config) -> Config {
        let timeout = if self.cache == CachePolicy::Never { Duration::ZERO } else { TIMEOUT };
        Config {
            inode_handles: self.inode_handles,
            fd_budget: self.fd_budget.map_or(usize::MAX, |budget| budget as usize),
            readonly: self.readonly,
            attr_timeout: self.attr_timeout.unwrap_or(timeout),
            entry_timeout: self.entry_timeout.unwrap_or(timeout),
            dir_attr_timeout: self.dir_attr_timeout,
            dir_entry_timeout: self.dir_entry_timeout,
            negative_timeout: self.negative_timeout,
            cache_policy: self.cache,
            cache_readdir: self.cache_readdir,
            writeback: self.writeback,
            xattr: self.xattr || !self.no_xattr,
            xattrmap: self.xattrmap.clone(),
            no_open: self.no_open,
            no_opendir: self.no_opendir,
            killpriv_v2: self.killpriv_v2,
            no_readdir: self.no_readdir,
            seal_size: self.seal_size,
            enable_mntid: self.enable_mntid,
            use_host_ino: self.use_host_ino,
            allow_direct_io: self.allow_direct_io,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        flags: PolicyFlags,
    }

    fn parse(arguments: &str) -> Result<Config, String> {
        let words = std::iter::once("ptfs").chain(arguments.split_whitespace());
        let alone = Alone::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(alone.flags.apply(Config::default()))
    }

    #[track_caller]
    fn config(arguments: &str) -> Config {
        parse(arguments).expect("valid")
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_flags_the_mount_answers_as_the_host() {
        let config = config("");
        assert!(config.xattr && config.killpriv_v2 && config.allow_direct_io);
        assert!(!config.readonly && !config.writeback && !config.no_open && !config.seal_size);
        assert_eq!(
            (config.attr_timeout, config.entry_timeout, config.negative_timeout),
            (TIMEOUT, TIMEOUT, Duration::ZERO)
        );
        assert_eq!((config.cache_policy, config.fd_budget), (CachePolicy::Auto, usize::MAX));
    }

    #[test]
    fn nothing_cached_means_no_timeouts_unless_they_are_said() {
        for name in ["never", "none"] {
            let never = config(&format!("--cache={name}"));
            assert_eq!(
                (never.cache_policy, never.attr_timeout, never.entry_timeout),
                (CachePolicy::Never, Duration::ZERO, Duration::ZERO)
            );
        }
        let never = config("--cache=never --attr-timeout=1 --dir-entry-timeout=2");
        assert_eq!((never.attr_timeout, never.entry_timeout), (SECOND, Duration::ZERO));
        assert_eq!((never.dir_attr_timeout, never.dir_entry_timeout), (None, Some(2 * SECOND)));
        assert_eq!(config("--cache=always").attr_timeout, TIMEOUT);
    }

    #[test]
    fn every_flag_reaches_its_field() {
        let on = config(
            "--cache=metadata --negative-timeout=1 --cache-readdir --writeback --no-open --no-opendir --readonly --no-xattr \
             --xattrmap=:map::user.x.: --killpriv-v2=false --no-readdir --seal-size --enable-mntid --use-host-ino \
             --inode-handles=never --fd-budget=100 --dir-attr-timeout=1",
        );
        assert_eq!(
            (on.cache_policy, on.negative_timeout, on.dir_attr_timeout),
            (CachePolicy::Metadata, SECOND, Some(SECOND))
        );
        assert!(on.cache_readdir && on.writeback && on.no_open && on.no_opendir && on.readonly && !on.xattr);
        assert!(!on.killpriv_v2 && on.no_readdir && on.seal_size && on.enable_mntid && on.use_host_ino);
        assert_eq!((on.inode_handles, on.fd_budget), (InodeHandles::Never, 100));
        assert_eq!(on.xattrmap, ":map::user.x.:".parse().ok());
        assert!(config("--killpriv-v2").killpriv_v2 && config("--killpriv-v2=true").killpriv_v2);
        assert!(config("--no-xattr --xattr").xattr);
    }

    #[test]
    fn bounds_and_rules_are_checked() {
        for (arguments, part) in [
            ("--cache=often", "never"),
            ("--attr-timeout=-1", "--attr-timeout"),
            ("--negative-timeout=soon", "--negative-timeout"),
            ("--xattrmap=ok", "separator"),
            ("--fd-budget=15", "--fd-budget"),
            ("--inode-handles=sometimes", "--inode-handles"),
            ("--killpriv-v2=maybe", "--killpriv-v2"),
        ] {
            let line = parse(arguments).expect_err(arguments);
            assert!(line.contains(part), "{line}");
        }
    }
}
