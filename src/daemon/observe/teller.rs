//! What is answered to whom.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Observed;
use super::guests::{Door, Reaction, Verdict};
use super::http::{Asked, Response, TEXT, parse};
use super::probe::{ENDED, Prober};
use crate::stats::prometheus;
use crate::sys::told::Refusal;

/// What a healthy mount takes at most to answer.
const HEALTHY: Duration = Duration::from_secs(2);

const INDEX: &str = "ptfs: /metrics for Prometheus, /healthz for whether the mount answers\n";

/// The answer to what a client has said so far.
pub fn react(observed: &Observed, prober: Option<&mut Prober>, door: Door, heard: &[u8]) -> Reaction {
    match door {
        Door::Control => control(observed, heard),
        Door::Http => http(observed, prober, heard),
    }
}

/// A line, answered by a line.
fn control(observed: &Observed, heard: &[u8]) -> Reaction {
    let Some(end) = heard.iter().position(|&byte| byte == b'\n') else { return Reaction::Listen };
    let line = match &heard[..end] {
        b"stats" => json(&observed.document()),
        b"reset" => json(&observed.reset()),
        b"facts" => json(&observed.facts()),
        other => {
            let error = format!("no such question: {:?}; stats, reset, facts", String::from_utf8_lossy(other));
            json(&Refusal { error })
        }
    };
    Reaction::Say(line)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()));
    (text + "\n").into_bytes()
}

fn http(observed: &Observed, prober: Option<&mut Prober>, heard: &[u8]) -> Reaction {
    let plain =
        |status, body: &str, with_body| Reaction::Say(Response { status, content_type: TEXT, body }.bytes(with_body));
    match parse(heard) {
        Asked::Unfinished => Reaction::Listen,
        Asked::Nonsense => plain("400 Bad Request", "this is no request of HTTP/1.1\n", true),
        Asked::OtherMethod => plain("405 Method Not Allowed", "there is only to read here\n", true),
        Asked::Get { path, body } => match (&*path, prober) {
            ("/metrics", _) => {
                let text = prometheus::write(&observed.document());
                let content_type = prometheus::CONTENT_TYPE;
                Reaction::Say(Response { status: "200 OK", content_type, body: &text }.bytes(body))
            }
            ("/healthz", Some(prober)) => match prober.ask() {
                Some(since) => {
                    Reaction::Probe { patience: HEALTHY, say: Box::new(move |verdict| health(verdict, since, body)) }
                }
                None => plain(UNWELL, &format!("{ENDED}\n"), body),
            },
            ("/healthz", None) => plain(UNWELL, "there is no process to test the mount\n", body),
            ("/", _) => plain("200 OK", INDEX, body),
            _ => plain("404 Not Found", INDEX, body),
        },
    }
}

const UNWELL: &str = "503 Service Unavailable";

fn health(verdict: Verdict<'_>, since: Instant, with_body: bool) -> Vec<u8> {
    let (status, body) = match verdict {
        Some(Ok(())) => ("200 OK", "ok\n".to_owned()),
        Some(Err(reason)) => (UNWELL, format!("{reason}\n")),
        None => (UNWELL, format!("the mount has not answered a getattr for {:.0} s\n", since.elapsed().as_secs_f64())),
    };
    Response { status, content_type: TEXT, body: &body }.bytes(with_body)
}
