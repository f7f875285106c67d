//! A host in memory: a tree of directories and files, and a mount of it that is asked without a kernel.
//!
//! Each file is a socket, and its descriptors are duplicates of that: which file a descriptor stands for, and whether
//! it is still open, is for the real kernel to say. Inode numbers are used again as soon as nothing holds the file, as
//! ext4 does. No two files are born at the same time, and a file's size tells when it was.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;

use ptfs::core::Core;
use ptfs::core::attr::{KIND_DIRECTORY, KIND_REGULAR, Stat, Time};
use ptfs::core::config::Config;
use ptfs::core::handles::File;
use ptfs::core::host::{DirBatch, FileHandle, Host, Making, Result};
use ptfs::core::ids::{HostFd, HostGid, HostUid, NodeId};
use ptfs::core::locks::{Cancel, Lock};
use ptfs::core::nodes::Closing;
use ptfs::ops::{Answer, Os, engine, serve};
use ptfs::protocol::abi::{EntryOut, Kstatfs};
use ptfs::protocol::{Caller, Errno, Labels, Op, Reply, Request, SetTime, Unique};

pub const NOREPLACE: u32 = 1;
pub const EXCHANGE: u32 = 2;

/// A file, for good.
pub type Birth = u64;

pub struct Inode {
    socket: UnixDatagram,
    ino: u64,
    mode: u32,
    nlink: u32,
    owner: (HostUid, HostGid),
    xattrs: BTreeMap<CString, Vec<u8>>,
    entries: BTreeMap<CString, Birth>,
}

/// What the host's other users see, and change.
#[derive(Default)]
pub struct Tree {
    inodes: BTreeMap<Birth, Inode>,
    by_socket: HashMap<String, Birth>,
    free: Vec<u64>,
    births: u64,
}

pub const ROOT: Birth = 1;

fn link_of(fd: i32) -> Option<String> {
    Some(std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?.to_string_lossy().into_owned())
}

impl Tree {
    fn new() -> Tree {
        let mut tree = Tree::default();
        tree.add(KIND_DIRECTORY | 0o755);
        tree
    }

    fn add(&mut self, mode: u32) -> Birth {
        self.births += 1;
        let held = self.held();
        let gone = |birth: &Birth, inode: &mut Inode| inode.nlink == 0 && !held.contains_key(birth);
        for (_, inode) in self.inodes.extract_if(.., gone) {
            self.by_socket.remove(&link_of(inode.socket.as_raw_fd()).unwrap());
            self.free.push(inode.ino);
        }
        let ino = self.free.pop().unwrap_or(self.inodes.len() as u64 + 1);
        let socket = UnixDatagram::unbound().unwrap();
        self.by_socket.insert(link_of(socket.as_raw_fd()).unwrap(), self.births);
        let (owner, xattrs, entries) = Default::default();
        self.inodes.insert(self.births, Inode { socket, ino, mode, nlink: 1, owner, xattrs, entries });
        self.births
    }

