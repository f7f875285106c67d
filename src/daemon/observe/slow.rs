//! The log of slow operations.

use std::io;
use std::thread::{self, Scope};

use tracing::field::{debug, display};

use crate::stats::{Phase, SlowLog, SlowOp, human};

/// Ends the log when it is dropped, once all is said.
pub struct Logging<'l>(&'l SlowLog);

impl Drop for Logging<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Logs on a thread of its own: workers only hand over what is to be said, and a terminal or a disk that takes long is
/// waited for there.
pub fn start<'scope, 'l: 'scope>(scope: &'scope Scope<'scope, '_>, log: &'l SlowLog) -> io::Result<Logging<'l>> {
    let logging = Logging(log);
    thread::Builder::new().name("slow-log".to_owned()).spawn_scoped(scope, || write(log))?;
    Ok(logging)
}

fn write(log: &SlowLog) {
    while let Some((slow, lost)) = log.take() {
        slow.iter().for_each(write_one);
        if lost > 0 {
            tracing::warn!(target: "ptfs::slow", "{lost} more were not logged");
        }
    }
}

fn write_one(slow: &SlowOp) {
    let phase = |phase| slow.phase(phase).map(|spent| display(human(spent)));
    let name = slow.name.as_deref().map(|name| debug(String::from_utf8_lossy(name)));
    tracing::warn!(
        target: "ptfs::slow",
        op = slow.kind.name(),
        name,
        unique = slow.subject.unique,
        nodeid = slow.subject.nodeid,
        pid = slow.subject.pid,
        errno = slow.errno.map(|errno| display(errno.name())),
        bytes = slow.bytes,
        total = %human(slow.total),
        queue = phase(Phase::Queue),
        inline = phase(Phase::Inline),
        ring = phase(Phase::Ring),
        helper = phase(Phase::Helper),
        lock = phase(Phase::Lock),
        own = phase(Phase::Own),
        "slow operation"
    );
}
