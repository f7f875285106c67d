//! The flags that say what is reported of a mount while it serves.

use std::time::Duration;

use clap::Args;

use super::address::Address;
use crate::ops::Stall;
use crate::stats::{OpKind, SlowLog};

/// Flags of the heading Reports.
#[derive(Args, Clone, Debug)]
pub struct ReportFlags {
    /// Serve /metrics (Prometheus) and /healthz by HTTP: a port, for this machine alone, or HOST:PORT; port 0 takes a
    /// free one
    #[arg(long, value_name = "ADDR", help_heading = "Reports")]
    pub metrics: Option<Address>,

    /// Log each operation that takes so long or longer (10ms, 500us, 1s), with where its time went
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Reports")]
    slow_op: Option<Duration>,

    /// Log the names of files with --slow-op
    #[arg(long, requires = "slow_op", help_heading = "Reports")]
    log_names: bool,

    /// For tests: every EVERYth operation OP takes TIME longer
    #[arg(long, value_name = "OP:TIME[:EVERY]", value_parser = stall, hide = true, help_heading = "Reports")]
    stall: Option<StallSpec>,
}

impl ReportFlags {
    /// Where slow operations go, if they are wanted.
    pub fn slow_log(&self) -> Option<SlowLog> {
        self.slow_op.map(|threshold| SlowLog::new(threshold, self.log_names))
    }

    /// What is to stall.
    pub fn stall(&self) -> Option<Stall> {
        self.stall.map(|StallSpec { kind, time, every }| Stall::new(kind, time, every))
    }
}

/// `OP:TIME[:EVERY]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StallSpec {
    kind: OpKind,
    time: Duration,
    every: u64,
}

/// `10ms`, `500us`, `1s`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "not a time; write a whole number and us, ms or s, like 10ms".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    match &text[end..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(wrong()),
    }
}

fn stall(text: &str) -> Result<StallSpec, String> {
    let mut parts = text.split(':');
    let (Some(op), Some(took), every, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("write OP:TIME or OP:TIME:EVERY, like GETATTR:300ms:5".to_owned());
    };
    let kind = OpKind::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(op));
    let kind = kind.ok_or_else(|| format!("'{op}' is no operation; they are named like GETATTR"))?;
    let every = every.map_or(Ok(1), str::parse).ok().filter(|&every| every > 0);
    let every = every.ok_or("EVERY must be a whole number from 1")?;
    Ok(StallSpec { kind, time: time(took)?, every })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(time("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        for text in ["", "10", "ms", "1.5s", "-1ms", "1 ms", "1m", "99999999999999999999s", "10msé"] {
            assert!(time(text).is_err_and(|line| line.contains("like 10ms")), "{text}");
        }
    }

    #[test]
    fn a_stall_names_an_operation_and_a_time() {
        let spec = |time, every| Ok(StallSpec { kind: OpKind::Getattr, time: Duration::from_millis(time), every });
        assert_eq!(stall("GETATTR:300ms"), spec(300, 1));
        assert_eq!(stall("getattr:1s:5"), spec(1000, 5));
        for text in ["", "GETATTR", "GETATTR:1", "GETATR:1s", "GETATTR:1s:0", "GETATTR:1s:x", "GETATTR:1s:1:1"] {
            assert!(stall(text).is_err(), "{text}");
        }
    }
}
