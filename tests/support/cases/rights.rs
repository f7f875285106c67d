//! Who may do what: groups, ACLs, set-id bits, capabilities.

use super::*;

fn sgid_directory(dir: &Dir, user: &User, file_mode: u32) {
    let (files, sub) = (["f", "node", "tmp"].map(|name| dir.path(&format!("d/{name}"))), dir.path("d/sub"));
    ok(sys::mkdir(dir.path("d"), 0o777));
    ok(sys::chown(At::Path(&dir.path("d")), 0, 2000));
    ok(sys::chmod(At::Path(&dir.path("d")), 0o2777));
    as_user(user, || {
        ok(sys::close(ok(sys::open(&files[0], O_CREAT | O_EXCL | O_RDWR, 0o2775))));
        ok(sys::mknod(&files[1], libc::S_IFREG | 0o2775, 0));
        let fd = ok(sys::open(dir.path("d"), O_TMPFILE | O_RDWR, 0o2775));
        ok(sys::link_fd(fd, &files[2]));
        ok(sys::close(fd));
        ok(sys::mkdir(&sub, 0o775));
        ok(sys::mknod(dir.path("d/fifo"), libc::S_IFIFO | 0o2755, 0));
        ok(sys::symlink("f", dir.path("d/link")));
    });
    for path in &files {
        let stat = stat(path);
        let owner = (stat.st_uid, stat.st_gid);
        assert_eq!((owner, mode(path)), ((user.uid, 2000), file_mode), "{}", path.escape_ascii());
    }
    assert_eq!((stat(&sub).st_gid, mode(&sub)), (2000, 0o2775));
    let link = stat(&dir.path("d/link"));
    assert_eq!((link.st_uid, link.st_gid), (user.uid, 2000));
    assert_eq!(stat(&dir.path("d/fifo")).st_gid, 2000);
}

pub fn sgid_directory_for_members(dir: &Dir) {
    sgid_directory(dir, &MEMBER, 0o2775);
}

/// CVE-2022-0358: whoever is not in the group gets no program that runs with it.
pub fn sgid_directory_for_others(dir: &Dir) {
    sgid_directory(dir, &OUTSIDER, 0o775);
}

pub fn sgid_chmod_by_others(dir: &Dir) {
    let path = dir.file("f", b"", 0o755);
    ok(sys::chown(At::Path(&path), 1001, 2000));
    as_user(&OUTSIDER, || ok(sys::chmod(At::Path(&path), 0o2755)));
    assert_eq!(mode(&path), 0o755);
    ok(sys::chown(At::Path(&path), 1000, 2000));
    as_user(&MEMBER, || ok(sys::chmod(At::Path(&path), 0o2755)));
    assert_eq!(mode(&path), 0o2755);
    as_user(&OUTSIDER, || fails(sys::chmod(At::Path(&path), 0o777), libc::EPERM));
}

