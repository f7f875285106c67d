//! Who owns what: a mount with a mapping of ids answers as an idmapped bind mount of an equal directory does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use libc::{O_CREAT, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY};
use support::idmapped::Idmapped;
use support::sys::{self, At, Sys, User, as_user};
use support::{Backing, Fs, Mount, Variant};

/// A container's shift; an exchange of two users that leaves the rest alone; one under which root is nobody.
const MAPPINGS: [(&str, &str); 3] = [
    ("100000:0:65536", "100000:0:65536"),
    ("0:1000:1:1000:0:1:1:1:999:1001:1001:199000", "0:0:1:1500:1000:1:1000:1500:1:1001:1001:499:1501:1501:1000"),
    ("0:100000:65536", "0:100000:65536"),
];

const OWNERS: [u32; 4] = [0, 1000, 101_000, 200_000];
const CALLERS: [User; 6] = [
    User { uid: 0, gid: 0, groups: &[0] },
    User { uid: 1000, gid: 1000, groups: &[1000, 2000] },
    User { uid: 1001, gid: 1500, groups: &[] },
    User { uid: 101_000, gid: 101_000, groups: &[] },
    User { uid: 70_000, gid: 70_000, groups: &[2000] },
    User { uid: 1000, gid: 70_000, groups: &[] },
];
/// Whose supplementary groups are those of some directories.
const MEMBERS: [User; 2] =
    [User { uid: 1001, gid: 1501, groups: &[1000, 1500] }, User { uid: 101_001, gid: 101_001, groups: &[101_000] }];
const ANY: u32 = u32::MAX;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPS: &str = "security.capability";

#[test]
fn mapped_fuse_uring() {
    mapped(&support::FUSE_URING);
}

#[test]
fn squashed_fuse_uring() {
    squashed(&support::FUSE_URING);
}

#[test]
fn mapped_dev_fuse() {
    mapped(&support::DEV_FUSE);
}

#[test]
fn squashed_dev_fuse() {
    squashed(&support::DEV_FUSE);
}

#[test]
fn mapped_pool() {
    mapped(&support::POOL);
}

#[test]
fn squashed_pool() {
    squashed(&support::POOL);
}

/// A directory as it is looked at, and where the host has it.
struct Side {
    at: PathBuf,
    host: PathBuf,
}

impl Side {
    fn path(&self, name: &str) -> Vec<u8> {
        sys::b(&self.at.join(name)).to_vec()
    }

    fn on_host(&self, name: &str) -> Vec<u8> {
        sys::b(&self.host.join(name)).to_vec()
    }

    /// A directory in which anything can be tried, made on the host.
    fn make(&self, owner: u32, mode: u32) {
        let give = |name: &str, mode| {
            let path = self.on_host(name);
            sys::chown(At::Path(&path), owner, owner).unwrap();
            sys::chmod(At::Path(&path), mode).unwrap();
        };
        fs::create_dir(&self.host).unwrap();
        for name in ["f", "other", "script"] {
            fs::write(self.host.join(name), "content").unwrap();
        }
        give("f", 0o6666);
        give("other", 0o600);
        give("script", 0o2765);
        give("", mode);
    }
}

fn said<T: Debug>(answer: Sys<T>) -> String {
    answer.map_or_else(sys::errno_name, |value| format!("{value:?}"))
}

fn owner(path: &[u8]) -> String {
    let old = sys::stat(At::Link(path)).map(|stat| (stat.st_uid, stat.st_gid, format!("{:o}", stat.st_mode)));
    // With the birth time it is another request.
    let new = sys::statx(At::Link(path), libc::STATX_BASIC_STATS | libc::STATX_BTIME).map(|x| (x.stx_uid, x.stx_gid));
    match (old, new) {
        (Ok(old), Ok(new)) => {
            assert_eq!((old.0, old.1), new, "stat and statx");
            format!("{old:?}")
        }
        (old, new) => said(old.and(new)),
    }
}

fn acl(user: u32, group: u32) -> Vec<u8> {
    let entries = [(1u16, 6u16, ANY), (2, 4, user), (4, 0, ANY), (8, 6, group), (16, 6, ANY), (32, 0, ANY)];
    let bytes =
        |(tag, perm, id): (u16, u16, u32)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    [2u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(bytes).collect()].concat()
}

