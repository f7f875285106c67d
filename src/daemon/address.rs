//! Where to listen for HTTP, as `--metrics` names it.

use std::fmt;
use std::net::{TcpListener, ToSocketAddrs};
use std::str::FromStr;

/// `9090`, `:9090`, `127.0.0.1:9090`, `[::1]:0`, `name:9090`. Without a host it is the loopback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || "must be PORT or HOST:PORT, as 9090, 0.0.0.0:9090 or [::1]:9090".to_owned();
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inside) => inside.filter(|inside| inside.contains(':')).ok_or_else(wrong)?,
            // An address of IPv6 without brackets, whose last part is no port.
            None if host.contains([':', ']', '/', ' ']) => return Err(wrong()),
            None => host,
        };
        let port = port.parse().map_err(|_| wrong())?;
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Address {
    /// Listens there.
    pub fn listen(&self) -> Result<TcpListener, String> {
        let listener = (&*self.host, self.port).to_socket_addrs().and_then(|found| {
            let found: Vec<_> = found.collect();
            let listener = TcpListener::bind(&*found)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listener.map_err(|error| format!("--metrics={self}: cannot listen there: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short() {
        for (text, whole) in [
            ("9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:65535", "localhost:65535"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(whole), "{text}");
        }
        for wrong in
            ["", ":", "host", "host:", "65536", "-1", "::1", "::1:80", "[::1]", "[]:1", "[x]:1", "a b:1", "http://x:1"]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let address: Address = "0".parse().expect("a port");
        let listener = address.listen().expect("a free one");
        let port = listener.local_addr().expect("listens").port();
        let error = Address { port, ..address }.listen().expect_err("in use");
        assert!(error.contains(&format!("--metrics=127.0.0.1:{port}: ")), "{error}");
    }
}
