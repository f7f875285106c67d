//! Where a daemon answers questions about its mount, and how to ask.
//!
//! The socket is `MINOR-PID.sock`, after the minor number of the mount's device, in a directory of mode 0700 that belongs
//! to whoever serves. Mounts are found in the mount table alone: a question never touches the mount, which may hang.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::mountinfo::{self, Entry, covering};
use super::process;

/// For a whole question with its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// No answer is as long: 45 operations with all their buckets take a tenth of it.
const LONGEST: usize = 16 << 20;

// ---- asking ----

/// Asks the daemon that serves the mount in which `path` lies: `stats`, `reset` or `facts`, answered in JSON.
pub fn ask(path: &Path, question: &str) -> io::Result<String> {
    ask_of(&mount_at(path)?, question)
}

/// The mount in which `path` lies, if it is a FUSE mount.
pub fn mount_at(path: &Path) -> io::Result<Entry> {
    let table = mountinfo::read()?;
    let path = resolve(path, &table)?;
    let found = covering(&path, &table).filter(|entry| entry.is_fuse()).cloned();
    found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no mount of ptfs is at {}", path.display())))
}

/// Asks the daemon of this mount.
pub fn ask_of(mount: &Entry, question: &str) -> io::Result<String> {
    let shown = mount.point.display();
    let owner = mount.owner.unwrap_or(0);
    let ((own, _), root) = process::effective();
    if !root && owner != own {
        let line = format!("the mount at {shown} is that of uid {owner}: ask as that user, or as root");
        return Err(io::Error::new(ErrorKind::PermissionDenied, line));
    }
    let mut failure = None;
    for socket in sockets_of(owner)?.into_iter().filter(|socket| socket.minor == mount.device.1) {
        match socket.ask(owner, question) {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.remove(),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        let line = format!("no daemon of ptfs answers for {shown}");
        io::Error::new(ErrorKind::NotConnected, line)
    }))
}

/// The control socket of a daemon, which may be dead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// The minor number of the mount's device.
    pub minor: u32,
    /// The daemon's number in its own PID namespace.
    pub pid: u32,
    path: PathBuf,
}

impl Socket {
    fn read(path: PathBuf) -> Option<Socket> {
        let (minor, pid) = path.file_name()?.to_str()?.strip_suffix(".sock")?.split_once('-')?;
        Some(Socket { minor: minor.parse().ok()?, pid: pid.parse().ok()?, path })
    }

    /// Asks, and waits no longer than for a moment. `owner` is who may answer, beside root.
    pub fn ask(&self, owner: u32, question: &str) -> io::Result<String> {
        let end = Instant::now() + PATIENCE;
        let mut stream = connect(&self.path, end)?;
        let peer = peer_uid(&stream)?;
        if peer != owner && peer != 0 {
            return Err(io::Error::new(ErrorKind::PermissionDenied, format!("uid {peer} answers for uid {owner}")));
        }
        stream.set_write_timeout(Some(left(end)?))?;
        stream.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut part = [0; 1 << 16];
        loop {
            stream.set_read_timeout(Some(left(end)?))?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(part.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(too_slow()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if answer.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "the answer has no end"));
            }
        }
        checked(answer)
    }

    /// Removes what a dead daemon left. Not to be called unless it refuses.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The control sockets of one user's daemons, dead ones included.
pub fn sockets_of(uid: u32) -> io::Result<Vec<Socket>> {
    let table = mountinfo::read()?;
    // One that lies in a FUSE mount may hang; but for a container's root, without which nothing would work anyway.
    let hangs =
        |room: &Path| covering(room, &table).is_some_and(|entry| entry.is_fuse() && entry.point != Path::new("/"));
    let rooms = rooms_of(uid).into_iter().filter(|room| !hangs(room) && is_private(room, uid));
    let entries = rooms.filter_map(|room| fs::read_dir(room).ok()).flatten().flatten();
    Ok(entries.filter_map(|entry| Socket::read(entry.path())).collect())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(too_slow()) } else { Ok(left) }
}

fn too_slow() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("the daemon gave no answer in {} s", PATIENCE.as_secs()))
}

/// An answer is a line of JSON; an object with `error` alone says why there is none.
fn checked(answer: Vec<u8>) -> io::Result<String> {
    let cut = || io::Error::new(ErrorKind::UnexpectedEof, "the daemon hung up in the middle");
    let text = String::from_utf8(answer).map_err(io::Error::other)?;
    let line = text.strip_suffix('\n').ok_or_else(cut)?;
    let error = serde_json::from_str::<Refusal>(line).ok();
    error.map_or_else(|| Ok(line.to_owned()), |Refusal { error }| Err(io::Error::new(ErrorKind::InvalidInput, error)))
}

/// What a daemon answers to what it does not understand.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// Why.
    pub error: String,
}

