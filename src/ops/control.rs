//! POLL and IOCTL.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::core::Core;
use crate::core::attr::{KIND_DIRECTORY, KIND_REGULAR};
use crate::core::handles::File;
use crate::core::host::{Host, Result};
use crate::core::idmap::Asker;
use crate::core::ids::{Fh, HostFd, NodeId};
use crate::protocol::abi::{IoctlOut, PollOut};
use crate::protocol::{Errno, Reply};

use super::answer::Answer;
use super::backing::NO_FH;
use super::os::Os;
use super::reach::reach;

/// The commands that are passed on: what they act on is the file, and what they say holds no address. `linux/fs.h` and
/// `linux/fsverity.h`, as architectures with the generic encoding have them.
const KNOWN: [u32; 7] = [
    0x8008_6601,          // FS_IOC_GETFLAGS
    0x4008_6602,          // FS_IOC_SETFLAGS
    0x8008_7601,          // FS_IOC_GETVERSION
    0x801c_581f,          // FS_IOC_FSGETXATTR
    0x401c_5820,          // FS_IOC_FSSETXATTR
    FS_IOC_ENABLE_VERITY, // the host finds salt and signature behind the struct
    0xc004_6686,          // FS_IOC_MEASURE_VERITY
];
/// Whether a command changes the file.
pub fn changes(command: u32) -> bool {
    matches!(command, 0x4008_6602 | 0x401c_5820 | FS_IOC_ENABLE_VERITY)
}

const FS_IOC_ENABLE_VERITY: u32 = 0x4080_6685;
/// More than any of them needs, salt and signature included.
const LARGEST: u32 = 1 << 16;
const O_RDONLY: u32 = 0;

/// The file that a request is about: opened for it alone where the kernel asks for no OPEN.
enum Subject<'c> {
    Open(File<'c>),
    Opened(OwnedFd),
}

impl Subject<'_> {
    fn fd(&self) -> HostFd {
        match self {
            Subject::Open(file) => file.fd(),
            Subject::Opened(file) => HostFd(file.as_raw_fd()),
        }
    }
}

async fn subject<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh) -> Result<Subject<'c>> {
    if fh != NO_FH || !(core.config.no_open || core.config.no_opendir) {
        return core.handles.get(fh).map(Subject::Open);
    }
    let node = reach(core, os, nodeid).await?;
    match node.pin.kind() {
        KIND_REGULAR | KIND_DIRECTORY => os.open(node.fd, O_RDONLY).await.map(Subject::Opened),
        _ => Err(Errno::EBADF),
    }
}

/// POLL: what the host's file is ready for now.
pub async fn poll<'c, O: Os>(core: &'c Core, os: &O, nodeid: NodeId, fh: Fh, events: u32) -> Result<Answer<'c>> {
    let file = subject(core, os, nodeid, fh).await?;
    let revents = os.inline(|host| host.poll(file.fd(), events))?;
    Ok(Reply::Poll(PollOut { revents, ..Default::default() }).into())
}

/// IOCTL. ENOTTY for what is not known here, as the host answers to what it does not know.
pub async fn ioctl<'c, O: Os>(
    core: &'c Core,
    os: &O,
    caller: Asker,
    (nodeid, fh): (NodeId, Fh),
    command: u32,
    data: &[u8],
    out_size: u32,
) -> Result<Answer<'c>> {
    let file = subject(core, os, nodeid, fh).await?;
    if !KNOWN.contains(&command) {
        return Err(Errno::ENOTTY);
    }
    let fd = file.fd();
    if command == FS_IOC_ENABLE_VERITY && !caller.root {
        // The host asks for the right to write, which the client's kernel has not looked at: a file that is open for
        // reading is sealed. The daemon would always have it.
        let owner = os.stat(fd).await?.uid;
        caller.making(0).filter(|making| making.uid == owner).ok_or(Errno::EACCES)?;
    }
    // The size in the command is the least that the host may read or write.
    let least = command >> 16 & 0x3fff;
    let size = out_size.max(data.len() as u32).max(least);
    if size > LARGEST {
        return Err(Errno::EINVAL);
    }
    let mut argument = data.to_vec();
    argument.resize(size as usize, 0);
    let (result, argument) =
        os.offload(move |host| host.ioctl(fd, command, &mut argument).map(|result| (result, argument))).await?;
    let out = &argument[..out_size as usize];
    os.fill(|buf| {
        let room = buf.get_mut(size_of::<IoctlOut>()..).and_then(|buf| buf.get_mut(..out.len()));
        room.ok_or(Errno::EIO)?.copy_from_slice(out);
        let reply = IoctlOut { result: result as i32, ..Default::default() };
        Ok(Reply::Ioctl(reply, out_size).into())
    })
}
