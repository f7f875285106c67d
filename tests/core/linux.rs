//! Operations on the real host without a kernel between: what no client of a mount can bring about here.

use std::cell::RefCell;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use ptfs::core::Core;
use ptfs::core::attr::Stat;
use ptfs::core::config::Config;
use ptfs::core::handles::File;
use ptfs::core::host::{Host, Result, Suid};
use ptfs::core::ids::{HostFd, NodeId};
use ptfs::core::nodes::Closing;
use ptfs::ops::{Os, engine, serve};
use ptfs::protocol::abi::{CopyFileRangeOut, WriteOut};
use ptfs::protocol::decode::{decode, split};
use ptfs::protocol::{Caller, Errno, Fh, Labels, Op, Reply, Request, Unique};
use ptfs::sys::fs::Linux;
use zerocopy::IntoBytes;

struct Mount {
    core: Core,
    host: Linux,
    payload: RefCell<Vec<u8>>,
}

impl Mount {
    fn of(source: &Path) -> Mount {
        let host = Linux::new().unwrap();
        let root = std::fs::File::open(source).unwrap();
        let root = host.reanchor(HostFd(root.as_raw_fd())).unwrap();
        let core = engine::tables(&host, Config::default(), root).unwrap();
        Mount { core, host, payload: RefCell::new(vec![0; 1 << 16]) }
    }

    fn serve(&self, request: Request<'_>) -> Result<Reply> {
        match engine::poll(pin!(serve(&self.core, self, request)), || panic!("serve panicked")) {
            Poll::Ready(answer) => {
                let reply = answer.reply;
                answer.commit();
                reply.errno().map_or(Ok(reply), Err)
            }
            Poll::Pending => panic!("no call of this host is ever pending"),
        }
    }
}

impl Os for Mount {
    type Host = Linux;

    fn host(&self) -> &Linux {
        &self.host
    }
    async fn offload<R: Send + 'static>(&self, f: impl FnOnce(&Linux) -> Result<R> + Send + 'static) -> Result<R> {
        f(&self.host)
    }
    async fn park<R: Send + 'static>(&self, f: impl FnOnce(&Linux) -> Result<R> + Send + 'static) -> Result<R> {
        f(&self.host)
    }
    fn fill<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        f(&mut self.payload.borrow_mut())
    }
    async fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        self.host.anchor(dir, name)
    }
    async fn stat(&self, fd: HostFd) -> Result<Stat> {
        self.host.stat(fd)
    }
    async fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd> {
        self.host.open(anchor, flags)
    }
    async fn read(&self, file: &File<'_>, offset: u64, size: u32) -> Result<usize> {
        self.host.read(file.fd(), &mut self.payload.borrow_mut()[..size as usize], offset)
    }
    async fn write(&self, file: &File<'_>, data: &[u8], offset: u64, append: bool, _: Suid) -> Result<usize> {
        self.host.write(file.fd(), data, offset, append)
    }
    async fn fsync(&self, file: &File<'_>, datasync: bool) -> Result<()> {
        self.host.fsync(file.fd(), datasync)
    }
    async fn fallocate(&self, file: &File<'_>, mode: u32, range: (u64, u64), _: Suid) -> Result<()> {
        self.host.fallocate(file.fd(), mode, range.0, range.1)
    }
    async fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.host.unlink(dir, name)
    }
    async fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.host.rmdir(dir, name)
    }
    async fn rename(&self, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()> {
        self.host.rename(from.0, from.1, to.0, to.1, flags)
    }
    fn close(&self, closing: Closing) {
        ptfs::sys::fs::close(closing.fd);
    }
}

