//! Many reads and writes in flight from one thread, by io_uring.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::{Runtime, builder, spawn};

/// O_DIRECT wants memory that begins at a block of the disk; no disk has larger ones.
const ALIGNMENT: usize = 4096;

/// One read or write.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Its number among the files.
    pub file: usize,
    /// Where.
    pub offset: u64,
    /// A write.
    pub write: bool,
}

/// Says what is asked for, and hears what was answered. Called from one thread.
pub trait Source {
    /// What a slot remembers while its transfer is in flight.
    type Ticket;
    /// The next transfer; a write's bytes go to `buffer`. None ends the slot that asked.
    fn next(&mut self, buffer: &mut [u8]) -> Option<(Transfer, Self::Ticket)>;
    /// The answer to it, and for a read what was read.
    fn done(&mut self, ticket: Self::Ticket, answer: io::Result<usize>, buffer: &[u8]);
}

/// Keeps `depth` transfers of `block` bytes in flight until the source has no more, and returns it.
pub fn run<S: Source + 'static>(files: Vec<File>, depth: usize, block: usize, source: S) -> io::Result<S> {
    let entries = u32::try_from(depth.next_power_of_two()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let runtime = Runtime::new(builder().entries(entries.max(8)))?;
    let source = Rc::new(RefCell::new(source));
    let ended = runtime.block_on(async {
        let files: Rc<[_]> = files.into_iter().map(tokio_uring::fs::File::from_std).collect();
        let slots: Vec<_> = (0..depth).map(|_| spawn(slot(files.clone(), block, source.clone()))).collect();
        let mut ended = Ok(());
        for slot in slots {
            ended = slot.await.map_err(io::Error::other).and(ended);
        }
        ended
    });
    drop(runtime);
    ended?;
    Rc::into_inner(source).map(RefCell::into_inner).ok_or_else(|| io::Error::other("a transfer outlived its round"))
}

async fn slot<S: Source>(files: Rc<[tokio_uring::fs::File]>, block: usize, source: Rc<RefCell<S>>) {
    let mut memory = vec![0; block + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    loop {
        // The borrow ends before the await: other slots ask meanwhile.
        let next = source.borrow_mut().next(&mut memory[start..start + block]);
        let Some((transfer, ticket)) = next else { return };
        let file = &files[transfer.file];
        let (answer, slice) = if transfer.write {
            file.write_at(memory.slice(start..start + block), transfer.offset).submit().await
        } else {
            file.read_at(memory.slice(start..start + block), transfer.offset).await
        };
        memory = slice.into_inner();
        source.borrow_mut().done(ticket, answer, &memory[start..start + block]);
    }
}
