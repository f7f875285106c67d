//! poll(2) and ioctl(2).

use std::mem::offset_of;

use crate::core::host::Result;
use crate::core::ids::HostFd;
use crate::protocol::Errno;

use super::fs::check;

/// Which of `events` are there, without waiting.
pub fn poll(file: HostFd, events: u32) -> Result<u32> {
    let mut one = libc::pollfd { fd: file.0, events: events as i16, revents: 0 };
    // SAFETY: one struct pollfd.
    check(unsafe { libc::poll(&raw mut one, 1, 0) })?;
    Ok(one.revents as u16 as u32)
}

/// `struct fsverity_enable_arg` of linux/fsverity.h.
#[repr(C)]
struct EnableArg {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt_ptr: u64,
    sig_size: u32,
    reserved1: u32,
    sig_ptr: u64,
    reserved2: [u64; 11],
}

const FS_IOC_ENABLE_VERITY: u32 = 0x4080_6685;
const FS_IOC_MEASURE_VERITY: u32 = 0xc004_6686;

/// ioctl(2) on an argument of at least the size that the command tells.
pub fn ioctl(file: HostFd, command: u32, argument: &mut [u8]) -> Result<u32> {
    if argument.len() < (command >> 16 & 0x3fff) as usize {
        return Err(Errno::EINVAL);
    }
    match command {
        FS_IOC_ENABLE_VERITY => point(argument)?,
        FS_IOC_MEASURE_VERITY => room_for_digest(argument)?,
        _ => {}
    }
    // SAFETY: the kernel reads and writes as much as the command's size tells, which the argument has; what a verity
    // command has beyond that is within the argument too, as was just made sure.
    check(unsafe { libc::ioctl(file.0, command.into(), argument.as_mut_ptr()) }).map(|result| result as u32)
}

/// `struct fsverity_digest` tells how long a digest may come behind it.
fn room_for_digest(argument: &[u8]) -> Result<()> {
    let &[_, _, low, high, ref room @ ..] = argument else { return Err(Errno::EINVAL) };
    if usize::from(u16::from_ne_bytes([low, high])) <= room.len() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Salt and signature come behind the struct, whose addresses are the caller's.
fn point(argument: &mut [u8]) -> Result<()> {
    let number = |at: usize| {
        let bytes = argument.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or(Errno::EINVAL)
    };
    let salt_size = number(offset_of!(EnableArg, salt_size))? as usize;
    let sig_size = number(offset_of!(EnableArg, sig_size))? as usize;
    let salt = size_of::<EnableArg>();
    let sig = salt.checked_add(salt_size).ok_or(Errno::EINVAL)?;
    if sig.checked_add(sig_size).is_none_or(|end| end > argument.len()) {
        return Err(Errno::EINVAL);
    }
    let base = argument.as_ptr() as u64;
    for (at, start, size) in
        [(offset_of!(EnableArg, salt_ptr), salt, salt_size), (offset_of!(EnableArg, sig_ptr), sig, sig_size)]
    {
        let address = if size == 0 { 0 } else { base + start as u64 };
        argument.get_mut(at..at + 8).ok_or(Errno::EINVAL)?.copy_from_slice(&address.to_ne_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_and_signature_are_pointed_to_within_the_argument() {
        let mut argument = vec![0u8; size_of::<EnableArg>() + 5];
        argument[offset_of!(EnableArg, salt_size)] = 2;
        argument[offset_of!(EnableArg, sig_size)] = 3;
        point(&mut argument).unwrap();
        let salt = argument.as_ptr() as u64 + size_of::<EnableArg>() as u64;
        let at = |at: usize| u64::from_ne_bytes(argument[at..at + 8].try_into().unwrap());
        assert_eq!(at(offset_of!(EnableArg, salt_ptr)), salt);
        assert_eq!(at(offset_of!(EnableArg, sig_ptr)), salt + 2);
        argument[offset_of!(EnableArg, sig_size)] = 4;
        assert_eq!(point(&mut argument), Err(Errno::EINVAL));
    }
}