    /// Files of which there are descriptors, and how many.
    fn held(&self) -> HashMap<Birth, usize> {
        let mut held = HashMap::new();
        for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
            let link = entry.ok().and_then(|e| std::fs::read_link(e.path()).ok());
            let birth = link.and_then(|link| self.by_socket.get(link.to_str()?));
            birth.into_iter().for_each(|&birth| *held.entry(birth).or_insert(0) += 1);
        }
        // The tree has one itself.
        held.retain(|_, n| {
            *n -= 1;
            *n > 0
        });
        held
    }

    fn birth(&self, fd: HostFd) -> Birth {
        let link = link_of(fd.0).unwrap_or_else(|| panic!("{fd:?} is used and closed"));
        *self.by_socket.get(&link).unwrap_or_else(|| panic!("{fd:?} is no descriptor of this host: {link}"))
    }

    fn inode(&mut self, birth: Birth) -> &mut Inode {
        self.inodes.get_mut(&birth).unwrap()
    }

    pub fn owner(&self, birth: Birth) -> (HostUid, HostGid) {
        self.inodes[&birth].owner
    }

    pub fn xattr(&self, birth: Birth, name: &CStr) -> Option<&Vec<u8>> {
        self.inodes[&birth].xattrs.get(name)
    }

    pub fn is_dir(&self, birth: Birth) -> bool {
        self.inodes.get(&birth).is_some_and(|inode| inode.mode & KIND_DIRECTORY != 0)
    }

    pub fn exists(&self, birth: Birth) -> bool {
        self.inodes.get(&birth).is_some_and(|inode| inode.nlink > 0)
    }

    pub fn dirs(&self) -> Vec<Birth> {
        self.inodes.keys().copied().filter(|&birth| self.is_dir(birth) && self.exists(birth)).collect()
    }

    pub fn ino(&self, birth: Birth) -> u64 {
        self.inodes[&birth].ino
    }

    pub fn find(&self, dir: Birth, name: &CStr) -> Result<Birth> {
        if !self.is_dir(dir) {
            return Err(Errno::ENOTDIR);
        }
        self.inodes[&dir].entries.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn room(&self, dir: Birth, name: &CStr) -> Result<()> {
        match self.find(dir, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if self.exists(dir) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub fn make(&mut self, dir: Birth, name: &CStr, mode: u32) -> Result<Birth> {
        self.room(dir, name)?;
        let birth = self.add(mode);
        self.inode(dir).entries.insert(name.to_owned(), birth);
        Ok(birth)
    }

    fn make_for(&mut self, making: &Making, dir: Birth, name: &CStr, mode: u32) -> Result<Birth> {
        let birth = self.make(dir, name, mode)?;
        self.inode(birth).owner = (making.uid, making.gid);
        Ok(birth)
    }

    fn link(&mut self, birth: Birth, dir: Birth, name: &CStr) -> Result<()> {
        self.room(dir, name)?;
        if self.is_dir(birth) {
            return Err(Errno::EPERM);
        }
        self.inode(birth).nlink += 1;
        self.inode(dir).entries.insert(name.to_owned(), birth);
        Ok(())
    }

    pub fn remove(&mut self, dir: Birth, name: &CStr, directory: bool) -> Result<()> {
        let birth = self.find(dir, name)?;
        match (self.is_dir(birth), directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) if !self.inodes[&birth].entries.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.inode(dir).entries.remove(name);
        self.inode(birth).nlink -= 1;
        Ok(())
    }

    fn beneath(&self, top: Birth, birth: Birth) -> bool {
        top == birth || self.inodes[&top].entries.values().any(|&child| self.beneath(child, birth))
    }

    pub fn rename(&mut self, (dir, name): (Birth, &CStr), (newdir, newname): (Birth, &CStr), flags: u32) -> Result<()> {
        let (moved, target) = (self.find(dir, name)?, self.find(newdir, newname));
        match target {
            Ok(_) if flags & NOREPLACE != 0 => return Err(Errno::EEXIST),
            Ok(target) if flags & EXCHANGE != 0 => {
                if self.beneath(moved, newdir) || self.beneath(target, dir) {
                    return Err(Errno::EINVAL);
                }
                self.inode(dir).entries.insert(name.to_owned(), target);
            }
            Ok(target) if target == moved => return Ok(()),
            _ if self.beneath(moved, newdir) => return Err(Errno::EINVAL),
            Ok(_) => {
                self.remove(newdir, newname, self.is_dir(moved))?;
                self.inode(dir).entries.remove(name);
            }
            Err(Errno::ENOENT) if flags & EXCHANGE == 0 && self.exists(newdir) => {
                self.inode(dir).entries.remove(name);
            }
            Err(errno) => return Err(errno),
        }
        self.inode(newdir).entries.insert(newname.to_owned(), moved);
        Ok(())
    }
}

/// See [`Tree`].
pub struct Fake {
    tree: Mutex<Tree>,
    /// The filesystem has file handles.
    handles: bool,
    /// Opening by them is permitted.
    permitted: bool,
}

impl Fake {
    fn fd(&self, birth: Birth) -> OwnedFd {
        self.tree.lock().unwrap().inodes[&birth].socket.try_clone().unwrap().into()
    }

    fn with<R>(&self, fd: HostFd, f: impl FnOnce(&mut Tree, Birth) -> R) -> R {
        let mut tree = self.tree.lock().unwrap();
        let birth = tree.birth(fd);
        f(&mut tree, birth)
    }
}

impl Host for Fake {
    fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        Ok(self.fd(self.with(dir, |tree, dir| tree.find(dir, name))?))
    }

    fn anchor_cached(&self, _: HostFd, _: &CStr) -> Result<OwnedFd> {
        Err(Errno::EAGAIN)
    }

    fn reanchor(&self, file: HostFd) -> Result<OwnedFd> {
        self.open(file, 0)
    }

    fn open(&self, anchor: HostFd, _flags: u32) -> Result<OwnedFd> {
        Ok(self.fd(self.with(anchor, |_, birth| birth)))
    }

    fn stat(&self, fd: HostFd) -> Result<Stat> {
        self.with(fd, |tree, birth| {
            let &mut Inode { ino, mode, nlink, owner: (uid, gid), .. } = tree.inode(birth);
            let btime = Some(Time { sec: birth as i64, nsec: 0 });
            Ok(Stat { dev: (0, 1), ino, mode, nlink, uid, gid, size: birth, btime, ..Stat::default() })
        })
    }

    fn handle_of(&self, fd: HostFd) -> Result<FileHandle> {
        let birth = self.with(fd, |_, birth| birth);
        if self.handles { Ok(FileHandle::new(1, &birth.to_ne_bytes()).unwrap()) } else { Err(Errno::EOPNOTSUPP) }
    }

    fn by_handle(&self, mount: HostFd, handle: &FileHandle) -> Result<OwnedFd> {
        assert_eq!((self.with(mount, |_, birth| birth), handle.kind), (ROOT, 1));
        let birth = Birth::from_ne_bytes(handle.bytes().try_into().unwrap());
        let exists = self.tree.lock().unwrap().exists(birth);
        match (self.permitted, exists) {
            (false, _) => Err(Errno::EPERM),
            (true, false) => Err(Errno::ESTALE),
            (true, true) => Ok(self.fd(birth)),
        }
    }

    fn is_local(&self, _: HostFd) -> bool {
        true
    }

    fn create(&self, making: &Making, dir: HostFd, name: &CStr, _flags: u32, mode: u32) -> Result<OwnedFd> {
        Ok(self.fd(self.with(dir, |tree, dir| tree.make_for(making, dir, name, KIND_REGULAR | mode))?))
    }

    fn tmpfile(&self, _: &Making, _dir: HostFd, _flags: u32, mode: u32) -> Result<OwnedFd> {
        let mut tree = self.tree.lock().unwrap();
        let birth = tree.add(KIND_REGULAR | mode);
        tree.inode(birth).nlink = 0;
        Ok(tree.inode(birth).socket.try_clone().unwrap().into())
    }

    fn mkdir(&self, making: &Making, dir: HostFd, name: &CStr, mode: u32) -> Result<()> {
        self.with(dir, |tree, dir| tree.make_for(making, dir, name, KIND_DIRECTORY | mode)).map(drop)
    }

    fn link(&self, anchor: HostFd, dir: HostFd, name: &CStr) -> Result<()> {
        let birth = self.with(anchor, |_, birth| birth);
        self.with(dir, |tree, dir| tree.link(birth, dir, name))
    }

    fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.with(dir, |tree, dir| tree.remove(dir, name, false))
    }

    fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.with(dir, |tree, dir| tree.remove(dir, name, true))
    }

    fn rename(&self, dir: HostFd, name: &CStr, newdir: HostFd, newname: &CStr, flags: u32) -> Result<()> {
        let dir = self.with(dir, |_, birth| birth);
        self.with(newdir, |tree, newdir| tree.rename((dir, name), (newdir, newname), flags))
    }

    /// Cookies count entries, `.` and `..` first; records are as long as getdents64(2) makes them.
    fn read_dir(&self, dir: HostFd, offset: u64, bytes: usize) -> Result<DirBatch> {
        let (mut batch, mut room) = (DirBatch::default(), bytes);
        self.with(dir, |tree, dir| {
            let dots = [(c".".to_owned(), dir), (c"..".to_owned(), dir)];
            let entries = tree.inodes[&dir].entries.iter().map(|(name, &birth)| (name.clone(), birth));
            for (at, (name, birth)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
                let Some(rest) = room.checked_sub((20 + name.count_bytes()).next_multiple_of(8)) else { break };
                room = rest;
                let kind = tree.inodes[&birth].mode >> 12;
                batch.push(tree.ino(birth), at as u64 + 1, kind, &name);
            }
        });
        Ok(batch)
    }

    fn with_suid<R>(&self, _: ptfs::core::host::Suid, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn mknod(&self, _: &Making, _: HostFd, _: &CStr, _: u32, _: (u32, u32)) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn symlink(&self, _: &Making, _: HostFd, _: &CStr, _: &CStr) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn readlink(&self, _: HostFd) -> Result<Vec<u8>> {
        unreachable!("no test asks for it")
    }
    fn access(&self, _: HostFd, _: u32) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn chmod(&self, _: HostFd, _: u32) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn chown(&self, fd: HostFd, uid: Option<HostUid>, gid: Option<HostGid>) -> Result<()> {
        self.with(fd, |tree, birth| {
            let owner = &mut tree.inode(birth).owner;
            *owner = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
        });
        Ok(())
    }
    fn chown_nobody(&self, _: &Making, _: HostFd) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn whiteout(&self, _: &Making, _: (HostFd, &CStr), _: (HostFd, &CStr), _: u32) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn truncate(&self, _: HostFd, _: u64) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn ftruncate(&self, _: HostFd, _: u64) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn utimens(&self, _: HostFd, _: Option<SetTime>, _: Option<SetTime>) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn read(&self, _: HostFd, _: &mut [u8], _: u64) -> Result<usize> {
        unreachable!("no test asks for it")
    }
    fn write(&self, _: HostFd, _: &[u8], _: u64, _: bool) -> Result<usize> {
        unreachable!("no test asks for it")
    }
    fn fsync(&self, _: HostFd, _: bool) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn flush(&self, _: HostFd) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn fallocate(&self, _: HostFd, _: u32, _: u64, _: u64) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn lseek(&self, _: HostFd, _: u64, _: u32) -> Result<u64> {
        unreachable!("no test asks for it")
    }
    fn copy_file_range(&self, _: (HostFd, u64), _: (HostFd, u64), _: u64, _: u64) -> Result<u64> {
        unreachable!("no test asks for it")
    }
    fn statfs(&self, _: HostFd) -> Result<Kstatfs> {
        unreachable!("no test asks for it")
    }
    fn setxattr(&self, fd: HostFd, name: &CStr, value: &[u8], _flags: u32) -> Result<()> {
        self.with(fd, |tree, birth| tree.inode(birth).xattrs.insert(name.to_owned(), value.to_owned()));
        Ok(())
    }
    fn getxattr(&self, fd: HostFd, name: &CStr, value: &mut [u8]) -> Result<usize> {
        self.with(fd, |tree, birth| {
            let stored = tree.xattr(birth, name).ok_or(Errno(libc::ENODATA))?;
            if !value.is_empty() {
                value.get_mut(..stored.len()).ok_or(Errno::ERANGE)?.copy_from_slice(stored);
            }
            Ok(stored.len())
        })
    }
    fn listxattr(&self, _: HostFd, _: &mut [u8], _: bool) -> Result<usize> {
        unreachable!("no test asks for it")
    }
    fn removexattr(&self, _: HostFd, _: &CStr) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn lock(&self, _: HostFd, _: &Lock) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn lock_wait(&self, _: HostFd, _: &Lock, _: &Cancel) -> Result<()> {
        unreachable!("no test asks for it")
    }
    fn lock_in_the_way(&self, _: HostFd, _: &Lock) -> Result<Option<Lock>> {
        unreachable!("no test asks for it")
    }
    fn locks_of(&self, _: HostFd) -> Result<Vec<Lock>> {
        unreachable!("no test asks for it")
    }
    fn has_signal(&self, _: u32) -> bool {
        unreachable!("no test asks for it")
    }
    fn poll(&self, _: HostFd, _: u32) -> Result<u32> {
        unreachable!("no test asks for it")
    }
    fn ioctl(&self, _: HostFd, _: u32, _: &mut [u8]) -> Result<u32> {
        unreachable!("no test asks for it")
    }
}

