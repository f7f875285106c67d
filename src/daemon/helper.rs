//! ptfs as a helper of mount(8), which looks for `/sbin/mount.TYPE`: links to ptfs by these names.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::parent_id;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser};

use super::cli::{self, Codes, Invocation, Remount, Serve, usage_error};
use super::dialect::Manner;
use super::remount::{self, Caller};
use crate::sys::process;

/// The names for `mount -t fuse.ptfs` and `mount -t ptfs`.
pub const NAMES: [&str; 2] = ["mount.fuse.ptfs", "mount.ptfs"];

/// How mount(8) calls its helpers.
#[derive(Parser, Debug)]
#[command(name = "mount.fuse.ptfs", version)]
struct Helper {
    /// Directory to serve
    source: PathBuf,

    /// Where it is served
    mountpoint: PathBuf,

    /// Mount options
    #[arg(short = 'o', value_name = "OPT[,OPT...]")]
    options: Vec<String>,

    /// Overlook unknown options
    #[arg(short = 's')]
    sloppy: bool,

    /// Change nothing
    #[arg(short = 'f')]
    fake: bool,

    /// Accepted: there is no mtab to leave alone
    #[arg(short = 'n')]
    _no_mtab: bool,

    /// Accepted: there is nothing more to say
    #[arg(short = 'v', action = ArgAction::Count)]
    _verbose: u8,

    /// The mount namespace to act in
    #[arg(short = 'N', value_name = "FILE")]
    namespace: Option<PathBuf>,

    /// Accepted: the type follows from the name of this program
    #[arg(short = 't', value_name = "TYPE")]
    _type: Option<String>,
}

/// Reads what mount(8) passes.
pub fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    let name = OsString::from(NAMES[0]);
    let helper = Helper::try_parse_from([&name].into_iter().chain(arguments))?;
    understand(helper, process::user().2)
}

fn understand(helper: Helper, is_root: bool) -> Result<Invocation, clap::Error> {
    let Helper { source, mountpoint, options, sloppy, fake, namespace, .. } = helper;
    if remount::is_asked_for(&options) {
        let flags = remount::flags(&options, Caller::MountHelper { sloppy });
        let flags = flags.map_err(|line| usage_error(ErrorKind::InvalidValue, line))?;
        return Ok(Invocation::Remount(Remount { mountpoint, flags, namespace, fake, codes: Codes::MOUNT }));
    }
    let mut arguments: Vec<OsString> = Vec::new();
    if is_root {
        // For mount(8) a flag is off that is not named. A plain user may not have these.
        arguments.push("-odev,suid".into());
    }
    arguments.extend(options.iter().map(|list| format!("-o{list}").into()));
    arguments.extend(["--".into(), source.into(), mountpoint.into()]);
    let manner = Manner { background: true, allow_other: false, sloppy };
    match cli::parse(&arguments, manner, Codes::MOUNT)? {
        Invocation::Serve(serve) => Ok(Invocation::Serve(Box::new(Serve { namespace, fake, ..*serve }))),
        other => Ok(other),
    }
}

/// Whether mount(8) waits for this process, by way of `mount.fuse` and a shell: `mount -t fuse ptfs#SOURCE`.
pub fn is_under_mount() -> bool {
    const BETWEEN: [&str; 8] = ["sh", "ash", "bash", "dash", "ksh", "busybox", "mount.fuse", "mount.fuse3"];
    let mut pid = parent_id();
    for _ in 0..3 {
        match fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(name_and_parent) {
            Some(("mount", _)) => return true,
            Some((name, parent)) if BETWEEN.contains(&name) => pid = parent,
            _ => return false,
        }
    }
    false
}

/// The second and the fourth field of a `/proc/PID/stat`.
fn name_and_parent(stat: &str) -> Option<(&str, u32)> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((name, rest.split(' ').nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &str, is_root: bool) -> Result<Invocation, clap::Error> {
        let arguments = ["mount.ptfs", "/src", "/mnt"].into_iter().chain(arguments.split(' '));
        Helper::try_parse_from(arguments).and_then(|helper| understand(helper, is_root))
    }

    fn serve(arguments: &str, is_root: bool) -> Serve {
        match parse(arguments, is_root) {
            Ok(Invocation::Serve(serve)) => *serve,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Helper::command().debug_assert();
    }

    #[test]
    fn a_remount_is_understood() {
        for arguments in
            ["-o ro,remount", "-n -v -s -f -N /proc/9/ns/mnt -o ro,remount -t fuse.ptfs", "-snv -o remount,ro"]
        {
            match parse(arguments, true) {
                Ok(Invocation::Remount(remount)) => assert_eq!(remount.flags, libc::MS_RDONLY, "{arguments}"),
                other => panic!("{arguments}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_mount_goes_to_the_background_with_the_flags_of_mount_8() {
        let wanted = serve("-o rw", true);
        assert!(wanted.daemonize && wanted.options.dev && wanted.options.suid && wanted.codes == Codes::MOUNT);
        // What mount(8) makes of `user`.
        let wanted = serve("-n -o rw,noexec,nosuid,nodev,user=me,x-systemd.automount,_netdev,nofail", false);
        assert!(!wanted.options.dev && !wanted.options.suid && wanted.options.noexec);
        assert!(!serve("-o rw", false).options.dev, "fusermount3 warns a plain user of it");
        let wanted = serve("-f -N /proc/9/ns/mnt -o ro -t fuse.ptfs", true);
        assert!(wanted.fake && wanted.options.read_only && wanted.namespace.is_some());
    }

    #[test]
    fn unknown_options_are_overlooked_when_mount_is_sloppy() {
        assert!(parse("-o rw,bogus", true).is_err());
        assert!(!serve("-s -o rw,bogus", true).options.read_only);
    }

    #[test]
    fn the_parent_is_read_from_proc() {
        assert_eq!(name_and_parent("12 (mount) S 7 12 1"), Some(("mount", 7)));
        assert_eq!(name_and_parent("12 (a (b) c) S 7 12 1"), Some(("a (b) c", 7)));
        assert_eq!(name_and_parent(""), None);
        assert!(!is_under_mount());
    }
}
