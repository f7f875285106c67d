//! Short byte strings (names, file handles) by index: no pointer and no allocator header for each.

use super::slab::Slab;

/// Names a stored string; [`Blob::NONE`] is the empty one, which takes no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blob(u32);

impl Blob {
    /// The empty string.
    pub const NONE: Blob = Blob(u32::MAX);
}

impl Default for Blob {
    fn default() -> Blob {
        Blob::NONE
    }
}

/// A string with its length in the first byte.
#[derive(Clone, Copy)]
struct Cell<const N: usize>([u8; N]);

impl<const N: usize> Default for Cell<N> {
    fn default() -> Self {
        Cell([0; N])
    }
}

macro_rules! classes {
    ($($class:literal $field:ident $size:literal),*) => {
        /// The strings of one shard, in five size classes.
        #[derive(Default)]
        pub struct Blobs { $($field: Slab<Cell<$size>>),* }

        impl Blobs {
            /// Stores up to 255 bytes, and nothing of longer strings: no file handle is, and a name only where
            /// filesystems count its characters (vfat, exfat, ntfs).
            pub fn insert(&mut self, bytes: &[u8]) -> Blob {
                match bytes.len() + 1 {
                    1 => Blob::NONE,
                    $(..=$size => {
                        let mut cell = Cell([0; $size]);
                        cell.0[0] = bytes.len() as u8;
                        cell.0[1..=bytes.len()].copy_from_slice(bytes);
                        Blob(self.$field.insert(cell) << 3 | $class)
                    })*
                    _ => Blob::NONE,
                }
            }

            /// The stored bytes; empty for [`Blob::NONE`].
            pub fn get(&self, blob: Blob) -> &[u8] {
                if blob == Blob::NONE {
                    return &[];
                }
                match blob.0 & 7 {
                    $($class => self.$field.get(blob.0 >> 3).map_or(&[], |c| &c.0[1..=c.0[0] as usize]),)*
                    _ => &[],
                }
            }

            /// Gives the room back.
            pub fn remove(&mut self, blob: Blob) {
                if blob == Blob::NONE {
                    return;
                }
                match blob.0 & 7 {
                    $($class => drop(self.$field.remove(blob.0 >> 3)),)*
                    _ => {}
                }
            }
        }
    };
}

classes!(0 tiny 16, 1 small 32, 2 middle 64, 3 large 128, 4 huge 256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        let mut blobs = Blobs::default();
        let text: Vec<u8> = (0..255).collect();
        let all: Vec<Blob> = (0..=255).map(|n| blobs.insert(&text[..n])).collect();
        for (n, blob) in all.iter().enumerate() {
            assert_eq!(blobs.get(*blob), &text[..n]);
        }
        for blob in all {
            blobs.remove(blob);
            assert_eq!(blobs.get(blob), b"");
        }
    }
}
