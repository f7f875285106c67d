//! `ptfs list`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use serde::Serialize;

use super::{Failure, ended, show};
use crate::stats::doc::MountFacts;
use crate::stats::sheet::{plain, span};
use crate::sys::mountinfo::{self, Entry};
use crate::sys::process;
use crate::sys::told::{self, Socket};

const DETAILS: &str = "\
States: serving; no answer (its daemon is dead, which `umount MOUNTPOINT` clears, or hangs, or has
no control socket); another user's (only that user and root may ask); elsewhere (unmounted but still
in use, or in another mount namespace). No mount is touched, so none can keep this from answering.

A directory of the name list is served by `ptfs ./list MOUNTPOINT`.
Exit code: 0, also if there is nothing to list; 1 after a failure, 2 for a wrong command line.";

/// List the mounts of ptfs
#[derive(Parser, Debug)]
#[command(name = "list", bin_name = "ptfs list", after_help = DETAILS, max_term_width = 110)]
pub struct List {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// One mount, as it is listed.
#[derive(Serialize)]
struct Row {
    mountpoint: String,
    source: String,
    state: &'static str,
    /// Who mounted it.
    uid: u32,
    pid: Option<u32>,
    engine: Option<String>,
    transport: Option<String>,
    uptime: Option<f64>,
    version: Option<String>,
}

impl List {
    /// Asks all and shows.
    pub fn run(&self) -> ExitCode {
        ended(self.answer())
    }

    fn answer(&self) -> Result<(), Failure> {
        let rows = rows()?;
        if self.json {
            let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
            return show(&format!("{text}\n"));
        }
        show(&table(&rows))
    }
}

/// The mounts that can be asked by this user, as it seems.
pub fn askable() -> io::Result<Vec<Entry>> {
    let Found { mounts, sockets, .. } = Found::look()?;
    Ok(mounts.into_iter().filter(|mount| sockets.contains_key(&mount.device.1)).collect())
}

/// What there is, before anybody is asked.
struct Found {
    /// One entry for each filesystem.
    mounts: Vec<Entry>,
    /// Of daemons whose mount is not among them.
    others: Vec<(u32, Socket)>,
    sockets: BTreeMap<u32, Socket>,
}

impl Found {
    fn look() -> io::Result<Found> {
        let ((own, _), root) = process::effective();
        let mut devices = BTreeSet::new();
        let table = mountinfo::read()?;
        let fuse: Vec<Entry> =
            table.into_iter().filter(|entry| entry.is_fuse() && devices.insert(entry.device)).collect();
        let owners = fuse.iter().filter_map(|entry| entry.owner).filter(|&owner| root || owner == own);
        let owners: BTreeSet<u32> = owners.chain([own]).collect();
        let (mut sockets, mut others) = (BTreeMap::new(), Vec::new());
        for owner in owners {
            for socket in told::sockets_of(owner)? {
                match fuse.iter().any(|entry| entry.device.1 == socket.minor) {
                    true => drop(sockets.insert(socket.minor, socket)),
                    false => others.push((owner, socket)),
                }
            }
        }
        let ours = |entry: &Entry| entry.fstype == "fuse.ptfs" || sockets.contains_key(&entry.device.1);
        let mounts = fuse.into_iter().filter(ours).collect();
        Ok(Found { mounts, others, sockets })
    }
}

fn rows() -> io::Result<Vec<Row>> {
    let found = Found::look()?;
    // At once: each that does not answer takes its time.
    Ok(thread::scope(|scope| {
        let sockets = &found.sockets;
        let mounts: Vec<_> = found.mounts.iter().map(|mount| scope.spawn(move || of_mount(mount, sockets))).collect();
        let others: Vec<_> =
            found.others.iter().map(|(owner, socket)| scope.spawn(|| of_socket(*owner, socket))).collect();
        let mounts = mounts.into_iter().filter_map(|row| row.join().ok());
        mounts.chain(others.into_iter().filter_map(|row| row.join().ok().flatten())).collect()
    }))
}

fn of_mount(mount: &Entry, sockets: &BTreeMap<u32, Socket>) -> Row {
    let uid = mount.owner.unwrap_or(0);
    let answer = told::ask_of(mount, "facts").and_then(|answer| Ok(serde_json::from_str::<MountFacts>(&answer)?));
    let mountpoint = mount.point.to_string_lossy().into_owned();
    match answer {
        Ok(facts) => Row { mountpoint, ..Row::of(facts, uid, "serving") },
        Err(error) => Row {
            mountpoint,
            source: mount.source.clone(),
            state: if error.kind() == ErrorKind::PermissionDenied { "another user's" } else { "no answer" },
            uid,
            pid: sockets.get(&mount.device.1).map(|socket| socket.pid),
            engine: None,
            transport: None,
            uptime: None,
            version: None,
        },
    }
}

/// A daemon whose mount is not in sight. What a dead one left is removed.
fn of_socket(owner: u32, socket: &Socket) -> Option<Row> {
    let answer = socket.ask(owner, "facts").inspect_err(|error| {
        if error.kind() == ErrorKind::ConnectionRefused {
            socket.remove();
        }
    });
    Some(Row::of(serde_json::from_str(&answer.ok()?).ok()?, owner, "elsewhere"))
}

impl Row {
    fn of(facts: MountFacts, uid: u32, state: &'static str) -> Row {
        let MountFacts { pid, source, mountpoint, engine, transport, version, uptime, .. } = facts;
        Row {
            mountpoint,
            source,
            state,
            uid,
            pid: Some(pid),
            engine: Some(engine),
            transport: Some(transport),
            uptime: Some(uptime),
            version: Some(version),
        }
    }
}

/// Columns as wide as what is in them.
fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No mount of ptfs is here.\n".to_owned();
    }
    let headings = ["MOUNTPOINT", "SOURCE", "STATE", "PID", "ENGINE", "TRANSPORT", "UPTIME"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), plain);
        [
            plain(&row.mountpoint),
            plain(&row.source),
            row.state.to_owned(),
            row.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            text(&row.engine),
            text(&row.transport),
            row.uptime.map_or("-".to_owned(), span),
        ]
    });
    let lines: Vec<[String; 7]> = [headings].into_iter().chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |cells: &[String; 7]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let facts = MountFacts {
            pid: 4711,
            source: "/srv/data".to_owned(),
            mountpoint: "/mnt/data".to_owned(),
            engine: "uring".to_owned(),
            transport: "/dev/fuse".to_owned(),
            uptime: 3725.0,
            ..MountFacts::default()
        };
        let silent =
            Row { pid: None, engine: None, transport: None, uptime: None, ..Row::of(facts.clone(), 0, "no answer") };
        let text = table(&[Row::of(facts, 0, "serving"), silent]);
        let expected = "\
MOUNTPOINT  SOURCE     STATE      PID   ENGINE  TRANSPORT  UPTIME
/mnt/data   /srv/data  serving    4711  uring   /dev/fuse  1h 2m
/mnt/data   /srv/data  no answer  -     -       -          -
";
        assert_eq!(text, expected);
        assert_eq!(table(&[]), "No mount of ptfs is here.\n");
    }
}
