//! `seal_size`: what would change the size of a file, or store something beyond its end, is refused.

use crate::core::host::Result;
use crate::protocol::Errno;

/// FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of fallocate(2).
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
/// FALLOC_FL_ZERO_RANGE and FALLOC_FL_UNSHARE_RANGE, which leave what follows where it is.
const ZERO_RANGE: u32 = 0x10;
const UNSHARE_RANGE: u32 = 0x40;

/// `length` bytes are to be stored at `offset` of a file of `size` bytes.
pub fn storing(size: u64, offset: u64, length: u64) -> Result<()> {
    let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
    if length > 0 && end > size { Err(Errno::EPERM) } else { Ok(()) }
}

/// SETATTR names a size.
pub fn truncating(size: u64, wanted: u64) -> Result<()> {
    if size == wanted { Ok(()) } else { Err(Errno::EPERM) }
}

/// FALLOCATE. Room beyond the end is refused too, also where the size would stay: nobody else could free it.
pub fn allocating(size: u64, mode: u32, (offset, length): (u64, u64)) -> Result<()> {
    match mode {
        _ if mode & !(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE | UNSHARE_RANGE) != 0 => Err(Errno::EPERM),
        _ if mode & PUNCH_HOLE != 0 => Ok(()),
        _ => storing(size, offset, length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100;
    const REFUSED: Result<()> = Err(Errno::EPERM);

    #[test]
    fn only_what_lies_within_the_file_is_stored() {
        assert_eq!((storing(SIZE, 0, 100), storing(SIZE, 99, 1), storing(SIZE, 500, 0)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((storing(SIZE, 0, 101), storing(SIZE, 100, 1)), (REFUSED, REFUSED));
        assert_eq!(storing(SIZE, u64::MAX, 1), Err(Errno::EFBIG));
    }

    #[test]
    fn a_size_may_be_set_to_what_it_is() {
        assert_eq!((truncating(SIZE, 100), truncating(SIZE, 99), truncating(SIZE, 101)), (Ok(()), REFUSED, REFUSED));
    }

    #[test]
    fn room_is_made_within_the_file_only() {
        const INSERT_RANGE: u32 = 0x20;
        for mode in [0, KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, UNSHARE_RANGE] {
            assert_eq!((allocating(SIZE, mode, (0, 100)), allocating(SIZE, mode, (1, 100))), (Ok(()), REFUSED));
        }
        assert_eq!(allocating(SIZE, PUNCH_HOLE | KEEP_SIZE, (0, 1 << 20)), Ok(()));
        assert_eq!(allocating(SIZE, INSERT_RANGE, (0, 10)), REFUSED);
    }
}
