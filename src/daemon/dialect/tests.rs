//! What command lines written for others mean here, as a table: see the snapshot.

use std::ffi::OsString;
use std::fmt::Write;

use clap::Command;

use super::super::cli::{Codes, command, parse};
use super::*;

/// One command line a row, as a shell has it without quotes; the first word is the program's name.
const ROWS: &str = "
passthrough --rootdir /src --mountpoint /mnt
passthrough --rootdir=/src --mountpoint=/mnt --privileged --allow-other
passthrough --mountpoint /mnt --rootdir /src -o uidmapping=1000:0:1,gidmapping=1000:0:1:100:5:2
passthrough --rootdir /src --mountpoint /mnt --options uidmapping=0:1000:1
passthrough --rootdir /src --mountpoint /mnt --bind proc:/proc --bind /sys:sys --macos-eager
passthrough --mountpoint /mnt
passthrough --rootdir
ptfs /src /mnt
ptfs /src /mnt -o ro,noatime,allow_other
ptfs -f /src /mnt
ptfs -d /src /mnt
ptfs -s /src /mnt
ptfs -sfo ro,max_read=65536 /src /mnt
ptfs -oro,fsname=a\\,b /src /mnt
ptfs -o source=/src /mnt
ptfs -o source=/src,cache=always,timeout=5 /mnt
ptfs /src /mnt -o cache=none,attr_timeout=1,entry_timeout=2,negative_timeout=3
ptfs /src /mnt -o writeback,xattr,flock
ptfs /src /mnt -o writeback,no_writeback,no_xattr,no_flock
ptfs /src /mnt -o max_write=131072,max_readahead=65536,max_background=8,congestion_threshold=6
ptfs /src /mnt -o kernel_cache,auto_cache,direct_io,big_writes,nonempty,use_ino
ptfs /src /mnt -o default_permissions,auto_unmount,subtype=mine
ptfs /src /mnt -o io_uring,io_uring_q_depth=8,clone_fd,max_threads=4
ptfs /src /mnt -o modules=subdir,subdir=x
ptfs /src /mnt -o allow_root
ptfs /src /mnt -o uid=1000
ptfs /src /mnt -o cach=always
ptfs /src /mnt -o allow_othr
ptfs /src /mnt -o
ptfs --engine pool --queue-depth 4 /src /mnt
ptfs --allow-direct-io /src /mnt
ptfs --allow-direct-io false /src /mnt
ptfs --daemonize --foreground /src /mnt
ptfs --daemonise /src /mnt
ptfs /src /mnt /more
ptfs -- -src /mnt
ptfs -o remount,ro /src /mnt
passthrough_ll -o source=/src,cache=never,no_flock,xattr /mnt
passthrough_hp /src /mnt
passthrough_hp --foreground --nocache --nosplice --nopassthrough /src /mnt
passthrough_hp --debug --num-threads=4 --clone-fd --direct-io --single /src /mnt
passthrough_hp --debug-fuse --num-threads 4 -o allow_other,fsname=x /src /mnt
passthrough_hp --selinux /src /mnt
bindfs /src /mnt
bindfs -r -f /src /mnt
bindfs -n -o ro /src /mnt
bindfs --no-allow-other --multithreaded --create-as-user --xattr-rw /src /mnt
bindfs --map=1000/1001:@100/@101 /src /mnt
bindfs -o map=1000/1001,no-allow-other /src /mnt
bindfs --map=me/you /src /mnt
bindfs -u www -g nogroup -p 0000,u=rD /src /mnt
bindfs -M foo,bar /src /mnt
bindfs --create-for-user=me /src /mnt
bindfs --chown-deny /src /mnt
bindfs -o perms=a-w /src /mnt
bindfs --xattr-none --enable-lock-forwarding /src /mnt
bindfs --uid-offset=1000 /src /mnt
bindfs --resolve-symlinks /src /mnt
virtiofsd --shared-dir /src --cache auto --xattr --posix-acl --announce-submounts /mnt
virtiofsd --shared-dir=/src --cache=always --writeback --allow-direct-io --readonly /mnt
virtiofsd --shared-dir /src --inode-file-handles=prefer --thread-pool-size=4 --log-level debug /mnt
virtiofsd --shared-dir /src --inode-file-handles mandatory --no-killpriv-v2 --sandbox none --seccomp none /mnt
virtiofsd --shared-dir /src --inode-file-handles=always /mnt
virtiofsd --shared-dir /src --xattrmap :map::user.virtiofs.: --no-announce-submounts /mnt
virtiofsd --shared-dir /src --translate-uid map:0:1000:10 --translate-gid map:0:100:1 /mnt
virtiofsd --shared-dir /src --translate-uid map:0:1000:10 --translate-uid map:20:2000:10 /mnt
virtiofsd --shared-dir /src --socket-path /run/x.sock
virtiofsd --fd=3 --shared-dir /src
virtiofsd --vhost-user-thing /src /mnt
virtiofsd --shared-dir /src --sandbox namespace /mnt
virtiofsd --shared-dir /src --uid-map :0:1000:1: /mnt
virtiofsd --syslog -o source=/src,no_posix_lock,cache=auto /mnt
virtiofsd -d -o source=/src,no_posix_lock,log_level=err,sandbox=none /mnt
mount /src /mnt -o rw,dev,suid
mount /src /mnt -o ro,noexec,nosuid,nodev,user=me,_netdev,nofail,x-systemd.automount
mount /src /mnt -o defaults,noauto,users,relatime,sync,lazytime
mount /src /mnt -o rw,context=system_u:object_r:tmp_t:s0
";

