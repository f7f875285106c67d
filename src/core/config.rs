//! What the operator asked for, as plain data. The command line fills it; nothing here looks at the host.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::attr::KIND_DIRECTORY;
use super::idmap::Identity;
use super::xattrmap::XattrMap;

/// Which engine answers requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// `uring` where io_uring is allowed, else `pool`.
    #[default]
    Auto,
    /// One worker per CPU, each with its own io_uring.
    Uring,
    /// Blocking readers of `/dev/fuse`.
    Pool,
}

/// How requests reach the uring engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// `fuse-uring` where the kernel offers it, else `dev-fuse`.
    #[default]
    Auto,
    /// FUSE-over-io_uring.
    FuseUring,
    /// Reads and writes of `/dev/fuse`.
    DevFuse,
}

/// How backing calls run in the uring engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IoMode {
    /// Inline while a call cannot block, on the ring when it would.
    #[default]
    Auto,
    /// Everything that has an opcode goes through the ring.
    Ring,
    /// Plain system calls on the worker: for measurements, a slow disk stalls a whole CPU's callers.
    Inline,
}

/// What the kernel may keep of file data and names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CachePolicy {
    /// Nothing: every read and write reaches the host.
    Never,
    /// Names, attributes and listings; no file data.
    Metadata,
    /// File data until the host's file is seen to have changed at an open.
    #[default]
    Auto,
    /// Everything, for as long as memory lasts: the directory belongs to this mount alone.
    Always,
}

impl FromStr for CachePolicy {
    type Err = &'static str;

    /// The names that libfuse-fs takes, `none` among them.
    fn from_str(text: &str) -> Result<CachePolicy, &'static str> {
        match text {
            "never" | "Never" | "NEVER" | "none" | "None" | "NONE" => Ok(CachePolicy::Never),
            "metadata" => Ok(CachePolicy::Metadata),
            "auto" | "Auto" | "AUTO" => Ok(CachePolicy::Auto),
            "always" | "Always" | "ALWAYS" => Ok(CachePolicy::Always),
            _ => Err("must be never (or none), metadata, auto or always"),
        }
    }
}

/// How a node without a descriptor is reached again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InodeHandles {
    /// By file handle where that works, else by name.
    #[default]
    Auto,
    /// By name, even where handles work.
    Never,
    /// By file handle; a source without them is refused.
    Always,
}

/// How an overlay above the mount marks a name as removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhiteoutFormat {
    /// A character device 0/0, as Linux' overlayfs does.
    #[default]
    CharDev,
    /// A file `.wh.NAME`, as OCI layers have it.
    OciWhiteout,
}

