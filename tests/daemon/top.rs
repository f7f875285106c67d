//! `ptfs top` in a terminal, which tmux(1) is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Daemon, PTFS, Scratch, run, until};

/// A terminal with a shell in it. Dropping it ends both.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn new(scratch: &Scratch) -> Tmux {
        let tmux = Tmux { socket: scratch.path("tmux") };
        tmux.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "24", "env PS1='ready> ' ENV= sh"]);
        tmux.see("ready>");
        tmux
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let output = run(&mut command);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until it is on the screen.
    fn see(&self, text: &str) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(text, || {
                last = self.screen();
                last.contains(text)
            });
        }));
        assert!(seen.is_ok(), "{text:?} does not come:\n{last}");
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Has the shell do it.
    fn enter(&self, line: &str) {
        self.keys(&["-l", line]);
        self.keys(&["Enter"]);
    }

    /// Whether the other screen is shown, the cursor is, and lines are wrapped.
    fn state(&self) -> String {
        self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}"]).trim().to_owned()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").status();
    }
}

/// Runs `ptfs top`, has it end by `end`, and looks at what it leaves.
fn leaves_a_clean_terminal(scratch: &Scratch, tmux: &Tmux, code: &str, end: impl FnOnce()) {
    let (before, after) = (scratch.path("before"), scratch.path("after"));
    tmux.enter("clear");
    tmux.enter(&format!("stty -a >{}; {PTFS} top {}; echo code=$?", before.display(), scratch.mnt().display()));
    tmux.see("q quits");
    assert_eq!(tmux.state(), "1 0 0", "a screen of its own");
    end();
    tmux.see(&format!("code={code}\n"));
    assert_eq!(tmux.state(), "0 1 1", "{}", tmux.screen());
    tmux.enter(&format!("stty -a >{}; echo as-it-was", after.display()));
    tmux.see("\nas-it-was");
    let read = |path| fs::read_to_string(path).expect("written");
    assert_eq!(read(before), read(after));
}

/// The `ptfs top` that looks at this mount.
fn pid_of_top(scratch: &Scratch) -> u32 {
    let wanted = format!("{PTFS}\0top\0{}\0", scratch.mnt().display());
    let pids =
        fs::read_dir("/proc").expect("there").flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted);
    pids.into_iter().find(is_it).expect("it runs")
}

fn begin(arguments: &[&str]) -> (Scratch, Daemon, Tmux) {
    let scratch = Scratch::new();
    let daemon = scratch.serve(arguments);
    let tmux = Tmux::new(&scratch);
    (scratch, daemon, tmux)
}

#[test]
fn it_shows_what_is_going_on() {
    let (scratch, daemon, tmux) = begin(&[]);
    tmux.enter(&format!("{PTFS} top -d 0.2 {}", scratch.mnt().display()));
    tmux.see(&format!("ptfs top  {}", scratch.mnt().display()));
    tmux.see(&format!("process {}", daemon.pid()));
    tmux.see("operation ");
    tmux.see("nobody asks for anything");
    let mut turn = 0;
    until("work to be shown", || {
        turn += 1;
        let name = scratch.mnt().join(turn.to_string());
        fs::create_dir(&name).expect("new");
        fs::remove_dir(&name).expect("empty");
        let screen = tmux.screen();
        screen.contains("\nMKDIR ") && screen.contains("\nRMDIR ") && screen.contains("in the last 0.")
    });
    // What is no wider than the screen stays on its lines.
    tmux.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    until("the other size to be drawn", || {
        let screen = tmux.screen();
        screen.lines().count() == 12 && screen.lines().last().is_some_and(|line| line.starts_with("q quits"))
    });
    tmux.keys(&["x"]);
    tmux.keys(&["q"]);
    tmux.see("ready>");
    assert!(!tmux.screen().contains("q quits"), "{}", tmux.screen());
    daemon.stop();
}

