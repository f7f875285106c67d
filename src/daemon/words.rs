//! `ptfs WORD`: what ptfs does beside serving. A SOURCE of such a name is `./WORD`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use super::cli::said;
use super::doctor::Doctor;
use super::generate::Generate;
use super::options::nearest;
use super::{say, viewer};

const WORDS: [&str; 5] = ["doctor", "stats", "list", "top", "generate"];

/// Runs the word that the command line is about, if it is about one.
pub fn run() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match word(&arguments)? {
        "doctor" => Some(parsed(&arguments[1..]).map_or_else(|code| code, |doctor: Doctor| doctor.run())),
        "stats" => Some(parsed(&arguments[1..]).map_or_else(|code| code, |stats: viewer::Stats| stats.run())),
        "list" => Some(parsed(&arguments[1..]).map_or_else(|code| code, |list: viewer::List| list.run())),
        "top" => Some(parsed(&arguments[1..]).map_or_else(|code| code, |top: viewer::Top| top.run())),
        "generate" => Some(parsed(&arguments[1..]).map_or_else(|code| code, |generate: Generate| generate.run())),
        _ => misspelt(&arguments).map(|line| {
            say(line);
            ExitCode::from(2)
        }),
    }
}

/// `ptfs doctr`: it could only be a SOURCE without a MOUNTPOINT.
fn misspelt(arguments: &[OsString]) -> Option<String> {
    let typed =
        word(arguments).filter(|typed| arguments.len() == 2 && !typed.starts_with('-') && !typed.contains('/'))?;
    let meant = nearest(typed, WORDS.into_iter()).filter(|_| !Path::new(typed).exists())?;
    Some(format!("there is no '{typed}'; there is 'ptfs {meant}'; see ptfs --help"))
}

/// The first argument of `ptfs`. Under other names, as mount(8) calls it, it is a SOURCE.
fn word(arguments: &[OsString]) -> Option<&str> {
    let name = Path::new(arguments.first()?).file_name().and_then(OsStr::to_str)?;
    if name.starts_with("ptfs") { arguments.get(1)?.to_str() } else { None }
}

/// `Err` is what to end with after `--help` or a usage error, which has been said.
fn parsed<P: Parser>(arguments: &[OsString]) -> Result<P, ExitCode> {
    P::try_parse_from(arguments).map_err(|error| {
        if error.use_stderr() {
            say(complaint::<P>(&error));
            return ExitCode::from(2);
        }
        // A closed pipe has read enough.
        let _ = error.print();
        ExitCode::SUCCESS
    })
}

/// What is wrong, and where the word is explained.
fn complaint<P: Parser>(error: &clap::Error) -> String {
    format!("{}; see {} --help", said(error), P::command().get_bin_name().unwrap_or("ptfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_for_ptfs_alone() {
        for (line, found) in [
            ("ptfs doctor /mnt", Some("doctor")),
            ("/usr/bin/ptfs doctor", Some("doctor")),
            ("/usr/bin/ptfs-0.1 /src /mnt", Some("/src")),
            ("/sbin/mount.fuse.ptfs doctor /mnt", None),
            ("bindfs doctor /mnt", None),
            ("ptfs", None),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(word(&arguments), found, "{line}");
        }
    }

    #[test]
    fn a_misspelt_word_is_told_from_a_source() {
        let told = |line: &str| misspelt(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(told("ptfs doctr").is_some_and(|line| line.contains("'ptfs doctor'")));
        assert!(told("ptfs statz").is_some_and(|line| line.contains("'ptfs stats'")));
        for line in
            ["ptfs", "ptfs doctr /mnt", "ptfs ./doctr", "ptfs /tmp", "ptfs --list", "ptfs source", "bindfs doctr"]
        {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn a_usage_error_names_the_help_of_its_word() {
        let error = viewer::Stats::try_parse_from(["stats", "--json", "--hgrm"]).expect_err("they exclude each other");
        let line = complaint::<viewer::Stats>(&error);
        assert!(line.ends_with("; see ptfs stats --help") && !line.contains('\n'), "{line}");
    }
}
