//! The shell scripts of jobs.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::prepared::Prepared;
use super::spec::Spec;
use crate::bench::stop::Stop;

/// Nobody waits longer for a script without a look at `Stop`.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Of what a script says, so much is kept: the beginning of its output, and the end of its complaints.
const KEPT: usize = 64 << 10;

/// Says which of the programs that a job needs is missing.
pub fn check_needs(spec: &Spec) -> Result<(), String> {
    let needs = spec.job.iter().flat_map(|job| &job.get_ref().needs);
    for program in needs {
        let found = Command::new("sh").args(["-c", "command -v -- \"$0\"", program]).stdin(Stdio::null()).output();
        if !found.is_ok_and(|found| found.status.success()) {
            return Err(format!("needs '{program}', which is not installed"));
        }
    }
    Ok(())
}

/// Runs the script that comes before all rounds.
pub fn set_up(prepared: &Prepared, stop: &Stop) -> Result<(), String> {
    match prepared.spec.job.as_ref().and_then(|job| job.get_ref().setup.as_deref()) {
        Some(setup) => {
            let ran = script(prepared, setup, stop)?;
            if stop.is_set() {
                Err("interrupted".to_owned())
            } else {
                ran.good().map(|_| ()).map_err(|why| format!("setup: {why}"))
            }
        }
        None => Ok(()),
    }
}

/// How a script has ended.
pub struct Ran {
    pub took: Duration,
    status: ExitStatus,
    output: Vec<u8>,
    complaints: Vec<u8>,
}

impl Ran {
    /// What it printed, or why it failed.
    pub fn good(&self) -> Result<&str, String> {
        if self.status.success() {
            return std::str::from_utf8(&self.output).map_err(|_| "printed what is no text".to_owned());
        }
        let complaints = String::from_utf8_lossy(&self.complaints);
        let last = complaints.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it does not say why");
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        Err(format!("{end}: {}", shown(last)))
    }
}

/// Runs `text` by sh(1), until it and all that hold its output have ended, or `stop` is set.
pub fn script(prepared: &Prepared, text: &str, stop: &Stop) -> Result<Ran, String> {
    let began = Instant::now();
    let mut child = command(prepared, text).spawn().map_err(|error| format!("cannot run sh: {error}"))?;
    let read = read_all(&mut child, stop);
    if stop.is_set() || read.is_err() {
        end_group(&child);
    }
    let status = child.wait().map_err(|error| format!("cannot wait for sh: {error}"))?;
    let took = began.elapsed();
    let (output, complaints) = read.map_err(|error| format!("cannot read what sh prints: {error}"))?;
    Ok(Ran { took, status, output, complaints })
}

fn command(prepared: &Prepared, text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", text]).current_dir(&prepared.dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for the benchmark, which ends the script by itself.
    command.process_group(0);
    command.env("FILES", prepared.layout.count.to_string()).env("LC_ALL", "C");
    // No user's habits: neither git's nor cargo's.
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS", "RUSTC_WRAPPER", "MAKEFLAGS"] {
        command.env_remove(name);
    }
    let git = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_"));
    git.for_each(|(name, _)| _ = command.env_remove(name));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let settings = [
        ("user.name", "ptfs-bench"),
        ("user.email", "ptfs-bench@localhost"),
        // The mount may show other owners.
        ("safe.directory", "*"),
        // Nothing goes on after a command has ended.
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
    ];
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (n, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    command
}

/// The beginning of its output and the end of its complaints, once both have ended.
fn read_all(child: &mut Child, stop: &Stop) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (mut output, mut complaints) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    let mut buffer = [0; 16 << 10];
    while (out_open || err_open) && !stop.is_set() {
        let mut open = Vec::new();
        open.extend(out_open.then(|| PollFd::new(&out, PollFlags::IN)));
        open.extend(err_open.then(|| PollFd::new(&err, PollFlags::IN)));
        match poll(&mut open, Some(&LOOK)) {
            Err(rustix::io::Errno::INTR) => continue,
            answer => answer?,
        };
        let mut ready = open.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
        if out_open && ready.next() == Some(true) {
            let got = out.read(&mut buffer)?;
            output.extend_from_slice(&buffer[..got.min(KEPT - output.len())]);
            out_open = got > 0;
        }
        if err_open && ready.next() == Some(true) {
            let got = err.read(&mut buffer)?;
            complaints.extend_from_slice(&buffer[..got]);
            complaints.drain(..complaints.len().saturating_sub(KEPT));
            err_open = got > 0;
        }
    }
    Ok((output, complaints))
}

fn end_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // It may have ended by itself just now.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
}

/// The beginning of `text`, for a line.
pub fn shown(text: &str) -> &str {
    let text = text.trim();
    let end = text.char_indices().map(|(at, _)| at).nth(200);
    &text[..end.unwrap_or(text.len())]
}
