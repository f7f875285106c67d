//! `--xattr`, `--no-xattr`, `--xattrmap`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::support::sys::{At, Sys, User, as_user};
use super::support::{Backing, Fs};
use super::*;

fn set(path: &Path, name: &str, value: &str) -> Sys {
    sys::setxattr(At::Path(sys::b(path)), name.as_bytes(), value.as_bytes(), 0)
}

fn get(path: &Path, name: &str) -> Sys<String> {
    let (_, value) = sys::getxattr(At::Path(sys::b(path)), name.as_bytes(), 1000)?;
    Ok(String::from_utf8(value).unwrap())
}

fn list(path: &Path) -> Vec<String> {
    let (length, list) = sys::listxattr(At::Path(sys::b(path)), 4096).unwrap();
    // The size alone must be that of the list.
    assert_eq!(sys::listxattr(At::Path(sys::b(path)), 0).unwrap().0, length);
    let mut names: Vec<String> = list
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

/// A file that `guest` may read by its ACL alone.
fn guarded(dir: &Path) {
    fs::write(dir.join("file"), "text").unwrap();
    fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Command::new("setfacl").args(["-m", "u:1000:r"]).arg(dir.join("file")).status().unwrap().success());
}

fn guest_reads(path: &Path) -> Sys {
    let guest = User { uid: 1000, gid: 1000, groups: &[] };
    as_user(&guest, || sys::open(sys::b(path), libc::O_RDONLY, 0).and_then(sys::close))
}

#[test]
fn attributes_can_be_switched_off() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--no-xattr"], guarded);
        let file = served.at("file");
        set(&served.on_host("file"), "user.x", "host's").unwrap();
        let none = libc::EOPNOTSUPP;
        assert_eq!((set(&file, "user.x", "1"), get(&file, "user.x")), (Err(none), Err(none)), "{}", variant.name);
        assert_eq!(sys::removexattr(At::Path(sys::b(&file)), b"user.x".as_slice()), Err(none));
        assert_eq!(sys::listxattr(At::Path(sys::b(&file)), 100).map(|(length, _)| length), Err(none));
        // Mode bits are all that the kernel goes by.
        assert_eq!(guest_reads(&file), Err(libc::EACCES));
    }
    for arguments in [&["--xattr"][..], &[]] {
        let served = Served::by(&VARIANTS[0], arguments, guarded);
        set(&served.at("file"), "user.x", "1").unwrap();
        assert_eq!(get(&served.on_host("file"), "user.x").as_deref(), Ok("1"));
        guest_reads(&served.at("file")).unwrap();
    }
}

#[test]
fn all_attributes_can_be_stored_under_a_prefix() {
    for variant in &VARIANTS {
        let served = Served::by(variant, &["--xattrmap=:map::user.guest.:"], guarded);
        let (file, host) = (served.at("file"), served.on_host("file"));
        set(&host, "user.own", "host's").unwrap();
        set(&file, "user.x", "1").unwrap();
        set(&file, "trusted.y", "2").unwrap();
        assert_eq!(get(&host, "user.guest.user.x").as_deref(), Ok("1"));
        assert_eq!(get(&host, "user.guest.trusted.y").as_deref(), Ok("2"));
        assert_eq!((get(&file, "user.x"), get(&file, "trusted.y")), (Ok("1".into()), Ok("2".into())));
        assert_eq!(list(&file), ["trusted.y", "user.x"], "{}", variant.name);
        // As on the host, trusted names are root's to see.
        let guest = User { uid: 0xfffe, gid: 0xfffe, groups: &[] };
        assert_eq!(as_user(&guest, || list(&file)), ["user.x"]);
        assert_eq!(get(&file, "user.own"), Err(libc::ENODATA));
        sys::removexattr(At::Path(sys::b(&file)), b"user.x".as_slice()).unwrap();
        assert_eq!(list(&file), ["trusted.y"]);
        assert_eq!(get(&host, "user.guest.user.x"), Err(libc::ENODATA));
        assert_eq!(get(&host, "user.own").as_deref(), Ok("host's"));
        // The host's ACL is not the mount's, whose clients are checked by mode bits; their own ACLs are mere attributes.
        assert_eq!(guest_reads(&file), Err(libc::EACCES));
        assert!(Command::new("setfacl").args(["-m", "u:1000:r"]).arg(&file).status().unwrap().success());
        assert!(list(&host).contains(&"user.guest.system.posix_acl_access".to_owned()));
        assert_eq!(guest_reads(&file), Err(libc::EACCES));
    }
}

#[test]
fn some_attributes_are_moved_and_some_hidden() {
    let rules =
        "--xattrmap=/unsupported/all/user.label/user.label/ /bad/all/user.secret/user.secret/ /map/trusted./user.t./";
    let served = Served::by(&VARIANTS[0], &[rules], guarded);
    let (file, host) = (served.at("file"), served.on_host("file"));
    for name in ["user.label", "user.secret", "trusted.host"] {
        set(&host, name, "host's").unwrap();
    }
    assert_eq!(
        (set(&file, "user.label", "1"), get(&file, "user.label")),
        (Err(libc::EOPNOTSUPP), Err(libc::EOPNOTSUPP))
    );
    assert_eq!((set(&file, "user.secret", "1"), get(&file, "user.secret")), (Err(libc::EPERM), Err(libc::ENODATA)));
    assert_eq!(sys::removexattr(At::Path(sys::b(&file)), b"user.secret".as_slice()), Err(libc::EPERM));
    set(&file, "trusted.x", "1").unwrap();
    set(&file, "user.plain", "2").unwrap();
    assert_eq!(get(&host, "user.t.trusted.x").as_deref(), Ok("1"));
    assert_eq!(set(&file, "user.t.trusted.x", "3"), Err(libc::EPERM), "nobody gets around it");
    assert_eq!(get(&host, "user.plain").as_deref(), Ok("2"));
    assert_eq!(list(&file), ["system.posix_acl_access", "trusted.x", "user.plain"]);
    // ACLs keep their names, and their force.
    guest_reads(&file).unwrap();
}

/// Who may see `trusted.` names is another matter on btrfs than on ext4.
#[test]
fn names_are_listed_to_whom_the_host_lists_them() {
    let guest = User { uid: 1000, gid: 1000, groups: &[] };
    for fs in [Fs::Ext4, Fs::Tmpfs, Fs::Btrfs, Fs::Overlay] {
        let backing = Backing::new(fs, 256, "");
        let host = backing.path().join("file");
        fs::write(&host, "").unwrap();
        set(&host, "trusted.t", "1").unwrap();
        set(&host, "user.u", "2").unwrap();
        for variant in &VARIANTS {
            let mount = Mount::start(variant, backing.path());
            let file = mount.path().join("file");
            for size in [0, 100] {
                let names = |path: &Path| sys::listxattr(At::Path(sys::b(path)), size);
                assert_eq!(names(&file), names(&host), "{fs:?}, {}: root's", variant.name);
                let as_guest = |path| as_user(&guest, || names(path));
                assert_eq!(as_guest(&file), as_guest(&host), "{fs:?}, {}: a guest's", variant.name);
            }
        }
    }
}
