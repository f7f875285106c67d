//! The word to a service manager, as sd_notify(3) has it: a datagram to `$NOTIFY_SOCKET`. (The crate sd-notify 0.5 does
//! not reach sockets with an abstract name.)

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The mount answers. `status` is for people.
pub fn ready(status: &str) {
    // The number too: it is not the one that was started, if that has gone to the background.
    tell(&format!("READY=1\nMAINPID={}\nSTATUS={status}\n", std::process::id()));
}

/// The end has begun.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=unmounting\n");
}

/// Without a service manager there is nobody to tell.
fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!("the service manager at {} cannot be told: {error}", name.display());
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
