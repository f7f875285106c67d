//! One of the two directories: it runs steps, and shows as text what they did. Equal texts are equal behaviour.

use super::ops::{LockKind, MAPS, Octal, Op, Owner, P, SLOTS, Step, Target, USERS, Whence};
use super::support::Fs;
use super::support::sys::{self, At, Dirent, Map, Pages, ROOT, Sys, User};
use libc::{O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, c_int};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where sparse files have their far end: over 4 GiB.
pub const FAR: i64 = 5 << 30;

const STATX_SUBVOL: u32 = 0x8000;

/// A wrong answer put in on purpose, to test the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mutant {
    /// rmdir says EEXIST for ENOTEMPTY.
    Errno,
    /// Bit 0 of a file's byte 5000 is wrong.
    Byte,
    /// SGID is not shown.
    Sgid,
    /// Each name of a file has an inode of its own.
    HardLinks,
}

/// A directory, its working directory `w`, and what a sequence holds open in it.
pub struct Side {
    root: c_int,
    work: c_int,
    slots: [Option<c_int>; SLOTS],
    maps: [Option<(Map, c_int)>; MAPS],
    mutant: Option<Mutant>,
    /// Times before this one were set by utimens; the others are "now".
    epoch: i64,
    fs: Fs,
}

/// A directory tree as text by path, and its inode numbers.
pub struct Tree {
    pub lines: BTreeMap<Vec<u8>, String>,
    pub inos: BTreeMap<Vec<u8>, u64>,
}

impl Side {
    /// `dir` has `w` in it and ends with the step's side; nobody else writes beneath it.
    pub fn new(fs: Fs, dir: &Path, epoch: i64, mutant: Option<Mutant>) -> Side {
        let work: PathBuf = dir.join("w");
        let open = |path: &Path| sys::open(sys::b(path), libc::O_DIRECTORY, 0).unwrap();
        let root = open(dir);
        sys::chmod(At::Path(sys::b(&work)), 0o777).unwrap();
        let work = open(&work);
        Side { root, work, slots: [None; SLOTS], maps: [const { None }; MAPS], mutant, epoch, fs }
    }

    pub fn is_open(&self, slot: usize) -> bool {
        self.slots[slot].is_some()
    }

    /// Some of the paths beneath the working directory, and their DT_* kinds.
    pub fn paths(&self) -> Vec<(P, u8)> {
        fn walk(dir: c_int, path: &[u8], found: &mut Vec<(P, u8)>) {
            sys::lseek(dir, 0, libc::SEEK_SET).ok();
            for entry in sys::readdir(dir, 32768).unwrap_or_default() {
                if entry.name == b"." || entry.name == b".." || found.len() > 60 {
                    continue;
                }
                let below = [path, &entry.name].concat();
                found.push((P(below.clone()), entry.kind));
                if entry.kind == libc::DT_DIR && below.iter().filter(|byte| **byte == b'/').count() < 3 {
                    let flags = libc::O_DIRECTORY | O_NOFOLLOW;
                    let Ok(fd) = sys::openat(dir, &entry.name, flags, 0) else { continue };
                    walk(fd, &[&below[..], b"/"].concat(), found);
                    sys::close(fd).ok();
                }
            }
        }
        let mut found = Vec::new();
        walk(self.work, b"", &mut found);
        found
    }

    /// Runs one step: the answer first, then a line for each file that it touched.
    pub fn step(&mut self, step: &Step) -> Vec<String> {
        let outside = |path: &&P| path.0.starts_with(b"/");
        assert!(!step.op.paths().iter().any(outside), "{step:?} would reach beyond its directory");
        sys::chdir(self.work);
        sys::umask(step.umask);
        let user = &USERS[step.who];
        let answer = sys::as_user(user, || self.call(&step.op)).unwrap_or_else(error);
        let mut lines = vec![self.mutate(answer)];
        let slots = step.op.slots().into_iter().map(|slot| (format!("fd {slot}"), At::Fd(self.fd(slot))));
        let paths = step.op.paths().into_iter().map(|path| (format!("{path:?}"), At::Link(&path.0)));
        let maps = step.op.map().and_then(|map| self.maps[map].as_ref());
        let maps = maps.map(|(_, fd)| ("the map's file".to_string(), At::Fd(*fd)));
        lines.extend(slots.chain(paths).chain(maps).map(|(name, at)| {
            match at {
                At::Fd(fd) => drop_doubtful_bits(At::Empty(fd), user),
                At::Link(path) => [at, At::Path(path)].into_iter().for_each(|at| drop_doubtful_bits(at, user)),
                _ => {}
            }
            let shown = self.show(at, step.look).unwrap_or_else(error);
            format!("afterwards {name}: {shown}")
        }));
        lines
    }

