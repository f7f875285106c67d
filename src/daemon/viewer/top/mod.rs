//! `ptfs top`.

mod screen;

use std::io::{self, ErrorKind, PipeReader, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use self::screen::{Frame, draw};
use super::{Failure, Which, colour, document, say};
use crate::stats::doc::Document;
use crate::sys::mountinfo::{self, Entry};
use crate::sys::process;
use crate::sys::terminal::{Event, Terminal};

const DETAILS: &str = "\
Operations are sorted by the time that they took together; a bar compares it, divided into
phases: queue, inline, ring, helper, lock, own (ptfs stats --help says what they are). q or Ctrl-C
ends it. NO_COLOR=1 makes it do without colours.

A directory of the name top is served by `ptfs ./top MOUNTPOINT`.
Exit code: 0 when it was ended, 1 when the mount went or gives no answer, 2 for a wrong command
line.";

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// Show live what a mount does and how long it takes
#[derive(Parser, Debug)]
#[command(name = "top", bin_name = "ptfs top", after_help = DETAILS, max_term_width = 110)]
pub struct Top {
    #[command(flatten)]
    which: Which,

    /// Seconds between two looks, 0.1 to 3600
    #[arg(short = 'd', long, value_name = "SECONDS", default_value = "1", value_parser = delay)]
    delay: Duration,
}

fn delay(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match seconds {
        0.1..=3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("must be 0.1 to 3600 seconds".to_owned()),
    }
}

/// How it ended.
enum End {
    /// As its operator wanted.
    Wanted,
    /// A signal did.
    Signal(u8),
}

impl Top {
    /// Shows until it is told to stop.
    pub fn run(&self) -> ExitCode {
        match self.show() {
            Ok(End::Wanted) => ExitCode::SUCCESS,
            // As a shell has it.
            Ok(End::Signal(number)) => ExitCode::from(128 + number),
            Err(Failure { code, line }) => {
                say(line);
                ExitCode::from(code)
            }
        }
    }

    fn show(&self) -> Result<End, Failure> {
        let mount = self.which.mount()?;
        // What can be known to fail does so on the ordinary screen.
        let first = document(&mount, "stats")?;
        let terminal = Terminal::enter().map_err(|error| format!("{error}; `ptfs stats` prints the same once"))?;
        let looks = Looks::begin(mount.clone())?;
        let mut view = View { terminal, mount, colour: colour(), frame: Frame::first(first), since: Instant::now() };
        view.run(self.delay, looks)
    }
}

/// Who asks the daemon, on a thread of its own: the keys work also while no answer comes.
struct Looks {
    ask: Sender<()>,
    answers: Receiver<io::Result<Document>>,
    /// A byte for each answer.
    bell: PipeReader,
}

impl Looks {
    fn begin(mount: Entry) -> io::Result<Looks> {
        let (bell, mut ring) = io::pipe()?;
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        thread::Builder::new().name("ask".to_owned()).spawn(move || {
            // It ends with the process, which does not wait for it.
            while asked.recv().is_ok() {
                let heard = answer.send(document(&mount, "stats")).is_ok();
                if !heard || ring.write_all(b"!").is_err() {
                    return;
                }
            }
        })?;
        Ok(Looks { ask, answers, bell })
    }
}

struct View {
    terminal: Terminal,
    mount: Entry,
    colour: bool,
    frame: Frame,
    /// When the last question was asked.
    since: Instant,
}

impl View {
    fn run(&mut self, delay: Duration, mut looks: Looks) -> Result<End, Failure> {
        let mut asked = false;
        self.draw()?;
        loop {
            let due = delay.saturating_sub(self.since.elapsed());
            if due.is_zero() && !asked {
                self.since = Instant::now();
                asked = looks.ask.send(()).is_ok();
                continue;
            }
            let patience = if asked { delay.max(Duration::from_millis(100)) } else { due };
            match self.terminal.wait(&looks.bell, patience)? {
                Event::Key(b'q' | b'Q' | CTRL_C | CTRL_D) => return Ok(End::Wanted),
                Event::Stop(number) => return Ok(End::Signal(number)),
                Event::Other => {
                    io::Read::read(&mut looks.bell, &mut [0])?;
                    asked = false;
                    if let Ok(answer) = looks.answers.try_recv() {
                        self.take(answer)?;
                    }
                }
                Event::Nothing if asked => self.frame.wait(self.since.elapsed()),
                Event::Key(_) | Event::Resized | Event::Nothing => {}
            }
            self.draw()?;
        }
    }

    fn take(&mut self, answer: io::Result<Document>) -> Result<(), Failure> {
        match answer {
            Ok(document) => self.frame.next(document),
            Err(error) if error.kind() == ErrorKind::NotConnected => return Err(self.gone().into()),
            Err(error) => self.frame.fail(&error),
        }
        Ok(())
    }

    fn draw(&self) -> io::Result<()> {
        let (columns, rows) = self.terminal.size();
        self.terminal.draw(draw(&self.frame, columns, rows, self.colour).as_bytes())
    }

    /// What has become of the mount, and what to do.
    fn gone(&self) -> String {
        let point = self.mount.point.display();
        let pid = self.frame.pid();
        let there = mountinfo::read().is_ok_and(|table| {
            table.iter().any(|entry| entry.device == self.mount.device && entry.point == self.mount.point)
        });
        if !there {
            return format!("{point} is not mounted any more; `ptfs list` shows what is");
        }
        let (_, root) = process::effective();
        let clear = if root { "umount" } else { "fusermount3 -u" };
        format!("the daemon of {point} (process {pid}) has ended; `{clear} {point}` clears the dead mount")
    }
}
