//! How far the run is, on standard error: a bar on a terminal, else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// The bar's cells.
const BAR: usize = 20;
/// A terminal is as wide at least.
const WIDTH: usize = 79;

/// The run's progress, counted in seconds that it would take if there were only rounds.
pub struct Progress {
    start: Instant,
    /// Of which `done` are behind us.
    total: f64,
    done: f64,
    terminal: bool,
    said: Option<Instant>,
}

impl Progress {
    /// For a run that measures for `total` seconds.
    pub fn new(total: f64) -> Progress {
        Progress { start: Instant::now(), total, done: 0.0, terminal: io::stderr().is_terminal(), said: None }
    }

    /// Says what is going on. What is `new` is said at once, also where there is no terminal.
    pub fn at(&mut self, what: &str, new: bool) {
        let line = format!("{:3.0} % {what}{}", self.part() * 100.0, self.left());
        let mut out = io::stderr().lock();
        // A message that cannot be written is no reason to stop.
        let _ = if self.terminal {
            let line = format!("[{}] {line}", bar(self.part()));
            write!(out, "\r{}\x1b[K", line.chars().take(WIDTH).collect::<String>())
        } else if new || self.said.is_none_or(|said| said.elapsed() > LINE_EVERY) {
            self.said = Some(Instant::now());
            writeln!(out, "{line}")
        } else {
            Ok(())
        };
        let _ = out.flush();
    }

    /// So many seconds of measuring are over, or will not be.
    pub fn advance(&mut self, seconds: f64) {
        self.done = (self.done + seconds).min(self.total);
    }

    /// A line that stays.
    pub fn say(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn part(&self) -> f64 {
        if self.total > 0.0 { self.done / self.total } else { 0.0 }
    }

    /// What all that is not measuring took so far, it will go on taking.
    fn left(&self) -> String {
        if self.done <= 0.0 {
            return String::new();
        }
        let seconds = self.start.elapsed().as_secs_f64() * (self.total - self.done) / self.done;
        format!(", {} left", in_words(seconds))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(part: f64) -> String {
    let full = (part * BAR as f64) as usize;
    format!("{}{}", "#".repeat(full), ".".repeat(BAR.saturating_sub(full)))
}

fn in_words(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_words() {
        assert_eq!(
            (in_words(0.4), in_words(59.6), in_words(3725.0)),
            ("0 s".into(), "1 min 00 s".into(), "1 h 02 min".into())
        );
        assert_eq!(bar(0.5), "##########..........");
    }
}
