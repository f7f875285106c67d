//! The Darwin shim: of `src/sys`, what `bench` asks for, under the same names. What is not done here yet, or cannot be,
//! answers [`std::io::ErrorKind::Unsupported`].

pub mod adopt;
pub mod depth;
pub mod interrupts;
pub mod load;
pub mod mount;
pub mod mountinfo;
pub mod pages;
pub mod told;
pub mod usage;

use std::io;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}
