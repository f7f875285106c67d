//! All memory that the kernel may touch while a request is served.
//!
//! A slot is one page for headers, names and results, then the payload. The mapping outlives the ring that was told of
//! it: [`super::worker::Worker`] declares its ring first, so that it is dropped first.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;

use io_uring::types;

use crate::core::host::Result;
use crate::protocol::abi::{InHeader, UringReqHeader, WriteIn};
use crate::protocol::{Errno, Unique};
use crate::stats::Course;

/// Bytes before the payload. O_DIRECT and huge pages want the payload aligned.
const PAGE: usize = 4096;

/// The page's plan, in bytes from its start.
const HEADER: usize = 0;
const IOVECS: usize = 512;
const STATX: usize = 1024;
const HOW: usize = 1536;
const NAMES: usize = 2048;
const NOTE: usize = 3072;
/// Longest name with its NUL, but where filesystems count characters (vfat): those names go to a helper.
const NAME: usize = 256;
/// A request of /dev/fuse is read so that the data of a WRITE starts at the payload.
const DEV_REQUEST: usize = PAGE - size_of::<InHeader>() - size_of::<WriteIn>();

/// The mapping of one worker's slots.
pub struct Memory {
    base: NonNull<u8>,
    len: usize,
    stride: usize,
}

impl Memory {
    /// Room for `slots` payloads of `payload` bytes, and addresses for `spare` more. Pages cost nothing until they are
    /// used.
    pub fn new(slots: usize, spare: usize, payload: usize) -> io::Result<Memory> {
        let stride = PAGE + payload.next_multiple_of(PAGE);
        let len = (stride * (slots + spare)).max(PAGE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        let memory = match NonNull::new(base.cast::<u8>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Memory { base, len, stride },
            _ => return Err(io::Error::last_os_error()),
        };
        memory.open(0, slots)?;
        Ok(memory)
    }

    /// Makes memory of the addresses of `count` slots from `first` on.
    pub fn open(&self, first: usize, count: usize) -> io::Result<()> {
        let (start, len) = (first * self.stride, count * self.stride);
        if start + len > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: within the mapping; access is only added.
        match unsafe { libc::mprotect(self.base.add(start).as_ptr().cast(), len, libc::PROT_READ | libc::PROT_WRITE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The slots, each to be used by one holder, and spare ones not before they are opened.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        (0..self.len / self.stride).map(|at| Slot {
            // SAFETY: within the mapping, which the slot's lifetime keeps.
            page: unsafe { self.base.add(at * self.stride) },
            payload: self.stride - PAGE,
            result: Cell::new(None),
            via: Cell::new(Via::Device),
            commit_id: Cell::new(0),
            unique: Cell::new(Unique(0)),
            course: Course::default(),
            memory: PhantomData,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by new() with this length; every slot borrows self, so none is left.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// How a slot's request came and its reply leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Read from /dev/fuse, written there.
    Device,
    /// An entry of the FUSE-over-io_uring queue with this number.
    Queue(u16),
}

/// One request in service.
pub struct Slot<'m> {
    page: NonNull<u8>,
    payload: usize,
    /// What the backing call in flight came to; one at most is.
    pub result: Cell<Option<i32>>,
    /// See [`Via`].
    pub via: Cell<Via>,
    /// `commit_id` of the request in a queue's entry.
    pub commit_id: Cell<u64>,
    /// Names the request in its reply.
    pub unique: Cell<Unique>,
    /// Where its time goes.
    pub course: Course,
    memory: PhantomData<&'m Memory>,
}

impl<'m> Slot<'m> {
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: every offset of the plan lies within the slot's page and payload.
        unsafe { self.page.add(offset).as_ptr() }
    }

    /// Bytes of payload.
    pub fn payload_len(&self) -> usize {
        self.payload
    }

    /// The payload, aligned to a page, for the kernel.
    pub fn payload_ptr(&self) -> *mut u8 {
        self.at(PAGE)
    }

    /// `struct fuse_uring_req_header`.
    fn header_ptr(&self) -> *mut UringReqHeader {
        self.at(HEADER).cast()
    }

    /// Header and payload as REGISTER takes them.
    pub fn iovecs(&self) -> *const libc::iovec {
        let iovecs = self.at(IOVECS).cast::<[libc::iovec; 2]>();
        let header = libc::iovec { iov_base: self.at(HEADER).cast(), iov_len: size_of::<UringReqHeader>() };
        let payload = libc::iovec { iov_base: self.payload_ptr().cast(), iov_len: self.payload };
        // SAFETY: aligned and within the page; nobody else writes there.
        unsafe { iovecs.write([header, payload]) };
        iovecs.cast()
    }

    /// Where a request of /dev/fuse is read to, and how many bytes fit.
    pub fn request_area(&self) -> (*mut u8, u32) {
        (self.at(DEV_REQUEST), (PAGE - DEV_REQUEST + self.payload) as u32)
    }

    /// The `len` bytes of a request read from /dev/fuse.
    ///
    /// # Safety
    /// The read has completed with `len` bytes, and nothing writes the slot's payload while the slice is used.
    pub unsafe fn request(&self, len: usize) -> &'m [u8] {
        let (at, room) = self.request_area();
        // SAFETY: initialised by the kernel (or zero since the mapping), and stable by the caller's promise.
        unsafe { std::slice::from_raw_parts(at, len.min(room as usize)) }
    }

    /// The header of a request that a queue's entry received.
    ///
    /// # Safety
    /// The entry is ours: its completion came. The reference is not used after the entry is committed.
    pub unsafe fn uring_header(&self) -> &'m UringReqHeader {
        // SAFETY: aligned, initialised, and not written by anybody now, by the caller's promise.
        unsafe { &*self.header_ptr() }
    }

    /// Puts the header of a reply in place.
    ///
    /// # Safety
    /// The entry is ours, and nothing of [`Slot::uring_header`] is used any more.
    pub unsafe fn set_uring_header(&self, header: UringReqHeader) {
        // SAFETY: aligned, within the page, ours by the caller's promise.
        unsafe { self.header_ptr().write(header) }
    }

    /// The first `len` bytes of the payload, as the request's.
    ///
    /// # Safety
    /// Nothing writes the payload while the slice is used.
    pub unsafe fn payload(&self, len: usize) -> &'m [u8] {
        // SAFETY: within the mapping, initialised, stable by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.payload_ptr(), len.min(self.payload)) }
    }

    /// The whole payload, to write.
    ///
    /// # Safety
    /// Nothing else reads or writes the payload while the slice is used: what the request borrowed is not looked at
    /// again, and no backing call is in flight.
    #[allow(clippy::mut_from_ref, reason = "the memory is the slot's, not part of the struct")]
    pub unsafe fn payload_mut(&self) -> &mut [u8] {
        // SAFETY: within the mapping, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.payload_ptr(), self.payload) }
    }

    /// The area before the payload where a reply's header goes, so that header and body are one write.
    pub fn reply_header(&self, len: usize) -> *mut u8 {
        self.at(PAGE - len)
    }

    /// Copies a name to where the kernel may read it until the call completes. `which` is 0 or 1.
    pub fn name(&self, which: usize, name: &CStr) -> Result<*const libc::c_char> {
        let bytes = name.to_bytes_with_nul();
        if bytes.len() > NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let at = self.at(NAMES + which % 2 * NAME);
        // SAFETY: NAME bytes there are for this name alone, and no call in flight uses them: one is at a time.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        Ok(at.cast())
    }

    /// Puts a message to the kernel where it may read it until the call completes.
    pub fn note(&self, note: [u8; 48]) -> (*const u8, u32) {
        let at = self.at(NOTE);
        // SAFETY: within the page, and for this alone.
        unsafe { std::ptr::copy_nonoverlapping(note.as_ptr(), at, note.len()) };
        (at, note.len() as u32)
    }

    /// Where IORING_OP_STATX writes.
    pub fn statx(&self) -> *mut types::statx {
        self.at(STATX).cast()
    }

    /// What IORING_OP_STATX wrote.
    ///
    /// # Safety
    /// The call has completed with success.
    pub unsafe fn statx_result(&self) -> libc::statx {
        // SAFETY: aligned, and filled by the kernel.
        unsafe { self.at(STATX).cast::<libc::statx>().read() }
    }

    /// Puts `how` where IORING_OP_OPENAT2 reads it.
    pub fn how(&self, how: libc::open_how) -> *const types::OpenHow {
        let at = self.at(HOW).cast::<libc::open_how>();
        // SAFETY: aligned and within the page; OpenHow is the same struct open_how.
        unsafe { at.write(how) };
        at.cast()
    }
}
