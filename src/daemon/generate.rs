//! `ptfs generate`: the man page and the completions, from the definition of the command line itself, so that neither
//! can fall behind it and an installation needs no other program than ptfs.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::{Command, CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::cli;
use super::doctor::Doctor;
use super::{say, viewer};

const WHERE: &str = "\
Where they go (make install does it):
  ptfs generate man  >/usr/share/man/man1/ptfs.1
  ptfs generate bash >/usr/share/bash-completion/completions/ptfs
  ptfs generate zsh  >/usr/share/zsh/site-functions/_ptfs
  ptfs generate fish >/usr/share/fish/vendor_completions.d/ptfs.fish

A directory of the name generate is served by `ptfs ./generate MOUNTPOINT`.";

/// Print the man page, or what completes command lines in a shell
#[derive(Parser, Debug)]
#[command(name = "generate", bin_name = "ptfs generate", after_help = WHERE, max_term_width = 110)]
pub struct Generate {
    /// What to print
    what: What,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum What {
    /// ptfs(1), for man(1)
    Man,
    /// For bash-completion
    Bash,
    /// For zsh's compinit
    Zsh,
    /// For fish
    Fish,
}

impl Generate {
    /// Prints it.
    pub fn run(&self) -> ExitCode {
        let text = match self.what {
            What::Man => man(),
            What::Bash => Ok(completion(Shell::Bash)),
            What::Zsh => Ok(completion(Shell::Zsh)),
            What::Fish => Ok(completion(Shell::Fish)),
        };
        match text.and_then(|text| io::stdout().write_all(&text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(format_args!("cannot write: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// What ptfs does beside serving, but for `generate`, which is for packages.
fn words() -> [Command; 4] {
    [viewer::Stats::command(), viewer::Top::command(), viewer::List::command(), Doctor::command()]
}

/// Words such as `doctor` are no subcommands to clap, which would take a SOURCE for one; zsh goes without them.
fn completion(shell: Shell) -> Vec<u8> {
    let mut command = cli::command();
    if shell == Shell::Bash {
        command = command.subcommands(words()).disable_help_subcommand(true);
    }
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "ptfs", &mut text);
    if shell == Shell::Fish {
        words().iter().for_each(|word| text.extend(fish(word).bytes()));
    }
    text
}

fn fish(command: &Command) -> String {
    let name = command.get_name();
    let about = |text: Option<&StyledStr>| text.map(ToString::to_string).unwrap_or_default().replace('\'', "");
    let word = format!("complete -c ptfs -n __fish_is_first_arg -a {name} -d '{}'\n", about(command.get_about()));
    let flags = command.get_arguments().filter_map(|argument| {
        let (flag, help) = (argument.get_long()?, about(argument.get_help()));
        Some(format!("complete -c ptfs -n '__fish_seen_subcommand_from {name}' -l {flag} -d '{help}'\n"))
    });
    std::iter::once(word).chain(flags).collect()
}

const DESCRIPTION: &[&str] = &[
    "ptfs serves the directory SOURCE at MOUNTPOINT through FUSE. What the directory below answers, the mount answers, \
     errno for errno. It stays in the foreground until the mount is gone or a signal ends it; the first lines on \
     standard error say which engine and transport serve, and what would be faster.",
    "SIGINT, SIGTERM and SIGHUP unmount and finish what was begun; one more of them leaves at once. SIGUSR1 prints \
     count, errors, bytes and percentiles of every operation.",
    "root mounts by mount(2) and serves each caller as that caller. A plain user mounts by fusermount3(1) and serves \
     with its own rights alone.",
];

const FSTAB: &str = "\
Mounted at boot, of this machine's own disk and of a network's:
  /srv/data  /mnt/data  fuse.ptfs  allow_other          0 0
  /net/data  /mnt/data  fuse.ptfs  allow_other,_netdev  0 0

Mounted when somebody looks first, and gone after ten idle minutes:
  /srv/data  /mnt/data  fuse.ptfs  noauto,x-systemd.automount,x-systemd.idle-timeout=10min,allow_other  0 0

mount(8) finds ptfs as /sbin/mount.fuse.ptfs, a link to it. The mount goes with umount(8).";

const SYSTEMD: &str = "\
A mount that is started again when it fails; /etc/ptfs/data.toml names source, mountpoint and flags:
  systemctl enable --now ptfs@data.service";

const FILES: &[(&str, &str)] = &[
    ("/etc/ptfs/NAME.toml", "The flags of ptfs@NAME.service."),
    (
        "/run/ptfs, $XDG_RUNTIME_DIR/ptfs, /tmp/ptfs-UID",
        "The sockets by which stats, top and list ask: of root, of users, and where there is no such directory.",
    ),
    ("/etc/fuse.conf", "user_allow_other lets plain users say --allow-other."),
    ("/sys/module/fuse/parameters/enable_uring", "Y switches FUSE-over-io_uring on, for mounts made later."),
    ("/var/lib/ptfs/doctor.json", "What `ptfs doctor --fix` has changed, for `--undo`."),
];

const EXITS: &[(&str, &str)] = &[
    ("0", "The mount came and went. Of stats: there was an answer. Of doctor: a mount works."),
    ("1", "A failure. Of stats and top: there was no answer. Of doctor: no mount works, or a change failed."),
    ("2", "A wrong command line."),
];

fn man() -> io::Result<Vec<u8>> {
    let command = cli::command();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // A page of a build has no date of its own; an empty one would be left out, and the rest take its place.
    let page = Man::new(command).date(" ").manual("User Commands");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    section(&mut text, "SYNOPSIS", synopsis)?;
    section(&mut text, "DESCRIPTION", |roff| paragraphs(roff, DESCRIPTION))?;
    page.render_options_section(&mut text)?;
    for word in words() {
        section(&mut text, &word.get_name().to_uppercase(), |roff| of_word(roff, &word))?;
    }
    section(&mut text, "EXAMPLES", |roff| laid_out(roff, examples.trim_start_matches("Examples:\n")))?;
    section(&mut text, "FSTAB", |roff| laid_out(roff, FSTAB))?;
    section(&mut text, "SYSTEMD", |roff| laid_out(roff, SYSTEMD))?;
    section(&mut text, "EXIT STATUS", |roff| EXITS.iter().for_each(|(code, what)| tagged(roff, code, what)))?;
    section(&mut text, "FILES", |roff| FILES.iter().for_each(|(path, what)| tagged(roff, path, what)))?;
    section(&mut text, "SEE ALSO", |roff| {
        paragraphs(roff, &["fuse(4), fusermount3(1), mount(8), mount.fuse3(8), systemd.mount(5), tmpfiles.d(5)"]);
    })?;
    Ok(text)
}

fn section(text: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Roff)) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [name]);
    fill(&mut roff);
    roff.to_writer(text)
}

fn of_word(roff: &mut Roff, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    paragraphs(roff, &[&format!("ptfs {}: {}.", command.get_name(), about.to_lowercase())]);
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let name = argument.get_long().map_or_else(|| argument.get_id().as_str().to_uppercase(), |l| format!("--{l}"));
        tagged(roff, &name, &argument.get_help().map(ToString::to_string).unwrap_or_default());
    }
    laid_out(roff, &command.get_after_help().map(ToString::to_string).unwrap_or_default());
}

/// The options are all below, once.
fn synopsis(roff: &mut Roff) {
    for (name, arguments) in [
        ("ptfs", " [OPTION]... SOURCE MOUNTPOINT"),
        ("ptfs stats", " [--json|--hgrm[=OP|DIR]] [--reset] [MOUNT]"),
        ("ptfs top", " [-d SECONDS] [MOUNT]"),
        ("ptfs list", " [--json]"),
        ("ptfs doctor", " [--fix|--undo] [--json] [SOURCE]"),
        ("ptfs generate", " man|bash|zsh|fish"),
    ] {
        roff.text([bold(name), roman(arguments)]);
        roff.control("br", []);
    }
}

fn paragraphs(roff: &mut Roff, texts: &[&str]) {
    for text in texts {
        roff.control("PP", []);
        roff.text([roman(*text)]);
    }
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text([roman(text)]);
}

/// What is indented stays as it is, the rest is filled.
fn laid_out(roff: &mut Roff, text: &str) {
    let mut as_it_is = false;
    roff.control("PP", []);
    for line in text.lines() {
        if line.is_empty() {
            roff.control("PP", []);
            continue;
        }
        let indented = line.starts_with(' ');
        if indented != as_it_is {
            roff.control(if indented { "nf" } else { "fi" }, []);
            as_it_is = indented;
        }
        roff.text([roman(line)]);
    }
    if as_it_is {
        roff.control("fi", []);
    }
}