    /// Everything beneath the side's root, and the files that are only open.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree { lines: BTreeMap::new(), inos: BTreeMap::new() };
        let mut names = BTreeMap::new();
        self.walk(self.root, &mut Vec::new(), &mut tree, &mut names);
        for (slot, fd) in self.slots.iter().enumerate() {
            let shown = fd.map(|fd| self.show(At::Fd(fd), true).unwrap_or_else(error));
            tree.lines.insert(format!("fd {slot}").into(), format!("{shown:?}"));
        }
        tree
    }

    fn walk(&self, dir: c_int, path: &mut Vec<u8>, tree: &mut Tree, names: &mut BTreeMap<u64, Vec<u8>>) {
        sys::lseek(dir, 0, libc::SEEK_SET).ok();
        let mut entries = match sys::readdir(dir, 65536) {
            Ok(entries) => entries,
            Err(e) => {
                tree.lines.insert(path.clone(), format!("readdir: {}", sys::errno_name(e)));
                return;
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let len = path.len();
        if len == 0 {
            // The directory above is the host's: what was made in it there shows when the attributes' time is over.
            entries.retain(|entry| entry.name != b"..");
        }
        for Dirent { name, kind, ino, .. } in entries {
            sys::chdir(dir);
            path.extend(b"/");
            path.extend(&name);
            let at = At::Link(&name);
            let stat = sys::stat(at);
            let real = stat.map_or(0, |stat| stat.st_ino);
            let mut line = format!("d_type {kind} {}", self.show(at, true).unwrap_or_else(error));
            // The inode of a hard link, by the first of its names.
            let first = names.entry(real).or_insert_with(|| path.clone()).clone();
            let torn = self.mutant == Some(Mutant::HardLinks) && kind == libc::DT_REG;
            let first = if torn { path.clone() } else { first };
            let _ = write!(line, " same file as {}", first.escape_ascii());
            // After a copy upwards either may be the old one.
            if real != ino && self.fs != Fs::Overlay {
                let _ = write!(line, " but d_ino differs from st_ino");
            }
            tree.lines.insert(path.clone(), line);
            tree.inos.insert(path.clone(), real);
            let is_dir = stat.is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR);
            if is_dir && name != b"." && name != b".." {
                match sys::openat(dir, &name, libc::O_DIRECTORY | O_NOFOLLOW, 0) {
                    Ok(fd) => {
                        self.walk(fd, path, tree, names);
                        sys::close(fd).ok();
                    }
                    Err(e) => drop(tree.lines.insert(path.clone(), format!("open: {}", sys::errno_name(e)))),
                }
            }
            path.truncate(len);
        }
    }

    fn fd(&self, slot: usize) -> c_int {
        self.slots[slot].unwrap_or(-1)
    }
    fn at<'a>(&self, target: &'a Target) -> At<'a> {
        match target {
            Target::Path(path) => At::Path(&path.0),
            Target::Link(path) => At::Link(&path.0),
            Target::Fd(slot) => At::Fd(self.fd(*slot)),
            Target::Empty(slot) => At::Empty(self.fd(*slot)),
        }
    }
    fn keep(&mut self, slot: usize, fd: c_int) -> Sys<String> {
        if let Some(old) = self.slots[slot].replace(fd) {
            sys::close(old).ok();
        }
        Ok("a descriptor".into())
    }
    /// The last thing that a call does: it goes on as root.
    fn remove_capabilities(&self, fd: c_int) {
        sys::become_user(&ROOT);
        sys::removexattr(At::Fd(fd), "security.capability").ok();
    }
    fn mutate(&self, answer: String) -> String {
        match self.mutant {
            Some(Mutant::Errno) => answer.replace("ENOTEMPTY", "EEXIST"),
            _ => answer,
        }
    }

    fn call(&mut self, op: &Op) -> Sys<String> {
        let number = |n: i64| n.to_string();
        match *op {
            Op::Open { slot, ref path, flags, mode } => {
                let fd = sys::open(path, flags.0, mode.0)?;
                self.keep(slot, fd)
            }
            Op::Close { slot } => {
                let fd = self.slots[slot].take().unwrap_or(-1);
                sys::close(fd).map(number)
            }
            Op::Dup { slot, from } => {
                let fd = sys::dup(self.fd(from))?;
                self.keep(slot, fd as c_int)
            }
            Op::Read { slot, len, vector } => {
                let fd = self.fd(slot);
                if is_directory(fd) {
                    // The end of a btrfs directory is so far out that a length does not fit behind it.
                    sys::lseek(fd, 0, libc::SEEK_SET)?;
                }
                if is_direct(fd) {
                    return self.read(len.next_multiple_of(4096), |buf| sys::pread(fd, buf, 0));
                }
                self.read(len, |buf| if vector { sys::readv(fd, buf) } else { sys::read(fd, buf) })
            }
            Op::Write { slot, len, fill, vector } => {
                let fd = self.fd(slot);
                if is_direct(fd) {
                    return sys::pwrite(fd, &pattern(len.next_multiple_of(4096), fill), 0).map(number);
                }
                let data = pattern(len, fill);
                if vector { sys::writev(fd, &data) } else { sys::write(fd, &data) }.map(number)
            }
            Op::Pread { slot, at, len } => {
                let fd = self.fd(slot);
                let (at, len) = aligned(fd, at, len);
                self.read(len, |buf| sys::pread(fd, buf, at))
            }
            Op::Pwrite { slot, at, len, fill } => {
                let fd = self.fd(slot);
                let (at, len) = aligned(fd, at, len);
                sys::pwrite(fd, &pattern(len, fill), at).map(number)
            }
            Op::Seek { slot, at, whence } => {
                let whence = match whence {
                    Whence::Set => libc::SEEK_SET,
                    Whence::Cur => libc::SEEK_CUR,
                    Whence::End => libc::SEEK_END,
                    Whence::Data => libc::SEEK_DATA,
                    Whence::Hole => libc::SEEK_HOLE,
                };
                let fd = self.fd(slot);
                // A directory's other positions are the filesystem's own.
                if whence != libc::SEEK_SET && is_directory(fd) {
                    return Err(libc::EINVAL);
                }
                sys::lseek(fd, at, whence).map(number)
            }
            Op::Truncate { ref on, len } => match self.at(on) {
                At::Path(path) | At::Link(path) => {
                    let was_empty = sys::stat(At::Path(path)).is_ok_and(|stat| stat.st_size == 0);
                    let cut = sys::truncate(path, len);
                    if cut.is_ok() && len == 0 {
                        // An empty file's times, which some hosts leave alone: to the daemon it looks like O_TRUNC.
                        sys::utimens(At::Path(path), (0, libc::UTIME_OMIT), (0, libc::UTIME_NOW)).ok();
                        if was_empty {
                            // So does xfs its SUID and SGID.
                            drop_privilege(At::Path(path));
                        }
                    }
                    cut
                }
                At::Fd(fd) | At::Empty(fd) => sys::ftruncate(fd, len),
            }
            .map(number),
            Op::Fallocate { slot, mode, at, len } => {
                let done = sys::fallocate(self.fd(slot), mode, at, len);
                if done.is_err() {
                    // The kernel's FUSE client takes them away before it asks the daemon.
                    self.remove_capabilities(self.fd(slot));
                    // An overlayfs takes these away before it fails, at which the kernel's FUSE client does not look.
                    drop_privilege(At::Fd(self.fd(slot)));
                }
                done.map(number)
            }
            Op::Fsync { slot, data } => sys::fsync(self.fd(slot), data).map(number),
            Op::Copy { from, from_at, to, to_at, len } => {
                let copied = sys::copy_file_range((self.fd(from), from_at), (self.fd(to), to_at), len);
                if copied.is_err() {
                    // The host may set the time before it fails, at which the kernel's FUSE client does not look.
                    sys::utimens(At::Fd(self.fd(to)), (0, libc::UTIME_OMIT), (0, libc::UTIME_NOW)).ok();
                }
                copied.map(number)
            }
            Op::Map { map, slot, write, private } => {
                let prot = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
                let share = if private { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
                let fd = self.fd(slot);
                let mapped = Map::new(fd, MAP_LEN, prot, share)?;
                let fd = sys::dup(fd)? as c_int;
                self.unmap(map);
                self.maps[map] = Some((mapped, fd));
                Ok("mapped".into())
            }
            Op::MapRead { map, at, len } => {
                let Some((mapped, _)) = &self.maps[map] else { return Err(libc::EBADF) };
                self.read(len, |buf| mapped.read(at, buf))
            }
            Op::MapWrite { map, at, len, fill } => {
                let Some((mapped, fd)) = &self.maps[map] else { return Err(libc::EBADF) };
                // Bytes of a map past the end of file are nobody's: POSIX says nothing about them.
                let size = sys::stat(At::Fd(*fd))?.st_size.min(MAP_LEN as i64) as usize;
                let len = len.min(size.saturating_sub(at));
                let n = mapped.write(at, &pattern(len, fill))?;
                mapped.sync()?;
                // The kernel writes a FUSE file's mapped pages back by WRITE, which is a write(2) on the host: it takes
                // file capabilities away and sets mtime. A store to a tmpfs mapping does neither.
                self.remove_capabilities(*fd);
                sys::utimens(At::Fd(*fd), (0, libc::UTIME_OMIT), (0, libc::UTIME_NOW)).ok();
                Ok(number(n))
            }
            Op::Unmap { map } => {
                self.unmap(map);
                Ok("unmapped".into())
            }
            Op::Mkdir { ref path, mode } => sys::mkdir(path, mode.0).map(number),
            Op::Rmdir { ref path } => sys::rmdir(path).map(number),
            Op::Unlink { ref path } => sys::unlink(path).map(number),
            Op::Rename { ref from, ref to, flags } => sys::rename(from, to, flags).map(number),
            Op::Link { ref from, ref to, follow } => {
                sys::link(from, to, if follow { libc::AT_SYMLINK_FOLLOW } else { 0 }).map(number)
            }
            Op::LinkFd { slot, ref to, by_proc } => match by_proc {
                true => sys::link_fd(self.fd(slot), to),
                false => sys::linkat(self.fd(slot), "", to, libc::AT_EMPTY_PATH),
            }
            .map(number),
            Op::Symlink { ref target, ref path } => sys::symlink(target, path).map(number),
            Op::Readlink { ref path } => sys::readlink(path).map(|to| runs(&to)),
            Op::Mknod { ref path, mode, dev } => sys::mknod(path, mode.0, dev).map(number),
            Op::Chmod { ref on, mode } => sys::chmod(self.at(on), mode.0).map(number),
            Op::Chown { ref on, uid, gid } => sys::chown(self.at(on), uid as u32, gid as u32).map(number),
            Op::Utimens { ref on, atime, mtime } => sys::utimens(self.at(on), atime, mtime).map(number),
            Op::Access { ref path, mode, flags } => sys::access(path, mode, flags).map(number),
            Op::Stat { ref on } => Ok(self.meta(&sys::stat(self.at(on))?)),
            Op::Statx { ref on } => {
                let statx = sys::statx(self.at(on), libc::STATX_BASIC_STATS | libc::STATX_BTIME)?;
                let born = (statx.stx_mask & libc::STATX_BTIME != 0).then_some(&statx.stx_btime);
                let born = born.map(|time| self.when(time.tv_sec, time.tv_nsec.into()));
                // A btrfs says its subvolume, asked or not; no request could.
                let mask = statx.stx_mask & !STATX_SUBVOL;
                Ok(format!("mask {mask:#x} mode {:#o} born {born:?}", statx.stx_mode))
            }
            Op::Setxattr { ref on, ref name, ref value, flags } => {
                sys::setxattr(self.at(on), name, &value.0, flags).map(number)
            }
            Op::Getxattr { ref on, ref name, size } => {
                let (len, value) = sys::getxattr(self.at(on), name, size)?;
                Ok(format!("{len} {}", runs(&value)))
            }
            Op::Listxattr { ref on, size } => {
                let (len, names) = sys::listxattr(self.at(on), size)?;
                Ok(format!("{len} {}", runs(&sorted(&names).concat())))
            }
            Op::Removexattr { ref on, ref name } => sys::removexattr(self.at(on), name).map(number),
            Op::Readdir { ref on, size } => with_dir(self.at(on), |fd| Ok(listing(&sys::readdir(fd, size)?))),
            Op::Seekdir { ref on, skip } => with_dir(self.at(on), |fd| {
                let all = sys::readdir(fd, 400)?;
                let skip = skip % all.len();
                sys::lseek(fd, all[skip].next, libc::SEEK_SET)?;
                let rest = sys::readdir(fd, 4096)?;
                Ok(format!("{} resumed: {}", listing(&all), rest == all[skip + 1..]))
            }),
            Op::Lock { slot, owner, kind, at, len } => match owner {
                Owner::Process => {
                    sys::lock(self.fd(slot), libc::F_SETLK, lock_type(kind), at, len).map(|_| "set".into())
                }
                Owner::File => {
                    sys::lock(self.fd(slot), libc::F_OFD_SETLK, lock_type(kind), at, len).map(|_| "set".into())
                }
                Owner::Flock => {
                    let operation = match kind {
                        LockKind::Read => libc::LOCK_SH,
                        LockKind::Write => libc::LOCK_EX,
                        LockKind::None => libc::LOCK_UN,
                    };
                    sys::flock(self.fd(slot), operation | libc::LOCK_NB).map(number)
                }
            },
            Op::Getlock { slot, owner, kind, at, len } => {
                let command = if owner == Owner::Process { libc::F_GETLK } else { libc::F_OFD_GETLK };
                let found = sys::lock(self.fd(slot), command, lock_type(kind), at, len)?;
                // Who holds it is shown otherwise: the daemon holds the mount's.
                Ok(format!("type {} from {} length {}", found.l_type, found.l_start, found.l_len))
            }
            Op::Flags { slot } => sys::file_flags(self.fd(slot)).map(|flags| format!("{flags:#x}")),
            Op::Setflags { slot, noatime } => {
                let fd = self.fd(slot);
                let flags = sys::file_flags(fd)? & !sys::FS_NOATIME_FL;
                sys::set_file_flags(fd, flags | if noatime { sys::FS_NOATIME_FL } else { 0 }).map(number)
            }
            Op::Poll { slot, events } => sys::poll(self.fd(slot), events).map(|ready| format!("{ready:#x}")),
            Op::Statfs { ref on } => {
                let fs = sys::statfs(self.at(on))?;
                let sizes = (fs.f_bsize, fs.f_frsize, fs.f_blocks, fs.f_files, fs.f_namelen);
                Ok(format!("{sizes:?}"))
            }
        }
    }

    fn unmap(&mut self, map: usize) {
        if let Some((mapped, fd)) = self.maps[map].take() {
            drop(mapped);
            sys::close(fd).ok();
        }
    }

    fn read(&self, len: usize, how: impl FnOnce(&mut [u8]) -> Sys) -> Sys<String> {
        let mut buf = Pages::new(len);
        let n = how(&mut buf)?;
        Ok(format!("{n} {}", runs(&buf[..n as usize])))
    }

    /// A file's stat and, at a closer look, its content and attributes.
    fn show(&self, at: At, look: bool) -> Sys<String> {
        let stat = sys::stat(at)?;
        let mut text = self.meta(&stat);
        if let At::Fd(fd) = at {
            let place = (sys::lseek(fd, 0, libc::SEEK_CUR), sys::fcntl(fd, libc::F_GETFL, 0));
            // The position in a directory is the filesystem's own cookie.
            let place = if stat.st_mode & S_IFMT == S_IFDIR { (Ok(0), place.1) } else { place };
            let _ = write!(text, " position and flags {place:?}");
        }
        if look {
            match (stat.st_mode & S_IFMT, at) {
                (S_IFREG, At::Fd(fd)) => text += &self.content(fd, stat.st_size).unwrap_or_else(error),
                (S_IFREG, At::Link(path)) => text += &self.content_at(path, &stat).unwrap_or_else(error),
                (S_IFLNK, At::Link(path)) => text += &sys::readlink(path).map_or_else(error, |to| runs(&to)),
                _ => {}
            }
            text += &xattrs(at).unwrap_or_else(|e| format!(" xattrs: {}", sys::errno_name(e)));
        }
        Ok(text)
    }

    fn content_at(&self, path: &[u8], stat: &libc::stat) -> Sys<String> {
        let fd = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)?;
        let text = self.content(fd, stat.st_size);
        sys::close(fd).ok();
        text
    }

    /// All of a small file; of a large one its start, the neighbourhood of FAR, and its end.
    fn content(&self, fd: c_int, size: i64) -> Sys<String> {
        const SMALL: i64 = 1 << 20;
        let windows = match size {
            0..SMALL => vec![(0, size + 1)],
            _ => vec![(0, SMALL / 4), (FAR - 65536, 262144), (size & !4095, 8192)],
        };
        let mut text = " content".to_string();
        for (at, len) in windows {
            let (at, len) = aligned(fd, at, len as usize);
            let mut buf = Pages::new(len);
            let mut got = 0;
            loop {
                let n = sys::pread(fd, &mut buf[got..], at + got as i64)? as usize;
                got += n;
                if n == 0 || got == len || is_direct(fd) {
                    break;
                }
            }
            if self.mutant == Some(Mutant::Byte) && at == 0 && got > 5000 {
                buf[5000] ^= 1;
            }
            let _ = write!(text, " [{at}: {}]", runs(&buf[..got]));
        }
        Ok(text)
    }

    fn meta(&self, stat: &libc::stat) -> String {
        // The kernel serves a FIFO without asking the daemon, and without touching a FUSE file's times.
        let is_fifo = stat.st_mode & S_IFMT == libc::S_IFIFO;
        let time = |at, nanoseconds| if is_fifo { "of a FIFO".into() } else { self.when(at, nanoseconds) };
        let sgid = if self.mutant == Some(Mutant::Sgid) { libc::S_ISGID } else { 0 };
        format!(
            "mode {:?} nlink {} owner {}:{} size {} rdev {:#x} blksize {} atime {} mtime {} ctime {}",
            Octal(stat.st_mode & !sgid),
            stat.st_nlink,
            stat.st_uid,
            stat.st_gid,
            stat.st_size,
            stat.st_rdev,
            stat.st_blksize,
            time(stat.st_atime, stat.st_atime_nsec),
            time(stat.st_mtime, stat.st_mtime_nsec),
            self.when(stat.st_ctime, stat.st_ctime_nsec),
        )
    }

    fn when(&self, seconds: i64, nanoseconds: i64) -> String {
        match seconds - self.epoch {
            0..86400 => "now".into(),
            _ => format!("{seconds}.{nanoseconds:09}"),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        sys::leave();
        (0..MAPS).for_each(|map| self.unmap(map));
        for fd in self.slots.iter().flatten().chain([&self.work, &self.root]) {
            sys::close(*fd).ok();
        }
    }
}

