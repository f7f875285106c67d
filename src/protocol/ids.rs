//! The numbers that cross the wire, one type per meaning.

macro_rules! wire_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
        pub struct $name(pub u64);
    };
}

wire_id! {
    /// `nodeid`: names a node to the kernel. High half: generation; low half: index in the node table.
    NodeId
}
wire_id! {
    /// `fh`: names an open file. High half: generation; low half: index in the handle table.
    Fh
}
wire_id! {
    /// `unique`: names a request. Bit 63 marks one that the kernel sends again (`FUSE_UNIQUE_RESEND`).
    Unique
}

impl NodeId {
    /// `FUSE_ROOT_ID`.
    pub const ROOT: NodeId = NodeId(1);
}
