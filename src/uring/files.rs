//! Open files that a worker's ring knows by number, which spares it a lookup in the process's table for each call.
//!
//! A registered file stays open in every ring that knows it, so each ring is told of its RELEASE.

use std::cell::{Cell, RefCell};

use crate::core::handles::File;
use crate::core::ids::HostFd;

/// Numbers before the files': the transport's device and the mailbox.
pub const FIRST: u32 = 2;

/// Calls through this ring before a file is registered, for which a system call is due.
const WORTH_IT: u8 = 8;

#[derive(Clone, Copy, Default)]
struct Entry {
    fh: u64,
    calls: u8,
    registered: bool,
}

/// Which file has which number: the one that its fh's index gives, if it is free.
pub struct Files {
    ring: usize,
    entries: RefCell<Vec<Entry>>,
    held: Cell<usize>,
}

impl Files {
    /// A table of `len` numbers for ring number `ring`.
    pub fn new(ring: usize, len: usize) -> Files {
        Files { ring, entries: RefCell::new(vec![Entry::default(); len]), held: Cell::new(0) }
    }

    /// The number of a file, if it has one. `register` makes the ring know it.
    pub fn number(&self, file: &File<'_>, register: impl FnOnce(u32, HostFd) -> bool) -> Option<u32> {
        let mut entries = self.entries.borrow_mut();
        let len = entries.len();
        let at = (file.fh().0 as u32 as usize).checked_rem(len)?;
        let entry = entries.get_mut(at)?;
        let number = FIRST + at as u32;
        match entry {
            Entry { registered: true, fh, .. } => return (*fh == file.fh().0).then_some(number),
            Entry { fh, calls, .. } if *fh == file.fh().0 => *calls += 1,
            Entry { .. } => *entry = Entry { fh: file.fh().0, calls: 1, registered: false },
        }
        if entry.calls < WORTH_IT || !register(number, file.fd()) {
            return None;
        }
        entry.registered = true;
        self.held.set(self.held.get() + 1);
        file.registered_in(self.ring);
        Some(number)
    }

    /// The number that a released file had here, to be taken from the ring. Of its fh the bits of `mask` are known.
    pub fn forget(&self, fh: u64, mask: u64) -> Option<u32> {
        let mut entries = self.entries.borrow_mut();
        let len = entries.len();
        let at = (fh as u32 as usize).checked_rem(len)?;
        let entry = entries.get_mut(at).filter(|e| e.registered && e.fh & mask == fh)?;
        *entry = Entry::default();
        self.held.set(self.held.get() - 1);
        Some(FIRST + at as u32)
    }
}
