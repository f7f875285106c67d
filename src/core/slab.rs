//! A slab in chunks of 64: indices stay small, memory of emptied chunks goes back to the allocator.

const CHUNK: usize = 64;

/// Values addressed by a `u32` index that stays theirs until they are removed.
pub struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks that have room; the last one is filled first.
    open: Vec<u32>,
    len: usize,
}

struct Chunk<T> {
    /// Bit i is set while `values[i]` is in use.
    used: u64,
    /// Empty while `used` is 0.
    values: Vec<T>,
}

impl<T: Default> Slab<T> {
    /// An empty slab; allocates nothing.
    pub const fn new() -> Slab<T> {
        Slab { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }

    /// How many values are in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no value is in use.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores a value; the lowest index of the first slab is 0.
    pub fn insert(&mut self, value: T) -> u32 {
        let at = match self.open.last() {
            Some(&at) => at as usize,
            None => {
                self.chunks.push(Chunk { used: 0, values: Vec::new() });
                self.open.push((self.chunks.len() - 1) as u32);
                self.chunks.len() - 1
            }
        };
        let chunk = &mut self.chunks[at];
        if chunk.values.is_empty() {
            chunk.values.reserve_exact(CHUNK);
            chunk.values.resize_with(CHUNK, T::default);
        }
        let bit = chunk.used.trailing_ones() as usize;
        chunk.values[bit] = value;
        chunk.used |= 1 << bit;
        if chunk.used == u64::MAX {
            self.open.pop();
        }
        self.len += 1;
        (at * CHUNK + bit) as u32
    }

    /// The value at an index in use.
    pub fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get(index as usize / CHUNK)?;
        let bit = index as usize % CHUNK;
        if chunk.used >> bit & 1 == 1 { chunk.values.get(bit) } else { None }
    }

    /// The value at an index in use, to change.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(index as usize / CHUNK)?;
        let bit = index as usize % CHUNK;
        if chunk.used >> bit & 1 == 1 { chunk.values.get_mut(bit) } else { None }
    }

    /// Takes the value out; its index may be given to another.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let value = std::mem::take(self.get_mut(index)?);
        let at = index as usize / CHUNK;
        let chunk = &mut self.chunks[at];
        if chunk.used == u64::MAX {
            self.open.push(at as u32);
        }
        chunk.used &= !(1 << (index as usize % CHUNK));
        if chunk.used == 0 {
            chunk.values = Vec::new();
        }
        self.len -= 1;
        Some(value)
    }
}

impl<T: Default> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in proptest::collection::vec((any::<bool>(), 0u32..300), 0..800)) {
            let (mut slab, mut model) = (Slab::<u32>::new(), BTreeMap::new());
            for (insert, n) in ops {
                if insert {
                    let index = slab.insert(n);
                    prop_assert!(model.insert(index, n).is_none(), "index {index} was in use");
                } else {
                    prop_assert_eq!(slab.remove(n), model.remove(&n));
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            for index in 0..1000 {
                prop_assert_eq!(slab.get(index), model.get(&index));
            }
        }
    }

    #[test]
    fn emptied_chunks_hold_no_memory() {
        let mut slab = Slab::<[u64; 12]>::new();
        let all: Vec<u32> = (0..1000).map(|_| slab.insert([1; 12])).collect();
        for index in all {
            slab.remove(index);
        }
        assert!(slab.is_empty() && slab.chunks.iter().all(|c| c.values.capacity() == 0));
    }
}
