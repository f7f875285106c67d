//! What each FUSE operation means: written once, for every engine.
//!
//! An operation reads top to bottom: find the node, ask the host, count what the reply gives away. It never sees a
//! ring, a slot or a thread.

mod answer;
mod backing;
mod cache;
mod control;
mod data;
mod dir;
pub mod engine;
mod entry;
mod lock;
mod names;
mod os;
mod reach;
mod seal;
mod stall;
mod xattr;

pub use answer::Answer;
pub use os::Os;
pub use reach::mount_of;
pub use stall::Stall;

use crate::core::Core;
use crate::core::attr::decode_dev;
use crate::core::host::{Host, Result};
use crate::protocol::{Errno, Op, Reply, Request};

use lock::Ask;
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
    let Request { unique, nodeid, labels, op, .. } = request;
    if core.config.readonly && changes_something(&op) {
        return Err(Errno::EROFS);
    }
    let caller = core.config.mapping.asker(&request.caller);
    match op {
        Op::Lookup { name } => entry::lookup(core, os, nodeid, name).await,
        Op::Getattr { fh } => entry::getattr(core, os, nodeid, fh).await,
        Op::Statx { fh, .. } => entry::statx(core, os, nodeid, fh).await,
        Op::Access { mask } => entry::access(core, os, nodeid, mask).await,
        Op::Setattr(set) => entry::setattr(core, os, caller, nodeid, set).await,

        Op::Open { flags, .. } => data::open(core, os, request.caller.pid, nodeid, flags).await,
        Op::Read { fh, offset, size, .. } => data::read(core, os, (nodeid, fh), offset, size).await,
        Op::Write { fh, offset, data, flags, cache, kill_suidgid } => {
            data::write(core, os, caller, data::Write { nodeid, fh, offset, data, flags, cache, kill_suidgid }).await
        }
        Op::Release { fh, .. } | Op::Releasedir { fh } => data::release(core, os, nodeid, fh).await,
        Op::Flush { fh, lock_owner } => data::flush(core, os, nodeid, fh, lock_owner).await,
        Op::Fsync { fh, datasync } => data::fsync(core, os, (nodeid, fh), datasync).await,
        Op::Fallocate { fh, offset, length, mode } => {
            data::fallocate(core, os, caller, (nodeid, fh), mode, (offset, length)).await
        }
        Op::Lseek { fh, offset, whence } => data::lseek(core, os, (nodeid, fh), offset, whence).await,
        Op::CopyFileRange { fh_in, off_in, nodeid_out, fh_out, off_out, len, flags, wide } => {
            let (from, to) = ((nodeid, fh_in, off_in), (nodeid_out, fh_out, off_out));
            data::copy_file_range(core, os, caller, from, to, (len, flags, wide)).await
        }

        Op::Getlk { fh, owner, lk, flock } => lock::getlk(core, os, nodeid, Ask { fh, owner, lk, flock }).await,
        Op::Setlk { fh, owner, lk, flock, wait } => {
            lock::setlk(core, os, (unique, request.caller.pid), nodeid, Ask { fh, owner, lk, flock }, wait).await
        }
        Op::Interrupt { unique } => {
            core.waits.interrupt(unique);
            Ok(Reply::None.into())
        }

        Op::Poll { fh, events } => control::poll(core, os, nodeid, fh, events).await,
        Op::Ioctl { fh, cmd, data, out_size, .. } => {
            control::ioctl(core, os, caller, (nodeid, fh), cmd, data, out_size).await
        }

        Op::Opendir { flags } => dir::opendir(core, os, nodeid, flags).await,
        Op::Readdir { fh, offset, size } => dir::readdir(core, os, nodeid, (fh, offset, size)).await,
        Op::Fsyncdir { fh, datasync } => dir::fsync(core, os, nodeid, fh, datasync).await,
        Op::Readdirplus { fh, offset, size } => dir::readdirplus(core, os, nodeid, (fh, offset, size)).await,

        Op::Create { name, flags, mode, umask, .. } => {
            names::create(core, os, nodeid, name, (making(&caller, umask)?, labels), (flags, mode)).await
        }
        Op::Tmpfile { flags, mode, umask } => {
            names::tmpfile(core, os, nodeid, (making(&caller, umask)?, labels), (flags, mode)).await
        }
        Op::Mkdir { name, mode, umask } => {
            let making = making(&caller, umask)?;
            names::make(core, os, nodeid, name, labels, move |host, dir, name| host.mkdir(&making, dir, name, mode))
                .await
        }
        Op::Mknod { name, mode, rdev, umask } => {
            let (making, rdev) = (making(&caller, umask)?, decode_dev(rdev));
            names::make(core, os, nodeid, name, labels, move |host, dir, name| {
                host.mknod(&making, dir, name, mode, rdev)
            })
            .await
        }
        Op::Symlink { name, target } => {
            let (making, target) = (making(&caller, 0)?, target.to_owned());
            names::make(core, os, nodeid, name, labels, move |host, dir, name| {
                host.symlink(&making, dir, name, &target)
            })
            .await
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
            forget(core, nodeid, nlookup);
            Ok(Reply::None.into())
        }
        Op::BatchForget(list) => {
            list.iter().for_each(|(nodeid, nlookup)| forget(core, nodeid, nlookup));
            Ok(Reply::None.into())
        }
        // Asked for by the engine, which wants no more than a request.
        Op::NotifyReply | Op::Destroy => Ok(Reply::Ok.into()),
        // INIT comes once, before any engine runs.
        Op::Init(_) => Err(Errno::EIO),
        Op::Unsupported { .. } => Err(Errno::ENOSYS),
    }
}

fn forget(core: &Core, nodeid: crate::core::ids::NodeId, nlookup: u64) {
    backing::forget(core, nodeid);
    core.nodes.forget(nodeid, nlookup);
}

/// True for what a read-only mount refuses: also the daemon does, lest somebody remounts it.
fn changes_something(op: &Op<'_>) -> bool {
    match op {
        Op::Open { flags, .. } => flags & data::ACCESS_MODE != 0,
        Op::Ioctl { cmd, .. } => control::changes(*cmd),
        Op::Setattr(_)
        | Op::Symlink { .. }
        | Op::Mknod { .. }
        | Op::Mkdir { .. }
        | Op::Unlink { .. }
        | Op::Rmdir { .. }
        | Op::Rename { .. }
        | Op::Link { .. }
        | Op::Create { .. }
        | Op::Tmpfile { .. }
        | Op::Write { .. }
        | Op::Setxattr { .. }
        | Op::Removexattr { .. }
        | Op::Fallocate { .. }
        | Op::CopyFileRange { .. } => true,
        _ => false,
    }
}
