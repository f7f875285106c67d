//! The flags of others.

use super::Meaning::{Becomes, Idle, Ignored, Is, Mountpoint, Options, Refused, Source};
use super::{Meaning, maps};

/// Why nothing of vhost-user is taken.
pub const NO_VHOST: &str = "ptfs mounts on this host and speaks no vhost-user; virtiofsd serves virtual machines";

const THREADS: &str = "there is a worker per CPU, or as many threads as requests need (--engine)";
const SQUASH: &str = "ids are mapped by --uid-mapping, --gid-mapping and --squash-to";
const PERMISSIONS: &str = "the mount shows the modes that the host has";
const CREATION: &str = "what root serves is made as its caller; --squash-to gives it to one user";
const MIGRATION: &str = "it is for virtual machines that migrate";
const NAMESPACE: &str = "no user namespace is made; --uid-mapping and --gid-mapping map ids";

/// See [`super::Table`].
pub const TABLE: [(&[&str], Meaning); 66] = [
    // libfuse, and what all of them share.
    (&["o=", "options="], Options),
    (&["f"], Is(&["--foreground"])),
    (&["d", "debug", "debug-fuse"], Is(&["--foreground", "--log=debug"])),
    (&["s", "single"], Idle("as many workers serve as without it")),
    // passthrough_hp.
    (&["bg-debug-fuse"], Is(&["--log=debug"])),
    (&["nocache"], Is(&["--cache=never"])),
    (&["direct-io"], Is(&["--cache=metadata"])),
    (&["nosplice"], Ignored),
    (&["nopassthrough"], Ignored),
    (&["num-threads="], Idle(THREADS)),
    (&["clone-fd"], Ignored),
    (&["selinux"], Is(&["--security-label"])),
    // libfuse-fs.
    (&["rootdir="], Source),
    (&["mountpoint="], Mountpoint),
    (&["privileged"], Ignored),
    (&["macos-eager"], Idle("it is for macOS")),
    // bindfs.
    (&["r", "ro"], Is(&["-oro"])),
    (&["n"], Is(&["--no-allow-other"])),
    (&["u=", "force-user=", "user=", "owner="], Refused(SQUASH)),
    (&["g=", "force-group=", "group="], Refused(SQUASH)),
    (&["p=", "perms="], Refused(PERMISSIONS)),
    (&["m=", "mirror="], Refused(SQUASH)),
    (&["M=", "mirror-only="], Refused(SQUASH)),
    (&["map="], Becomes(maps::bindfs_map)),
    (&["map-passwd=", "map-group=", "map-passwd-rev=", "map-group-rev="], Refused(SQUASH)),
    (&["uid-offset="], Refused("use --uid-mapping=0:OFFSET:COUNT")),
    (&["gid-offset="], Refused("use --gid-mapping=0:OFFSET:COUNT")),
    (&["create-as-user"], Ignored),
    (&["create-as-mounter"], Refused(CREATION)),
    (&["create-for-user=", "create-for-group="], Refused(CREATION)),
    (&["create-with-perms="], Refused(PERMISSIONS)),
    (&["chown-normal", "chgrp-normal", "chmod-normal"], Ignored),
    (&["chown-ignore", "chown-deny", "chgrp-ignore", "chgrp-deny"], Refused("chown answers as the host does")),
    (&["chmod-ignore", "chmod-deny", "chmod-allow-x"], Refused("chmod answers as the host does")),
    (&["chmod-filter="], Refused("chmod answers as the host does")),
    (&["xattr-none"], Is(&["--no-xattr"])),
    (&["xattr-ro"], Refused("use -o ro, --no-xattr or --xattrmap")),
    (&["xattr-rw"], Ignored),
    (&["delete-deny", "rename-deny"], Refused("use -o ro")),
    (&["read-rate=", "write-rate="], Refused("rates are limited by cgroups (io.max)")),
    (&["hide-hard-links", "resolve-symlinks"], Refused("links are shown as the host has them")),
    (&["resolved-symlink-deletion="], Refused("links are shown as the host has them")),
    (&["realistic-permissions", "ctime-from-mtime", "block-devices-as-files"], Refused(PERMISSIONS)),
    (&["enable-lock-forwarding"], Is(&["--flock=true", "--posix-lock=true"])),
    (&["disable-lock-forwarding"], Is(&["--flock=false", "--posix-lock=false"])),
    (&["enable-ioctl"], Refused("ioctl is answered with ENOTTY")),
    (&["multithreaded"], Ignored),
    (&["fuse-version"], Refused("no libfuse is used; --version tells that of ptfs")),
    // virtiofsd.
    (&["shared-dir="], Source),
    (&["tag="], Idle("it is for virtual machines; -o fsname=NAME names the mount")),
    (&["socket-path=", "socket=", "socket-group=", "fd="], Refused(NO_VHOST)),
    (&["thread-pool-size="], Idle(THREADS)),
    (&["posix-acl", "preserve-noatime", "allow-mmap"], Ignored),
    (&["announce-submounts"], Idle("SUBMOUNTS is for virtiofs; file systems below show by their inode numbers")),
    (&["no-announce-submounts"], Ignored),
    (&["no-readdirplus"], Idle("the kernel asks for attributes with names only where it uses them")),
    (&["inode-file-handles="], Becomes(maps::file_handles)),
    (&["no-killpriv-v2"], Is(&["--killpriv-v2=false"])),
    (&["sandbox=", "seccomp="], Becomes(maps::no_sandbox)),
    (&["translate-uid="], Becomes(maps::translate_uid)),
    (&["translate-gid="], Becomes(maps::translate_gid)),
    (&["uid-map=", "gid-map="], Refused(NAMESPACE)),
    (&["log-level="], Becomes(maps::log_level)),
    (&["syslog"], Refused("use --log-file, or a service manager that keeps standard error")),
    (&["rlimit-nofile="], Idle("the limit is raised as far as it goes; `ulimit -Hn` says how far that is")),
    (
        &[
            "migration-mode=",
            "migration-on-error=",
            "migration-verify-handles",
            "migration-confirm-paths",
            "modcaps=",
            "print-capabilities",
        ],
        Refused(MIGRATION),
    ),
];