/// connect(2) that waits until `end` at most: a daemon that is stopped takes nobody in once its backlog is full.
fn connect(path: &Path, end: Instant) -> io::Result<UnixStream> {
    // A path of any length, by a short name.
    let (room, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
    let room = File::open(room)?;
    let (address, length) = address(&within(&room, name))?;
    // SAFETY: plain numbers; the new descriptor is ours.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        UnixStream::from(OwnedFd::from_raw_fd(fd))
    };
    loop {
        // Bounds connect(2) too.
        socket.set_write_timeout(Some(left(end)?))?;
        // SAFETY: `address` is a whole sockaddr_un, of which `length` bytes count.
        if unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) } == 0 {
            return Ok(socket);
        }
        match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => {}
            error if error.kind() == ErrorKind::WouldBlock => return Err(too_slow()),
            error => return Err(error),
        }
    }
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: plain integers, for which zeros are valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // With a NUL behind it.
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    address.sun_path.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from as libc::c_char);
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, length as libc::socklen_t))
}

/// Who is at the other end.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (fd, level, option) = (stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `peer` has room for `length` bytes.
    if unsafe { libc::getsockopt(fd, level, option, (&raw mut peer).cast(), &mut length) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(peer.uid)
}

// ---- finding the mount ----

/// Where symbolic links lead, without asking a FUSE mount for any of them.
fn resolve(path: &Path, table: &[Entry]) -> io::Result<PathBuf> {
    let mut links = 0;
    let mut todo: VecDeque<OsString> = parts(&std::path::absolute(path)?).collect();
    let mut at = PathBuf::from("/");
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        if covering(&at, table).is_some_and(|entry| entry.is_fuse() && entry.point != Path::new("/")) {
            continue;
        }
        let Ok(target) = fs::read_link(&at) else { continue };
        links += 1;
        if links > 40 {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        parts(&target).rev().for_each(|part| todo.push_front(part));
    }
    Ok(at)
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

// ---- where sockets are ----

/// The directories in which a user's daemons may have their sockets, the best one first.
fn rooms_of(uid: u32) -> Vec<PathBuf> {
    let fallback = PathBuf::from(format!("/tmp/ptfs-{uid}"));
    if uid == 0 {
        // Root's environment is often somebody else's.
        return vec![PathBuf::from("/run/ptfs"), fallback];
    }
    let ((own, _), _) = process::effective();
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| own == uid && dir.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let mut rooms: Vec<PathBuf> = named.into_iter().chain([usual]).map(|dir| dir.join("ptfs")).collect();
    rooms.dedup();
    rooms.push(fallback);
    rooms
}

/// Whether it is a directory, no link to one, that nobody else can change.
fn is_private(room: &Path, uid: u32) -> bool {
    fs::symlink_metadata(room).is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0)
}

/// The path of `name` in a directory that is open: short, and the same wherever the directory's own path leads by now.
fn within(room: &File, name: impl AsRef<OsStr>) -> PathBuf {
    Path::new("/proc/self/fd").join(room.as_raw_fd().to_string()).join(name.as_ref())
}

/// The directory of this user's sockets. It is held open: a daemon may serve the very path that leads there.
pub struct Room {
    dir: File,
}

impl Room {
    /// Opens the best one that can be had, and makes it if it is missing.
    pub fn open() -> io::Result<Room> {
        let ((uid, _), _) = process::effective();
        let mut failure = None;
        for path in rooms_of(uid) {
            match Room::prepare(&path, uid) {
                Ok(room) => return Ok(room),
                Err(error) => failure = Some(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)))
    }

    fn prepare(path: &Path, uid: u32) -> io::Result<Room> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // In /tmp anybody may have made it, or laid a link.
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = dir.metadata()?;
        if found.uid() != uid || found.mode() & 0o077 != 0 {
            let line = format!("is not of mode 0700 and of uid {uid}");
            return Err(io::Error::new(ErrorKind::PermissionDenied, line));
        }
        Ok(Room { dir })
    }

    /// Listens for questions about the mount on the device of this minor number.
    pub fn listen(self, minor: u32) -> io::Result<Control> {
        self.sweep(minor);
        let name = format!("{minor}-{}.sock", std::process::id());
        // Under another name until it listens: one that refuses is taken for a dead daemon's.
        let (early, path) = (within(&self.dir, format!(".{name}")), within(&self.dir, &name));
        let _ = fs::remove_file(&early);
        let listener = UnixListener::bind(&early)?;
        let control = Control { listener, room: self, name };
        fs::set_permissions(&early, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::rename(&early, &path)?;
        Ok(control)
    }

    /// Minor numbers are given again: what is there of this one was a dead daemon's.
    fn sweep(&self, minor: u32) {
        let entries = fs::read_dir(within(&self.dir, "")).into_iter().flatten().flatten();
        let sockets = entries.filter_map(|entry| Socket::read(entry.path()));
        sockets.filter(|socket| socket.minor == minor).for_each(|socket| socket.remove());
    }
}

/// Where a daemon hears questions. Dropping it removes the socket.
pub struct Control {
    /// What to accept from.
    pub listener: UnixListener,
    room: Room,
    name: String,
}

impl Control {
    /// Removes the socket: for an exit that runs no destructors.
    pub fn remove(&self) {
        let _ = fs::remove_file(within(&self.room.dir, &self.name));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread;

    use super::*;

    fn room() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ptfs");
        (dir, path)
    }