/// No security module is at work here, so that a name of users serves as its label's.
#[test]
fn what_is_made_gets_its_labels_or_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount::of(dir.path());
    let make = |opcode: u32, body: &[u8], label: &str| {
        let (name, value) = label.split_once('=').unwrap();
        let mut list =
            [&(value.len() as u32).to_ne_bytes(), &[0; 4][..], name.as_bytes(), b"\0", value.as_bytes()].concat();
        list.resize((list.len() + 8).next_multiple_of(8) - 8, 0);
        let extension = [&(list.len() as u32 + 8).to_ne_bytes(), &1u32.to_ne_bytes()[..], &list].concat();
        let header = ptfs::protocol::abi::InHeader {
            len: (40 + body.len() + extension.len()) as u32,
            opcode,
            unique: 2,
            nodeid: 1,
            total_extlen: (extension.len() / 8) as u16,
            ..Default::default()
        };
        let bytes = [header.as_bytes(), body, &extension].concat();
        let (header, op_in, payload) = split(&bytes).unwrap();
        mount.serve(decode(&header, op_in, payload).unwrap())
    };
    let word = |n: u32| n.to_ne_bytes();
    let mkdir = [&word(0o755)[..], &word(0), b"d\0"].concat();
    let create = [&word(0o102)[..], &word(0o100644), &word(0), &word(0), b"f\0"].concat();
    let mknod = [&word(0o10644)[..], &word(0), &word(0), &word(0), b"p\0"].concat();
    for (opcode, body, name) in [(9, &mkdir, "d"), (35, &create, "f")] {
        assert!(make(opcode, body, "user.label=secret").is_ok());
        let path = dir.path().join(name);
        let mut value = [0; 16];
        let c = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        let fd = mount
            .host
            .anchor(mount.core.nodes.pin(NodeId::ROOT).unwrap().fd().unwrap(), &std::ffi::CString::new(name).unwrap())
            .unwrap();
        let n = mount.host.getxattr(HostFd(fd.as_raw_fd()), c"user.label", &mut value).unwrap();
        assert_eq!(&value[..n], b"secret", "{c:?}");
    }
    // A FIFO has no attributes of users: EPERM, and there is no FIFO.
    assert_eq!(make(8, &mknod, "user.label=secret"), Err(Errno::EPERM));
    assert!(!dir.path().join("p").exists());
    for (opcode, body, name) in [(9, &mkdir, "d"), (35, &create, "f")] {
        let _ = std::fs::remove_dir(dir.path().join(name)).or_else(|_| std::fs::remove_file(dir.path().join(name)));
        assert_eq!(make(opcode, body, "nonsense=secret"), Err(Errno::EOPNOTSUPP));
        assert!(!dir.path().join(name).exists());
    }
}

/// COPY_FILE_RANGE answers in 32 bits, COPY_FILE_RANGE_64 in 64.
#[test]
fn copies_are_counted_in_the_width_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("from"), [7; 5000]).unwrap();
    std::fs::write(dir.path().join("to"), "").unwrap();
    let mount = Mount::of(dir.path());
    let caller = Caller { uid: 0, gid: 0, pid: 0, supp_gid: None };
    let ask =
        |nodeid, op| mount.serve(Request { unique: Unique(2), nodeid, caller, labels: Labels::default(), op }).unwrap();
    let open = |name, flags| {
        let Reply::Entry(entry) = ask(NodeId::ROOT, Op::Lookup { name }) else { panic!("no entry") };
        let nodeid = NodeId(entry.nodeid);
        let Reply::Open(open) = ask(nodeid, Op::Open { flags, kill_suidgid: false }) else { panic!("no file") };
        (nodeid, Fh(open.fh))
    };
    let ((from, fh_in), (to, fh_out)) = (open(c"from", 0), open(c"to", 1));
    let copy = |off_in, off_out, wide| {
        let (nodeid_out, len, flags) = (to, u64::MAX, 0);
        ask(from, Op::CopyFileRange { fh_in, off_in, nodeid_out, fh_out, off_out, len, flags, wide })
    };
    assert_eq!(copy(0, 0, false), Reply::Write(WriteOut { size: 5000, padding: 0 }));
    assert_eq!(copy(1000, 5000, true), Reply::Copied(CopyFileRangeOut { bytes_copied: 4000 }));
    assert_eq!(std::fs::read(dir.path().join("to")).unwrap(), [7; 9000]);
}
