//! What a host says of a file, and how the wire says it.

use crate::protocol::abi;

use super::idmap::Identity;
use super::ids::{Dev, HostGid, HostUid};

/// A point in time: seconds since the epoch (negative before it) and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// Whole seconds.
    pub sec: i64,
    /// 0..1e9.
    pub nsec: u32,
}

/// The host's stat of a file, in the units of statx(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the fields are those of statx(2)")]
pub struct Stat {
    pub dev: (u32, u32),
    pub ino: u64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: HostUid,
    pub gid: HostGid,
    pub rdev: (u32, u32),
    pub size: u64,
    pub blocks: u64,
    pub blksize: u32,
    pub attributes: u64,
    pub attributes_mask: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    /// `None` where the filesystem keeps no birth time.
    pub btime: Option<Time>,
    /// Names the mount that the file was reached through; 0 if the host does not say.
    pub mnt_id: u64,
}

/// `S_IFMT`.
pub const KIND_MASK: u32 = 0o170000;
/// `S_IFREG`.
pub const KIND_REGULAR: u32 = 0o100000;
/// `S_IFDIR`.
pub const KIND_DIRECTORY: u32 = 0o040000;
/// `S_IFLNK`.
pub const KIND_SYMLINK: u32 = 0o120000;

impl Stat {
    /// The file type, as in `S_IFMT`.
    pub fn kind(&self) -> u32 {
        self.mode & KIND_MASK
    }

    /// Differs whenever a file's content may have changed since the last look, as far as the host tells.
    pub fn content_key(&self) -> u64 {
        let mut key = self.size;
        for part in [self.mtime.sec as u64, self.mtime.nsec.into(), self.ctime.sec as u64, self.ctime.nsec.into()] {
            key = (key ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        key
    }

    /// `struct fuse_attr`, with the inode number and the owner that the mount shows.
    pub fn attr(&self, ino: u64, identity: &Identity) -> abi::Attr {
        let (uid, gid) = identity.owner(self.uid, self.gid);
        abi::Attr {
            ino,
            size: self.size,
            blocks: self.blocks,
            atime: self.atime.sec as u64,
            mtime: self.mtime.sec as u64,
            ctime: self.ctime.sec as u64,
            atimensec: self.atime.nsec,
            mtimensec: self.mtime.nsec,
            ctimensec: self.ctime.nsec,
            mode: self.mode,
            nlink: self.nlink,
            uid,
            gid,
            rdev: encode_dev(self.rdev),
            blksize: self.blksize,
            flags: 0,
        }
    }

    /// `struct fuse_statx`: what [`Stat::attr`] says, and the birth time.
    pub fn statx(&self, ino: u64, identity: &Identity) -> abi::Statx {
        const BASIC: u32 = 0x7ff;
        const BTIME: u32 = 0x800;
        let (uid, gid) = identity.owner(self.uid, self.gid);
        let time = |t: Time| abi::SxTime { tv_sec: t.sec, tv_nsec: t.nsec, ..Default::default() };
        abi::Statx {
            mask: BASIC | if self.btime.is_some() { BTIME } else { 0 },
            blksize: self.blksize,
            attributes: self.attributes,
            nlink: self.nlink,
            uid,
            gid,
            mode: self.mode as u16,
            ino,
            size: self.size,
            blocks: self.blocks,
            attributes_mask: self.attributes_mask,
            atime: time(self.atime),
            btime: time(self.btime.unwrap_or_default()),
            ctime: time(self.ctime),
            mtime: time(self.mtime),
            rdev_major: self.rdev.0,
            rdev_minor: self.rdev.1,
            dev_major: self.dev.0,
            dev_minor: self.dev.1,
            ..Default::default()
        }
    }
}

/// The kernel's `new_encode_dev` (`linux/kdev_t.h`): how `rdev` travels in 32 bits.
pub fn encode_dev((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// The kernel's `new_decode_dev`.
pub fn decode_dev(rdev: u32) -> (u32, u32) {
    ((rdev & 0xf_ff00) >> 8, (rdev & 0xff) | (rdev >> 12 & 0xf_ff00))
}

/// The inode number that the mount shows: the host's on the root's filesystem, elsewhere prefixed by a hash of the
/// device, since several filesystems share the mount's one `st_dev` and tar would take equal numbers for hard links.
/// `mnt_id` does the same for mounts of one filesystem, where they are told apart, and is 0 elsewhere.
pub fn shown_ino(dev: Dev, device: (u32, u32), mnt_id: u64, ino: u64) -> u64 {
    if dev == Dev(0) {
        return ino;
    }
    let device = u64::from(device.0) << 32 | u64::from(device.1);
    let hash = (device ^ mnt_id.rotate_right(24)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49;
    (1 << 63 | hash << 48) ^ (ino & 0xffff_ffff_ffff) ^ (ino >> 48 << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rdev_survives(major in 0u32..1 << 12, minor in 0u32..1 << 20) {
            prop_assert_eq!(decode_dev(encode_dev((major, minor))), (major, minor));
        }

        #[test]
        fn foreign_inodes_never_look_like_the_roots(device: (u32, u32), ino in 0u64..1 << 48) {
            prop_assert_eq!(shown_ino(Dev(0), device, 0, ino), ino);
            prop_assert!(shown_ino(Dev(1), device, 0, ino) >> 63 == 1);
            prop_assert!(shown_ino(Dev(1), device, 0, ino) & 0xffff_ffff_ffff == ino);
        }
    }
}