/// Every choice that a mount is made with. The fields of libfuse-fs 0.3.0's `Config` have its names and defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// See [`Engine`].
    pub engine: Engine,
    /// See [`Transport`].
    pub transport: Transport,
    /// See [`IoMode`].
    pub io: IoMode,
    /// Requests that one worker keeps in flight; `None` lets the engine choose from the memory cap.
    pub queue_depth: Option<u32>,
    /// Bytes in the largest WRITE and READ, a multiple of 4096 up to 1 MiB.
    pub max_write: u32,
    /// Asynchronous requests (readahead, direct I/O) that the kernel keeps outstanding.
    pub max_background: u16,
    /// Outstanding asynchronous requests at which the kernel calls the mount congested.
    pub congestion_threshold: u16,
    /// Bytes that the kernel may read ahead.
    pub max_readahead: u32,
    /// Bytes of payload buffers, over all workers.
    pub memory_cap: u64,
    /// File descriptors for open files and anchors together.
    pub fd_budget: usize,
    /// How a node without a descriptor is reached again.
    pub inode_handles: InodeHandles,
    /// Refuse every change, whatever the mount's flags say.
    pub readonly: bool,

    /// How long the kernel may keep attributes.
    pub attr_timeout: Duration,
    /// How long the kernel may keep a name.
    pub entry_timeout: Duration,
    /// Pass locks of fcntl(2) on to the host; else the kernel keeps them, for this mount alone.
    pub posix_lock: bool,
    /// The same for flock(2).
    pub flock: bool,
    /// Label what is made as the client's security module asks.
    pub security_label: bool,
    /// [`Config::attr_timeout`] of directories, if they have one of their own.
    pub dir_attr_timeout: Option<Duration>,
    /// [`Config::entry_timeout`] of directories, if they have one of their own.
    pub dir_entry_timeout: Option<Duration>,
    /// How long the kernel may remember that a name is not there.
    pub negative_timeout: Duration,
    /// See [`CachePolicy`].
    pub cache_policy: CachePolicy,
    /// Under [`CachePolicy::Auto`], let the kernel keep listings until a directory is seen to have changed.
    pub cache_readdir: bool,
    /// Let the kernel collect writes, and own size and times of files meanwhile.
    pub writeback: bool,
    /// The directory to serve.
    pub root_dir: PathBuf,
    /// Extended attributes, POSIX ACLs among them.
    pub xattr: bool,
    /// How their names are stored.
    pub xattrmap: Option<XattrMap>,
    /// Have the root ready before INIT. It always is.
    pub do_import: bool,
    /// Spare OPEN and RELEASE: files are opened when they are first used. Needs [`CachePolicy::Always`].
    pub no_open: bool,
    /// Spare OPENDIR and RELEASEDIR.
    pub no_opendir: bool,
    /// Take privileges (SUID, SGID, capabilities) away with each write, without being asked by the kernel.
    pub killpriv_v2: bool,
    /// List every directory as empty.
    pub no_readdir: bool,
    /// Refuse to change the size of a file.
    pub seal_size: bool,
    /// Make the mount id part of a node's identity, so that two bind mounts of one file differ.
    pub enable_mntid: bool,
    /// Who owns what is shown, and as whom callers act.
    pub mapping: Identity,
    /// Files of at least this size by DAX: refused, as only virtiofs has it.
    pub dax_file_size: Option<u64>,
    /// Show the host's inode numbers on filesystems below the root's too, though they may collide.
    pub use_host_ino: bool,
    /// Pass O_DIRECT on to the backing file.
    pub allow_direct_io: bool,
    /// Read through memory maps: no engine of Linux does, as a map dies of SIGBUS when its file is cut.
    pub use_mmap: bool,
    /// Bytes of memory maps.
    pub max_mmap_size: u64,
    /// For an overlay above the mount; the mount itself makes none.
    pub whiteout_format: WhiteoutFormat,
    /// Reach nodes by descriptors opened on demand. Of effect on macOS only: elsewhere they always are.
    pub macos_lazy_inode_fd: bool,
    /// Most descriptors kept for that; `None` for half of RLIMIT_NOFILE. Of effect on macOS only.
    pub macos_lazy_fd_lru_max: Option<NonZeroUsize>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            engine: Engine::Auto,
            transport: Transport::Auto,
            io: IoMode::Auto,
            queue_depth: None,
            max_write: 1 << 20,
            max_background: 64,
            congestion_threshold: 48,
            max_readahead: 1 << 20,
            memory_cap: 256 << 20,
            fd_budget: 768,
            inode_handles: InodeHandles::Auto,
            readonly: false,
            attr_timeout: Duration::from_secs(5),
            entry_timeout: Duration::from_secs(5),
            posix_lock: true,
            flock: true,
            security_label: false,
            dir_attr_timeout: None,
            dir_entry_timeout: None,
            negative_timeout: Duration::ZERO,
            cache_policy: CachePolicy::Auto,
            cache_readdir: false,
            writeback: false,
            root_dir: PathBuf::from("/"),
            xattr: false,
            xattrmap: None,
            do_import: true,
            no_open: false,
            no_opendir: false,
            killpriv_v2: false,
            no_readdir: false,
            seal_size: false,
            enable_mntid: false,
            mapping: Identity::default(),
            dax_file_size: None,
            use_host_ino: false,
            allow_direct_io: true,
            use_mmap: false,
            max_mmap_size: 1 << 30,
            whiteout_format: WhiteoutFormat::CharDev,
            macos_lazy_inode_fd: true,
            macos_lazy_fd_lru_max: None,
        }
    }
}

impl Config {
    /// How long the kernel may keep the attributes of a file of this kind (`S_IFMT`).
    pub fn attr_timeout_of(&self, kind: u32) -> Duration {
        self.dir_attr_timeout.filter(|_| kind == KIND_DIRECTORY).unwrap_or(self.attr_timeout)
    }