/// How the host lets files be reached whose descriptor was given up.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(clippy::enum_variant_names, reason = "as one reads it: reached by handle, by name")]
pub enum Reach {
    /// Opening by handle is permitted.
    ByHandle,
    /// There are handles, to compare only.
    ByName,
    /// There are no handles: birth times are compared.
    ByNameAndBirth,
}

/// A mount of a [`Fake`] host.
pub struct Mount {
    pub core: Core,
    pub payload: RefCell<Vec<u8>>,
    /// The most descriptors that there were at once, if that is asked for: it takes a while to see.
    pub most_fds: Cell<Option<usize>>,
    /// The host's server is gone: stat answers EIO.
    pub broken: Cell<bool>,
    host: Fake,
}

impl Mount {
    pub fn new(reach: Reach, fd_budget: usize) -> Mount {
        Mount::with_config(reach, Config { fd_budget, ..Config::default() })
    }

    pub fn with_config(reach: Reach, config: Config) -> Mount {
        let (handles, permitted) = (reach != Reach::ByNameAndBirth, reach == Reach::ByHandle);
        let host = Fake { tree: Mutex::new(Tree::new()), handles, permitted };
        let core = engine::tables(&host, config, host.fd(ROOT)).unwrap();
        Mount {
            core,
            payload: RefCell::new(vec![0; 1 << 16]),
            most_fds: Cell::new(None),
            broken: Cell::new(false),
            host,
        }
    }