/// The flags of ptfs.
fn own() -> Command {
    command()
}

fn words(line: &str) -> (Manner, Vec<OsString>) {
    let mut words = line.split(' ');
    let program = words.next().expect("a name");
    (Manner::of(program, program == "mount"), words.map(OsString::from).collect())
}

fn meaning(line: &str) -> Result<(Vec<OsString>, Vec<String>), String> {
    let (manner, arguments) = words(line);
    let translation = translate(&arguments, manner, &own())?;
    let notes = translation.notes.clone();
    Ok((translation.into_arguments(Translation::default())?, notes))
}

#[test]
fn command_lines_of_others_mean_this() {
    let mut table = String::new();
    for line in ROWS.trim().lines() {
        writeln!(table, "$ {line}").expect("a String takes everything");
        match meaning(line) {
            Ok((arguments, notes)) => {
                let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
                writeln!(table, "  {}", arguments.join(" ")).expect("a String takes everything");
                for note in notes {
                    writeln!(table, "  note: {note}").expect("a String takes everything");
                }
            }
            Err(why) => writeln!(table, "  error: {why}").expect("a String takes everything"),
        }
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("command_lines", table) });
}

/// What a row means must be a command line of ptfs, or a usage error that its parser finds.
#[test]
fn what_they_mean_is_understood() {
    for line in ROWS.trim().lines() {
        let Ok((arguments, _)) = meaning(line) else { continue };
        let refused = own().try_get_matches_from(&arguments).err();
        let wrong = line.contains("--daemonise") || line.contains("/more");
        assert_eq!(refused.is_some(), wrong, "{line}: {arguments:?}: {refused:?}");
    }
}

#[test]
fn every_name_is_there_once_and_every_target_is_a_flag() {
    let own = own();
    for (table, is_flags) in [(&flags::TABLE[..], true), (&options::TABLE[..], false)] {
        let mut seen = Vec::new();
        for (names, meaning) in table {
            for name in *names {
                assert!(!seen.contains(name), "{name} is there twice");
                seen.push(name);
                let bare = name.trim_end_matches('=');
                let shadowed = is_flags && own.get_arguments().any(|flag| flag.get_long() == Some(bare));
                assert!(!shadowed || bare == "options", "--{bare} is a flag of ptfs");
                assert!(is_flags || !mount_options::names().any(|known| known == *name), "{name} is a mount option");
            }
            let targets: &[&str] = match meaning {
                Meaning::Is(targets) | Meaning::Gives(targets) | Meaning::Undoes(targets) => targets,
                _ => &[],
            };
            for target in targets.iter().filter_map(|target| target.strip_prefix("--")) {
                let name = target.split('=').next();
                assert!(own.get_arguments().any(|flag| flag.get_long() == name), "--{target} is no flag");
            }
        }
    }
}

