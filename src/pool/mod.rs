//! The portable engine: threads that read `/dev/fuse`, finish one operation, and read again.
//!
//! Every host call is ready at once, so a worker polls the future of an operation a single time.

use std::cell::RefCell;
use std::ffi::CStr;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::Scope;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::core::attr::Stat;
use crate::core::handles::File;
use crate::core::host::{Host, Result, Suid};
use crate::core::ids::HostFd;
use crate::core::nodes::Closing;
use crate::ops::engine::{self, Session, Started};
use crate::ops::{Answer, Os};
use crate::protocol::abi::{InHeader, WriteIn};
use crate::protocol::{Errno, Reply, Request, decode};
use crate::stats::{Course, Moment, Phase, Recorder, Subject, Tick};
use crate::sys::{cpu, creds, device, fs::Linux};

/// Threads at the start and at most: enough that some slow reads do not stop the rest.
const FIRST: usize = 4;
const MOST: usize = 64;

/// Threads that wait for a lock at most, beside those.
const WAITING: usize = 4096;

/// Where a request starts in its buffer, so that the data of a WRITE is aligned for O_DIRECT.
const REQUEST: usize = 4096 - size_of::<InHeader>() - size_of::<WriteIn>();

struct Pool<'e> {
    session: &'e Session,
    host: Linux,
    /// Clones of the device, one for each CPU: threads that share one take each other's turns.
    devices: Vec<OwnedFd>,
    /// Threads that wait for a request.
    idle: AtomicUsize,
    /// Threads that are not waiting for a lock.
    threads: AtomicUsize,
    waiting: AtomicUsize,
    panicked: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

/// Serves until the mount is gone.
pub fn run(session: &Session, on_ready: &(dyn Fn(Started) + Sync)) -> io::Result<()> {
    let pool = Pool {
        session,
        host: Linux::new()?,
        devices: (0..FIRST.max(cpu::allowed().len()))
            .map(|_| device::clone(session.device.as_fd(), false))
            .collect::<io::Result<_>>()?,
        idle: AtomicUsize::new(0),
        threads: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        panicked: AtomicBool::new(false),
        failed: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..FIRST {
            pool.grow(scope)?;
        }
        on_ready(Started {
            transport: "/dev/fuse",
            workers: MOST,
            depth: 1,
            payload_bytes: (2 * MOST * session.init.request_size()) as u64,
            why_not_fast: None,
        });
        Ok(())
    })
    .and_then(|()| match pool.failed.into_inner() {
        Ok(None) if pool.panicked.into_inner() => Err(io::Error::other("a worker panicked: a bug in ptfs")),
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    })
}

impl Pool<'_> {
    /// Threads that serve a request, and do not wait for a lock.
    fn busy(&self) -> u64 {
        let (threads, idle) = (self.threads.load(Ordering::Relaxed), self.idle.load(Ordering::Relaxed));
        threads.saturating_sub(idle) as u64
    }

    /// One more reader, unless there are as many as there may be.
    fn grow<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> io::Result<()> {
        let room = |threads| if threads < MOST { Some(threads + 1) } else { None };
        let Ok(number) = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) else { return Ok(()) };
        self.idle.fetch_add(1, Ordering::Relaxed);
        let work = move || {
            let Some(device) = self.devices.get(number % self.devices.len()) else { return };
            if let Err(error) = self.work(scope, device) {
                *self.failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
            }
        };
        let started = std::thread::Builder::new().name(format!("pool-{number}")).spawn_scoped(scope, work);
        started.map(drop).inspect_err(|_| {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            self.threads.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, device: &OwnedFd) -> io::Result<()> {
        creds::own_umask()?;
        let recorder = self.session.stats.register();
        let course = Course::default();
        let mut request = Pages::new(REQUEST + self.session.init.request_size())?;
        let reply = RefCell::new(Pages::new(self.session.init.payload_size())?);
        loop {
            let bytes = match device::read(device, &mut request.bytes()[REQUEST..]) {
                Ok(bytes) => bytes,
                // The request was interrupted before it was read; or we were.
                Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => continue,
                // The mount is gone, or going while we read.
                Err(Errno::ENODEV | Errno(libc::ECONNABORTED)) => {
                    self.session.core.waits.close();
                    return Ok(());
                }
                Err(errno) => return Err(errno.into()),
            };
            if self.idle.fetch_sub(1, Ordering::Relaxed) == 1
                && let Err(error) = self.grow(scope)
            {
                tracing::debug!("no more threads: {error}");
            }
            self.answer(scope, device, bytes, &reply, (&recorder, &course));
            // Another took the place of one that waited for a lock.
            let too_many = |threads| if threads > MOST { Some(threads - 1) } else { None };
            if self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, too_many).is_ok() {
                return Ok(());
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn answer<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        device: &OwnedFd,
        bytes: &[u8],
        reply: &RefCell<Pages>,
        (recorder, course): (&Recorder, &Course),
    ) {
        let reaped = Moment::now();
        let (header, op_in, payload) = match decode::split(bytes) {
            Ok(parts) => parts,
            Err(error) => return tracing::warn!("a request that cannot be read: {error}"),
        };
        let unique = crate::protocol::Unique(header.unique);
        recorder.began(self.busy().saturating_sub(1));
        course.begin(reaped, reaped);
        let answer = match decode::decode(&header, op_in, payload) {
            Ok(request) => {
                let subject = Subject { unique: header.unique, nodeid: header.nodeid, pid: header.pid };
                recorder.concerns(course, &request.op, subject);
                self.serve(scope, request, reply, (recorder, course))
            }
            Err(_) if !decode::is_answered(header.opcode) => Reply::None.into(),
            Err(error) => error.errno().into(),
        };
        let (errno, moved) = (answer.reply.errno(), answer.reply.moved());
        if !matches!(answer.reply, Reply::None) {
            let mut payload = reply.borrow_mut();
            let body = payload.bytes();
            let written = answer.reply.encode(body).and_then(|len| {
                let header = answer.reply.header(unique, len);
                device::write(device, header.as_bytes(), body.get(..len).unwrap_or_default())
            });
            match written {
                Ok(()) => answer.commit(),
                // The request is gone (its caller was killed, or the mount is): what it was given is taken back.
                Err(_) => drop(answer),
            }
        }
        recorder.ended(course, Moment::now(), errno, moved);
    }

    fn serve<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        request: Request<'_>,
        reply: &RefCell<Pages>,
        (recorder, course): (&Recorder, &Course),
    ) -> Answer<'scope> {
        let os = Here { pool: self, host: &self.host, scope, reply, recorder, course };
        let alarm = || {
            self.panicked.store(true, Ordering::Relaxed);
            (self.session.alarm)();
        };
        match engine::poll(pin!(self.session.serve(&os, request)), alarm) {
            Poll::Ready(answer) => answer,
            // No call of this engine is ever pending.
            Poll::Pending => Errno::EIO.into(),
        }
    }
}