const ANY: u32 = u32::MAX;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// An ACL as the kernel takes it: version 2, then (tag, permissions, id) each.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry =
        |(tag, perm, id): &(u16, u16, u32)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    [2u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

pub fn default_acl_beats_umask(dir: &Dir) {
    let at = dir.path("d");
    ok(sys::mkdir(&at, 0o777));
    let rules = acl(&[(USER_OBJ, 7, ANY), (USER, 6, 1001), (GROUP_OBJ, 5, ANY), (MASK, 7, ANY), (OTHER, 4, ANY)]);
    ok(sys::setxattr(At::Path(&at), DEFAULT, &rules, 0));
    sys::umask(0o077);
    let (file, sub, node) = (dir.path("d/f"), dir.path("d/sub"), dir.path("d/node"));
    ok(sys::close(ok(sys::open(&file, O_CREAT | O_WRONLY, 0o666))));
    ok(sys::mkdir(&sub, 0o777));
    ok(sys::mknod(&node, libc::S_IFREG | 0o640, 0));
    let plain = dir.path("plain");
    ok(sys::close(ok(sys::open(&plain, O_CREAT | O_WRONLY, 0o666))));
    sys::umask(0);
    assert_eq!((mode(&file), mode(&sub), mode(&node), mode(&plain)), (0o664, 0o774, 0o640, 0o600));
    assert_eq!(ok(sys::getxattr(At::Path(&sub), DEFAULT, 100)).1, rules);
    let given = ok(sys::getxattr(At::Path(&file), ACCESS, 100)).1;
    let wanted = acl(&[(USER_OBJ, 6, ANY), (USER, 6, 1001), (GROUP_OBJ, 5, ANY), (MASK, 6, ANY), (OTHER, 4, ANY)]);
    assert_eq!(given, wanted);
    ok(access_as(&OUTSIDER, &file, O_RDWR));
    fails(access_as(&MEMBER, &file, O_RDWR), libc::EACCES);
    fails(sys::getxattr(At::Path(&file), DEFAULT, 100), libc::ENODATA);
    fails(sys::setxattr(At::Path(&file), DEFAULT, &rules, 0), libc::EACCES);
}

pub fn acl_grants_and_masks(dir: &Dir) {
    let path = dir.file("f", b"secret", 0o600);
    fails(access_as(&OUTSIDER, &path, O_RDONLY), libc::EACCES);
    let rules = acl(&[(USER_OBJ, 6, ANY), (USER, 4, 1001), (GROUP_OBJ, 0, ANY), (MASK, 4, ANY), (OTHER, 0, ANY)]);
    ok(sys::setxattr(At::Path(&path), ACCESS, &rules, 0));
    assert_eq!(mode(&path), 0o640);
    ok(access_as(&OUTSIDER, &path, O_RDONLY));
    fails(access_as(&OUTSIDER, &path, O_RDWR), libc::EACCES);
    fails(access_as(&MEMBER, &path, O_RDONLY), libc::EACCES);
    ok(sys::chmod(At::Path(&path), 0o600));
    fails(access_as(&OUTSIDER, &path, O_RDONLY), libc::EACCES);
    assert_eq!(ok(sys::getxattr(At::Path(&path), ACCESS, 100)).1[3 * 8 + 4 + 2], 0, "the mask follows chmod");
    ok(sys::removexattr(At::Path(&path), ACCESS));
    fails(sys::getxattr(At::Path(&path), ACCESS, 100), libc::ENODATA);
    // One that the mode can say is not kept as an ACL.
    ok(sys::setxattr(At::Path(&path), ACCESS, &acl(&[(USER_OBJ, 7, ANY), (GROUP_OBJ, 5, ANY), (OTHER, 1, ANY)]), 0));
    assert_eq!(mode(&path), 0o751);
    fails(sys::getxattr(At::Path(&path), ACCESS, 100), libc::ENODATA);
    fails(sys::setxattr(At::Path(&path), ACCESS, &acl(&[(USER_OBJ, 7, ANY)]), 0), libc::EINVAL);
    as_user(&OUTSIDER, || fails(sys::setxattr(At::Path(&path), ACCESS, &rules, 0), libc::EPERM));
}

pub fn suid_is_cleared_by_others(dir: &Dir) {
    let fresh = |name: &str, mode| dir.file(name, &[1; 100], mode);
    let write = |user: &User, path: &[u8]| {
        let fd = as_user(user, || ok(sys::open(path, O_RDWR, 0)));
        as_user(user, || ok(sys::pwrite(fd, b"x", 0)));
        ok(sys::close(fd));
    };
    let path = fresh("written", 0o6777);
    write(&OUTSIDER, &path);
    assert_eq!(mode(&path), 0o777);
    let path = fresh("by-root", 0o6777);
    write(&ROOT, &path);
    assert_eq!(mode(&path), 0o6777);
    let path = fresh("truncated", 0o6777);
    as_user(&OUTSIDER, || ok(sys::truncate(&path, 5)));
    assert_eq!(mode(&path), 0o777);
    let path = fresh("opened", 0o6777);
    ok(access_as(&OUTSIDER, &path, O_RDWR | O_TRUNC));
    assert_eq!(mode(&path), 0o777);
    let path = fresh("punched", 0o6777);
    as_user(&OUTSIDER, || {
        let fd = ok(sys::open(&path, O_RDWR, 0));
        ok(sys::fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 50));
        ok(sys::close(fd));
    });
    assert_eq!(mode(&path), 0o777);
    let path = fresh("copied", 0o6777);
    as_user(&OUTSIDER, || {
        let (from, to) = (dir.open("punched", O_RDONLY), ok(sys::open(&path, O_RDWR, 0)));
        assert_eq!(ok(sys::copy_file_range((from, 0), (to, 10), 20)), 20);
        ok(sys::close(from).and(sys::close(to)));
    });
    assert_eq!(mode(&path), 0o777);
    let path = fresh("given", 0o6777);
    ok(sys::chown(At::Path(&path), 1000, ANY));
    assert_eq!(mode(&path), 0o777);
    let path = fresh("direct", 0o6777);
    as_user(&OUTSIDER, || {
        let fd = ok(sys::open(&path, O_RDWR | libc::O_DIRECT, 0));
        ok(sys::pwrite(fd, &sys::Pages::new(4096), 0));
        ok(sys::close(fd));
    });
    assert_eq!(mode(&path), 0o777);
}

/// Without group execution SGID is no privilege (it once meant mandatory locking), yet a stranger's write clears it.
pub fn sgid_without_group_execution(dir: &Dir) {
    let path = dir.file("f", &[1; 100], 0o2767);
    // The caller's own group: supplementary ones are not told with a WRITE (README, Limits).
    ok(sys::chown(At::Path(&path), 0, 1000));
    ok(sys::chmod(At::Path(&path), 0o2767));
    let write = |user: &User| {
        as_user(user, || {
            let fd = ok(sys::open(&path, O_RDWR, 0));
            ok(sys::pwrite(fd, b"x", 0));
            ok(sys::close(fd));
        });
    };
    write(&MEMBER);
    assert_eq!(mode(&path), 0o2767, "after a write by a member of the group");
    write(&OUTSIDER);
    assert_eq!(mode(&path), 0o767, "after a write by a stranger");
}

