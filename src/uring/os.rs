//! Host calls of the uring engine: which becomes an entry of the ring, which runs inline, which goes to a helper.

use std::ffi::CStr;
use std::future::Future;
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use crate::core::attr::Stat;
use crate::core::handles::File;
use crate::core::host::{Host, Result, Suid};
use crate::core::ids::HostFd;
use crate::core::nodes::Closing;
use crate::ops::Os;
use crate::protocol::Errno;
use crate::stats::{Phase, Tick};
use crate::sys::fs::{Linux, STATX_MASK, anchor_how, close, stat_of};

use super::policy::{Call, Way};
use super::slot::Slot;
use super::worker::{Tag, Worker};

/// The host, as one slot's request sees it.
#[derive(Clone, Copy)]
pub struct SlotOs<'w, 'm> {
    /// The worker that serves the request.
    pub worker: &'w Worker<'m>,
    /// The slot's number.
    pub at: usize,
}

/// Bytes of stack of a thread that does nothing but wait for a lock.
const WAITER_STACK: usize = 128 << 10;

/// Bytes past which a short answer may be the edge of what is cached instead of the end of the file: the page cache
/// answers in whole pages.
const CACHE_PAGE: u64 = 4096;

impl<'w, 'm> SlotOs<'w, 'm> {
    fn slot(&self) -> Result<&'w Slot<'m>> {
        self.worker.slots.get(self.at).ok_or(Errno::EIO)
    }

    /// The slot's request is about to wait for what belongs to a phase.
    fn waits(&self, phase: Phase) {
        if let Ok(slot) = self.slot() {
            slot.course.waits(phase);
        }
    }

    /// Runs one entry on the ring. What it points to must be the slot's.
    fn ring(&self, entry: squeue::Entry) -> RingCall<'w, 'm> {
        RingCall { os: *self, entry: Some(entry) }
    }

