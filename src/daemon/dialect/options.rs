//! The mount options (`-o`) of others. Those that are mount options of ptfs are in `super::super::options`.

use super::Meaning::{Becomes, Gives, Idle, Ignored, Is, Refused, Source, Undoes};
use super::{Meaning, maps};

const THREADS: &str = "there is a worker per CPU, or as many threads as requests need (--engine)";
const OWNERS: &str = "use uidmapping= and gidmapping=, or --squash-to";
const PERMISSIONS: &str = "the mount shows the modes that the host has";
const CONTEXT: &str = "security contexts cannot be given to the mount";
const BINDFS: &str = "chown, chmod and links answer as the host does";

/// See [`super::Table`].
pub const TABLE: [(&[&str], Meaning); 66] = [
    // libfuse-fs.
    (&["uidmapping="], Gives(&["--uid-mapping"])),
    (&["gidmapping="], Gives(&["--gid-mapping"])),
    // passthrough_ll, passthrough_hp, and virtiofsd while it was written in C.
    (&["source="], Source),
    (&["cache="], Gives(&["--cache"])),
    (&["timeout="], Gives(&["--attr-timeout", "--entry-timeout"])),
    (&["attr_timeout="], Gives(&["--attr-timeout"])),
    (&["entry_timeout="], Gives(&["--entry-timeout"])),
    (&["negative_timeout="], Gives(&["--negative-timeout"])),
    (&["writeback", "writeback_cache"], Is(&["--writeback"])),
    (&["no_writeback", "no_writeback_cache"], Undoes(&["--writeback"])),
    (&["xattr"], Is(&["--xattr"])),
    (&["no_xattr"], Is(&["--no-xattr"])),
    (&["xattrmap="], Gives(&["--xattrmap"])),
    (&["flock"], Is(&["--flock=true"])),
    (&["posix_lock"], Is(&["--posix-lock=true"])),
    (&["no_flock", "no_remote_flock"], Is(&["--flock=false"])),
    (&["no_posix_lock", "no_remote_posix_lock"], Is(&["--posix-lock=false"])),
    (&["no_remote_lock"], Is(&["--flock=false", "--posix-lock=false"])),
    (&["readdirplus", "readdirplus=", "posix_acl", "acl", "allow_direct_io"], Ignored),
    (&["no_readdirplus"], Idle("the kernel asks for attributes with names only where it uses them")),
    (&["announce_submounts"], Idle("SUBMOUNTS is for virtiofs; file systems below show by their inode numbers")),
    (&["log_level="], Becomes(maps::log_level)),
    (&["sandbox="], Becomes(maps::no_sandbox)),
    (&["modcaps="], Refused("the daemon keeps the capabilities that it is started with")),
    // libfuse.
    (&["debug"], Is(&["--foreground", "--log=debug"])),
    (&["direct_io"], Is(&["--cache=metadata"])),
    (&["kernel_cache"], Idle("pages are kept while size and times stay; --cache=always keeps them in any case")),
    (&["auto_cache"], Is(&["--cache=auto"])),
    (&["noauto_cache"], Ignored),
    (&["max_write="], Gives(&["--max-write"])),
    (&["max_readahead="], Gives(&["--readahead"])),
    (&["max_background="], Gives(&["--max-background"])),
    (&["congestion_threshold="], Gives(&["--congestion-threshold"])),
    (&["io_uring_q_depth="], Gives(&["--queue-depth"])),
    (&["io_uring"], Ignored),
    (&["max_threads=", "max_idle_threads="], Idle(THREADS)),
    (&["use_ino", "readdir_ino", "hard_remove", "nonempty", "big_writes", "large_read", "atomic_o_trunc"], Ignored),
    (&["async_read", "no_async_dio", "async_dio", "clone_fd", "noforget", "intr", "intr_signal="], Ignored),
    (&["splice_write", "splice_move", "splice_read", "no_splice_write", "no_splice_move", "no_splice_read"], Ignored),
    (&["sync_read"], Idle("reads of one file may overtake each other")),
    (&["remember=", "ac_attr_timeout="], Idle("a file is known as long as the kernel knows it")),
    (&["allow_root"], Refused("libfuse checks that itself, not the kernel; use allow_other, and the modes of SOURCE")),
    (&["uid=", "gid=", "umask="], Refused(OWNERS)),
    (&["modules=", "subdir=", "rellinks", "norellinks", "from_code=", "to_code="], Refused("ptfs has no modules")),
    (&["setuid="], Refused("start ptfs as that user, or use --squash-to")),
    (
        &["drop_privileges", "fd=", "rootmode=", "user_id=", "group_id=", "blkdev", "blksize="],
        Refused("ptfs mounts by itself"),
    ),
    // mount(8) and fstab(5).
    (&["defaults", "auto", "noauto", "nofail", "_netdev", "comment=", "helper=", "uhelper="], Ignored),
    (&["user", "user=", "nouser", "users", "nousers", "owner", "noowner", "group", "nogroup"], Ignored),
    (&["mand", "nomand", "seclabel"], Ignored),
    (&["context=", "fscontext=", "defcontext=", "rootcontext="], Refused(CONTEXT)),
    // bindfs.
    (&["no-allow-other", "no_allow_other"], Is(&["--no-allow-other"])),
    (&["map="], Becomes(maps::bindfs_map)),
    (&["force-user=", "force-group=", "owner=", "mirror=", "mirror-only="], Refused(OWNERS)),
    (&["uid-offset=", "gid-offset="], Refused("use uidmapping=0:OFFSET:COUNT and gidmapping=0:OFFSET:COUNT")),
    (&["perms=", "create-with-perms=", "realistic-permissions", "ctime-from-mtime"], Refused(PERMISSIONS)),
    (&["create-as-user", "chown-normal", "chgrp-normal", "chmod-normal", "xattr-rw", "multithreaded"], Ignored),
    (&["create-as-mounter", "create-for-user=", "create-for-group="], Refused("use --squash-to")),
    (&["chown-ignore", "chown-deny", "chgrp-ignore", "chgrp-deny"], Refused(BINDFS)),
    (&["chmod-ignore", "chmod-deny", "chmod-allow-x", "chmod-filter="], Refused(BINDFS)),
    (&["hide-hard-links", "resolve-symlinks", "resolved-symlink-deletion="], Refused(BINDFS)),
    (&["xattr-none"], Is(&["--no-xattr"])),
    (&["xattr-ro"], Refused("use ro, no_xattr or xattrmap=")),
    (&["delete-deny", "rename-deny"], Refused("use ro")),
    (&["read-rate=", "write-rate="], Refused("rates are limited by cgroups (io.max)")),
    (&["enable-lock-forwarding"], Is(&["--flock=true", "--posix-lock=true"])),
    (&["disable-lock-forwarding"], Is(&["--flock=false", "--posix-lock=false"])),
];
