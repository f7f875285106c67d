//! A reply and what becomes the kernel's with it.

use crate::core::handles::Opened;
use crate::core::nodes::Counted;
use crate::protocol::{Errno, Reply};

/// A reply that is not committed yet. Dropping it takes back every lookup that it counted and closes what it opened.
pub struct Answer<'c> {
    /// What to say.
    pub reply: Reply,
    node: Option<Counted<'c>>,
    file: Option<Opened<'c>>,
    entries: Vec<Counted<'c>>,
}

impl<'c> Answer<'c> {
    /// A reply that names a node.
    pub fn node(reply: Reply, node: Counted<'c>) -> Answer<'c> {
        Answer { node: Some(node), ..reply.into() }
    }

    /// A reply that names an open file.
    pub fn file(reply: Reply, file: Opened<'c>) -> Answer<'c> {
        Answer { file: Some(file), ..reply.into() }
    }

    /// A reply that names both.
    pub fn created(reply: Reply, node: Counted<'c>, file: Opened<'c>) -> Answer<'c> {
        Answer { node: Some(node), file: Some(file), ..reply.into() }
    }

    /// A reply that names many nodes.
    pub fn entries(reply: Reply, entries: Vec<Counted<'c>>) -> Answer<'c> {
        Answer { entries, ..reply.into() }
    }

    /// True if nothing depends on whether the kernel takes the reply.
    pub fn gives_nothing(&self) -> bool {
        self.node.is_none() && self.file.is_none() && self.entries.is_empty()
    }

    /// The kernel took the reply.
    pub fn commit(self) {
        self.node.into_iter().chain(self.entries).for_each(Counted::give);
        self.file.into_iter().for_each(Opened::give);
    }
}

impl From<Reply> for Answer<'_> {
    fn from(reply: Reply) -> Self {
        Answer { reply, node: None, file: None, entries: Vec::new() }
    }
}

impl From<Errno> for Answer<'_> {
    fn from(errno: Errno) -> Self {
        Reply::Err(errno).into()
    }
}
