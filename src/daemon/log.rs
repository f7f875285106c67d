//! What the operator reads: lines on standard error, and in the file of `--log-file` as well.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

/// The file of `--log-file`.
static FILE: OnceLock<File> = OnceLock::new();

/// Sends everything from now on to `file` too: standard error may lead nowhere later.
pub fn copy_to(file: File) {
    // Called once; a second file would not be written to.
    let _ = FILE.set(file);
}

/// A line to the operator. Unlike `eprintln!` it does not panic when standard error is a closed pipe.
pub fn say(line: impl Display) {
    // In one piece: lines of several threads, and of several daemons that share a file, do not mix.
    let _ = Both.write_all(format!("ptfs: {line}\n").as_bytes());
}

/// Prints what code reports by `tracing`; the command line has checked the filter.
pub fn start(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(|| Both)
        .with_ansi(io::stderr().is_terminal() && FILE.get().is_none())
        // It would print them, and panic if standard error is a closed pipe.
        .log_internal_errors(false)
        .init();
}

/// Standard error and the file. What one of them cannot take is lost there alone.
struct Both;

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        if let Some(mut file) = FILE.get() {
            let _ = file.write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
