//! What each FUSE operation means: written once, for every engine.
//!
//! An operation reads top to bottom: find the node, ask the host, count what the reply gives away. It never sees a
//! ring, a slot or a thread.

mod answer;
mod data;
mod dir;
pub mod engine;
mod entry;
mod names;
mod os;
mod reach;
mod xattr;

pub use answer::Answer;
pub use os::Os;
pub use reach::mount_of;

use crate::core::Core;
use crate::core::attr::decode_dev;
use crate::core::host::{Host, Result};
use crate::protocol::{Errno, Op, Reply, Request};

use names::making;

/// Answers one request.
pub async fn serve<'c, O: Os>(core: &'c Core, os: &O, request: Request<'_>) -> Answer<'c> {
    let answer = match operate(core, os, request).await {
        Ok(answer) => answer,
        // The daemon's own table is full, which to its callers is the system's.
        Err(Errno::EMFILE) => Errno::ENFILE.into(),
        Err(errno) => errno.into(),
    };
    // Only now, since the request's own descriptors were in use until here.
    reach::trim(core, os).await;
    answer
}

async fn operate<'c, O: Os>(core: &'c Core, os: &O, request: Request<'_>) -> Result<Answer<'c>> {
    let Request { nodeid, op, .. } = request;
    let caller = core.config.identity.asker(&request.caller);
    match op {
        Op::Lookup { name } => entry::lookup(core, os, nodeid, name).await,
        Op::Getattr { fh } => entry::getattr(core, os, nodeid, fh).await,
        Op::Statx { fh, .. } => entry::statx(core, os, nodeid, fh).await,
        Op::Access { mask } => entry::access(core, os, nodeid, mask).await,
        Op::Setattr(set) => entry::setattr(core, os, caller, nodeid, set).await,

        Op::Open { flags, .. } => data::open(core, os, nodeid, flags).await,
        Op::Read { fh, offset, size, .. } => data::read(core, os, fh, offset, size).await,
        Op::Write { fh, offset, data, flags, cache, kill_suidgid } => {
            data::write(core, os, caller, data::Write { fh, offset, data, flags, cache, kill_suidgid }).await
        }
        Op::Release { fh, .. } | Op::Releasedir { fh } => data::release(core, os, fh).await,
        Op::Flush { fh, .. } => data::flush(core, os, fh).await,
        Op::Fsync { fh, datasync } | Op::Fsyncdir { fh, datasync } => data::fsync(core, os, fh, datasync).await,
        Op::Fallocate { fh, offset, length, mode } => {
            data::fallocate(core, os, caller, fh, mode, (offset, length)).await
        }
        Op::Lseek { fh, offset, whence } => data::lseek(core, os, fh, offset, whence).await,
        Op::CopyFileRange { fh_in, off_in, fh_out, off_out, len, flags, wide, .. } => {
            data::copy_file_range(core, os, caller, (fh_in, off_in), (fh_out, off_out), (len, flags, wide)).await
        }

        Op::Opendir { flags } => dir::opendir(core, os, nodeid, flags).await,
        Op::Readdir { fh, offset, size } => dir::readdir(core, os, nodeid, (fh, offset, size)).await,
        Op::Readdirplus { fh, offset, size } => dir::readdirplus(core, os, nodeid, (fh, offset, size)).await,

        Op::Create { name, flags, mode, umask, .. } => {
            names::create(core, os, nodeid, name, making(&caller, umask)?, (flags, mode)).await
        }
        Op::Tmpfile { flags, mode, umask } => {
            names::tmpfile(core, os, nodeid, making(&caller, umask)?, (flags, mode)).await
        }
        Op::Mkdir { name, mode, umask } => {
            let making = making(&caller, umask)?;
            names::make(core, os, nodeid, name, move |host, dir, name| host.mkdir(&making, dir, name, mode)).await
        }
        Op::Mknod { name, mode, rdev, umask } => {
            let (making, rdev) = (making(&caller, umask)?, decode_dev(rdev));
            names::make(core, os, nodeid, name, move |host, dir, name| host.mknod(&making, dir, name, mode, rdev)).await
        }
        Op::Symlink { name, target } => {
            let (making, target) = (making(&caller, 0)?, target.to_owned());
            names::make(core, os, nodeid, name, move |host, dir, name| host.symlink(&making, dir, name, &target)).await
        }
        Op::Link { oldnodeid, newname } => names::link(core, os, caller, oldnodeid, (nodeid, newname)).await,
        Op::Unlink { name } => names::remove(core, os, nodeid, name, false).await,
        Op::Rmdir { name } => names::remove(core, os, nodeid, name, true).await,
        Op::Rename { name, newdir, newname, flags } => {
            names::rename(core, os, caller, (nodeid, name), (newdir, newname), flags).await
        }
        Op::Readlink => names::readlink(core, os, nodeid).await,

        Op::Setxattr { name, value, flags, acl_kill_sgid } => {
            xattr::setxattr(core, os, nodeid, (name, value), flags, acl_kill_sgid).await
        }
        Op::Getxattr { name, size } => xattr::getxattr(core, os, nodeid, name, size).await,
        Op::Listxattr { size } => xattr::listxattr(core, os, caller, nodeid, size).await,
        Op::Removexattr { name } => xattr::removexattr(core, os, caller, nodeid, name).await,
        Op::Statfs => xattr::statfs(core, os, nodeid).await,

        Op::Forget { nlookup } => {
            core.nodes.forget(nodeid, nlookup);
            Ok(Reply::None.into())
        }
        Op::BatchForget(list) => {
            list.iter().for_each(|(nodeid, nlookup)| core.nodes.forget(nodeid, nlookup));
            Ok(Reply::None.into())
        }
        // No operation waits for another client yet, so that whatever is in flight ends by itself.
        Op::Interrupt { .. } => Ok(Reply::None.into()),
        Op::Destroy => Ok(Reply::Ok.into()),
        // INIT comes once, before any engine runs.
        Op::Init(_) => Err(Errno::EIO),
        Op::Unsupported { .. } => Err(Errno::ENOSYS),
    }
}