    fn uid() -> u32 {
        process::effective().0.0
    }

    fn entry(point: &Path, fstype: &str) -> Entry {
        Entry { device: (0, 1), point: point.to_owned(), fstype: fstype.to_owned(), source: String::new(), owner: None }
    }

    fn socket(path: &Path, minor: u32) -> Socket {
        let name = format!("{minor}-{}.sock", std::process::id());
        Socket::read(path.join(name)).expect("a socket's name")
    }

    #[test]
    fn a_question_is_answered() {
        let (_dir, path) = room();
        let control = Room::prepare(&path, uid()).and_then(|room| room.listen(7)).expect("possible");
        let socket = socket(&path, 7);
        assert_eq!((socket.minor, socket.pid), (7, std::process::id()));
        for (answer, expected) in [
            ("{\"a\":1}\n", Ok("{\"a\":1}".to_owned())),
            ("{\"a\":1}", Err(ErrorKind::UnexpectedEof)),
            ("{\"error\":\"what?\"}\n", Err(ErrorKind::InvalidInput)),
            ("", Err(ErrorKind::UnexpectedEof)),
        ] {
            let got = thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut peer, _) = control.listener.accept().expect("a connection");
                    let mut line = String::new();
                    BufReader::new(&peer).read_line(&mut line).expect("a line");
                    assert_eq!(line, "stats\n");
                    peer.write_all(answer.as_bytes()).expect("heard");
                });
                socket.ask(uid(), "stats")
            });
            assert_eq!(got.map_err(|error| error.kind()), expected, "{answer:?}");
        }
        drop(control);
        assert_eq!(fs::read_dir(&path).expect("there").count(), 0);
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let (_dir, path) = room();
        let control = Room::prepare(&path, uid()).and_then(|room| room.listen(7)).expect("possible");
        // SAFETY: plain numbers; a shorter backlog for the same socket.
        assert_eq!(unsafe { libc::listen(control.listener.as_raw_fd(), 0) }, 0);
        // Nobody accepts: the first is in the backlog and gets no answer, the next does not even get there.
        for turn in 0..2 {
            let start = Instant::now();
            let error = socket(&path, 7).ask(uid(), "stats").expect_err("silence");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!((PATIENCE..10 * PATIENCE).contains(&start.elapsed()), "{turn}: {error}");
        }
    }

    #[test]
    fn what_a_dead_daemon_left_refuses() {
        let (_dir, path) = room();
        let room = Room::prepare(&path, uid()).expect("can be made");
        let left = path.join("8-1.sock");
        drop(UnixListener::bind(&left).expect("new"));
        let error = Socket::read(left.clone()).expect("a name").ask(uid(), "stats").expect_err("dead");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The next on this minor number clears it away.
        let _control = room.listen(8).expect("possible");
        assert!(!left.exists() && path.join(format!("8-{}.sock", std::process::id())).exists());
    }

    #[test]
    fn a_room_is_private_and_no_link() {
        let (dir, path) = room();
        drop(Room::prepare(&path, uid()).expect("can be made"));
        assert!(is_private(&path, uid()) && fs::metadata(&path).expect("made").mode() & 0o777 == 0o700);
        assert!(!is_private(&path, uid() + 1) && Room::prepare(&path, uid() + 1).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("new");
        assert!(!is_private(&link, uid()) && Room::prepare(&link, uid()).is_err());
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o750)).expect("ours");
        assert!(!is_private(&path, uid()) && Room::prepare(&path, uid()).is_err());
    }

    #[test]
    fn a_path_leads_to_the_mount_above_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = fs::canonicalize(dir.path()).expect("there");
        let (mnt, other) = (base.join("mnt"), base.join("other"));
        fs::create_dir_all(mnt.join("deep")).expect("new");
        for (link, target) in [("to-mnt", "mnt/deep"), ("up", "other/../to-mnt"), ("loop", "loop")] {
            std::os::unix::fs::symlink(target, base.join(link)).expect("new");
        }
        // Would be followed if the mount were asked.
        std::os::unix::fs::symlink(&other, mnt.join("inner")).expect("new");
        let table = [entry(Path::new("/"), "ext4"), entry(&mnt, "ext4"), entry(&mnt, "fuse.ptfs")];
        let at = |path: &Path| resolve(path, &table).map(|path| covering(&path, &table).expect("the root").clone());
        for path in ["mnt", "mnt/deep/none", "mnt/inner", "to-mnt/x", "up", "other/../mnt", "mnt/deep/../.."] {
            let found = at(&base.join(path)).expect("no loop");
            assert_eq!(found.is_fuse(), path != "mnt/deep/../..", "{path}: {found:?}");
        }
        assert!(!at(&base.join("mntx")).expect("no loop").is_fuse());
        assert!(at(&base.join("loop")).is_err());
    }

    #[test]
    fn names_are_read() {
        let read = |name: &str| Socket::read(Path::new("/r").join(name)).map(|socket| (socket.minor, socket.pid));
        assert_eq!(read("45-4711.sock"), Some((45, 4711)));
        for other in [".45-4711.sock", "45-4711", "45.sock", "-1-2.sock", "x-1.sock"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