    /// The host, as its other users have it.
    pub fn tree<R>(&self, f: impl FnOnce(&mut Tree) -> R) -> R {
        f(&mut self.host.tree.lock().unwrap())
    }

    pub fn ask(&self, nodeid: NodeId, op: Op<'_>) -> Answer<'_> {
        self.ask_as(Caller { uid: 0, gid: 0, pid: 1, supp_gid: None }, nodeid, op)
    }

    pub fn ask_as(&self, caller: Caller, nodeid: NodeId, op: Op<'_>) -> Answer<'_> {
        let request = Request { unique: Unique(2), nodeid, caller, labels: Labels::default(), op };
        let os = Door(self);
        match engine::poll(pin!(serve(&self.core, &os, request)), || panic!("serve panicked")) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("no call of this host is ever pending"),
        }
    }

    /// Asks, and takes the reply.
    pub fn done(&self, nodeid: NodeId, op: Op<'_>) -> Result<Reply> {
        let answer = self.ask(nodeid, op);
        let reply = answer.reply;
        answer.commit();
        reply.errno().map_or(Ok(reply), Err)
    }

    /// An operation that names a node: the node, and the file that it is.
    pub fn entry(&self, nodeid: NodeId, op: Op<'_>) -> Result<(NodeId, Birth)> {
        let (Reply::Entry(entry) | Reply::Create(entry, _)) = self.done(nodeid, op)? else { panic!("no entry") };
        Ok((NodeId(entry.nodeid), entry.attr.size))
    }

    pub fn lookup(&self, dir: NodeId, name: &CStr) -> Result<(NodeId, Birth)> {
        self.entry(dir, Op::Lookup { name })
    }

    pub fn mkdir(&self, dir: NodeId, name: &CStr) -> Result<(NodeId, Birth)> {
        self.entry(dir, Op::Mkdir { name, mode: 0o755, umask: 0 })
    }

    /// CREATE, and RELEASE.
    pub fn create(&self, dir: NodeId, name: &CStr) -> Result<(NodeId, Birth)> {
        let op = Op::Create { name, flags: 0, mode: 0o644, umask: 0, kill_suidgid: false };
        let Reply::Create(entry, open) = self.done(dir, op)? else { panic!("no file") };
        self.release(open.fh).unwrap();
        Ok((NodeId(entry.nodeid), entry.attr.size))
    }

    pub fn release(&self, fh: u64) -> Result<Reply> {
        self.done(NodeId::ROOT, Op::Release { fh: ptfs::protocol::Fh(fh), flags: 0 })
    }

    /// The file that a node is.
    pub fn getattr(&self, nodeid: NodeId) -> Result<Birth> {
        let Reply::Attr(out) = self.done(nodeid, Op::Getattr { fh: None })? else { panic!("no attributes") };
        Ok(out.attr.size)
    }

    pub fn forget(&self, nodeid: NodeId, nlookup: u64) {
        assert_eq!(self.done(nodeid, Op::Forget { nlookup }), Ok(Reply::None));
    }

    /// Evicts what can be evicted.
    pub fn evict_all(&self) {
        while let Some(victim) = self.core.nodes.victim() {
            let fd = victim.fd().unwrap();
            let handle = self.host.handle_of(fd);
            victim.evict(&handle.unwrap_or_else(|_| FileHandle::from_btime(&self.host.stat(fd).unwrap())));
        }
        self.close_dead();
    }

    pub fn close_dead(&self) {
        self.core.take_dead().for_each(|closing| Door(self).close(closing));
    }

    /// Nothing is left but the root's node and the descriptors that are for the whole mount.
    pub fn assert_clean(&self) {
        self.close_dead();
        let (nodes, handles) = (&self.core.nodes, &self.core.handles);
        assert_eq!((nodes.len(), nodes.fds(), nodes.pinned_fds(), handles.len()), (1, 1, 1, 0));
        let ours = HashMap::from([(ROOT, 1 + usize::from(self.host.permitted))]);
        assert_eq!(self.tree(|tree| tree.held()), ours, "descriptors are left");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let root = self.core.nodes.pin(NodeId::ROOT).unwrap().fd().unwrap();
        ptfs::sys::fs::close(root);
    }
}

struct Door<'m>(&'m Mount);