    /// `f` as another thread runs it: its answer goes to `cell`, and the slot is reported.
    fn job<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Linux) -> Result<R> + Send + 'static,
        cell: Arc<Mutex<Option<Result<R>>>>,
    ) -> impl FnOnce(&Linux) + Send + 'static {
        let (mailbox, at) = (Arc::clone(&self.worker.mailbox), self.at);
        move |host| {
            let answer = catch_unwind(AssertUnwindSafe(|| f(host))).unwrap_or(Err(Errno::EIO));
            *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            mailbox.post(at);
        }
    }

    async fn ring_unit(&self, entry: squeue::Entry) -> Result<()> {
        self.ring(entry).await.map(drop)
    }

    async fn ring_fd(&self, entry: squeue::Entry) -> Result<OwnedFd> {
        let fd = self.ring(entry).await?;
        // SAFETY: the kernel just gave this descriptor to us alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Whether an answer that ended at `end` and was short was so because the file ends there: so much is known of the
    /// page cache of a local filesystem, and elsewhere only an empty answer tells.
    fn at_end(&self, file: &File<'_>, end: u64) -> bool {
        !file.direct() && self.worker.core.devices.all_local() && !end.is_multiple_of(CACHE_PAGE)
    }

    /// Reads from `done` on until the size is there or the file ends.
    async fn ring_read(&self, file: &File<'_>, offset: u64, size: usize, mut done: usize) -> Result<usize> {
        let slot = self.slot()?;
        while done < size {
            // SAFETY: within the payload, as read() has checked.
            let (at, rest) = (unsafe { slot.payload_ptr().add(done) }, (size - done) as u32);
            let entry = match self.worker.number_of(file) {
                Some(number) => opcode::Read::new(number, at, rest).offset(offset + done as u64).build(),
                None => opcode::Read::new(Fd(file.fd().0), at, rest).offset(offset + done as u64).build(),
            };
            match self.ring(entry).await {
                Ok(0) => break,
                Ok(n) => {
                    done += n as usize;
                    if n as u32 != rest && self.at_end(file, offset + done as u64) {
                        break;
                    }
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }
}

/// The future of one entry: pending until the loop hands the completion in.
struct RingCall<'w, 'm> {
    os: SlotOs<'w, 'm>,
    entry: Option<squeue::Entry>,
}

impl Future for RingCall<'_, '_> {
    type Output = Result<i32>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<i32>> {
        let SlotOs { worker, at } = self.os;
        let Some(slot) = worker.slots.get(at) else { return Poll::Ready(Err(Errno::EIO)) };
        if let Some(entry) = self.entry.take() {
            slot.result.set(None);
            slot.course.waits(Phase::Ring);
            worker.recorder.tick(Tick::Ring);
            worker.push(entry.user_data(Tag::Backing.of(at as u32)));
            return Poll::Pending;
        }
        match slot.result.take() {
            None => Poll::Pending,
            Some(result @ 0..) => Poll::Ready(Ok(result)),
            Some(error) => Poll::Ready(Err(Errno(-error))),
        }
    }
}

/// The future of a call on a helper.
struct Offload<R> {
    cell: Arc<Mutex<Option<Result<R>>>>,
}

impl<R> Future for Offload<R> {
    type Output = Result<R>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<R>> {
        match self.cell.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

impl Os for SlotOs<'_, '_> {
    type Host = Linux;

    fn host(&self) -> &Linux {
        &self.worker.host
    }

    fn inline<R>(&self, call: impl FnOnce(&Linux) -> R) -> R {
        self.tick(Tick::Inline);
        match self.slot() {
            Ok(slot) => slot.course.inline(|| call(self.host())),
            Err(_) => call(self.host()),
        }
    }

    fn tick(&self, tick: Tick) {
        self.worker.recorder.tick(tick);
    }

    fn offload<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Linux) -> Result<R> + Send + 'static,
    ) -> impl Future<Output = Result<R>> {
        self.tick(Tick::Helper);
        self.waits(Phase::Helper);
        let cell = Arc::new(Mutex::new(None));
        self.worker.helpers.run(Box::new(self.job(f, Arc::clone(&cell))));
        Offload { cell }
    }

    async fn park<R: Send + 'static>(&self, f: impl FnOnce(&Linux) -> Result<R> + Send + 'static) -> Result<R> {
        self.worker.park(self.at)?;
        let cell = Arc::new(Mutex::new(None));
        let job = self.job(f, Arc::clone(&cell));
        let host = Arc::clone(&self.worker.host);
        let thread = std::thread::Builder::new().name("waiter".to_owned()).stack_size(WAITER_STACK);
        self.waits(Phase::Lock);
        let answer = match thread.spawn(move || job(&host)) {
            Ok(_) => Offload { cell }.await,
            Err(_) => Err(Errno::ENOLCK),
        };
        self.worker.unpark(self.at);
        answer
    }

    fn fill<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        match self.slot() {
            // SAFETY: no backing call of this slot is in flight (its future runs), and by the contract of fill() what
            // the request borrowed is not looked at again.
            Ok(slot) => f(unsafe { slot.payload_mut() }),
            Err(_) => f(&mut []),
        }
    }

    async fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        match self.worker.way(Call::Anchor) {
            Way::Inline => return self.inline(|host| host.anchor(dir, name)),
            Way::Probe => match self.inline(|host| host.anchor_cached(dir, name)) {
                Err(Errno::EAGAIN) => self.tick(Tick::Punted),
                answer => return answer,
            },
            Way::Ring => {}
        }
        let slot = self.slot()?;
        let Ok(at) = slot.name(0, name) else {
            let name = name.to_owned();
            return self.offload(move |host| host.anchor(dir, &name)).await;
        };
        let how = slot.how(anchor_how(false));
        self.ring_fd(opcode::OpenAt2::new(Fd(dir.0), at, how).build()).await
    }

    async fn stat(&self, fd: HostFd) -> Result<Stat> {
        if self.worker.way(Call::Stat) != Way::Ring {
            return self.inline(|host| host.stat(fd));
        }
        let slot = self.slot()?;
        let name = slot.name(0, c"")?;
        let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
        let entry = opcode::Statx::new(Fd(fd.0), name, slot.statx()).flags(flags).mask(STATX_MASK).build();
        self.ring(entry).await?;
        // SAFETY: the call has completed with success.
        Ok(stat_of(&unsafe { slot.statx_result() }))
    }

    async fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd> {
        match self.worker.way(Call::Open) {
            Way::Inline | Way::Probe => self.inline(|host| host.open(anchor, flags)),
            Way::Ring if self.worker.ring_only() => {
                let (dir, name, flags) = self.inline(|host| host.reopening(anchor, flags))?;
                let name = self.slot()?.name(0, &name)?;
                self.ring_fd(opcode::OpenAt::new(Fd(dir), name).flags(flags).build()).await
            }
            // The ring would hand it to a thread as well, after a try of its own.
            Way::Ring => self.offload(move |host| host.open(anchor, flags)).await,
        }
    }

    async fn read(&self, file: &File<'_>, offset: u64, size: u32) -> Result<usize> {
        let size = size as usize;
        if size > self.slot()?.payload_len() {
            return Err(Errno::EINVAL);
        }
        match self.worker.way(Call::Read) {
            Way::Inline => self.inline(|host| self.fill(|buf| host.read(file.fd(), &mut buf[..size], offset))),
            Way::Probe => {
                let probe = |host: &Linux| self.fill(|buf| host.read_nowait(file.fd(), &mut buf[..size], offset));
                let done = match self.inline(probe) {
                    Ok(n) if n == size || n == 0 || self.at_end(file, offset + n as u64) => return Ok(n),
                    Ok(n) => n,
                    Err(Errno::EAGAIN) => 0,
                    Err(Errno::EOPNOTSUPP) => return self.ring_read(file, offset, size, 0).await,
                    Err(errno) => return Err(errno),
                };
                self.tick(Tick::Punted);
                self.ring_read(file, offset, size, done).await
            }
            Way::Ring => self.ring_read(file, offset, size, 0).await,
        }
    }

    async fn write(&self, file: &File<'_>, data: &[u8], offset: u64, append: bool, suid: Suid) -> Result<usize> {
        let mut done = 0;
        match self.worker.way(Call::Write) {
            Way::Inline => {
                let call = |host: &Linux| host.with_suid(suid, || host.write(file.fd(), data, offset, append));
                return self.inline(call);
            }
            Way::Probe if self.worker.nowait_writes.get() => {
                let probe = |host: &Linux| host.with_suid(suid, || host.write_nowait(file.fd(), data, offset, append));
                match self.inline(probe) {
                    Ok(n) if n == data.len() => return Ok(n),
                    Ok(n) => {
                        self.tick(Tick::Punted);
                        done = n;
                    }
                    Err(Errno::EAGAIN) => self.tick(Tick::Punted),
                    // ext4 cannot write without waiting, and says so in one of these ways.
                    Err(Errno::EOPNOTSUPP) => self.worker.nowait_writes.set(false),
                    // It may be the alignment as well: the ring will say.
                    Err(Errno::EINVAL) if file.direct() => {}
                    Err(Errno::EINVAL) => self.worker.nowait_writes.set(false),
                    Err(errno) => return Err(errno),
                }
            }
            Way::Probe | Way::Ring => {}
        }
        let flags = if append { libc::RWF_APPEND } else { 0 };
        while done < data.len() {
            let rest = &data[done..];
            let (at, len) = (rest.as_ptr(), rest.len() as u32);
            let entry = match self.worker.number_of(file) {
                Some(number) => opcode::Write::new(number, at, len).offset(offset + done as u64).rw_flags(flags),
                None => opcode::Write::new(Fd(file.fd().0), at, len).offset(offset + done as u64).rw_flags(flags),
            };
            match self.ring(self.worker.with_suid(entry.build(), suid)).await {
                Ok(0) => break,
                Ok(n) => done += n as usize,
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    async fn fsync(&self, file: &File<'_>, datasync: bool) -> Result<()> {
        if self.worker.way(Call::Slow) == Way::Inline {
            return self.inline(|host| host.fsync(file.fd(), datasync));
        }
        let flags = if datasync { io_uring::types::FsyncFlags::DATASYNC } else { io_uring::types::FsyncFlags::empty() };
        self.ring_unit(opcode::Fsync::new(Fd(file.fd().0)).flags(flags).build()).await
    }

    async fn fallocate(&self, file: &File<'_>, mode: u32, range: (u64, u64), suid: Suid) -> Result<()> {
        if self.worker.way(Call::Slow) == Way::Inline {
            let call = |host: &Linux| host.with_suid(suid, || host.fallocate(file.fd(), mode, range.0, range.1));
            return self.inline(call);
        }
        let entry = opcode::Fallocate::new(Fd(file.fd().0), range.1).offset(range.0).mode(mode as i32).build();
        self.ring_unit(self.worker.with_suid(entry, suid)).await
    }

    async fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        if self.worker.way(Call::Slow) == Way::Inline {
            return self.inline(|host| host.unlink(dir, name));
        }
        let Ok(at) = self.slot()?.name(0, name) else {
            let name = name.to_owned();
            return self.offload(move |host| host.unlink(dir, &name)).await;
        };
        self.ring_unit(opcode::UnlinkAt::new(Fd(dir.0), at).build()).await
    }

    async fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        if self.worker.way(Call::Slow) == Way::Inline {
            return self.inline(|host| host.rmdir(dir, name));
        }
        let Ok(at) = self.slot()?.name(0, name) else {
            let name = name.to_owned();
            return self.offload(move |host| host.rmdir(dir, &name)).await;
        };
        self.ring_unit(opcode::UnlinkAt::new(Fd(dir.0), at).flags(libc::AT_REMOVEDIR).build()).await
    }

    async fn rename(&self, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()> {
        if self.worker.way(Call::Slow) == Way::Inline {
            return self.inline(|host| host.rename(from.0, from.1, to.0, to.1, flags));
        }
        let slot = self.slot()?;
        let (Ok(name), Ok(newname)) = (slot.name(0, from.1), slot.name(1, to.1)) else {
            let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
            return self.offload(move |host| host.rename(from.0, &from.1, to.0, &to.1, flags)).await;
        };
        let entry = opcode::RenameAt::new(Fd(from.0.0), name, Fd(to.0.0), newname).flags(flags).build();
        self.ring_unit(entry).await
    }

    fn close(&self, closing: Closing) {
        match closing.may_block {
            true => self.worker.close_later(closing.fd.0),
            false => close(closing.fd),
        }
    }
}
