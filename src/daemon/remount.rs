//! `-o remount`: new flags for a mount that is there, which mount(8) leaves to the helper of the mount's type.
//!
//! mount(8) merges what its user typed with what the mount has and passes the whole: `mount -o remount,ro /mnt` comes
//! as `mount.fuse.ptfs /src /mnt -o ro,nosuid,nodev,relatime,remount,user_id=0,group_id=0,default_permissions`. So a
//! flag that is not named is off; only the kind of access times stays as it is if none is named (the kernel's rule).

use std::path::Path;

use libc::c_ulong;

use super::options::{FLAGS, split};
use crate::sys::mount as sys;

/// What mountinfo, fstab and utab may hold beside flags. None of it can change on a mount that is there, and the
/// kernel, too, ignores the options of a FUSE filesystem in a remount.
const WITHOUT_EFFECT: [&str; 34] = [
    "_netdev",
    "allow_other",
    "allow_root",
    "auto",
    "auto_unmount",
    "blksize=",
    "comment=",
    "context=",
    "default_permissions",
    "defaults",
    "defcontext=",
    "fd=",
    "fscontext=",
    "fsname=",
    "group",
    "group_id=",
    "mand",
    "max_read=",
    "noauto",
    "nofail",
    "nogroup",
    "nomand",
    "noowner",
    "nouser",
    "nousers",
    "owner",
    "remount",
    "rootcontext=",
    "rootmode=",
    "seclabel",
    "subtype=",
    "user",
    "user_id=",
    "users",
];

/// Who calls, and so what an option list means that names neither `dev` nor `nodev`, neither `suid` nor `nosuid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// A person, or mount.fuse, which says both explicitly: ptfs's own default holds, `nodev,nosuid`.
    Direct,
    /// mount(8), for which a flag is off that is not named.
    MountHelper {
        /// Overlook unknown options (`mount -s`).
        sloppy: bool,
    },
}

/// Whether the options ask for a remount.
pub fn is_asked_for(lists: &[String]) -> bool {
    lists.iter().any(|list| split(list).iter().any(|option| option == "remount"))
}

/// The flags of mount(2) that `-o` lists ask for; later options win.
pub fn flags(lists: &[String], caller: Caller) -> Result<c_ulong, String> {
    let mut flags = match caller {
        Caller::Direct => libc::MS_NODEV | libc::MS_NOSUID,
        Caller::MountHelper { .. } => 0,
    };
    for option in lists.iter().flat_map(|list| split(list)).filter(|option| !option.is_empty()) {
        match FLAGS.iter().find(|(name, ..)| *name == option) {
            Some((_, true, flag)) => flags |= flag,
            Some((_, false, flag)) => flags &= !flag,
            None if has_no_effect(&option) || caller == (Caller::MountHelper { sloppy: true }) => {}
            None => return Err(format!("'{option}' is no option of a remount")),
        }
    }
    Ok(flags)
}

fn has_no_effect(option: &str) -> bool {
    let known = |name: &&str| option == *name || name.ends_with('=') && option.starts_with(*name);
    option.starts_with("x-") || option.starts_with("X-") || WITHOUT_EFFECT.iter().any(known)
}

/// Gives the mount at `point` these flags.
pub fn remount(point: &Path, flags: c_ulong) -> Result<(), String> {
    let shown = point.display();
    match sys::is_fuse(point) {
        Ok(true) => {}
        Ok(false) => return Err(format!("{shown} is no mount of ptfs")),
        Err(error) => return Err(format!("{shown}: {error}")),
    }
    sys::remount(point, flags).map_err(|error| {
        let hint = match error.raw_os_error() {
            Some(libc::EINVAL) => "; is it the mount point itself, and not a directory below it?",
            Some(libc::EBUSY) => "; files are open for writing there",
            Some(libc::EPERM) => "; only root may",
            _ => "",
        };
        format!("cannot remount {shown}: {error}{hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELPER: Caller = Caller::MountHelper { sloppy: false };

    fn parse(list: &str, caller: Caller) -> Result<c_ulong, String> {
        flags(&[list.to_owned()], caller)
    }

    #[test]
    fn what_mount_8_passes_is_taken_as_the_whole() {
        // Recorded from util-linux 2.38.1.
        let list = "ro,nosuid,nodev,relatime,remount,user_id=0,group_id=0,default_permissions";
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_RELATIME;
        assert_eq!(parse(list, HELPER), Ok(flags));
        let list = "ro,noatime,remount,user_id=0,group_id=0,default_permissions,allow_other,max_read=131072";
        assert_eq!(parse(list, HELPER), Ok(libc::MS_RDONLY | libc::MS_NOATIME));
        let list = "rw,nosuid,remount,user_id=0,group_id=0,_netdev,user,exec,dev,nofail,x-systemd.automount";
        assert_eq!(parse(list, HELPER), Ok(libc::MS_NOSUID));
        // From mount.fuse of fuse3, which calls `ptfs`.
        let list = "ro,relatime,remount,user_id=0,group_id=0,default_permissions,dev,suid";
        assert_eq!(parse(list, Caller::Direct), Ok(libc::MS_RDONLY | libc::MS_RELATIME));
    }

    #[test]
    fn typed_by_hand_it_keeps_the_defaults_of_ptfs() {
        assert_eq!(parse("remount,ro", Caller::Direct), Ok(libc::MS_RDONLY | libc::MS_NODEV | libc::MS_NOSUID));
        assert_eq!(parse("remount,rw,dev,suid", Caller::Direct), Ok(0));
    }

    #[test]
    fn a_remount_is_asked_for_by_a_whole_option() {
        let asked = |list: &str| is_asked_for(&["allow_other".to_owned(), list.to_owned()]);
        assert!(asked("ro,remount") && asked("remount"));
        assert!(!asked("fsname=remount") && !asked(r"fsname=a\,remount") && !asked("remounted"));
    }

    #[test]
    fn unknown_options_are_named_unless_sloppy() {
        assert!(parse("remount,r0", HELPER).expect_err("no such option").contains("'r0'"));
        assert!(parse("remount,fd", HELPER).is_err() && parse("remount,ro=1", HELPER).is_err());
        assert_eq!(parse("remount,r0,ro", Caller::MountHelper { sloppy: true }), Ok(libc::MS_RDONLY));
    }
}