/// Bytes that a mapping covers.
pub const MAP_LEN: usize = 1 << 17;

fn lock_type(kind: LockKind) -> c_int {
    match kind {
        LockKind::Read => libc::F_RDLCK,
        LockKind::Write => libc::F_WRLCK,
        LockKind::None => libc::F_UNLCK,
    }
}

fn error(errno: i32) -> String {
    sys::errno_name(errno)
}

fn is_direct(fd: c_int) -> bool {
    sys::fcntl(fd, libc::F_GETFL, 0).is_ok_and(|flags| flags as i32 & libc::O_DIRECT != 0)
}

fn is_directory(fd: c_int) -> bool {
    sys::stat(At::Fd(fd)).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR)
}

/// O_DIRECT in whole pages only: which alignment a host demands is its own affair.
fn aligned(fd: c_int, at: i64, len: usize) -> (i64, usize) {
    if is_direct(fd) { (at & !4095, len.next_multiple_of(4096)) } else { (at, len) }
}

/// Data that changes every 1000 bytes, so that a shifted copy shows.
fn pattern(len: usize, fill: u8) -> Pages {
    let mut pages = Pages::new(len);
    for (i, chunk) in pages.chunks_mut(1000).enumerate() {
        chunk.fill(fill.wrapping_add(i as u8).max(1));
    }
    pages
}

