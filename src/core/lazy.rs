//! Files that are open without an OPEN (`no_open`): which handle serves a node, and which to close first.

use std::collections::HashMap;

use super::fd_lru::{FdLru, Linked, Links};
use super::ids::{Fh, NodeId};
use super::slab::Slab;
use super::sync::{Mutex, lock};

const SHARDS: usize = 16;

/// What a file was opened for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// O_RDONLY.
    Read,
    /// O_WRONLY, or more.
    Write,
}

#[derive(Default)]
struct Entry {
    nodeid: u64,
    fh: u64,
    write: bool,
    links: Links,
}

impl Linked for Slab<Entry> {
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.get_mut(index).map(|entry| &mut entry.links)
    }
}

#[derive(Default)]
struct Shard {
    entries: Slab<Entry>,
    by_node: HashMap<(u64, bool), u32>,
    lru: FdLru,
}

/// At most two handles of a node, one for each [`Access`], and a bound on all of them.
pub struct Lazy {
    shards: Box<[Mutex<Shard>]>,
    /// Most handles of one shard.
    limit: usize,
}

impl Lazy {
    /// Room for at most `limit` handles, and for one at least.
    pub fn new(limit: usize) -> Lazy {
        let shards = SHARDS.min(limit).max(1);
        Lazy { shards: (0..shards).map(|_| Mutex::default()).collect(), limit: (limit / shards).max(1) }
    }

    fn shard(&self, nodeid: NodeId) -> &Mutex<Shard> {
        &self.shards[nodeid.0 as usize % self.shards.len()]
    }

    /// The handle that serves a node, now the newest.
    pub fn get(&self, nodeid: NodeId, access: Access) -> Option<Fh> {
        let mut shard = lock(self.shard(nodeid));
        let Shard { entries, by_node, lru } = &mut *shard;
        let at = *by_node.get(&(nodeid.0, access == Access::Write))?;
        lru.touch(entries, at);
        entries.get(at).map(|entry| Fh(entry.fh))
    }

    /// Lets `fh` serve a node from now on. The answer is for the caller to release: what served it before, or the oldest.
    #[must_use]
    pub fn insert(&self, nodeid: NodeId, access: Access, fh: Fh) -> Option<Fh> {
        let mut shard = lock(self.shard(nodeid));
        let write = access == Access::Write;
        let before = shard.remove(nodeid, write);
        let oldest = if shard.lru.len() < self.limit { None } else { shard.lru.oldest() };
        let oldest = oldest.and_then(|at| {
            let Entry { nodeid, write, .. } = *shard.entries.get(at)?;
            shard.remove(NodeId(nodeid), write)
        });
        let Shard { entries, by_node, lru } = &mut *shard;
        let at = entries.insert(Entry { nodeid: nodeid.0, fh: fh.0, write, links: Links::default() });
        by_node.insert((nodeid.0, write), at);
        lru.push(entries, at);
        before.or(oldest)
    }

    /// What served a node that is forgotten, for the caller to release.
    pub fn forget(&self, nodeid: NodeId) -> impl Iterator<Item = Fh> + use<> {
        let mut shard = lock(self.shard(nodeid));
        [shard.remove(nodeid, false), shard.remove(nodeid, true)].into_iter().flatten()
    }
}

impl Shard {
    fn remove(&mut self, nodeid: NodeId, write: bool) -> Option<Fh> {
        let at = self.by_node.remove(&(nodeid.0, write))?;
        self.lru.unlink(&mut self.entries, at);
        self.entries.remove(at).map(|entry| Fh(entry.fh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_served_until_it_is_forgotten() {
        let lazy = Lazy::new(100);
        let node = NodeId(5);
        assert_eq!(lazy.insert(node, Access::Read, Fh(1)), None);
        assert_eq!(lazy.insert(node, Access::Write, Fh(2)), None);
        assert_eq!((lazy.get(node, Access::Read), lazy.get(node, Access::Write)), (Some(Fh(1)), Some(Fh(2))));
        assert_eq!(lazy.insert(node, Access::Write, Fh(3)), Some(Fh(2)));
        assert_eq!(lazy.forget(node).collect::<Vec<_>>(), [Fh(1), Fh(3)]);
        assert_eq!((lazy.get(node, Access::Read), lazy.get(node, Access::Write)), (None, None));
        assert_eq!(lazy.forget(node).count(), 0);
    }

    #[test]
    fn the_oldest_makes_way_and_the_bound_holds() {
        for limit in [0, 1, 3, 16, 100] {
            let lazy = Lazy::new(limit);
            let mut open = 0;
            for n in 0..1000 {
                open += 1;
                open -= usize::from(lazy.insert(NodeId(n), Access::Read, Fh(n + 1)).is_some());
                assert_eq!(lazy.get(NodeId(n), Access::Read), Some(Fh(n + 1)));
                assert!(open <= limit.max(1), "{open} of {limit}");
            }
        }
        let lazy = Lazy::new(32);
        let (old, new, third) = (NodeId(16), NodeId(32), NodeId(48));
        assert_eq!((lazy.insert(old, Access::Read, Fh(1)), lazy.insert(new, Access::Read, Fh(2))), (None, None));
        assert_eq!(lazy.get(old, Access::Read), Some(Fh(1)));
        assert_eq!(lazy.insert(third, Access::Read, Fh(3)), Some(Fh(2)), "used longest ago");
    }
}
