//! The operations that are told apart in the table.

use crate::protocol::Op;

macro_rules! op_kinds {
    ($($kind:ident = $name:literal),* $(,)?) => {
        /// An [`Op`] without its arguments: the row of the table that it is counted in.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the variants are those of Op")]
        pub enum OpKind { $($kind),* }

        impl OpKind {
            /// Every kind, in the order of the table; `kind as usize` is its index here.
            pub const ALL: &[OpKind] = &[$(OpKind::$kind),*];
            /// The number of kinds.
            pub const COUNT: usize = OpKind::ALL.len();

            /// The kind of `op`.
            pub fn of(op: &Op<'_>) -> OpKind {
                match op { $(Op::$kind { .. } => OpKind::$kind),* }
            }

            /// The name as `linux/fuse.h` has it.
            pub fn name(self) -> &'static str {
                match self { $(OpKind::$kind => $name),* }
            }
        }
    };
}

op_kinds!(
    Lookup = "LOOKUP",
    Forget = "FORGET",
    BatchForget = "BATCH_FORGET",
    Getattr = "GETATTR",
    Statx = "STATX",
    Setattr = "SETATTR",
    Readlink = "READLINK",
    Symlink = "SYMLINK",
    Mknod = "MKNOD",
    Mkdir = "MKDIR",
    Unlink = "UNLINK",
    Rmdir = "RMDIR",
    Rename = "RENAME",
    Link = "LINK",
    Open = "OPEN",
    Create = "CREATE",
    Tmpfile = "TMPFILE",
    Read = "READ",
    Write = "WRITE",
    Statfs = "STATFS",
    Release = "RELEASE",
    Fsync = "FSYNC",
    Setxattr = "SETXATTR",
    Getxattr = "GETXATTR",
    Listxattr = "LISTXATTR",
    Removexattr = "REMOVEXATTR",
    Flush = "FLUSH",
    Access = "ACCESS",
    Opendir = "OPENDIR",
    Readdir = "READDIR",
    Readdirplus = "READDIRPLUS",
    Releasedir = "RELEASEDIR",
    Fsyncdir = "FSYNCDIR",
    Fallocate = "FALLOCATE",
    Lseek = "LSEEK",
    CopyFileRange = "COPY_FILE_RANGE",
    Interrupt = "INTERRUPT",
    Init = "INIT",
    Destroy = "DESTROY",
    Unsupported = "UNSUPPORTED",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_order_agree() {
        for (index, kind) in OpKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }

    #[test]
    fn every_shape_of_variant_is_recognised() {
        assert_eq!(OpKind::of(&Op::Readlink), OpKind::Readlink);
        assert_eq!(OpKind::of(&Op::Lookup { name: c"x" }), OpKind::Lookup);
        assert_eq!(OpKind::of(&Op::Setattr(Default::default())), OpKind::Setattr);
        assert_eq!(OpKind::of(&Op::Unsupported { opcode: 9999 }).name(), "UNSUPPORTED");
    }
}