/// Bytes as runs, "61*100 00*4096", and a checksum where there are too many of them.
fn runs(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (n, run) in bytes.chunk_by(|a, b| a == b).enumerate() {
        if n == 12 {
            let sum = bytes
                .iter()
                .fold(0xcbf29ce484222325u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100000001b3));
            let _ = write!(text, ".. {} bytes, sum {sum:x}", bytes.len());
            break;
        }
        let _ = write!(text, "{:02x}*{} ", run[0], run.len());
    }
    text.trim_end().to_string()
}

fn sorted(names: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = names.split_inclusive(|byte| *byte == 0).collect();
    names.sort();
    names
}

fn xattrs(at: At) -> Sys<String> {
    let (_, names) = sys::listxattr(at, 65536)?;
    let mut text = String::new();
    for name in sorted(&names) {
        let name = &name[..name.len() - 1];
        let value = sys::getxattr(at, name, 65536).map_or_else(error, |(_, value)| runs(&value));
        let _ = write!(text, " {}={value}", name.escape_ascii());
    }
    Ok(text)
}

fn with_dir(at: At, f: impl FnOnce(c_int) -> Sys<String>) -> Sys<String> {
    match at {
        At::Fd(fd) | At::Empty(fd) => {
            sys::lseek(fd, 0, libc::SEEK_SET)?;
            f(fd)
        }
        At::Path(path) | At::Link(path) => {
            let fd = sys::open(path, libc::O_DIRECTORY, 0)?;
            let result = f(fd);
            sys::close(fd).ok();
            result
        }
    }
}

