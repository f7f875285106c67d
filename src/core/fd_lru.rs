//! Which cached descriptor to give up next: a list in order of use, threaded through the records themselves.

/// The end of a list.
pub const NIL: u32 = u32::MAX;

/// A record's place in the list. Only a record that is linked may be unlinked.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    newer: u32,
    older: u32,
}

impl Default for Links {
    fn default() -> Links {
        Links { newer: NIL, older: NIL }
    }
}

/// Gives access to the links of record `index`.
pub trait Linked {
    /// The links, or `None` for an index that is not in use.
    fn links(&mut self, index: u32) -> Option<&mut Links>;
}

/// The two ends of the list and its length.
#[derive(Debug)]
pub struct FdLru {
    newest: u32,
    oldest: u32,
    len: usize,
}

impl Default for FdLru {
    fn default() -> FdLru {
        FdLru { newest: NIL, oldest: NIL, len: 0 }
    }
}

impl FdLru {
    /// How many records are linked.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no record is linked.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Links `index` as the newest.
    pub fn push(&mut self, records: &mut impl Linked, index: u32) {
        let newest = self.newest;
        if let Some(links) = records.links(index) {
            *links = Links { newer: NIL, older: newest };
        }
        match records.links(newest) {
            Some(links) => links.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        self.len += 1;
    }

    /// Takes a linked `index` out.
    pub fn unlink(&mut self, records: &mut impl Linked, index: u32) {
        let Some(Links { newer, older }) = records.links(index).map(std::mem::take) else { return };
        match records.links(newer) {
            Some(links) => links.older = older,
            None => self.newest = older,
        }
        match records.links(older) {
            Some(links) => links.newer = newer,
            None => self.oldest = newer,
        }
        self.len -= 1;
    }

    /// Marks a linked `index` as used now.
    pub fn touch(&mut self, records: &mut impl Linked, index: u32) {
        if self.newest != index {
            self.unlink(records, index);
            self.push(records, index);
        }
    }

    /// Walks from the oldest record to newer ones.
    pub fn oldest(&self) -> Option<u32> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    /// The next newer record after `index`.
    pub fn newer(&self, records: &mut impl Linked, index: u32) -> Option<u32> {
        records.links(index).map(|l| l.newer).filter(|&n| n != NIL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Linked for Vec<Links> {
        fn links(&mut self, index: u32) -> Option<&mut Links> {
            self.get_mut(index as usize)
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_list(ops in proptest::collection::vec((0u8..3, 0u32..20), 0..300)) {
            let mut records = vec![Links::default(); 20];
            let (mut lru, mut model) = (FdLru::default(), Vec::<u32>::new());
            for (op, index) in ops {
                let linked = model.contains(&index);
                match op {
                    0 if !linked => { lru.push(&mut records, index); model.push(index); }
                    1 if linked => { lru.unlink(&mut records, index); model.retain(|&i| i != index); }
                    2 if linked => {
                        lru.touch(&mut records, index);
                        model.retain(|&i| i != index);
                        model.push(index);
                    }
                    _ => {}
                }
                let (mut walk, mut at) = (Vec::new(), lru.oldest());
                while let Some(i) = at {
                    walk.push(i);
                    at = lru.newer(&mut records, i);
                }
                prop_assert_eq!(&walk, &model);
                prop_assert_eq!(lru.len(), model.len());
            }
        }
    }
}