pub fn capabilities_are_cleared(dir: &Dir) {
    const CAPS: &str = "security.capability";
    let value = [&0x0200_0001u32.to_le_bytes()[..], &[1, 0, 0, 0].repeat(4)].concat();
    let path = dir.file("f", b"#!/bin/true", 0o777);
    for change in [
        |path: &[u8]| ok(sys::open(path, O_WRONLY, 0).and_then(|fd| sys::write(fd, b"x").and(sys::close(fd)))),
        |path: &[u8]| ok(sys::truncate(path, 3)),
        |path: &[u8]| ok(sys::chown(At::Path(path), 7, 7)),
    ] {
        ok(sys::setxattr(At::Path(&path), CAPS, &value, 0));
        assert_eq!(ok(sys::getxattr(At::Path(&path), CAPS, 100)).1, value);
        change(&path);
        fails(sys::getxattr(At::Path(&path), CAPS, 100), libc::ENODATA);
    }
}

pub fn permissions(dir: &Dir) {
    let secret = dir.file("secret", b"", 0o600);
    fails(access_as(&MEMBER, &secret, O_RDONLY), libc::EACCES);
    as_user(&MEMBER, || {
        fails(sys::access(&secret, libc::R_OK, 0), libc::EACCES);
        ok(sys::access(&secret, libc::F_OK, 0));
        fails(sys::chmod(At::Path(&secret), 0o666), libc::EPERM);
        fails(sys::chown(At::Path(&secret), 1000, ANY), libc::EPERM);
        fails(sys::setxattr(At::Path(&secret), "user.x", b"", 0), libc::EACCES);
        fails(sys::setxattr(At::Path(&secret), "trusted.x", b"", 0), libc::EPERM);
        fails(sys::mknod(dir.path("null"), libc::S_IFCHR | 0o666, libc::makedev(1, 3)), libc::EPERM);
    });
    ok(sys::mkdir(dir.path("shut"), 0o700));
    dir.file("shut/f", b"", 0o666);
    fails(access_as(&MEMBER, &dir.path("shut/f"), O_RDONLY), libc::EACCES);
    fails(access_as(&MEMBER, &dir.path("shut"), O_RDONLY), libc::EACCES);
    ok(sys::chmod(At::Path(&dir.path("shut")), 0o711));
    ok(access_as(&MEMBER, &dir.path("shut/f"), O_RDONLY));
    fails(access_as(&MEMBER, &dir.path("shut/new"), O_CREAT | O_WRONLY), libc::EACCES);
    as_user(&MEMBER, || fails(sys::unlink(dir.path("shut/f")), libc::EACCES));
    // trusted.* is for the privileged alone, in lists too.
    let mine = dir.file("mine", b"", 0o644);
    ok(sys::setxattr(At::Path(&mine), "trusted.t", b"1", 0));
    ok(sys::setxattr(At::Path(&mine), "user.u", b"1", 0));
    as_user(&MEMBER, || {
        assert_eq!(ok(sys::listxattr(At::Path(&mine), 100)).1, b"user.u\0");
        fails(sys::getxattr(At::Path(&mine), "trusted.t", 10), libc::ENODATA);
    });
    assert_eq!(ok(sys::listxattr(At::Path(&mine), 100)).0, 17);
}

pub fn supplementary_groups(dir: &Dir) {
    let path = dir.file("f", b"", 0o660);
    ok(sys::chown(At::Path(&path), 0, 2000));
    ok(sys::mkdir(dir.path("d"), 0o770));
    ok(sys::chown(At::Path(&dir.path("d")), 0, 2000));
    ok(access_as(&MEMBER, &path, O_RDWR));
    fails(access_as(&OUTSIDER, &path, O_RDWR), libc::EACCES);
    ok(access_as(&MEMBER, &dir.path("d/f"), O_CREAT | O_RDWR));
    // The same thread without its group.
    let left = User { groups: &[], ..MEMBER };
    fails(access_as(&left, &path, O_RDWR), libc::EACCES);
    fails(access_as(&left, &dir.path("d/g"), O_CREAT | O_RDWR), libc::EACCES);
    let own = dir.file("own", b"", 0o755);
    ok(sys::chown(At::Path(&own), 1000, 1000));
    as_user(&left, || fails(sys::chown(At::Path(&own), ANY, 2000), libc::EPERM));
    as_user(&MEMBER, || ok(sys::chown(At::Path(&own), ANY, 2000)));
}

pub fn sticky_directory(dir: &Dir) {
    ok(sys::mkdir(dir.path("t"), 0o777));
    ok(sys::chmod(At::Path(&dir.path("t")), 0o1777));
    let path = dir.path("t/f");
    ok(access_as(&MEMBER, &path, O_CREAT | O_WRONLY));
    as_user(&OUTSIDER, || {
        fails(sys::unlink(&path), libc::EPERM);
        fails(sys::rename(&path, dir.path("t/g"), 0), libc::EPERM);
    });
    as_user(&MEMBER, || ok(sys::unlink(&path)));
}
