//! Making the mount, and taking down that mount and no other.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::options::MountOptions;
use super::say;
use crate::sys::mount::{self as sys, MountId};
use crate::sys::process::{self, Watchdog};
use crate::sys::{creds, mountinfo};

/// A mount of ours. Dropping it takes it down, without waiting for those who use it: drop the last fd of its device
/// before, or the kernel may wait for answers that nobody gives any more.
pub struct Mounted {
    id: MountId,
    by: Mounter,
    /// Takes the mount down if the daemon cannot (`auto_unmount`). That of `fusermount3` would not do: its 3.14 looks
    /// into the dead mount, and as root is refused there unless others are allowed in.
    watchdog: Option<Watchdog>,
    // Last: a directory can be removed when nothing is mounted there.
    point: MountPoint,
}

/// Who makes the mount, and so takes it down.
#[derive(Clone, Copy)]
enum Mounter {
    Kernel,
    Fusermount,
}

/// The outcome of [`Mounted::unmount`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmounted {
    /// The mount is gone, now or already before.
    Gone,
    /// Somebody has files open or a working directory in it.
    Busy,
}

/// Mounts at `point`; gives the mount and its device, from which INIT is to be read. Starts no thread, and must be
/// called before there are any.
pub fn mount(source: &Path, point: &Path, options: &MountOptions) -> Result<(Mounted, OwnedFd), String> {
    let point = MountPoint::prepare(point)?;
    if is_inside(&point.path, source) {
        return Err(contains_itself(&point.path, source));
    }
    let (uid, gid, root) = process::user();
    let by = if root { Mounter::Kernel } else { Mounter::Fusermount };
    let watchdog = options.auto_unmount.then(|| Watchdog::watchdog(|daemon| watch(daemon, by, &point))).transpose();
    let watchdog = watchdog.map_err(|error| format!("cannot start the auto_unmount watchdog: {error}"))?;
    let device = match by {
        Mounter::Kernel => mount_directly(source, &point.path, options, uid, gid)?,
        Mounter::Fusermount => mount_by_fusermount(source, &point.path, options)?,
    };
    let id = sys::identify(&point.path).map_err(|error| {
        let _ = by.unmount(&point.path, true);
        format!("{}: {error}", point.path.display())
    })?;
    let mounted = Mounted { id, by, watchdog, point };
    // Mounts propagate, so ours may have come up in places that its path says nothing of.
    let table = mountinfo::read().map_err(|error| error.to_string())?;
    let mut places = table.iter().filter(|entry| entry.device == id.device());
    if let Some(inside) = places.find(|place| is_inside(&place.point, source)) {
        drop(device);
        return Err(contains_itself(&inside.point, source));
    }
    if let Some(mut pipe) = mounted.watchdog.as_ref().and_then(Watchdog::tie) {
        pipe.write_all(&id.to_bytes()).map_err(|error| format!("the auto_unmount watchdog is gone: {error}"))?;
    }
    Ok((mounted, device))
}

impl Mounted {
    /// Which mount it is.
    pub fn id(&self) -> MountId {
        self.id
    }

