//! The report, for eyes.

use std::fmt::Write as _;

use super::findings::{Mark, Report};

/// A table, and the conclusion. `changes`: how many `--fix` would make.
pub fn table(report: &Report, changes: usize, has_source: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let mark = match finding.mark {
            Mark::Ok => "ok",
            Mark::Better => "better",
            Mark::Missing => "MISSING",
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{mark:8} {:18} {}", finding.item, finding.value);
        let _ = writeln!(text, "{:8} {:18} worth: {}", "", "", finding.worth);
        if let Some(command) = &finding.command {
            let _ = writeln!(text, "{:8} {:18} do:    {command}", "", "");
        }
    }
    text.push('\n');
    text.push_str(match (report.mounts, report.fast) {
        (false, _) => "No mount works here until what is MISSING is there.\n",
        (true, false) => "A mount works here, but not at full speed.\n",
        (true, true) => "A mount works here, at full speed: over FUSE-over-io_uring.\n",
    });
    if changes > 0 {
        let plural = if changes == 1 { "" } else { "s" };
        let _ = writeln!(
            text,
            "`sudo ptfs doctor --fix` makes {changes} change{plural} for the better, `--undo` takes them back."
        );
    }
    if !has_source {
        text.push_str("`ptfs doctor SOURCE` also looks at the directory to serve.\n");
    }
    text
}
