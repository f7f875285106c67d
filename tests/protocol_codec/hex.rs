//! Bytes as text that explains itself.

/// Reads bytes from text. A line is words and, behind a `|`, a remark. A word is hex digits (`0a0b`), a repeated byte
/// (`00*12`) or a string without blanks (`'name'`, no terminator added).
pub fn hex(text: &str) -> Vec<u8> {
    let words = text.lines().flat_map(|line| line.split('|').next().unwrap().split_whitespace());
    let mut bytes = Vec::new();
    for word in words {
        if let Some(string) = word.strip_prefix('\'') {
            bytes.extend(string.strip_suffix('\'').expect("a quote at the end").bytes());
        } else if let Some((byte, count)) = word.split_once('*') {
            bytes.resize(bytes.len() + count.parse::<usize>().unwrap(), byte_of(byte));
        } else {
            assert!(word.len().is_multiple_of(2), "{word}");
            bytes.extend((0..word.len()).step_by(2).map(|at| byte_of(&word[at..at + 2])));
        }
    }
    bytes
}

fn byte_of(digits: &str) -> u8 {
    u8::from_str_radix(digits, 16).expect(digits)
}