    /// Where the mount is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.point.path
    }

    /// Unmounts if nobody uses the mount. The kernel writes dirty pages back first, so the engine must be running.
    pub fn unmount(&self) -> Result<Unmounted, String> {
        if !self.is_there() {
            return Ok(Unmounted::Gone);
        }
        match self.by.unmount(self.path(), false) {
            Ok(()) => Ok(Unmounted::Gone),
            // Unmounted from outside at the same time.
            Err(_) if !self.is_there() => Ok(Unmounted::Gone),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(Unmounted::Busy),
            Err(error) => Err(format!("cannot unmount {}: {error}", self.path().display())),
        }
    }

    /// Takes the mount out of sight at once; it ends when its last user leaves or its device closes.
    pub fn detach(&self) {
        if !self.is_there() {
            return;
        }
        if let Err(error) = self.by.unmount(self.path(), true)
            && self.is_there()
        {
            tracing::warn!("cannot unmount {}: {error}", self.path().display());
        }
    }

    /// Detaches, and removes the mount point if it was made for this mount: for an exit that runs no destructors.
    pub fn abandon(&self) {
        self.detach();
        self.point.remove();
    }

    /// Makes the kernel fail all requests, waiting ones and later ones. Needs `/sys/fs/fuse/connections`.
    pub fn abort(&self) -> io::Result<()> {
        fs::write(format!("/sys/fs/fuse/connections/{}/abort", self.id.minor()), "1")
    }

    /// Takes the mount away from those who use it: their files give errors from now on. Only root may; for others it is
    /// [`Mounted::detach`], after which it lasts until the last of them has left.
    pub fn force(&self) {
        match self.by {
            Mounter::Kernel if self.is_there() => {
                if let Err(error) = sys::force_unmount(self.path()) {
                    tracing::warn!("cannot unmount {}: {error}", self.path().display());
                }
            }
            _ => self.detach(),
        }
    }

    /// Sets how far the kernel reads ahead. INIT can only lower the kernel's 128 KiB; root may raise it here.
    pub fn set_readahead(&self, bytes: u32) -> io::Result<()> {
        fs::write(format!("/sys/class/bdi/{}/read_ahead_kb", self.id.bdi()), (bytes >> 10).to_string())
    }

    /// Whether the mount at our path is ours: somebody may have unmounted it, and mounted there anew.
    fn is_there(&self) -> bool {
        sys::identify(self.path()).is_ok_and(|id| id == self.id)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Mounter {
    fn unmount(self, point: &Path, lazy: bool) -> io::Result<()> {
        match self {
            Mounter::Kernel => sys::unmount(point, lazy),
            Mounter::Fusermount => fusermount_unmount(point, lazy),
        }
    }
}

/// Whether requests could lead the daemon from `source` into a mount at `place`, where it would wait for itself for
/// ever. The source itself is no such place, because the daemon holds the directory that lies below the mount.
fn is_inside(place: &Path, source: &Path) -> bool {
    place != source && place.starts_with(source)
}

fn contains_itself(place: &Path, source: &Path) -> String {
    format!(
        "the mount at {} would lie inside SOURCE, {}, and so contain itself: choose a MOUNTPOINT elsewhere",
        place.display(),
        source.display()
    )
}

/// The directory that is mounted on. Dropping it removes the directory if it was made here.
struct MountPoint {
    path: PathBuf,
    made: bool,
}

impl MountPoint {
    fn prepare(path: &Path) -> Result<MountPoint, String> {
        let shown = path.display();
        let made = match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
                    say(format_args!("{shown} is not empty: what is there, or mounted there, is hidden meanwhile"));
                }
                false
            }
            Ok(_) => return Err(format!("{shown} is not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_ok() {
                    return Err(format!("{shown} is a symbolic link to nothing"));
                }
                let made = DirBuilder::new().mode(0o755).create(path);
                made.map_err(|error| format!("cannot make the mount point {shown}: {error}"))?;
                true
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
                let unmount = if creds::privileged() { "umount" } else { "fusermount3 -u" };
                return Err(format!("a dead mount is in the way at {shown}; `{unmount} '{shown}'` clears it"));
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        let path = fs::canonicalize(path).map_err(|error| format!("{shown}: {error}"))?;
        Ok(MountPoint { path, made })
    }

    fn remove(&self) {
        if self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        self.remove();
    }
}

fn mount_directly(source: &Path, point: &Path, options: &MountOptions, uid: u32, gid: u32) -> Result<OwnedFd, String> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(|error| {
        format!(
            "cannot open /dev/fuse: {error}; `modprobe fuse` loads it, `docker run --device /dev/fuse` passes it on"
        )
    })?;
    let fd = device.as_raw_fd();
    let mut data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid}");
    if !options.host_checks {
        data.push_str(",default_permissions");
    }
    if options.allow_other {
        data.push_str(",allow_other");
    }
    if let Some(bytes) = options.max_read {
        data.push_str(&format!(",max_read={bytes}"));
    }
    let fstype = format!("fuse.{}", options.subtype());
    let name = options.fsname(source.as_os_str());
    sys::mount(name, point, OsStr::new(&fstype), options.flags(), &data).map_err(|error| {
        let hint = match error.raw_os_error() {
            Some(libc::EPERM) => "; mounting needs CAP_SYS_ADMIN (`docker run --cap-add SYS_ADMIN`)",
            _ => "",
        };
        format!("cannot mount at {}: {error}{hint}", point.display())
    })?;
    Ok(device.into())
}

