//! Operations on the real host without a kernel between: what no client of a mount can bring about here.

use std::cell::RefCell;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
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
use ptfs::protocol::abi::EntryOut;
use ptfs::protocol::decode::{decode, split};
use ptfs::protocol::{Caller, Errno, Labels, Op, Reply, Request, Unique};
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

    fn ask(&self, caller: Caller, nodeid: NodeId, op: Op<'_>) -> Result<Reply> {
        self.serve(Request { unique: Unique(2), nodeid, caller, labels: Labels::default(), op })
    }

    fn lookup(&self, name: &CStr) -> NodeId {
        let Ok(Reply::Entry(EntryOut { nodeid, .. })) = self.ask(ROOT, NodeId::ROOT, Op::Lookup { name }) else {
            panic!("{name:?} is not there")
        };
        NodeId(nodeid)
    }
}

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0, supp_gid: None };

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

/// A process with these supplementary groups, for as long as this lives.
struct Process(std::process::Child);

impl Process {
    fn with_groups(groups: &str) -> Process {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=1000", "--regid=1000", "--groups", groups, "sleep", "60"]);
        let child = command.spawn().unwrap();
        // The groups are set when it has become the other program.
        let comm = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Process(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// access(2) of a client: a mount is not asked, since the kernel checks permissions.
#[test]
fn access_knows_all_groups_of_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, "content").unwrap();
    chown(&path, Some(500), Some(2000)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let mount = Mount::of(dir.path());
    let file = mount.lookup(c"f");
    let (member, stranger) = (Process::with_groups("3000,2000"), Process::with_groups("3000"));
    let ask = |process: &Process, mask| {
        let caller = Caller { uid: 1000, gid: 1000, pid: process.0.id(), supp_gid: None };
        mount.ask(caller, file, Op::Access { mask })
    };
    assert_eq!(ask(&member, 4), Ok(Reply::Ok));
    assert_eq!(ask(&member, 0), Ok(Reply::Ok));
    assert_eq!(ask(&member, 2), Err(Errno::EACCES));
    assert_eq!(ask(&stranger, 4), Err(Errno::EACCES));
    let owner = Caller { uid: 500, gid: 500, pid: stranger.0.id(), supp_gid: None };
    assert_eq!(mount.ask(owner, file, Op::Access { mask: 6 }), Ok(Reply::Ok));
    assert_eq!(mount.ask(ROOT, file, Op::Access { mask: 6 }), Ok(Reply::Ok));
    assert_eq!(mount.ask(ROOT, file, Op::Access { mask: 1 }), Err(Errno::EACCES));
    // Whatever it did for others, the thread is itself again.
    assert_eq!(std::fs::metadata(&path).unwrap().gid(), 2000);
    std::fs::write(dir.path().join("mine"), "").unwrap();
    assert_eq!(std::fs::metadata(dir.path().join("mine")).unwrap().uid(), 0);
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
