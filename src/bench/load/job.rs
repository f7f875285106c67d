//! Whole jobs: scripts, whose running is timed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::measured::{Measured, Record};
use crate::bench::stop::Stop;
use crate::bench::workload::content::Place;
use crate::bench::workload::script::{script, shown};
use crate::bench::workload::spec::Job;
use crate::bench::workload::{Caches, Prepared};

/// Runs the job again and again for `duration`, but once at least; and just once if it needs cold caches, which it has
/// warmed by then.
pub fn run(prepared: &Prepared, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    let Some(job) = prepared.spec.job.as_ref().map(|job| job.get_ref()) else {
        return Err("not a job".to_owned());
    };
    let (mut record, mut failures) = (Record::new()?, BTreeMap::new());
    let (began, mut working) = (Instant::now(), Duration::ZERO);
    while !stop.is_set() {
        if let Some(before) = &job.before {
            let ready = script(prepared, before, stop)?;
            if stop.is_set() {
                break;
            }
            ready.good().map_err(|why| format!("before: {why}"))?;
        }
        let ran = script(prepared, &job.run, stop)?;
        if stop.is_set() {
            break;
        }
        working += ran.took;
        match ran.good() {
            Ok(output) => {
                record.answered(ran.took, Ok(0));
                record.wrong_if(look(prepared, job, output));
            }
            Err(why) => *failures.entry(why).or_default() += 1,
        }
        if prepared.spec.caches == Caches::Cold || began.elapsed() >= duration {
            break;
        }
    }
    Ok(Measured { errors: failures, ..record.measured(working, 0) })
}

/// What is wrong with what a run has said and left behind.
fn look(prepared: &Prepared, job: &Job, output: &str) -> Result<(), String> {
    if !prepared.spec.verify {
        return Ok(());
    }
    if let Some(prints) = &job.prints {
        let expected = prints.replace("{files}", &prepared.layout.count.to_string());
        if output.trim() != expected.trim() {
            return Err(format!("printed {:?} instead of {:?}", shown(output), shown(&expected)));
        }
    }
    job.copies.as_ref().map_or(Ok(()), |copy| check_copy(prepared, &prepared.path(copy)))
}

/// Reads every file of the tree where it was copied to.
fn check_copy(prepared: &Prepared, copy: &Path) -> Result<(), String> {
    let mut bytes = Vec::new();
    for (number, name) in (0..).zip(prepared.names.iter()) {
        let path = copy.join(name.to_string_lossy().as_ref());
        let wrong = |why: String| format!("{}: {why}", path.display());
        bytes.clear();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| wrong(error.to_string()))?;
        if bytes.len() as u64 != prepared.layout.size {
            return Err(wrong(format!("{} bytes instead of {}", bytes.len(), prepared.layout.size)));
        }
        prepared.content.check_bytes(Place { file: number, offset: 0, version: 0 }, &bytes).map_err(wrong)?;
    }
    Ok(())
}
