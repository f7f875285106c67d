//! What the operator says to a running daemon, and the orderly end.

use std::io::PipeReader;
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::choice::Announcement;
use super::fixtures::Fixtures;
use super::mount::{Mounted, Unmounted};
use super::observe::{Observed, Observer};
use super::report::{Trimmer, say_report};
use super::say;
use crate::sys::mount::sync_everything;
use crate::sys::signal::{Event, Signals, ended_within};

/// How long those who use the mount may go on after it was taken out of sight.
const GRACE: Duration = Duration::from_secs(10);

/// A signal so soon after the first is the same wish: timeout(1) and terminals send it to the process and its group.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Between two looks at the number of nodes.
const LOOK: Duration = Duration::from_secs(5);

/// Everything that signals act on.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Where signals arrive.
    pub signals: &'a Signals,
    /// Its other end closes when the engine has ended.
    pub ended: &'a PipeReader,
    /// What to take down.
    pub mounted: &'a Mounted,
    /// What to take down before.
    pub fixtures: &'a Fixtures,
    /// What to report on, and to watch.
    pub observed: &'a Observed,
    /// Who answers questions about it.
    pub observer: &'a Observer,
    /// Whether to report at the end too.
    pub stats_at_exit: bool,
}

impl Desk<'_> {
    /// Attends to signals until the engine has ended. An unmount may take as long as writing back takes, so it has a
    /// thread of its own, and a second signal is heard.
    pub fn attend<'scope>(self, scope: &'scope Scope<'scope, '_>)
    where
        Self: 'scope,
    {
        let mut stopping: Option<Instant> = None;
        let mut trimmer = Trimmer::default();
        loop {
            let reason = match self.signals.wait(self.ended, LOOK) {
                Ok(Event::Ended) => return,
                Ok(Event::Nothing) => {
                    trimmer.look(self.observed.core.nodes.len());
                    continue;
                }
                Ok(Event::Report) => {
                    say_report(self.observed);
                    continue;
                }
                // Each worker that fails may raise it.
                Ok(Event::Fault) if stopping.is_some() => continue,
                Ok(Event::Fault) => "a fault inside",
                Ok(Event::Stop(_)) if stopping.is_some_and(|since| since.elapsed() < ONE_WISH) => continue,
                Ok(Event::Stop(signal)) if stopping.is_some() => {
                    self.quit(&format!("{signal} while stopping: leaving at once"))
                }
                Ok(Event::Stop(signal)) => signal,
                Err(error) => return say(format_args!("signals are not heard any more: {error}")),
            };
            stopping = Some(Instant::now());
            tracing::info!("{reason}: unmounting {}", self.mounted.path().display());
            let stop = std::thread::Builder::new().name("unmount".to_owned());
            if let Err(error) = stop.spawn_scoped(scope, move || self.stop()) {
                self.quit(&format!("cannot start a thread to unmount: {error}"));
            }
        }
    }

    /// A worker serves: somebody may ask how, also before the mount has answered, and if it never does. Puts everything up
    /// then.
    pub fn open<'scope>(self, mut said: Announcement, scope: &'scope Scope<'scope, '_>)
    where
        Self: 'scope,
    {
        self.observed.serves(said.facts.clone());
        self.observer.open(self.mounted);
        if let Some(address) = self.observer.metrics() {
            said.remarks.push(format!("metrics at http://{address}/metrics"));
        }
        let observe = std::thread::Builder::new().name("observe".to_owned());
        if let Err(error) = observe.spawn_scoped(scope, move || self.observer.attend(self.observed, self.ended)) {
            say(format_args!("questions are not answered: cannot start a thread: {error}"));
        }
        if !self.fixtures.put_up(self.mounted, &said) {
            self.stop();
        }
    }

    /// The engine ends when the kernel has seen the last of the mount; this brings that about.
    pub fn stop(self) {
        self.fixtures.take_down();
        let path = self.mounted.path().display();
        let grace = GRACE.as_secs();
        match self.mounted.unmount() {
            Ok(Unmounted::Gone) if ended_within(self.ended, Duration::from_secs(1)) => return,
            Ok(Unmounted::Gone) => {
                say(format_args!(
                    "{path} is still in use elsewhere (another mount namespace?); that may last {grace} s"
                ));
            }
            Ok(Unmounted::Busy) => {
                say(format_args!("{path} is in use: hidden now; open files go on working for up to {grace} s"));
                self.mounted.detach();
            }
            Err(line) => {
                say(line);
                self.mounted.detach();
            }
        }
        // Whoever waits for a lock would wait for longer than that.
        self.observed.core.waits.close();
        if ended_within(self.ended, GRACE) {
            return;
        }
        // No path leads there any more, so no fsync or syncfs: only sync(2) still finds its dirty pages.
        sync_everything();
        if ended_within(self.ended, Duration::ZERO) {
            return;
        }
        say("still in use: leaving; open files give errors from now on");
        if self.mounted.abort().is_ok() && ended_within(self.ended, GRACE) {
            return;
        }
        self.quit("the connection ends with the process");
    }

    /// Leaves without waiting for anybody.
    fn quit(self, why: &str) -> ! {
        say(why);
        self.mounted.abandon();
        self.fixtures.abandon();
        self.observer.abandon();
        if self.stats_at_exit {
            say_report(self.observed);
        }
        std::process::exit(1)
    }
}
