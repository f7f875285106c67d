//! Giving orders to an agent that may never answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::agent::{Answer, Ask};
use super::family;
use super::stop::Stop;
use super::target;

/// How long after the wish to stop an agent may take to say what it has measured.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// How often the target is asked whether it still answers, when an agent takes its time.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// No longer than this.
    By(Duration),
    /// As long as the target answers others.
    WhileItAnswers,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The agent could not do it.
    Failed(String),
    /// The target does not answer, or the agent is gone: nothing more can be asked.
    Lost(String),
    /// The run is to stop.
    Stopped,
}

/// An agent.
pub struct Client {
    child: Child,
    asks: Option<ChildStdin>,
    answers: Receiver<String>,
    mark: String,
}

impl Client {
    /// Starts one. `mark` is what its processes are found by.
    pub fn start(mark: &str) -> Result<Client, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.arg("agent").env(family::VARIABLE, mark).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start an agent: {error}"))?;
        let (sender, answers) = mpsc::channel();
        let (asks, output) = (child.stdin.take(), child.stdout.take());
        if let Some(output) = output {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Client { child, asks, answers, mark: mark.to_owned() })
    }

    /// Has it done something; `directory` is in the target.
    pub fn ask(
        &mut self,
        ask: &Ask,
        bound: Bound,
        patience: Duration,
        directory: &Path,
        stop: &Stop,
    ) -> Result<Answer, Trouble> {
        let gone = || Trouble::Lost("its agent has ended unexpectedly".to_owned());
        let mut line = serde_json::to_vec(ask).map_err(|error| Trouble::Failed(error.to_string()))?;
        line.push(b'\n');
        let Some(asks) = &mut self.asks else { return Err(Trouble::Stopped) };
        asks.write_all(&line).map_err(|_| gone())?;
        let answer = self.wait(bound, patience, directory, stop)?;
        match serde_json::from_str(&answer) {
            Ok(Answer::Failed(_)) if stop.is_set() => Err(Trouble::Stopped),
            Ok(Answer::Failed(why)) => Err(Trouble::Failed(why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Trouble::Lost(format!("its agent makes no sense: {error}"))),
        }
    }

    fn wait(&mut self, bound: Bound, patience: Duration, directory: &Path, stop: &Stop) -> Result<String, Trouble> {
        let start = Instant::now();
        let mut asked = start;
        let mut stopping = None;
        loop {
            match self.answers.recv_timeout(Duration::from_millis(50)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) if stop.is_set() => return Err(Trouble::Stopped),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Trouble::Lost("its agent has ended unexpectedly".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.is_set() {
                // The end of its input is its own wish to stop.
                self.asks = None;
                if stopping.get_or_insert_with(Instant::now).elapsed() > STOPS_WITHIN {
                    return Err(Trouble::Stopped);
                }
                continue;
            }
            match bound {
                Bound::By(end) if start.elapsed() > end => {
                    let seconds = end.as_secs();
                    return Err(Trouble::Lost(format!("an operation has not come back for {seconds} s")));
                }
                Bound::WhileItAnswers if asked.elapsed() > ASK_EVERY => {
                    target::answers(directory, patience).map_err(|why| Trouble::Lost(format!("the target {why}")))?;
                    asked = Instant::now();
                }
                _ => {}
            }
        }
    }

    /// Ends it with all that it has started. An agent that hangs in a mount is left behind until that is gone.
    pub fn end(mut self, hurried: bool) {
        self.asks = None;
        let patience = if hurried { Duration::ZERO } else { STOPS_WITHIN };
        family::end(&self.mark, patience, Duration::from_secs(1));
        let _ = self.child.try_wait();
    }
}