fn listing(entries: &[Dirent]) -> String {
    let mut names: Vec<_> = entries.iter().map(|e| (e.name.escape_ascii().to_string(), e.kind)).collect();
    names.sort();
    format!("{names:?}")
}

/// Takes SUID and SGID away where what becomes of them depends on what a request does not tell (README, Limits): whether
/// a writer is in the group of a file that its group may not execute, and who takes file capabilities away.
fn drop_doubtful_bits(at: At, user: &User) {
    let Ok(stat) = sys::stat(at) else { return };
    let no_privilege = stat.st_mode & (S_IFMT | 0o2010) == S_IFREG | 0o2000;
    let stranger = stat.st_gid != user.gid && user.groups.contains(&stat.st_gid);
    let capable = || sys::getxattr(at, "security.capability", 0).is_ok();
    if no_privilege && stranger || stat.st_mode & S_IFMT == S_IFREG && stat.st_mode & 0o6000 != 0 && capable() {
        sys::chmod(at, stat.st_mode & 0o1777).ok();
    }
}

/// The last thing that a call does: it goes on as root.
fn drop_privilege(at: At) {
    sys::become_user(&ROOT);
    if let Ok(stat) = sys::stat(at) {
        sys::chmod(at, stat.st_mode & 0o1777).ok();
    }
}
