//! Command lines written for others: libfuse and its examples, libfuse-fs, bindfs, virtiofsd, mount(8).
//!
//! [`translate`] turns them into a command line of ptfs, before that is parsed; it looks at nothing but its arguments.
//! What a foreign flag or mount option means is a line in [`flags`] or [`options`].

mod flags;
mod maps;
mod options;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::slice::Iter;

use clap::{Command, builder::PossibleValue};

use super::options as mount_options;
use super::remount;

/// What something foreign means here.
pub enum Meaning {
    /// The same as these arguments.
    Is(&'static [&'static str]),
    /// Its value is for these flags.
    Gives(&'static [&'static str]),
    /// Its value says which arguments it is.
    Becomes(fn(&str) -> Result<Vec<String>, String>),
    /// Takes back these flags, if they came before.
    Undoes(&'static [&'static str]),
    /// Its value is the directory to serve.
    Source,
    /// Its value is where to serve it.
    Mountpoint,
    /// Its value is a list of mount options.
    Options,
    /// Changes nothing, for this reason, which the operator is told.
    Idle(&'static str),
    /// Asks for what is the case anyhow, or is meant for others.
    Ignored,
    /// Cannot be had; what there is in its place.
    Refused(&'static str),
}

/// Names, and what they mean. A name that ends in `=` takes a value; a flag of one letter has one dash.
type Table = [(&'static [&'static str], Meaning)];

/// What a flag means, and whether it takes a value.
fn find<'a>(table: &'a Table, name: &str) -> Option<(&'a Meaning, bool)> {
    let mut entries = table.iter().flat_map(|(names, meaning)| names.iter().map(move |entry| (*entry, meaning)));
    let (entry, meaning) = entries.find(|(entry, _)| entry.strip_suffix('=').unwrap_or(entry) == name)?;
    Some((meaning, entry.ends_with('=')))
}

/// What the name of the program, or who started it, says beside the arguments.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    /// Leave the foreground unless told to stay.
    pub background: bool,
    /// Let other users in unless told not to.
    pub allow_other: bool,
    /// Overlook unknown mount options (`mount -s`).
    pub sloppy: bool,
}

impl Manner {
    /// Of a program of this name. `under_mount`: mount(8) waits for it.
    pub fn of(name: &str, under_mount: bool) -> Manner {
        // Those in whose place ptfs may be linked leave the foreground unless told to stay.
        let example = ["passthrough_fh", "passthrough_ll", "passthrough_hp"].contains(&name);
        let bindfs = name == "bindfs";
        Manner { background: under_mount || example || bindfs, allow_other: bindfs, sloppy: false }
    }
}

/// A command line of ptfs in the making.
#[derive(Default, Debug)]
pub struct Translation {
    /// Flags of ptfs, in order: the last one wins.
    pub flags: Vec<OsString>,
    /// The directory to serve, if a flag named it.
    pub source: Option<OsString>,
    /// Where to serve it, if a flag named it.
    pub mountpoint: Option<OsString>,
    /// What is no flag.
    pub positionals: Vec<OsString>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Reads a command line (without the program's name). `own` are the flags of ptfs. What neither knows is left to the
/// parser of ptfs, which names the nearest.
pub fn translate(arguments: &[OsString], manner: Manner, own: &Command) -> Result<Translation, String> {
    let mut walk = Walk { own, manner, out: Translation::default() };
    for (wanted, flag) in [(manner.background, "--daemonize"), (manner.allow_other, "--allow-other")] {
        walk.out.flags.extend(wanted.then(|| flag.into()));
    }
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" => walk.out.positionals.extend(rest.by_ref().cloned()),
            [b'-', b'-', ..] => walk.long(argument, &mut rest)?,
            [b'-', letters @ ..] if !letters.is_empty() => walk.short(letters, &mut rest)?,
            _ => walk.out.positionals.push(argument.clone()),
        }
    }
    for flag in ["--uid-mapping=", "--gid-mapping="] {
        let maps = walk.out.flags.iter().filter(|given| given.as_bytes().starts_with(flag.as_bytes()));
        if maps.count() > 1 {
            // The last one winning would give files to others than those that were meant.
            return Err(format!("ids are mapped twice: say all in one {flag}HOST:SHOWN:LENGTH:HOST:..."));
        }
    }
    Ok(walk.out)
}

