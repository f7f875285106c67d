//! The host's error numbers, as they travel in `fuse_out_header.error` (negated there).

/// A positive errno value of the platform that this was compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident),* $(,)?) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "` of errno(3).")]
            pub const $name: Errno = Errno(libc::$name);)*

            /// What errno(3) calls it, or `errno N` where this list does not know it.
            pub fn name(self) -> std::borrow::Cow<'static, str> {
                match self.0 {
                    $(libc::$name => stringify!($name).into(),)*
                    other => format!("errno {other}").into(),
                }
            }
        }
    };
}

errnos! {
    EPERM, ENOENT, EINTR, EIO, EBADF, EAGAIN, ENOMEM, EACCES, EBUSY, EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL,
    ENFILE, EMFILE, EFBIG, ENOSPC, ESPIPE, EROFS, ERANGE, ENAMETOOLONG, ENOSYS, ENOTEMPTY, ELOOP, EOPNOTSUPP, ESTALE,
    ENOTCONN, ECANCELED, EPROTO, ENOTTY, ENOLCK, EDEADLK, EOVERFLOW,
    ENXIO, E2BIG, EFAULT, ETXTBSY, EMLINK, EDQUOT, ETIMEDOUT, ECONNABORTED, ECONNRESET,
}

impl From<std::io::Error> for Errno {
    /// An error that carries no errno (it did not come from the host) is EIO.
    fn from(error: std::io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> std::io::Error {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}
