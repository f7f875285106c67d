//! The host's error numbers, as they travel in `fuse_out_header.error` (negated there).

/// A positive errno value of the platform that this was compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident),* $(,)?) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "` of errno(3).")]
            pub const $name: Errno = Errno(libc::$name);)*

            /// The name as errno(3) has it, or the number where this host gives it none.
            pub fn name(self) -> String {
                // Two names of one number: the first is told.
                const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
                let known = NAMES.iter().find(|&&(number, _)| number == self.0);
                known.map_or_else(|| self.0.to_string(), |&(_, name)| name.to_owned())
            }
        }
    };
}

errnos! {
    EPERM, ENOENT, EINTR, EIO, EBADF, EAGAIN, ENOMEM, EACCES, EBUSY, EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL,
    ENFILE, EMFILE, EFBIG, ENOSPC, ESPIPE, EROFS, ERANGE, ENAMETOOLONG, ENOSYS, ENOTEMPTY, ELOOP, EOPNOTSUPP, ESTALE,
    ENOTCONN, ECANCELED, EPROTO, ENOTTY, ENOLCK, EDEADLK, EOVERFLOW, ESRCH, ENXIO, E2BIG, ENOEXEC, ECHILD, EFAULT,
    ENOTBLK, ETXTBSY, EMLINK, EPIPE, EDOM, ENODATA, ETIME, EBADMSG, EILSEQ, EDQUOT, EUSERS, ENOTSUP, ETIMEDOUT,
    EALREADY, EINPROGRESS, EREMOTE, ENOMSG, EIDRM, ENOLINK, EMULTIHOP, ENOSTR, ENOSR, ENOBUFS, ENOTSOCK, EDESTADDRREQ,
    EMSGSIZE, EPROTOTYPE, ENOPROTOOPT, EPROTONOSUPPORT, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH,
    ENETRESET, ECONNABORTED, ECONNRESET, EISCONN, ESHUTDOWN, ETOOMANYREFS, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH,
    EOWNERDEAD, ENOTRECOVERABLE,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_host_and_numbers_where_there_is_none() {
        assert_eq!((Errno::ENOENT.name(), Errno::ESTALE.name()), ("ENOENT".to_owned(), "ESTALE".to_owned()));
        assert_eq!((Errno(libc::ENODATA).name(), Errno(4000).name()), ("ENODATA".to_owned(), "4000".to_owned()));
    }
}