impl Translation {
    /// The whole command line of ptfs, the program's name included. `defaults` are those of a configuration file.
    pub fn into_arguments(self, defaults: Translation) -> Result<Vec<OsString>, String> {
        let mut positionals = self.positionals.into_iter().peekable();
        let (mut source, mut mountpoint) = (self.source, self.mountpoint);
        let sure = source.is_some() || positionals.len() > 1 || defaults.source.is_none();
        if source.is_none() && sure {
            source = positionals.next();
        }
        if mountpoint.is_none() {
            mountpoint = positionals.next();
        }
        let (source, mountpoint) = (source.or(defaults.source), mountpoint.or(defaults.mountpoint));
        if let (None, Some(point)) = (&source, &mountpoint) {
            return Err(format!("no SOURCE: what is to be served at {}?", point.to_string_lossy()));
        }
        let mut arguments = vec![OsString::from("ptfs")];
        arguments.extend(defaults.flags.into_iter().chain(self.flags));
        let paths: Vec<OsString> = source.into_iter().chain(mountpoint).chain(positionals).collect();
        if paths.iter().any(|path| path.as_bytes().starts_with(b"-")) {
            arguments.push("--".into());
        }
        arguments.extend(paths);
        Ok(arguments)
    }
}

struct Walk<'a> {
    own: &'a Command,
    manner: Manner,
    out: Translation,
}

/// How a flag of ptfs takes its value.
enum Own {
    /// Not at all, or only after `=`.
    Alone,
    /// After `=`, or as the next argument.
    Value,
    /// The same, but others have this flag without a value, and then mean `true`.
    Bool,
}

