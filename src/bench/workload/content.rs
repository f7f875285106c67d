//! What files hold: a function of file, offset and version, so that every read can be checked and nothing is kept.

/// Every block begins with a word of its own; the words that follow count up from it.
const BLOCK: u64 = 4096;
const WORD: usize = 8;
/// Between two words of a block. Odd, so that no two words of a block are equal.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the files of one workload hold.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    seed: u64,
    text: bool,
}

/// A place in a file, and how often it was overwritten by then.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The file's number.
    pub file: u64,
    /// A multiple of 8.
    pub offset: u64,
    /// 0 is what was prepared.
    pub version: u64,
}

impl Content {
    /// Bytes that look random, or lines of letters for programs that leave binary files alone.
    pub fn new(seed: u64, text: bool) -> Content {
        Content { seed, text }
    }

    fn first_word(&self, at: Place) -> u64 {
        mix(mix(mix(self.seed ^ at.file) ^ (at.offset / BLOCK)) ^ at.version)
    }

    fn word(&self, first: u64, offset: u64) -> [u8; WORD] {
        let index = offset % BLOCK / WORD as u64;
        let word = first.wrapping_add(index.wrapping_mul(STRIDE));
        if !self.text {
            return word.to_le_bytes();
        }
        // Letters from a to p, in lines of 64.
        let mut letters = ((word & 0x0f0f_0f0f_0f0f_0f0f) + 0x6161_6161_6161_6161).to_le_bytes();
        if index % 8 == 7 {
            letters[WORD - 1] = b'\n';
        }
        letters
    }

    /// Makes `buffer` what belongs there.
    pub fn fill(&self, mut at: Place, buffer: &mut [u8]) {
        let mut first = self.first_word(at);
        for word in buffer.chunks_mut(WORD) {
            word.copy_from_slice(&self.word(first, at.offset)[..word.len()]);
            at.offset += WORD as u64;
            if at.offset.is_multiple_of(BLOCK) {
                first = self.first_word(at);
            }
        }
    }

    /// Looks at one word in 4 KiB: finds a block of another place, another time, or of zeroes.
    pub fn check_words(&self, at: Place, got: &[u8]) -> Result<(), String> {
        self.check(at, got, BLOCK as usize)
    }

    /// Looks at every byte.
    pub fn check_bytes(&self, at: Place, got: &[u8]) -> Result<(), String> {
        self.check(at, got, WORD)
    }

    fn check(&self, at: Place, got: &[u8], step: usize) -> Result<(), String> {
        let mut block = (u64::MAX, 0);
        for (n, word) in got.chunks(step).enumerate() {
            let here = Place { offset: at.offset + (n * step) as u64, ..at };
            if block.0 != here.offset / BLOCK {
                block = (here.offset / BLOCK, self.first_word(here));
            }
            let expected = self.word(block.1, here.offset);
            let word = &word[..word.len().min(WORD)];
            if *word != expected[..word.len()] {
                return Err(format!(
                    "file {} at byte {}: {} instead of {}",
                    at.file,
                    here.offset,
                    hex(word),
                    hex(&expected[..word.len()])
                ));
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The finalizer of splitmix64: each bit of the answer depends on each bit of what is asked.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(STRIDE);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Numbers that look random and are the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Random {
        Random(mix(seed))
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        ((u128::from(mix(self.0)) * u128::from(bound)) >> 64) as u64
    }

    /// Puts them in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { file: 3, offset: 0, version: 0 };

    fn filled(content: &Content, at: Place, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        content.fill(at, &mut buffer);
        buffer
    }

    #[test]
    fn a_part_is_the_same_as_in_the_whole() {
        for text in [false, true] {
            let content = Content::new(7, text);
            let whole = filled(&content, AT, 20_003);
            for (offset, length) in [(0, 20_003), (8, 100), (4096, 4096), (4088, 16), (8192 + 512, 9_000), (20_000, 3)]
            {
                let at = Place { offset: offset as u64, ..AT };
                assert_eq!(filled(&content, at, length), whole[offset..offset + length], "{offset}+{length}");
                assert_eq!(content.check_bytes(at, &whole[offset..offset + length]), Ok(()));
                assert_eq!(content.check_words(at, &whole[offset..offset + length]), Ok(()));
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_found_by_the_whole_check() {
        let content = Content::new(7, true);
        let mut bytes = filled(&content, AT, 5_001);
        for n in 0..bytes.len() {
            bytes[n] ^= 1;
            let why = content.check_bytes(AT, &bytes).expect_err("a flipped byte");
            assert!(why.contains(&format!("file 3 at byte {}:", n / 8 * 8)), "{why}");
            bytes[n] ^= 1;
        }
    }

    #[test]
    fn blocks_of_other_places_and_times_are_found_by_their_first_word() {
        let content = Content::new(7, false);
        let block = filled(&content, Place { offset: 8192, ..AT }, 4096);
        for at in [
            Place { offset: 4096, ..AT },
            Place { file: 4, offset: 8192, version: 0 },
            Place { offset: 8192, version: 1, ..AT },
        ] {
            content.check_words(at, &block).expect_err("another block");
        }
        content.check_words(Place { offset: 8192, ..AT }, &[0; 4096]).expect_err("zeroes");
        let seeded = Content::new(8, false);
        seeded.check_words(Place { offset: 8192, ..AT }, &block).expect_err("another run");
    }

    #[test]
    fn text_is_lines_of_letters() {
        let text = filled(&Content::new(1, true), AT, 8192);
        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        assert_eq!(lines.len(), 8192 / 64 + 1);
        assert!(lines.iter().flat_map(|line| line.iter()).all(|byte| (b'a'..=b'p').contains(byte)));
    }

    #[test]
    fn random_numbers_stay_below_and_reach_all() {
        let mut random = Random::new(1);
        let mut seen = [0; 10];
        (0..10_000).for_each(|_| seen[random.below(10) as usize] += 1);
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
        let mut items: Vec<u32> = (0..100).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<u32>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<u32>>());
    }
}
