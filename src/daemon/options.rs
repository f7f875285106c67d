//! `-o`: the mount options, by the names that mount(8) and libfuse gave them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::sys::mount::Refuses;

/// How the mount shows itself to the rest of the system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MountOptions {
    /// Let other users than the mounting one in.
    pub allow_other: bool,
    /// Take the mount down when the daemon dies, however it dies.
    pub auto_unmount: bool,
    /// Refuse to write.
    pub read_only: bool,
    /// Honour device nodes.
    pub dev: bool,
    /// Honour set-user-ID, set-group-ID and file capabilities.
    pub suid: bool,
    /// Refuse to execute.
    pub noexec: bool,
    /// Leave access times alone.
    pub noatime: bool,
    /// Flags of mount(2) beside those above: see [`FLAGS`].
    pub more: libc::c_ulong,
    /// The largest READ, in bytes.
    pub max_read: Option<u32>,
    /// Leave it to the host to check permissions, not to the kernel, which does so for each caller: all are one user
    /// there (`--squash-to`).
    pub host_checks: bool,
    /// What `df` and `mount` show as the source, if not SOURCE.
    pub fsname: Option<String>,
    /// What follows `fuse.` in the type, if not `ptfs`.
    pub subtype: Option<String>,
}

/// The names of mount(8) for the flags of mount(2), and whether they set or clear.
pub const FLAGS: [(&str, bool, libc::c_ulong); 27] = [
    ("ro", true, libc::MS_RDONLY),
    ("rw", false, libc::MS_RDONLY),
    ("nosuid", true, libc::MS_NOSUID),
    ("suid", false, libc::MS_NOSUID),
    ("nodev", true, libc::MS_NODEV),
    ("dev", false, libc::MS_NODEV),
    ("noexec", true, libc::MS_NOEXEC),
    ("exec", false, libc::MS_NOEXEC),
    ("sync", true, libc::MS_SYNCHRONOUS),
    ("async", false, libc::MS_SYNCHRONOUS),
    ("dirsync", true, libc::MS_DIRSYNC),
    ("noatime", true, libc::MS_NOATIME),
    ("atime", false, libc::MS_NOATIME),
    ("nodiratime", true, libc::MS_NODIRATIME),
    ("diratime", false, libc::MS_NODIRATIME),
    ("relatime", true, libc::MS_RELATIME),
    ("norelatime", false, libc::MS_RELATIME),
    ("strictatime", true, libc::MS_STRICTATIME),
    ("nostrictatime", false, libc::MS_STRICTATIME),
    ("lazytime", true, libc::MS_LAZYTIME),
    ("nolazytime", false, libc::MS_LAZYTIME),
    ("nosymfollow", true, libc::MS_NOSYMFOLLOW),
    ("symfollow", false, libc::MS_NOSYMFOLLOW),
    ("silent", true, libc::MS_SILENT),
    ("loud", false, libc::MS_SILENT),
    ("iversion", true, libc::MS_I_VERSION),
    ("noiversion", false, libc::MS_I_VERSION),
];

/// The options that are no flags of mount(2).
const OTHERS: [&str; 6] = ["allow_other", "auto_unmount", "default_permissions", "fsname=", "max_read=", "subtype="];

/// Every name that [`MountOptions`] takes; those with a value end in `=`.
pub fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(FLAGS.into_iter().map(|(name, ..)| name))
}

