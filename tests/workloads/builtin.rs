//! Every workload that comes with the program.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ptfs::bench::load;
use ptfs::bench::result::Load;
use ptfs::bench::stop::Stop;
use ptfs::bench::workload::{Caches, Workload};

use super::Laid;

fn files() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/workload/builtin");
    let names = fs::read_dir(dir).expect("the built-in ones").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().trim_end_matches(".toml").to_owned()).collect()
}

#[test]
fn each_file_is_listed_once_and_can_be_read() {
    let listed: Vec<String> = Workload::builtin().iter().map(|workload| workload.name().to_owned()).collect();
    let names: HashSet<String> = listed.iter().cloned().collect();
    assert_eq!(names.len(), listed.len(), "a name twice: {listed:?}");
    assert_eq!(names, files().into_iter().collect::<HashSet<_>>());
}

#[test]
fn each_is_written_as_it_is_shown() {
    for workload in Workload::builtin() {
        let again = Workload::parse(workload.name(), workload.toml()).expect("what was read once");
        assert_eq!((again.about(), again.caches()), (workload.about(), workload.caches()));
        assert!(workload.about().len() < 130, "{}: too long for a list", workload.name());
        assert_eq!(workload.is_job(), workload.loads() == [Load::Job]);
    }
    let of = |name: &str| Workload::builtin().into_iter().find(|workload| workload.name() == name).expect(name);
    assert_eq!(of("stat-cold").caches(), Caches::Cold);
    assert_eq!(of("stat-known").caches(), Caches::Warm);
    assert_eq!(of("fsync").caches(), Caches::Any);
}

/// Two rounds of each load: the second meets what the first has left.
fn run_all(workloads: impl Iterator<Item = Workload>) {
    for workload in workloads {
        let laid = Laid::of(&workload, 0.01);
        let mut loads = workload.loads();
        if !workload.is_job() {
            loads.push(Load::Open { clients: 2, rate: 200.0 });
        }
        for load in [loads.clone(), loads].concat() {
            let name = workload.name();
            let measured = load::run(&laid.prepared, load, Duration::from_millis(50), &Stop::new());
            let measured = measured.unwrap_or_else(|why| panic!("{name} {load:?}: {why}"));
            assert_eq!((&measured.wrong, &measured.errors), (&Vec::new(), &Default::default()), "{name} {load:?}");
            assert!(measured.operations + measured.late > 0, "{name} {load:?}: nothing was done");
            assert_eq!(measured.latency.len(), measured.operations + measured.late, "{name} {load:?}");
            assert!(measured.seconds > 0.0 && measured.seconds < 600.0, "{name} {load:?}");
        }
        let mut left: Vec<_> = fs::read_dir(laid.path("work")).expect("work").map(|e| e.unwrap().file_name()).collect();
        left.retain(|name| !["archive.tar", "extracted", "crate"].contains(&&*name.to_string_lossy()));
        assert!(left.is_empty(), "{}: left {left:?}", workload.name());
    }
}

#[test]
fn operations_run_with_each_of_their_loads() {
    run_all(Workload::builtin().into_iter().filter(|workload| !workload.is_job()));
}

#[test]
fn jobs_run() {
    let jobs: Vec<Workload> = Workload::builtin().into_iter().filter(Workload::is_job).collect();
    assert!(jobs.len() >= 6);
    run_all(jobs.into_iter());
}

#[test]
fn the_examples_of_the_documentation_are_good() {
    let text = include_str!("../../docs/workloads.md");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        Workload::parse("example", example).expect(example);
    }
}

#[test]
fn the_documentation_has_every_key_and_kind() {
    let text = include_str!("../../docs/workloads.md");
    let expected = |toml: &str| {
        let why = Workload::parse("x", toml).unwrap_err();
        let (_, names) = why.split_once("expected ").expect("what there is");
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut names = Vec::new();
    for faulty in [
        "nothing = 1",
        "[files]\nnothing = 1",
        "[operation]\nnothing = 1",
        "[job]\nnothing = 1",
        "[operation]\nkind = \"nothing\"",
        "caches = \"nothing\"",
        "[operation]\nkind = \"read\"\nhow = \"nothing\"",
        "[operation]\nkind = \"read\"\npattern = \"nothing\"",
        "[operation]\nkind = \"write\"\nsync = \"nothing\"",
        "[files]\ncontent = \"nothing\"",
    ] {
        names.extend(expected(faulty));
    }
    assert!(names.len() > 35, "{names:?}");
    for name in names {
        let documented = [format!("`{name}`"), format!("`\"{name}\"`"), format!("`[{name}]`")];
        assert!(documented.iter().any(|form| text.contains(form)), "docs/workloads.md does not have {name}");
    }
}
