//! Identity: which id of the host the mount shows as which, and as whom callers act on the host.
//!
//! An id that has no counterpart is not shown as some other user's. [`UNMAPPED`] is what the client's kernel takes for
//! no id at all: stat(2) shows the overflow id in its place (65534), and the file may be neither written nor changed, as
//! on an idmapped mount.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::protocol::Caller;

use super::host::Making;
use super::ids::{HostGid, HostUid};

/// `(uid_t)-1`: no id. So attributes show an id of the host that has no mapping.
pub const UNMAPPED: u32 = u32::MAX;
/// The kernel takes no ACL with [`UNMAPPED`] in it, so that stands in there. No mapping may show it, lest a user has it.
pub const UNMAPPED_IN_ACL: u32 = u32::MAX - 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    host: u32,
    shown: u32,
    length: u32,
}

impl Range {
    /// The number in `to..` that `id` in `from..` stands for.
    fn shift(&self, id: u32, from: u32, to: u32) -> Option<u32> {
        let at = id.checked_sub(from)?;
        (at < self.length).then(|| to + at)
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.shown, self.length)
    }
}

/// How ids of one kind (uids or gids) are shown. Without ranges all are shown as they are; with some, only those.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdMap(Vec<Range>);

impl IdMap {
    /// The id that the mount shows for the host's.
    pub fn shown(&self, host: u32) -> Option<u32> {
        match &self.0[..] {
            [] => Some(host),
            ranges => ranges.iter().find_map(|range| range.shift(host, range.host, range.shown)),
        }
    }

    /// The host's id for one that is shown.
    pub fn host(&self, shown: u32) -> Option<u32> {
        match &self.0[..] {
            [] => Some(shown),
            ranges => ranges.iter().find_map(|range| range.shift(shown, range.shown, range.host)),
        }
    }

    /// True if every id is shown as it is.
    pub fn is_identity(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for IdMap {
    type Err = String;

    /// `HOST:SHOWN:LENGTH`, more of them after more colons: the form of libfuse-fs.
    fn from_str(text: &str) -> Result<IdMap, String> {
        let numbers = text.split(':').map(|word| match word.parse::<u32>() {
            Ok(number) if word.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(format!("'{word}' is not an id (0 to 4294967293)")),
        });
        let numbers = numbers.collect::<Result<Vec<u32>, String>>()?;
        if !numbers.len().is_multiple_of(3) {
            return Err("ids come in threes, HOST:SHOWN:LENGTH[:HOST:SHOWN:LENGTH...]".to_owned());
        }
        let mut ranges: Vec<Range> = Vec::new();
        for three in numbers.chunks_exact(3) {
            let range = Range { host: three[0], shown: three[1], length: three[2] };
            if range.length == 0 {
                return Err(format!("{range} maps nothing"));
            }
            for start in [range.host, range.shown] {
                if start.checked_add(range.length).is_none_or(|end| end > UNMAPPED_IN_ACL) {
                    return Err(format!("{range} goes beyond the last id, 4294967293"));
                }
            }
            let overlap = |start: fn(&Range) -> u32, other: &&Range| {
                start(other) < start(&range) + range.length && start(&range) < start(other) + other.length
            };
            if let Some(other) = ranges.iter().find(|other| overlap(|range| range.host, other)) {
                return Err(format!("{other} and {range} map one id of the host twice"));
            }
            if let Some(other) = ranges.iter().find(|other| overlap(|range| range.shown, other)) {
                return Err(format!("{other} and {range} show two ids of the host as one"));
            }
            ranges.push(range);
        }
        Ok(IdMap(ranges))
    }
}

/// Who everybody is on the host: `--squash-to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Squash {
    /// Never 0: every caller would be root.
    pub uid: HostUid,
    /// The one group.
    pub gid: HostGid,
}

impl FromStr for Squash {
    type Err = String;

    fn from_str(text: &str) -> Result<Squash, String> {
        let id = |word: &str| word.parse().ok().filter(|&id: &u32| id < UNMAPPED_IN_ACL);
        match text.split_once(':').and_then(|(uid, gid)| Some((id(uid)?, id(gid)?))) {
            Some((0, _)) => Err("every caller would be root on the host".to_owned()),
            Some((uid, gid)) => Ok(Squash { uid: HostUid(uid), gid: HostGid(gid) }),
            None => Err("must be UID:GID, two ids of the host".to_owned()),
        }
    }
}

/// All that a mount changes about ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Of users.
    pub uids: IdMap,
    /// Of groups.
    pub gids: IdMap,
    /// If callers act as one user of the host, whoever they are.
    pub squash: Option<Squash>,
}

/// Who asks, in the host's ids: `None` where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// It is root where it asks, and has a root's capabilities, whichever id it has on the host.
    pub root: bool,
    uid: Option<HostUid>,
    gid: Option<HostGid>,
    supp_gid: Option<HostGid>,
}

impl FromStr for Identity {
    type Err = String;

    /// `uidmapping=HOST:SHOWN:LENGTH[:...],gidmapping=...`, either or both: the form of libfuse-fs.
    fn from_str(text: &str) -> Result<Identity, String> {
        let mut mapping = Identity::default();
        for item in text.split(',') {
            match item.split_once('=') {
                Some(("uidmapping", map)) => mapping.uids = map.parse()?,
                Some(("gidmapping", map)) => mapping.gids = map.parse()?,
                _ => return Err(format!("'{item}' is neither uidmapping= nor gidmapping=")),
            }
        }
        Ok(mapping)
    }
}

impl Identity {
    /// True if ids are shown as the host has them.
    pub fn shows_all_as_is(&self) -> bool {
        self.uids.is_identity() && self.gids.is_identity()
    }

    /// The owner that the mount shows.
    pub fn owner(&self, uid: HostUid, gid: HostGid) -> (u32, u32) {
        if self.shows_all_as_is() {
            return (uid.0, gid.0);
        }
        (self.uids.shown(uid.0).unwrap_or(UNMAPPED), self.gids.shown(gid.0).unwrap_or(UNMAPPED))
    }

    /// The host's user for one that is shown.
    pub fn uid(&self, shown: u32) -> Option<HostUid> {
        self.uids.host(shown).map(HostUid)
    }

    /// The host's group for one that is shown.
    pub fn gid(&self, shown: u32) -> Option<HostGid> {
        self.gids.host(shown).map(HostGid)
    }

    /// As whom a caller acts on the host.
    pub fn asker(&self, caller: &Caller) -> Asker {
        match self.squash {
            Some(Squash { uid, gid }) => Asker { root: false, uid: Some(uid), gid: Some(gid), supp_gid: None },
            None => Asker {
                root: caller.uid == 0,
                uid: self.uid(caller.uid),
                gid: self.gid(caller.gid),
                supp_gid: caller.supp_gid.and_then(|gid| self.gid(gid)),
            },
        }
    }
}

impl Asker {
    /// How it makes something; `None` if its ids are not the host's to give.
    pub fn making(&self, umask: u32) -> Option<Making> {
        Some(Making { uid: self.uid?, gid: self.gid?, supp_gid: self.supp_gid, root: self.root, umask })
    }

    /// [`Asker::making`], as a stranger if its ids are not the host's.
    pub fn making_or_stranger(&self) -> Making {
        let uid = self.uid.unwrap_or(HostUid(UNMAPPED_IN_ACL));
        Making { uid, gid: self.group(), supp_gid: self.supp_gid, root: self.root, umask: 0 }
    }

    /// Its group; one that no file has if it is not the host's.
    pub fn group(&self) -> HostGid {
        self.gid.unwrap_or(HostGid(UNMAPPED_IN_ACL))
    }
}