impl MountOptions {
    /// Takes in one `OPT[,OPT...]`; a comma inside a value is written `\,`. Later options win.
    pub fn apply(&mut self, list: &str) -> Result<(), String> {
        split(list).iter().filter(|option| !option.is_empty()).try_for_each(|option| self.set(option))
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("allow_other", None) => self.allow_other = true,
            ("auto_unmount", None) => self.auto_unmount = true,
            // The kernel checks permissions in any case but that of `host_checks`: the daemon could not do it better.
            ("default_permissions", None) => {}
            ("ro", None) => self.read_only = true,
            ("rw", None) => self.read_only = false,
            ("dev", None) => self.dev = true,
            ("nodev", None) => self.dev = false,
            ("suid", None) => self.suid = true,
            ("nosuid", None) => self.suid = false,
            ("exec", None) => self.noexec = false,
            ("noexec", None) => self.noexec = true,
            ("atime", None) => self.noatime = false,
            ("noatime", None) => self.noatime = true,
            ("fsname", Some(value)) if !value.is_empty() => self.fsname = Some(value.to_owned()),
            ("subtype", Some(value)) if !value.is_empty() => self.subtype = Some(value.to_owned()),
            ("max_read", Some(value)) => {
                let bytes = value.parse().map_err(|_| format!("mount option 'max_read' takes bytes, not '{value}'"))?;
                self.max_read = Some(bytes);
            }
            ("fsname" | "subtype" | "max_read", _) => return Err(format!("mount option '{name}' needs a value")),
            (name, None) => self.set_flag(name)?,
            _ => return Err(unknown(option, names())),
        }
        Ok(())
    }

    fn set_flag(&mut self, name: &str) -> Result<(), String> {
        match FLAGS.iter().find(|(flag, ..)| *flag == name) {
            Some((_, true, flag)) => self.more |= flag,
            Some((_, false, flag)) => self.more &= !flag,
            None => return Err(unknown(name, names())),
        }
        Ok(())
    }

    /// The flags of mount(2).
    pub fn flags(&self) -> libc::c_ulong {
        [
            (self.read_only, libc::MS_RDONLY),
            (!self.dev, libc::MS_NODEV),
            (!self.suid, libc::MS_NOSUID),
            (self.noexec, libc::MS_NOEXEC),
            (self.noatime, libc::MS_NOATIME),
        ]
        .iter()
        .filter(|(set, _)| *set)
        .fold(self.more, |flags, (_, flag)| flags | flag)
    }

    /// What bind mounts in the mount are to refuse as it does.
    pub fn refuses(&self) -> Refuses {
        let flags = self.flags();
        let has = |flag| flags & flag != 0;
        Refuses {
            writes: has(libc::MS_RDONLY),
            suid: has(libc::MS_NOSUID),
            dev: has(libc::MS_NODEV),
            exec: has(libc::MS_NOEXEC),
        }
    }

    /// The type of the mount without `fuse.`.
    pub fn subtype(&self) -> &str {
        self.subtype.as_deref().unwrap_or("ptfs")
    }

    /// What `df` shows for a mount of `source`.
    pub fn fsname<'a>(&'a self, source: &'a OsStr) -> &'a OsStr {
        self.fsname.as_ref().map_or(source, OsStr::new)
    }

    /// The argument of `fusermount3 -o`: all but `auto_unmount`, which is ours to do.
    pub fn for_fusermount(&self, source: &OsStr) -> OsString {
        let mut list = if self.host_checks { Vec::new() } else { b"default_permissions,".to_vec() };
        list.extend(b"fsname=");
        escape(self.fsname(source).as_bytes(), &mut list);
        list.extend(b",subtype=");
        escape(self.subtype().as_bytes(), &mut list);
        for (set, name) in [
            (self.allow_other, "allow_other"),
            (self.read_only, "ro"),
            (self.dev, "dev"),
            (self.suid, "suid"),
            (self.noexec, "noexec"),
            (self.noatime, "noatime"),
        ] {
            if set {
                list.push(b',');
                list.extend(name.as_bytes());
            }
        }
        for (name, ..) in FLAGS.iter().filter(|(_, sets, flag)| *sets && self.more & flag != 0) {
            list.push(b',');
            list.extend(name.as_bytes());
        }
        if let Some(bytes) = self.max_read {
            list.extend(format!(",max_read={bytes}").as_bytes());
        }
        OsString::from_vec(list)
    }
}