#[derive(Clone, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// A buffer aligned for O_DIRECT.
struct Pages(Vec<Page>);

impl Pages {
    /// Zeroed by the kernel, so that pages cost nothing until they are used.
    fn new(bytes: usize) -> io::Result<Pages> {
        let pages = Page::new_vec_zeroed(bytes.div_ceil(4096));
        pages.map(Pages).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice().as_mut_bytes()
    }
}

/// Host calls on the spot.
struct Here<'scope, 'env, 'e, 'r> {
    pool: &'scope Pool<'e>,
    host: &'scope Linux,
    scope: &'scope Scope<'scope, 'env>,
    reply: &'r RefCell<Pages>,
    recorder: &'r Recorder,
    course: &'r Course,
}

impl Os for Here<'_, '_, '_, '_> {
    type Host = Linux;

    fn host(&self) -> &Linux {
        self.host
    }

    fn inline<R>(&self, call: impl FnOnce(&Linux) -> R) -> R {
        self.tick(Tick::Inline);
        self.course.inline(|| call(self.host))
    }

    fn tick(&self, tick: Tick) {
        self.recorder.tick(tick);
    }

    fn offload<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Linux) -> Result<R> + Send + 'static,
    ) -> impl Future<Output = Result<R>> {
        std::future::ready(self.inline(f))
    }

    async fn park<R: Send + 'static>(&self, f: impl FnOnce(&Linux) -> Result<R> + Send + 'static) -> Result<R> {
        let pool = self.pool;
        let before = pool.waiting.fetch_add(1, Ordering::Relaxed);
        pool.threads.fetch_sub(1, Ordering::Relaxed);
        // Somebody must read the request that ends the wait.
        let read = if pool.idle.load(Ordering::Relaxed) == 0 { pool.grow(self.scope) } else { Ok(()) };
        let answer = match read {
            Ok(()) if before < WAITING => self.course.during(Phase::Lock, || f(self.host)),
            _ => Err(Errno::ENOLCK),
        };
        pool.threads.fetch_add(1, Ordering::Relaxed);
        pool.waiting.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    fn fill<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        f(self.reply.borrow_mut().bytes())
    }

    async fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        self.inline(|host| host.anchor(dir, name))
    }

    async fn stat(&self, fd: HostFd) -> Result<Stat> {
        self.inline(|host| host.stat(fd))
    }

    async fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd> {
        self.inline(|host| host.open(anchor, flags))
    }

    async fn read(&self, file: &File<'_>, offset: u64, size: u32) -> Result<usize> {
        let read = |host: &Linux, buf: &mut [u8]| {
            host.read(file.fd(), buf.get_mut(..size as usize).ok_or(Errno::EINVAL)?, offset)
        };
        self.inline(|host| self.fill(|buf| read(host, buf)))
    }

    async fn write(&self, file: &File<'_>, data: &[u8], offset: u64, append: bool, suid: Suid) -> Result<usize> {
        self.inline(|host| host.with_suid(suid, || host.write(file.fd(), data, offset, append)))
    }

    async fn fsync(&self, file: &File<'_>, datasync: bool) -> Result<()> {
        self.inline(|host| host.fsync(file.fd(), datasync))
    }

    async fn fallocate(&self, file: &File<'_>, mode: u32, range: (u64, u64), suid: Suid) -> Result<()> {
        self.inline(|host| host.with_suid(suid, || host.fallocate(file.fd(), mode, range.0, range.1)))
    }

    async fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.inline(|host| host.unlink(dir, name))
    }

    async fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.inline(|host| host.rmdir(dir, name))
    }

    async fn rename(&self, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()> {
        self.inline(|host| host.rename(from.0, from.1, to.0, to.1, flags))
    }

    fn close(&self, closing: Closing) {
        crate::sys::fs::close(closing.fd);
    }
}