#[test]
fn every_way_out_leaves_the_terminal_clean() {
    let (scratch, daemon, tmux) = begin(&[]);
    leaves_a_clean_terminal(&scratch, &tmux, "0", || tmux.keys(&["q"]));
    leaves_a_clean_terminal(&scratch, &tmux, "0", || tmux.keys(&["C-c"]));
    for (signal, code) in [("TERM", "143"), ("INT", "130"), ("HUP", "129")] {
        leaves_a_clean_terminal(&scratch, &tmux, code, || crate::harness::signal(pid_of_top(&scratch), signal));
    }
    leaves_a_clean_terminal(&scratch, &tmux, "1", || daemon.stop());
    tmux.see("is not mounted any more; `ptfs list` shows what is");
}

#[test]
fn a_dead_daemon_and_one_that_hangs_are_told_apart() {
    let (scratch, mut daemon, tmux) = begin(&[]);
    leaves_a_clean_terminal(&scratch, &tmux, "1", || {
        daemon.signal("STOP");
        tmux.see("gave no answer in 3 s; q quits");
        daemon.signal("CONT");
        tmux.see("q quits  in the last");
        daemon.signal("KILL");
        daemon.end();
    });
    tmux.see(") has ended; `umount ");
    // No answer is no reason to be deaf.
    let (scratch, daemon, tmux) = begin(&[]);
    leaves_a_clean_terminal(&scratch, &tmux, "0", || {
        daemon.signal("STOP");
        tmux.see("no answer");
        tmux.keys(&["q"]);
    });
    daemon.signal("CONT");
    daemon.stop();
}

#[test]
fn colours_are_not_for_everybody() {
    let (scratch, daemon, tmux) = begin(&[]);
    fs::read(scratch.mnt().join("hello")).expect("there");
    let colours = |environment: &str| {
        tmux.enter(&format!("{environment} {PTFS} top {}", scratch.mnt().display()));
        tmux.see("q quits");
        tmux.see("OPEN ");
        let screen = tmux.tmux(&["capture-pane", "-p", "-e"]);
        tmux.keys(&["q"]);
        tmux.see("ready>");
        screen.contains("\x1b[")
    };
    assert!(colours("NO_COLOR=") && !colours("NO_COLOR=1"));
    daemon.stop();
}

#[test]
fn a_panic_leaves_the_terminal_clean() {
    const HERE: &str = "PTFS_TEST_PANICS_HERE";
    if std::env::var_os(HERE).is_some() {
        let terminal = ptfs::sys::terminal::Terminal::enter().expect("a terminal");
        terminal.draw(b"what was drawn").expect("it is there");
        panic!("seen on the ordinary screen");
    }
    let scratch = Scratch::new();
    let tmux = Tmux::new(&scratch);
    let (before, after) = (scratch.path("before"), scratch.path("after"));
    let this = std::env::current_exe().expect("a path");
    let test = format!(
        "RUST_BACKTRACE=0 {HERE}=1 {} --exact top::a_panic_leaves_the_terminal_clean --nocapture",
        this.display()
    );
    tmux.enter(&format!("stty -a >{}; {test}; stty -a >{}; echo as-it-was", before.display(), after.display()));
    tmux.see("\nas-it-was");
    assert_eq!(tmux.state(), "0 1 1", "{}", tmux.screen());
    let screen = tmux.screen();
    assert!(screen.contains("seen on the ordinary screen") && !screen.contains("what was drawn"), "{screen}");
    assert_eq!(fs::read(before).expect("written"), fs::read(after).expect("written"));
}

#[test]
fn a_terminal_that_goes_ends_it() {
    let (scratch, daemon, tmux) = begin(&[]);
    tmux.enter(&format!("exec {PTFS} top {}", scratch.mnt().display()));
    tmux.see("q quits");
    let top = PathBuf::from(format!("/proc/{}", pid_of_top(&scratch)));
    drop(tmux);
    until("its end", || !top.exists());
    daemon.stop();
}

#[test]
fn it_wants_a_terminal() {
    let scratch = Scratch::new();
    let daemon = scratch.serve(&[]);
    let (code, line) = crate::harness::refused(&["top".as_ref(), scratch.mnt().as_os_str()]);
    assert!(code == Some(1) && line.contains("no terminal; `ptfs stats`"), "{line}");
    daemon.stop();
}
