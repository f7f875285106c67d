//! Delta debugging: the fewest and plainest steps that still show a difference.

use super::ops::Step;
use std::time::{Duration, Instant};

/// Drops ever smaller chunks of `steps` as long as `fails`, then makes what is left plainer.
pub fn shrink(mut steps: Vec<Step>, budget: Duration, mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let end = Instant::now() + budget;
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 && Instant::now() < end {
        let before = steps.len();
        let mut at = 0;
        while at < steps.len() && Instant::now() < end {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + chunk).min(steps.len()));
            if fails(&fewer) { steps = fewer } else { at += chunk }
        }
        // After a pass of single steps that removed some, others may have become superfluous.
        chunk = if chunk > 1 { chunk / 2 } else { usize::from(steps.len() < before) };
    }
    let plainer: [fn(&mut Step); 3] = [|step| step.who = 0, |step| step.umask = 0o022, |step| step.look = false];
    for plain in plainer {
        for at in 0..steps.len() {
            let mut plainer = steps.clone();
            plain(&mut plainer[at]);
            if Instant::now() < end && fails(&plainer) {
                steps = plainer;
            }
        }
    }
    steps
}