fn caps(root: Option<u32>) -> Vec<u8> {
    let revision = if root.is_some() { 0x0300_0000 } else { 0x0200_0000 };
    [revision, 0x400, 0, 0, 0].into_iter().chain(root).flat_map(u32::to_le_bytes).collect()
}

fn opened(path: impl sys::Bytes, flags: i32, mode: u32) -> Sys {
    sys::open(path, flags, mode).and_then(sys::close)
}

fn written(path: &[u8]) -> Sys {
    let fd = sys::open(path, O_WRONLY, 0)?;
    let written = sys::pwrite(fd, b"x", 0);
    sys::close(fd).and(written)
}

type Step = (&'static str, fn(&Side) -> Sys<i64>);

/// What a caller tries; the first name is that of the file that it is about.
const STEPS: &[Step] = &[
    ("f read", |side| opened(side.path("f"), O_RDONLY, 0)),
    ("f write", |side| written(&side.path("f"))),
    ("script write", |side| written(&side.path("script"))),
    ("f truncate", |side| sys::truncate(side.path("f"), 3)),
    ("f open O_TRUNC", |side| opened(side.path("f"), O_WRONLY | O_TRUNC, 0)),
    ("f chmod", |side| sys::chmod(At::Path(&side.path("f")), 0o2755)),
    ("f chown to 1000", |side| sys::chown(At::Path(&side.path("f")), 1000, ANY)),
    // Of a file without SUID and SGID: an idmapped mount refuses even root to give an owner to one with them that is
    // nobody's, for it counts as a chmod, which FUSE does not tell. And SGID would hang on a supplementary group, which a
    // FUSE server is not told (README, Limits).
    ("other chown to 0:0", |side| sys::chown(At::Path(&side.path("other")), 0, 0)),
    ("f chown to 70000", |side| sys::chown(At::Path(&side.path("f")), 70_000, ANY)),
    ("other chown to 65534", |side| sys::chown(At::Path(&side.path("other")), 65_534, 65_534)),
    ("other chgrp to 2000", |side| sys::chown(At::Path(&side.path("other")), ANY, 2000)),
    ("f chgrp to 70000", |side| sys::chown(At::Path(&side.path("f")), ANY, 70_000)),
    ("f chown to nobody", |side| sys::chown(At::Path(&side.path("f")), ANY, ANY)),
    ("f times", |side| sys::utimens(At::Path(&side.path("f")), (5, 6), (7, 8))),
    ("f times now", |side| sys::utimens(At::Path(&side.path("f")), (0, libc::UTIME_NOW), (0, libc::UTIME_NOW))),
    ("f user xattr", |side| sys::setxattr(At::Path(&side.path("f")), "user.x", b"1", 0)),
    ("f ACL for 1000", |side| sys::setxattr(At::Path(&side.path("f")), ACCESS, &acl(1000, 1000), 0)),
    ("f ACL for 70000", |side| sys::setxattr(At::Path(&side.path("f")), ACCESS, &acl(70_000, 1000), 0)),
    ("f ACL for group 70000", |side| sys::setxattr(At::Path(&side.path("f")), ACCESS, &acl(1000, 70_000), 0)),
    ("f ACL removed", |side| sys::removexattr(At::Path(&side.path("f")), ACCESS)),
    ("f capability", |side| sys::setxattr(At::Path(&side.path("f")), CAPS, &caps(None), 0)),
    ("f capability of 1000", |side| sys::setxattr(At::Path(&side.path("f")), CAPS, &caps(Some(1000)), 0)),
    ("f capability of 70000", |side| sys::setxattr(At::Path(&side.path("f")), CAPS, &caps(Some(70_000)), 0)),
    ("new create", |side| opened(side.path("new"), O_CREAT | O_RDWR, 0o775)),
    ("new create with SGID", |side| opened(side.path("new"), O_CREAT | O_RDWR, 0o6775)),
    ("new mkdir", |side| sys::mkdir(side.path("new"), 0o775)),
    ("new file with SGID by mknod", |side| sys::mknod(side.path("new"), libc::S_IFREG | 0o2775, 0)),
    ("new fifo", |side| sys::mknod(side.path("new"), libc::S_IFIFO | 0o644, 0)),
    ("new device", |side| sys::mknod(side.path("new"), libc::S_IFCHR | 0o644, libc::makedev(1, 3))),
    ("new symlink", |side| sys::symlink("f", side.path("new"))),
    ("new tmpfile", |side| {
        let fd = sys::open(side.path(""), O_TMPFILE | O_RDWR, 0o664)?;
        let linked = sys::link_fd(fd, side.path("new"));
        sys::close(fd).and(linked)
    }),
    ("new link", |side| sys::link(side.path("other"), side.path("new"), 0)),
    ("new rename", |side| sys::rename(side.path("f"), side.path("new"), 0)),
    ("new whiteout", |side| sys::rename(side.path("f"), side.path("new"), libc::RENAME_WHITEOUT)),
    ("other rename over", |side| sys::rename(side.path("f"), side.path("other"), 0)),
    ("other exchange", |side| sys::rename(side.path("f"), side.path("other"), libc::RENAME_EXCHANGE)),
    ("f unlink", |side| sys::unlink(side.path("f"))),
    // Whoever sees an entry has its rights.
    ("f read by an ACL of the host", |side| {
        sys::setxattr(At::Path(&side.on_host("f")), ACCESS, &acl(101_000, 100_000), 0)?;
        opened(side.path("f"), O_RDONLY, 0)
    }),
    (". default ACL", |side| sys::setxattr(At::Path(&side.path("")), DEFAULT, &acl(1000, 101_000), 0)),
    (". default ACL for 70000", |side| sys::setxattr(At::Path(&side.path("")), DEFAULT, &acl(70_000, 0), 0)),
    ("new create under a default ACL of the host", |side| {
        sys::setxattr(At::Path(&side.on_host("")), DEFAULT, &acl(101_000, 101_000), 0)?;
        opened(side.path("new"), O_CREAT | O_RDWR, 0o664)
    }),
    ("f capability of the host's root", |side| sys::setxattr(At::Path(&side.on_host("f")), CAPS, &caps(None), 0)),
    ("f capability of the host's 101000", |side| {
        sys::setxattr(At::Path(&side.on_host("f")), CAPS, &caps(Some(101_000)), 0)
    }),
    ("other access", |side| sys::access(side.path("other"), libc::W_OK, 0)),
];

/// How a file looks from both ends when a step is over: what the host keeps, and what is shown.
fn state(side: &Side, name: &str) -> String {
    let (shown, kept) = (side.path(name), side.on_host(name));
    let xattr = |path: &[u8], name| said(sys::getxattr(At::Link(path), name, 200).map(|(_, value)| value));
    // The kernel lets no FUSE server name nobody in an ACL.
    let nobody = |acl: String| acl.replace("255, 255, 255, 255", "nobody").replace("254, 255, 255, 255", "nobody");
    let lines = [&shown, &kept].map(|path| {
        let acls = [ACCESS, DEFAULT].map(|name| nobody(xattr(path, name)));
        format!("{} {} {}", owner(path), acls.join(" "), xattr(path, CAPS))
    });
    format!("shows {}, keeps {}", lines[0], lines[1])
}

/// What README calls a limit: neither side changes anything. The client's kernel looks at permissions before a FUSE
/// server hears of the ids, and chown(2) with neither owner nor group looks like a write.
fn limit(what: &str, reference: &str, mount: &str) -> bool {
    let refused_earlier = reference == "EOVERFLOW" && (mount == "EACCES" || mount == "EPERM");
    refused_earlier || what == "f chown to nobody" && mount == "0"
}

/// Two equal directories of one filesystem, looked at in two ways.
struct Pair<'a> {
    backing: &'a Backing,
    reference: &'a Path,
    mount: &'a Mount,
    tried: Cell<u32>,
}