impl Walk<'_> {
    fn long(&mut self, argument: &OsStr, rest: &mut Iter<'_, OsString>) -> Result<(), String> {
        let bytes = &argument.as_bytes()[2..];
        let end = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
        let value = bytes.get(end + 1..).map(OsStr::from_bytes);
        let name = String::from_utf8_lossy(&bytes[..end]);
        if name.starts_with("vhost-user") {
            return Err(format!("--{name} is not supported: {}", flags::NO_VHOST));
        }
        match find(&flags::TABLE, &name) {
            Some((meaning, true)) => {
                let value = value.or_else(|| rest.next().map(OsString::as_os_str));
                let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
                self.act(&format!("--{name}"), meaning, value)
            }
            Some((_, false)) if value.is_some() => Err(format!("--{name} takes no value")),
            Some((meaning, false)) => self.act(&format!("--{name}"), meaning, OsStr::new("")),
            None => {
                let value = value.map_or_else(|| self.own_value(&name, rest), |_| None);
                self.out.flags.push(match value {
                    Some(value) => joined(&format!("--{name}"), &value),
                    None => argument.to_owned(),
                });
                Ok(())
            }
        }
    }

    /// The value of a flag of ptfs that came without `=`.
    fn own_value(&self, name: &str, rest: &mut Iter<'_, OsString>) -> Option<OsString> {
        let next = rest.clone().next();
        match self.own(name) {
            Some(Own::Value) => {}
            Some(Own::Bool) if next.is_none_or(|next| next != "true" && next != "false") => {
                return Some("true".into());
            }
            Some(Own::Bool) => {}
            Some(Own::Alone) | None => return None,
        }
        rest.next().cloned()
    }

    fn own(&self, name: &str) -> Option<Own> {
        let argument = self.own.get_arguments().find(|argument| argument.get_long() == Some(name))?;
        let least = argument.get_num_args().map_or(1, |number| number.min_values());
        if !argument.get_action().takes_values() || least == 0 {
            return Some(Own::Alone);
        }
        let values = argument.get_possible_values();
        let is_bool = values.iter().map(PossibleValue::get_name).eq(["true", "false"]);
        Some(if is_bool { Own::Bool } else { Own::Value })
    }

    /// Letters after one dash; the first that takes a value takes the rest, or the next argument.
    fn short(&mut self, letters: &[u8], rest: &mut Iter<'_, OsString>) -> Result<(), String> {
        for (at, &letter) in letters.iter().enumerate() {
            let name = char::from(letter).to_string();
            let shown = format!("-{name}");
            match find(&flags::TABLE, &name) {
                Some((meaning, true)) => {
                    let value = match &letters[at + 1..] {
                        [] => rest.next().ok_or_else(|| format!("{shown} needs a value"))?.clone(),
                        value => OsString::from_vec(value.to_vec()),
                    };
                    return self.act(&shown, meaning, &value);
                }
                Some((meaning, false)) => self.act(&shown, meaning, OsStr::new(""))?,
                None if letter.is_ascii() => self.out.flags.push(shown.into()),
                None => return Err(format!("{shown} is no flag")),
            }
        }
        Ok(())
    }

    fn act(&mut self, shown: &str, meaning: &Meaning, value: &OsStr) -> Result<(), String> {
        let text = || value.to_str().ok_or_else(|| format!("{shown}: not UTF-8"));
        match meaning {
            Meaning::Is(arguments) => self.out.flags.extend(arguments.iter().map(OsString::from)),
            Meaning::Gives(flags) => self.out.flags.extend(flags.iter().map(|flag| joined(flag, value))),
            Meaning::Becomes(arguments) => {
                let arguments = arguments(text()?).map_err(|why| format!("{shown}: {why}"))?;
                self.out.flags.extend(arguments.into_iter().map(OsString::from));
            }
            Meaning::Undoes(flags) => self.out.flags.retain(|flag| !flags.iter().any(|undone| flag == undone)),
            Meaning::Source => self.out.source = Some(value.to_owned()),
            Meaning::Mountpoint => self.out.mountpoint = Some(value.to_owned()),
            Meaning::Options => return self.options(text()?),
            Meaning::Idle(why) => self.out.notes.push(format!("{shown} has no effect: {why}")),
            Meaning::Ignored => {}
            Meaning::Refused(why) => return Err(format!("{shown} is not supported: {why}")),
        }
        Ok(())
    }

    /// One `-o OPT[,OPT...]`. What ptfs has as a mount option too stays one.
    fn options(&mut self, list: &str) -> Result<(), String> {
        if remount::is_asked_for(&[list.to_owned()]) {
            // All of it says something about the mount that is there.
            self.out.flags.push(format!("-o{list}").into());
            return Ok(());
        }
        let mut kept = Vec::new();
        for option in mount_options::split(list).iter().filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let key = if option.contains('=') { format!("{name}=") } else { name.to_owned() };
            let known = options::TABLE.iter().find(|(names, _)| names.contains(&key.as_str()));
            match known {
                Some((_, meaning)) => self.act(&format!("-o {key}"), meaning, OsStr::new(value))?,
                None if name.starts_with("x-") || name.starts_with("X-") => {}
                None if mount_options::names().any(|known| known == key) => kept.push(mount_options::escaped(option)),
                None if self.manner.sloppy => {}
                None => {
                    let foreign = options::TABLE.iter().flat_map(|(names, _)| names.iter().copied());
                    return Err(mount_options::unknown(option, mount_options::names().chain(foreign)));
                }
            }
        }
        if !kept.is_empty() {
            self.out.flags.push(format!("-o{}", kept.join(",")).into());
        }
        Ok(())
    }
}

fn joined(flag: &str, value: &OsStr) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push("=");
    argument.push(value);
    argument
}