impl Os for Door<'_> {
    type Host = Fake;

    fn host(&self) -> &Fake {
        &self.0.host
    }
    async fn offload<R: Send + 'static>(&self, f: impl FnOnce(&Fake) -> Result<R> + Send + 'static) -> Result<R> {
        f(&self.0.host)
    }
    async fn park<R: Send + 'static>(&self, f: impl FnOnce(&Fake) -> Result<R> + Send + 'static) -> Result<R> {
        f(&self.0.host)
    }
    fn fill<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        f(&mut self.0.payload.borrow_mut())
    }
    async fn anchor(&self, dir: HostFd, name: &CStr) -> Result<OwnedFd> {
        let held = || self.0.tree(|tree| tree.held().values().sum());
        self.0.most_fds.update(|most| most.map(|most| most.max(held())));
        self.0.host.anchor(dir, name)
    }
    async fn stat(&self, fd: HostFd) -> Result<Stat> {
        if self.0.broken.get() {
            return Err(Errno::EIO);
        }
        self.0.host.stat(fd)
    }
    async fn open(&self, anchor: HostFd, flags: u32) -> Result<OwnedFd> {
        self.0.host.open(anchor, flags)
    }
    async fn read(&self, _: &File<'_>, _: u64, _: u32) -> Result<usize> {
        Ok(0)
    }
    async fn write(&self, _: &File<'_>, _: &[u8], _: u64, _: bool, _: ptfs::core::host::Suid) -> Result<usize> {
        unreachable!("no test asks for it")
    }
    async fn fsync(&self, _: &File<'_>, _: bool) -> Result<()> {
        unreachable!("no test asks for it")
    }
    async fn fallocate(&self, _: &File<'_>, _: u32, _: (u64, u64), _: ptfs::core::host::Suid) -> Result<()> {
        unreachable!("no test asks for it")
    }
    async fn unlink(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.0.host.unlink(dir, name)
    }
    async fn rmdir(&self, dir: HostFd, name: &CStr) -> Result<()> {
        self.0.host.rmdir(dir, name)
    }
    async fn rename(&self, from: (HostFd, &CStr), to: (HostFd, &CStr), flags: u32) -> Result<()> {
        self.0.host.rename(from.0, from.1, to.0, to.1, flags)
    }
    fn close(&self, closing: Closing) {
        ptfs::sys::fs::close(closing.fd);
    }
}

/// The entries of a READDIRPLUS that said so many bytes: name, node.
pub fn entries(payload: &[u8], len: u32) -> Vec<(CString, NodeId)> {
    let (mut rest, mut list) = (&payload[..len as usize], Vec::new());
    while !rest.is_empty() {
        let dirent = size_of::<EntryOut>();
        let namelen = u32::from_ne_bytes(rest[dirent + 16..dirent + 20].try_into().unwrap()) as usize;
        let nodeid = u64::from_ne_bytes(rest[..8].try_into().unwrap());
        list.push((CString::new(&rest[dirent + 24..][..namelen]).unwrap(), NodeId(nodeid)));
        rest = &rest[dirent + (24 + namelen).next_multiple_of(8)..];
    }
    list
}