#[test]
fn what_a_configuration_file_names_gives_way() {
    let defaults = || Translation {
        flags: vec!["--engine=pool".into()],
        source: Some("/from-file".into()),
        mountpoint: Some("/file-mnt".into()),
        ..Translation::default()
    };
    let merged = |line: &str| {
        let (manner, arguments) = words(line);
        let translation = translate(&arguments, manner, &own()).expect("valid");
        let arguments = translation.into_arguments(defaults()).expect("valid");
        arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(merged("ptfs"), "ptfs --engine=pool /from-file /file-mnt");
    assert_eq!(merged("ptfs /mnt"), "ptfs --engine=pool /from-file /mnt");
    assert_eq!(merged("ptfs --engine=uring /src /mnt"), "ptfs --engine=pool --engine=uring /src /mnt");
    assert_eq!(merged("ptfs -o source=/src"), "ptfs --engine=pool /src /file-mnt");
}

#[test]
fn bytes_that_are_no_text_pass() {
    let path = OsString::from_vec(b"--rootdir=/caf\xe9".to_vec());
    let translation = translate(&[path, "/mnt".into()], Manner::default(), &own()).expect("a path");
    assert_eq!(translation.source, Some(OsString::from_vec(b"/caf\xe9".to_vec())));
    let option = OsString::from_vec(b"-oro\xe9".to_vec());
    assert!(translate(&[option], Manner::default(), &own()).is_err());
}

/// What a bare command line of ptfs, an option, and a flag of others come to.
#[test]
fn settings_arrive() {
    let serve = |line: &str| {
        let (manner, arguments) = words(line);
        match parse(&arguments, manner, Codes::OWN) {
            Ok(super::super::cli::Invocation::Serve(serve)) => *serve,
            other => panic!("{line}: {other:?}"),
        }
    };
    let plain = serve("ptfs /src /mnt");
    assert!(!plain.daemonize && !plain.options.allow_other && !plain.options.read_only && plain.notes.is_empty());
    let bindfs = serve("bindfs -r -s /src /mnt");
    assert!(bindfs.daemonize && bindfs.options.allow_other && bindfs.options.read_only);
    assert_eq!(bindfs.notes.len(), 1);
    let bindfs = serve("bindfs -n -f /src /mnt");
    assert!(!bindfs.daemonize && !bindfs.options.allow_other);
    let debug = serve("passthrough_hp -d -o max_read=4096,timeout=2 /src /mnt");
    assert!(!debug.daemonize && debug.log == "debug" && debug.options.max_read == Some(4096));
    assert_eq!(debug.config.attr_timeout.as_secs() + debug.config.entry_timeout.as_secs(), 4);
    let bound = serve("passthrough --rootdir /src --mountpoint /mnt --bind proc:/proc --bind sys:/sys");
    assert_eq!((bound.binds.len(), bound.source.to_str()), (2, Some("/src")));
}

#[test]
fn every_name_is_documented() {
    const GUIDE: &str = include_str!("../../../docs/dropin.md");
    // A word of its own, in backquotes: `--flag`, `--flag=VALUE`, `option=`, `-o option`.
    let words: Vec<&str> = GUIDE.split(['`', ' ', ',', '|']).collect();
    let documented = |name: &str| words.iter().any(|word| *word == name || word.starts_with(&format!("{name}=")));
    for name in flags::TABLE.iter().flat_map(|(names, _)| *names) {
        let bare = name.trim_end_matches('=');
        let flag = if bare.len() == 1 { format!("-{bare}") } else { format!("--{bare}") };
        assert!(documented(&flag), "{flag}");
    }
    for name in options::TABLE.iter().flat_map(|(names, _)| *names) {
        let bare = name.trim_end_matches('=');
        assert!(documented(bare) || words.contains(name) || documented(&format!("--{bare}")), "-o {name}");
    }
}
