//! What the operator asked for, as plain data. The command line fills it; nothing here looks at the host.

use std::str::FromStr;
use std::time::Duration;

use super::idmap::Identity;

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
    /// Pass O_DIRECT on to the backing file.
    pub allow_direct_io: bool,
    /// How long the kernel may keep attributes.
    pub attr_timeout: Duration,
    /// How long the kernel may keep a name.
    pub entry_timeout: Duration,
    /// Make the mount id part of a node's identity, so that two bind mounts of one file differ.
    pub enable_mntid: bool,
    /// Who owns what is shown, and as whom callers act.
    pub identity: Identity,
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
            allow_direct_io: true,
            attr_timeout: Duration::from_secs(5),
            entry_timeout: Duration::from_secs(5),
            enable_mntid: false,
            identity: Identity::default(),
        }
    }
}