/// What the watchdog does: learns which mount to look after, and takes it down when the daemon is gone.
fn watch(mut daemon: PipeReader, by: Mounter, point: &MountPoint) {
    let mut id = [0; 16];
    if daemon.read_exact(&mut id).is_err() {
        return; // nothing was mounted
    }
    let id = MountId::from_bytes(id);
    let _ = daemon.read(&mut [0]);
    if sys::identify(&point.path).is_ok_and(|found| found == id) {
        let _ = by.unmount(&point.path, true);
        point.remove();
    }
}

/// `fusermount3` mounts, and sends the device over its standard input, which is a socket.
fn mount_by_fusermount(source: &Path, point: &Path, options: &MountOptions) -> Result<OwnedFd, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| format!("cannot make a pair of sockets: {error}"))?;
    let mut command = fusermount();
    command.arg("-o").arg(options.for_fusermount(source.as_os_str())).arg("--").arg(point);
    let child = command.env("_FUSE_COMMFD", "0").stdin(OwnedFd::from(theirs)).spawn();
    let mut child = child.map_err(|error| fusermount_missing(&error))?;
    // `command` holds the other end too, and would keep it from hanging up.
    drop(command);
    let device = sys::receive_fd(&ours).map_err(|error| format!("fusermount3 sent no device: {error}"));
    match device? {
        Some(device) => {
            let _ = child.wait();
            Ok(device)
        }
        None => {
            let text = complaint(child);
            let hint = if text.contains("user_allow_other") {
                "; a line `user_allow_other` in /etc/fuse.conf allows it"
            } else if text.contains("/dev/fuse: Permission denied") {
                "; `chmod 666 /dev/fuse` by root opens it to all users, as udev does elsewhere"
            } else {
                ""
            };
            Err(format!("cannot mount at {}: {text}{hint}", point.display()))
        }
    }
}

fn fusermount_unmount(point: &Path, lazy: bool) -> io::Result<()> {
    let output = fusermount().args([if lazy { "-uz" } else { "-u" }, "--"]).arg(point).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = one_line(&output.stderr);
    // In the C locale, which `fusermount` sets; musl says "Resource busy".
    let kind = if text.contains(" busy") { io::ErrorKind::ResourceBusy } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, text))
}

/// `fusermount3` in a process group of its own: Ctrl-C in a terminal is for the daemon, which needs it to finish.
fn fusermount() -> Command {
    let mut command = Command::new("fusermount3");
    command.env("LC_ALL", "C").stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    command
}

fn fusermount_missing(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "fusermount3 not found: a plain user mounts with it; package fuse3 brings it \
                                    (apt install fuse3, dnf install fuse3, pacman -S fuse3, apk add fuse3)"
            .to_owned(),
        _ => format!("cannot run fusermount3: {error}"),
    }
}

/// What a `fusermount3` that failed has to say.
fn complaint(child: Child) -> String {
    match child.wait_with_output() {
        Ok(output) if !output.stderr.is_empty() => one_line(&output.stderr),
        Ok(output) => format!("fusermount3 failed ({})", output.status),
        Err(error) => format!("fusermount3 failed: {error}"),
    }
}

fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ptfs-mount-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_mount_point_made_here_is_removed_again() {
        let path = scratch("made");
        let point = MountPoint::prepare(&path).expect("can be made");
        assert!(path.is_dir());
        drop(MountPoint::prepare(&path).expect("is there"));
        assert!(path.is_dir());
        drop(point);
        assert!(!path.exists());
    }

    #[test]
    fn a_mount_inside_its_source_is_noticed() {
        let inside = |place: &str, source: &str| is_inside(Path::new(place), Path::new(source));
        assert!(inside("/a/b/c", "/a") && inside("/mnt", "/"));
        assert!(!inside("/a", "/a") && !inside("/ab", "/a") && !inside("/", "/a"));
    }

    #[test]
    fn a_file_is_no_mount_point() {
        let path = scratch("file");
        fs::write(&path, "").expect("a scratch file");
        let error = MountPoint::prepare(&path).err();
        fs::remove_file(&path).expect("is there");
        assert!(error.is_some_and(|line| line.ends_with("is not a directory")));
        assert!(MountPoint::prepare(&path.join("a/b")).is_err());
    }
}
