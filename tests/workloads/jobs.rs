//! Scripts: what they print and copy is looked at, and they end when they must.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ptfs::bench::load;
use ptfs::bench::result::Load;
use ptfs::bench::stop::Stop;
use ptfs::bench::workload::Workload;

use super::Laid;

fn job(keys: &str) -> String {
    format!("about = \"x\"\n[files]\ncount = 30\nsize = 5000\nper-directory = 10\ncontent = \"text\"\n[job]\n{keys}\n")
}

#[test]
fn what_is_printed_is_looked_at() {
    let laid = Laid::out(&job("run = \"find tree -type f | wc -l\"\nprints = \"{files}\""));
    let measured = laid.run(Load::Job, 50);
    assert!(measured.operations > 0 && measured.wrong.is_empty(), "{measured:?}");
    fs::write(laid.path("tree/more"), "").expect("made");
    let wrong = laid.run(Load::Job, 0).wrong;
    assert_eq!(wrong, ["printed \"31\" instead of \"30\""]);
}

#[test]
fn what_is_copied_is_looked_at() {
    let laid = Laid::out(&job("before = \"rm -rf work/copy\"\nrun = \"cp -r tree work/copy\"\ncopies = \"work/copy\""));
    assert_eq!(laid.run(Load::Job, 0).wrong, Vec::<String>::new());
    let damage = "before = \"rm -rf work/copy\"\ncopies = \"work/copy\"\nrun = \"\"\"\ncp -r tree work/copy\n";
    for (command, says) in [
        ("rm work/copy/d00002/f0000025", "f0000025: No such file"),
        ("truncate -s 10 work/copy/d00002/f0000025", "f0000025: 10 bytes instead of 5000"),
        ("printf z | dd of=work/copy/d00001/f0000011 bs=1 seek=4097 conv=notrunc", "file 11 at byte 4096: "),
    ] {
        let wrong = Laid::out(&job(&format!("{damage}{command}\n\"\"\""))).run(Load::Job, 0).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains(says), "{command}: {wrong:?}");
    }
}

#[test]
fn a_job_that_fails_says_why() {
    let laid = Laid::out(&job("run = \"echo first >&2; echo last >&2; exit 3\""));
    let measured = laid.run(Load::Job, 0);
    assert_eq!((measured.operations, measured.errors["exit 3: last"]), (0, 1));
    let laid = Laid::out(&job("run = \"kill -9 $$\""));
    assert_eq!(laid.run(Load::Job, 0).errors["signal 9: it does not say why"], 1);
}

#[test]
fn a_job_that_cannot_be_prepared_says_why() {
    for (keys, says) in [
        (
            "needs = [\"sh\", \"no-such-program\"]\nrun = \"true\"",
            "test: needs 'no-such-program', which is not installed",
        ),
        ("setup = \"false\"\nrun = \"true\"", "test: setup: exit 1: it does not say why"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let workload = Workload::parse("test", &job(keys)).expect("a workload");
        assert_eq!(workload.prepare(dir.path(), 1.0, &Stop::new()).err().as_deref(), Some(says));
    }
    let laid = Laid::out(&job("before = \"echo no >&2; false\"\nrun = \"true\""));
    let why = load::run(&laid.prepared, Load::Job, Duration::ZERO, &Stop::new()).unwrap_err();
    assert_eq!(why, "before: exit 1: no");
    let why = load::run(&laid.prepared, Load::Closed { clients: 1 }, Duration::ZERO, &Stop::new()).unwrap_err();
    assert_eq!(why, "a job has no clients");
}

#[test]
fn what_a_job_needs_cold_it_does_once() {
    let cold = format!("caches = \"cold\"\n{}", job("run = \"true\""));
    assert_eq!(Laid::out(&cold).run(Load::Job, 300).operations, 1);
    assert!(Laid::out(&job("run = \"true\"")).run(Load::Job, 300).operations > 1);
}

#[test]
fn long_output_is_read_to_its_end() {
    let laid = Laid::out(&job("run = \"head -c 3000000 /dev/zero | tr '\\\\0' x; head -c 3000000 /dev/zero >&2\""));
    let measured = laid.run(Load::Job, 0);
    assert_eq!((measured.operations, measured.errors.len()), (1, 0));
}

#[test]
fn the_end_takes_a_job_and_its_children_with_it() {
    let laid = Laid::out(&job("run = \"sh -c 'echo $$ >work/pid; exec sleep 1000' & sleep 1000\""));
    let stop = Stop::new();
    let began = Instant::now();
    let measured = thread::scope(|scope| {
        scope.spawn(|| {
            while fs::read_to_string(laid.path("work/pid")).unwrap_or_default().trim().is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            stop.set();
        });
        load::run(&laid.prepared, Load::Job, Duration::from_secs(3600), &stop).expect("stopped")
    });
    assert_eq!((measured.operations, measured.errors.len()), (0, 0));
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = fs::read_to_string(laid.path("work/pid")).expect("its pid");
    let gone = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while !gone() {
        assert!(Instant::now() < patience, "the child lives on");
        thread::sleep(Duration::from_millis(10));
    }
}