/// One line for an option that nobody knows.
pub fn unknown<'a>(option: &str, known: impl Iterator<Item = &'a str>) -> String {
    // The value is not what was mistyped.
    let name = option.find('=').map_or(option, |end| &option[..=end]);
    let hint = nearest(name, known).map(|name| format!("; there is '{name}'")).unwrap_or_default();
    format!("unknown mount option '{option}'{hint}")
}

/// Puts a backslash before what [`split`] would take for its own.
pub fn escaped(option: &str) -> String {
    option.replace('\\', r"\\").replace(',', r"\,")
}

fn escape(value: &[u8], list: &mut Vec<u8>) {
    for &byte in value {
        if matches!(byte, b',' | b'\\') {
            list.push(b'\\');
        }
        list.push(byte);
    }
}

/// Splits at commas; a backslash takes the next character's meaning away.
pub fn split(list: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        match (character, options.last_mut()) {
            (',', _) => options.push(String::new()),
            ('\\', Some(last)) => last.extend(characters.next()),
            (_, Some(last)) => last.push(character),
            (_, None) => {}
        }
    }
    options
}

/// The known name that the fewest edits make of `typed`, if less than half of it needs any.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (edits, name) = known.map(|name| (edits(typed, name), name)).min()?;
    (2 * edits < typed.len()).then_some(name)
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<MountOptions, String> {
        let mut options = MountOptions::default();
        options.apply(list).map(|()| options)
    }

    #[test]
    fn mounts_are_nosuid_and_nodev_unless_asked() {
        assert_eq!(parse("").map(|options| options.flags()), Ok(libc::MS_NOSUID | libc::MS_NODEV));
        assert_eq!(parse("dev,suid,ro").map(|options| options.flags()), Ok(libc::MS_RDONLY));
        assert_eq!(parse("ro,rw,dev,nodev,suid,nosuid,noexec,exec"), Ok(MountOptions::default()));
    }

    #[test]
    fn every_known_name_is_accepted() {
        for name in names() {
            let option = if name.ends_with('=') { format!("{name}1") } else { name.to_owned() };
            assert!(parse(&option).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_option_is_named_with_its_neighbour() {
        let error = parse("allow_othr").expect_err("no such option");
        assert!(error.contains("'allow_othr'") && error.contains("'allow_other'"), "{error}");
        let error = parse("subtyp=x").expect_err("no such option");
        assert!(error.contains("'subtype='"), "{error}");
        assert_eq!(parse("foo").expect_err("no such option"), "unknown mount option 'foo'");
        assert!(parse("max_read=lots").is_err() && parse("max_read").is_err() && parse("sync=1").is_err());
        assert!(parse("ro=1").is_err() && parse("fsname").is_err() && parse("fsname=").is_err());
    }

    #[test]
    fn commas_inside_a_value_survive_the_way_to_fusermount() {
        let options = parse(r"fsname=a\,b\\c,ro").expect("valid");
        assert_eq!(options.fsname.as_deref(), Some(r"a,b\c"));
        let list = options.for_fusermount(OsStr::new("/x"));
        assert_eq!(list, r"default_permissions,fsname=a\,b\\c,subtype=ptfs,ro");
    }

    #[test]
    fn flags_and_sizes_reach_the_kernel_on_both_ways() {
        let options = parse("sync,nodiratime,strictatime,nostrictatime,max_read=65536").expect("valid");
        assert_eq!(options.flags() & !(libc::MS_NODEV | libc::MS_NOSUID), libc::MS_SYNCHRONOUS | libc::MS_NODIRATIME);
        let list = options.for_fusermount(OsStr::new("/x")).into_string().expect("UTF-8");
        assert!(list.ends_with("subtype=ptfs,sync,nodiratime,max_read=65536"), "{list}");
    }

    #[test]
    fn an_escaped_option_is_one_option() {
        let option = r"fsname=a,b\c";
        assert_eq!(split(&escaped(option)), [option]);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("ro", "ro"), 0);
    }
}