    /// How long the kernel may keep the name of a file of this kind.
    pub fn entry_timeout_of(&self, kind: u32) -> Duration {
        self.dir_entry_timeout.filter(|_| kind == KIND_DIRECTORY).unwrap_or(self.entry_timeout)
    }

    /// Whether the kernel drops a file's pages at each change of its times, also by writes of this mount: so it must where it
    /// is told to keep no attributes, that is, to show the host's changes at once.
    pub fn inval_by_times(&self) -> bool {
        self.attr_timeout.is_zero()
    }

    /// Whether the kernel may check access by POSIX ACLs: it must see those that the host goes by.
    pub fn posix_acl(&self) -> bool {
        let kept = |map: &XattrMap| map.keeps(c"system.posix_acl_access") && map.keeps(c"system.posix_acl_default");
        self.xattr && self.xattrmap.as_ref().is_none_or(kept)
    }

    /// The choices that can hold together, and a line for each that had to give way. `Err` for what cannot be had.
    pub fn settle(mut self) -> Result<(Config, Vec<String>), String> {
        use CachePolicy::{Always, Metadata, Never};
        if self.dax_file_size.is_some() {
            return Err("dax_file_size cannot be had: DAX exists on virtiofs only".to_owned());
        }
        let mut given_up = Vec::new();
        let mut give_up = |choice: &mut bool, conflict: bool, line: &str| {
            if *choice && conflict {
                *choice = false;
                given_up.push(line.to_owned());
            }
        };
        let policy = self.cache_policy;
        let renamed = |map: &XattrMap| map.renames(c"security.capability");
        let renamed = self.xattrmap.as_ref().is_some_and(renamed);
        let mapped = &mut self.xattrmap.is_some();
        give_up(
            &mut self.no_open,
            policy != Always,
            "--no-open needs --cache=always, as the kernel keeps the pages of files that it opens by itself: files are opened \
             as usual",
        );
        let locks = &mut (self.posix_lock || self.flock);
        give_up(
            locks,
            self.no_open,
            "--no-open spares what would tell when locks end: the kernel keeps them itself, for this mount alone",
        );
        (self.posix_lock, self.flock) = (*locks && self.posix_lock, *locks && self.flock);
        give_up(
            &mut self.no_opendir,
            policy == Never,
            "--no-opendir lets the kernel keep listings, which --cache=never forbids: directories are opened as usual",
        );
        give_up(
            &mut self.cache_readdir,
            policy == Never,
            "--cache-readdir and --cache=never exclude each other: listings are not kept",
        );
        give_up(
            &mut self.writeback,
            matches!(policy, Never | Metadata),
            "--writeback needs file data in the kernel's cache (--cache=auto or always): writes go through at once",
        );
        give_up(
            &mut self.writeback,
            self.seal_size,
            "--writeback would let files grow before --seal-size can refuse it: writes go through at once",
        );
        give_up(
            &mut self.killpriv_v2,
            renamed,
            "--xattrmap renames security.capability, which the host then does not remove: the kernel removes \
             privileges itself, as with --killpriv-v2=false",
        );
        give_up(mapped, !self.xattr, "--xattrmap has nothing to map: extended attributes are off");
        give_up(&mut self.use_mmap, true, "use_mmap is not for Linux: files are read by read(2)");
        if !*mapped {
            self.xattrmap = None;
        }
        Ok((self, given_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of the choices, and how many lines say that one gave way.
    fn settled(config: Config) -> (Config, usize) {
        let (config, lines) = config.settle().expect("nothing that cannot be had");
        assert!(lines.iter().all(|line| !line.contains('\n') && !line.contains("  ")), "{lines:?}");
        (config, lines.len())
    }

    fn all(cache_policy: CachePolicy) -> Config {
        let (no_open, no_opendir, cache_readdir, writeback) = (true, true, true, true);
        Config { cache_policy, no_open, no_opendir, cache_readdir, writeback, ..Config::default() }
    }

    #[test]
    fn the_cache_policy_decides_over_what_needs_a_cache() {
        use CachePolicy::{Always, Auto, Metadata, Never};
        for (policy, left, lines) in [
            (Never, (false, false, false, false), 4),
            (Metadata, (false, true, true, false), 2),
            (Auto, (false, true, true, true), 1),
            (Always, (true, true, true, true), 1),
        ] {
            let (config, said) = settled(all(policy));
            assert_eq!((config.no_open, config.no_opendir, config.cache_readdir, config.writeback), left, "{policy:?}");
            assert_eq!(said, lines, "{policy:?}");
        }
        let (config, said) = settled(Config::default());
        assert_eq!((config.no_open, config.writeback, said), (false, false, 0));
    }

    #[test]
    fn sizes_are_not_sealed_behind_a_write_back_cache() {
        let (config, said) = settled(Config { seal_size: true, ..all(CachePolicy::Always) });
        assert_eq!((config.seal_size, config.writeback, config.no_open, said), (true, false, true, 2));
    }

    #[test]
    fn mapped_names_decide_over_acls_and_privileges() {
        let with = |rules: &str| Config {
            xattr: true,
            killpriv_v2: true,
            xattrmap: Some(rules.parse().expect("valid rules")),
            ..Config::default()
        };
        let (config, said) = settled(with(":map::user.x.:"));
        assert_eq!((config.killpriv_v2, config.posix_acl(), said), (false, false, 1));
        let (config, said) = settled(with(":bad:all:security.:security.::ok:all:::"));
        assert_eq!((config.killpriv_v2, config.posix_acl(), said), (true, true, 0));
        let (config, said) = settled(Config { xattr: false, ..with(":ok:all:::") });
        assert_eq!((config.xattrmap, said), (None, 1));
    }

    #[test]
    fn what_cannot_be_had_is_refused_or_said() {
        let line = Config { dax_file_size: Some(0), ..Config::default() }.settle().expect_err("no DAX");
        assert!(line.contains("virtiofs"), "{line}");
        let (config, said) = settled(Config { use_mmap: true, ..Config::default() });
        assert_eq!((config.use_mmap, said), (false, 1));
    }

    /// The fields of libfuse-fs 0.3.0's `Config`, each with its default there.
    #[test]
    fn names_and_defaults_are_those_of_libfuse_fs() {
        let Config {
            attr_timeout,
            entry_timeout,
            dir_attr_timeout: None,
            dir_entry_timeout: None,
            cache_policy: CachePolicy::Auto,
            writeback: false,
            root_dir,
            xattr: false,
            do_import: true,
            no_open: false,
            no_opendir: false,
            killpriv_v2: false,
            no_readdir: false,
            seal_size: false,
            enable_mntid: false,
            dax_file_size: None,
            use_host_ino: false,
            allow_direct_io: true,
            use_mmap: false,
            max_mmap_size: 0x4000_0000,
            mapping,
            whiteout_format: WhiteoutFormat::CharDev,
            macos_lazy_inode_fd: true,
            macos_lazy_fd_lru_max: None,
            ..
        } = Config::default()
        else {
            panic!("{:?}", Config::default());
        };
        assert_eq!((attr_timeout.as_secs(), entry_timeout.as_secs(), root_dir), (5, 5, PathBuf::from("/")));
        assert!(mapping.shows_all_as_is());
        assert_eq!(
            ["none", "NONE", "never", "Auto", "metadata", "ALWAYS"].map(|text| text.parse::<CachePolicy>().is_ok()),
            [true; 6]
        );
        assert!("sometimes".parse::<CachePolicy>().is_err());
    }

    #[test]
    fn directories_may_have_timeouts_of_their_own() {
        const REGULAR: u32 = crate::core::attr::KIND_REGULAR;
        let second = Duration::from_secs(1);
        let config =
            Config { dir_attr_timeout: Some(second), dir_entry_timeout: Some(2 * second), ..Config::default() };
        assert_eq!((config.attr_timeout_of(KIND_DIRECTORY), config.attr_timeout_of(REGULAR)), (second, 5 * second));
        assert_eq!(
            (config.entry_timeout_of(KIND_DIRECTORY), config.entry_timeout_of(REGULAR)),
            (2 * second, 5 * second)
        );
        let config = Config { attr_timeout: second, entry_timeout: second, ..Config::default() };
        assert_eq!((config.attr_timeout_of(KIND_DIRECTORY), config.entry_timeout_of(KIND_DIRECTORY)), (second, second));
    }
}