impl<'a> Pair<'a> {
    fn new(backing: &'a Backing, reference: &'a Path, mount: &'a Mount) -> Pair<'a> {
        Pair { backing, reference, mount, tried: Cell::new(0) }
    }

    fn sides(&self, name: &str) -> [Side; 2] {
        let host = |root: &str| self.backing.path().join(root).join(name);
        [
            Side { at: self.reference.join(name), host: host("reference") },
            Side { at: self.mount.path().join(name), host: host("served") },
        ]
    }

    /// Has everybody try everything, as one user in the reference and as another one in the mount, and tells where
    /// answer or state differ in a way that is not `excused`.
    fn differences(
        &self,
        users: &[(User, User)],
        steps: &[Step],
        excused: fn(&str, &str, &str) -> bool,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for (owner, mode) in OWNERS.into_iter().flat_map(|owner| [(owner, 0o755), (owner, 0o2777)]) {
            for &(one, other) in users {
                for (what, step) in steps {
                    let number = self.tried.get();
                    self.tried.set(number + 1);
                    let name = what.split(' ').next().unwrap();
                    let [reference, mount] = self.sides(&number.to_string());
                    let [reference, mount] = [(one, reference), (other, mount)].map(|(user, side)| {
                        side.make(owner, mode);
                        let answer = said(as_user(&user, || step(&side)));
                        (answer, state(&side, name))
                    });
                    if reference != mount && !(excused(what, &reference.0, &mount.0) && reference.1 == mount.1) {
                        let User { uid, gid, .. } = other;
                        differences.push(format!(
                            "{what} by {uid}:{gid} where {owner} owns a {mode:o}:\n    {reference:?}\n    {mount:?}"
                        ));
                    }
                }
            }
        }
        differences
    }
}

fn assert_none(differences: &[String], where_: &str) {
    let some: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
    assert!(differences.is_empty(), "{where_}: {} differences:\n{}", differences.len(), some.join("\n"));
}

/// A filesystem with the two directories.
fn backing(fs: Fs) -> Backing {
    let backing = Backing::new(fs, 512, "");
    for name in ["reference", "served"] {
        fs::create_dir(backing.path().join(name)).unwrap();
    }
    backing
}

fn mount(variant: &Variant, backing: &Backing, flags: &[String]) -> Mount {
    let flags = flags.iter().map(String::as_str);
    let arguments: Vec<&str> =
        ["-o", "allow_other,dev,suid", "--attr-timeout=0", "--entry-timeout=0"].into_iter().chain(flags).collect();
    Mount::with_args(variant, &arguments, &backing.path().join("served"))
}

/// In a thread of its own, since its ids and umask change.
fn apart(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        sys::own_context();
        sys::umask(0o022);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn mapped(variant: &'static Variant) {
    apart(|| {
        // Filesystems keep ids in one way; each has the container's shift and one more.
        for (fs, at) in [(Fs::Ext4, 0), (Fs::Ext4, 1), (Fs::Tmpfs, 0), (Fs::Tmpfs, 2)] {
            let (uids, gids) = MAPPINGS[at];
            let backing = backing(fs);
            let idmapped = Idmapped::new(&backing.path().join("reference"), uids, gids);
            let flags = [format!("--uid-mapping={uids}"), format!("--gid-mapping={gids}")];
            let mount = mount(variant, &backing, &flags);
            let pair = Pair::new(&backing, idmapped.path(), &mount);
            let differences = pair.differences(&CALLERS.map(|user| (user, user)), STEPS, limit);
            assert_none(&differences, &format!("{fs:?}, {uids}"));
            // A FUSE server is told of one more group by those who make something, and by nobody else (README, Limits).
            let making: Vec<Step> = STEPS.iter().filter(|step| step.0.starts_with("new")).copied().collect();
            let differences = pair.differences(&MEMBERS.map(|user| (user, user)), &making, limit);
            assert_none(&differences, &format!("{fs:?}, {uids}, members"));
        }
    });
}

/// Whoever calls is to the host what this user is.
const SQUASHED: User = User { uid: 1000, gid: 1000, groups: &[] };

/// What the client's kernel decides by itself (README, Limits), and what is about the host.
const NOT_THE_HOSTS: [&str; 5] = ["ACL", "device", "capability", "SGID", "host"];

fn squashed(variant: &'static Variant) {
    apart(|| {
        for fs in support::FILESYSTEMS {
            let backing = backing(fs);
            let mount = mount(variant, &backing, &["--squash-to=1000:1000".to_owned()]);
            let reference = backing.path().join("reference");
            let pair = Pair::new(&backing, &reference, &mount);
            let asked = |step: &&Step| !NOT_THE_HOSTS.iter().any(|word| step.0.contains(word));
            let steps: Vec<Step> = STEPS.iter().filter(asked).copied().collect();
            let users = CALLERS.map(|user| (SQUASHED, user));
            assert_none(&pair.differences(&users, &steps, limit), &format!("{fs:?}"));
        }
    });
}

#[test]
fn mapping_and_squash_together() {
    let backing = backing(Fs::Tmpfs);
    let served = backing.path().join("served");
    std::os::unix::fs::chown(&served, Some(1000), Some(100)).unwrap();
    let flags = ["--uid-mapping=1000:0:1:2000:5:1", "--gid-mapping=100:7:1", "--squash-to=1000:100"];
    let mount = mount(&support::POOL, &backing, &flags.map(str::to_owned));
    apart(move || {
        let at = |name: &str| sys::b(&mount.path().join(name)).to_vec();
        for user in CALLERS {
            let name = format!("{}-{}", user.uid, user.gid);
            as_user(&user, || sys::mkdir(at(&name), 0o700)).unwrap();
            // To whoever looks it is the mapped squash user's, and to everybody it is as if it was his own.
            assert_eq!(owner(&at(&name)), "(0, 7, \"40700\")");
            as_user(&CALLERS[4], || sys::rmdir(at(&name))).unwrap();
            as_user(&user, || opened(at(&name), O_CREAT | O_RDWR, 0o600)).unwrap();
            as_user(&CALLERS[2], || written(&at(&name))).unwrap();
            as_user(&user, || assert_eq!(sys::chown(At::Path(&at(&name)), 5, ANY), Err(libc::EPERM)));
            as_user(&user, || assert_eq!(sys::chown(At::Path(&at(&name)), 6, ANY), Err(libc::EOVERFLOW)));
            let meta = fs::metadata(served.join(&name)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (1000, 100));
        }
        let squashed =
            |status: &&String| status.contains("Uid:\t0\t0\t0\t1000") && status.contains("CapEff:\t0000000000000000");
        // Who has put up what stands around the mount goes when that is done.
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let threads = fs::read_dir(format!("/proc/{}/task", mount.pid())).unwrap().flatten();
            let threads: Vec<String> =
                threads.flat_map(|thread| fs::read_to_string(thread.path().join("status"))).collect();
            // They unmount, and tell the owner alone what is going on.
            let may_be_root = |status: &&String| {
                ["signals", "observe"].iter().any(|name| status.contains(&format!("Name:\t{name}\n")))
            };
            if threads.len() > 3 && threads.iter().filter(|status| !squashed(status)).all(|status| may_be_root(&status))
            {
                break;
            }
            assert!(Instant::now() < end, "only who listens to signals and questions stays root: {threads:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        mount.finish().unwrap();
    });
}

/// The listing brings the attributes, for no LOOKUP asks for them again.
#[test]
fn listings_are_mapped() {
    let backing = backing(Fs::Tmpfs);
    let served = backing.path().join("served");
    let flags = ["-o", "allow_other", "--uid-mapping=5:50:1:6:60:1", "--gid-mapping=7:70:1"];
    let give = |uid| std::os::unix::fs::chown(served.join("f"), Some(uid), Some(7)).unwrap();
    for variant in &support::VARIANTS {
        fs::write(served.join("f"), "").unwrap();
        give(5);
        let mount = Mount::with_args(variant, &flags, &served);
        let dir = sys::open(sys::b(mount.path()), O_RDONLY, 0).unwrap();
        sys::readdir(dir, 4096).unwrap();
        sys::close(dir).unwrap();
        give(6);
        // statx(2) would ask for the birth time, which the listing does not bring.
        let seen = sys::stat(At::Link(sys::b(&mount.path().join("f")))).unwrap();
        assert_eq!((seen.st_uid, seen.st_gid), (50, 70), "{}", variant.name);
        mount.finish().unwrap();
    }
}

#[test]
fn bind_mounts_are_told_apart_if_that_is_asked_for() {
    let backing = backing(Fs::Tmpfs);
    let served = backing.path().join("served");
    for name in ["tree", "one", "two"] {
        fs::create_dir(served.join(name)).unwrap();
    }
    fs::write(served.join("tree/f"), "").unwrap();
    for name in ["one", "two"] {
        support::run(Command::new("mount").arg("--bind").args([served.join("tree"), served.join(name)]));
    }
    for (flag, numbers) in [(None, 1), (Some("--enable-mntid"), 3)] {
        let mount = Mount::with_args(&support::POOL, &flag.into_iter().collect::<Vec<_>>(), &served);
        let ino = |name: &str| fs::metadata(mount.path().join(name).join("f")).unwrap().ino();
        let seen: BTreeSet<u64> = ["tree", "one", "two"].into_iter().map(ino).collect();
        assert_eq!(seen.len(), numbers, "{flag:?}");
        mount.finish().unwrap();
    }
    for name in ["one", "two"] {
        sys::unmount(&served.join(name)).unwrap();
    }
}
