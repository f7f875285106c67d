//! A file for each cell, as HdrHistogram's plotters read it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::stats::Distribution;
use crate::bench::result::{Cell, Load, Results};
use crate::stats::hgrm;

/// Writes `WORKLOAD-LOAD-TARGET.hgrm` (values in microseconds) for each cell with samples into `dir`, which is made.
pub fn write_hgrm(results: &Results, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut taken = HashSet::new();
    for cell in &results.cells {
        let all = Distribution::of(&cell.rounds);
        if all.count() == 0 {
            continue;
        }
        fs::write(dir.join(file_name(cell, &mut taken)), hgrm::write(&all.buckets()))?;
    }
    Ok(())
}

/// Names are given by users: only what means nothing to file systems and shells is kept of them, and those that become
/// alike by that are numbered.
fn file_name(cell: &Cell, taken: &mut HashSet<String>) -> String {
    let load = match cell.load {
        Load::Closed { clients } => format!("closed{clients}"),
        Load::Open { clients, rate } => format!("open{clients}x{rate:.0}"),
        Load::Depth { depth } => format!("depth{depth}"),
        Load::Job => "job".to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let short: String = format!("{}-{load}-{}", cell.workload, cell.target).chars().map(plain).take(200).collect();
    let names = (1..).map(|n| if n == 1 { short.clone() } else { format!("{short}-{n}") });
    for name in names {
        // Some file systems take upper and lower case for the same.
        if taken.insert(name.to_lowercase()) {
            return format!("{name}.hgrm");
        }
    }
    unreachable!("numbers do not end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn each_cell_with_samples_has_a_file() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new");
        let mut results = fixture::results();
        results.cells[1].target = "../p/t".to_owned();
        results.cells[3].target = "NATIVE".to_owned();
        write_hgrm(&results, &dir).unwrap();
        let mut names: Vec<String> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "getattr-closed1----p-t.hgrm",
                "getattr-closed1-native.hgrm",
                "getattr-open2x10000-NATIVE-2.hgrm",
                "getattr-open2x10000-native.hgrm",
                "monorepo-job-native.hgrm"
            ]
        );
        let text = fs::read_to_string(dir.join("getattr-closed1-native.hgrm")).unwrap();
        assert!(text.contains("#[Max     =       20.000, Total count    =       240000]"), "{text}");
    }
}
