//! As much of HTTP/1.1 as `/metrics` and `/healthz` need: one request a connection.

/// A request, as far as it matters.
#[derive(PartialEq, Eq, Debug)]
pub enum Asked {
    /// It has not come whole yet.
    Unfinished,
    /// It is none.
    Nonsense,
    /// Of this path, without its query. `body`: not for HEAD.
    Get {
        /// `/metrics`.
        path: String,
        /// Whether more than the headers is wanted.
        body: bool,
    },
    /// By a method that changes things.
    OtherMethod,
}

/// What is known after these bytes.
pub fn parse(heard: &[u8]) -> Asked {
    // A client may send an empty line first; lines may end without CR.
    let heard = heard.strip_prefix(b"\r\n").unwrap_or(heard);
    let Some(end) = end_of_head(heard) else {
        // What cannot become a request any more need not be waited for.
        return if could_be_request(heard) { Asked::Unfinished } else { Asked::Nonsense };
    };
    let Ok(head) = str::from_utf8(&heard[..end]) else { return Asked::Nonsense };
    let mut lines = head.lines();
    let parts: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = parts[..] else { return Asked::Nonsense };
    let headers_are = lines.all(|line| line.split_once(':').is_some_and(|(name, _)| is_token(name)));
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !is_token(method) || !headers_are {
        return Asked::Nonsense;
    }
    let Some(path) = path(target) else { return Asked::Nonsense };
    match method {
        "GET" | "HEAD" => Asked::Get { path: path.to_owned(), body: method == "GET" },
        _ => Asked::OtherMethod,
    }
}

/// Behind the last header.
fn end_of_head(heard: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
    ends.iter().filter_map(|end| heard.windows(end.len()).position(|window| window == *end)).min()
}

fn could_be_request(heard: &[u8]) -> bool {
    let method = heard.split(|&byte| byte == b' ').next().unwrap_or_default();
    method.len() <= 32 && method.iter().all(|&byte| is_token_byte(byte))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The path of `/a?b` and of `http://host/a?b`.
fn path(target: &str) -> Option<&str> {
    let absolute = target.split_once("://").map(|(_, rest)| &rest[rest.find('/').unwrap_or(rest.len())..]);
    let path = absolute.unwrap_or(target).split(['?', '#']).next()?;
    match path {
        "" if absolute.is_some() => Some("/"),
        path => path.starts_with('/').then_some(path),
    }
}

/// An answer.
pub struct Response<'a> {
    /// `200 OK`.
    pub status: &'a str,
    /// Of `body`.
    pub content_type: &'a str,
    /// What is to be read.
    pub body: &'a str,
}

/// What is plain to read.
pub const TEXT: &str = "text/plain; charset=utf-8";

impl Response<'_> {
    /// The bytes to send; without the body for a HEAD, which wants to know its length all the same.
    pub fn bytes(&self, with_body: bool) -> Vec<u8> {
        let Response { status, content_type, body } = self;
        let length = body.len();
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Cache-Control: \
             no-store\r\nConnection: close\r\n\r\n"
        );
        [head.as_bytes(), if with_body { body.as_bytes() } else { &[] }].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Asked {
        Asked::Get { path: path.to_owned(), body: true }
    }

    #[test]
    fn requests_are_read() {
        let with = |line: &str| parse(format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(with("GET /metrics HTTP/1.1"), get("/metrics"));
        assert_eq!(with("GET /metrics?a=b&c HTTP/1.0"), get("/metrics"));
        assert_eq!(with("GET http://host:1/healthz?x HTTP/1.1"), get("/healthz"));
        assert_eq!(with("GET http://host HTTP/1.1"), get("/"));
        assert_eq!(with("HEAD / HTTP/1.1"), Asked::Get { path: "/".to_owned(), body: false });
        assert_eq!(with("POST /metrics HTTP/1.1"), Asked::OtherMethod);
        assert_eq!(parse(b"GET /metrics HTTP/1.1\nHost: x\n\n"), get("/metrics"));
        assert_eq!(parse(b"\r\nGET / HTTP/1.1\r\n\r\nbehind"), get("/"));
        for nonsense in [
            "GET /metrics",
            "GET  / HTTP/1.1",
            "GET metrics HTTP/1.1",
            "GET / HTTP/2",
            "G(T / HTTP/1.1",
            "GET / HTTP/1.1\r\nno header",
        ] {
            assert_eq!(with(nonsense), Asked::Nonsense, "{nonsense}");
        }
    }

    #[test]
    fn what_has_not_come_whole_is_waited_for() {
        let whole = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Asked::Unfinished, "{length}");
        }
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Asked::Nonsense, "TLS");
        assert_eq!(parse(&[b'A'; 100]), Asked::Nonsense);
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let response = Response { status: "405 Method Not Allowed", content_type: TEXT, body: "no\n" };
        let text = String::from_utf8(response.bytes(true)).expect("ASCII");
        assert!(text.starts_with("HTTP/1.1 405 ") && text.ends_with("\r\n\r\nno\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 3\r\n") && text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
        assert!(response.bytes(false).ends_with(b"\r\n\r\n"));
    }
}
