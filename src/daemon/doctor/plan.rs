//! What `--fix` would set: pure, and nothing that costs security without a word from the operator.
//!
//! `kernel.io_uring_disabled` is never set: whoever forbade io_uring did so for the whole host.

use super::facts::{ENABLE_URING, FUSE_CONF, Facts, MAX_PAGES};
use super::findings::PAGES_WANTED;

/// Settings for the next boot, as systemd-tmpfiles makes them.
pub const TMPFILES: &str = "/etc/tmpfiles.d/ptfs.conf";
/// The same for a module, from the moment that it is loaded.
pub const MODPROBE: &str = "/etc/modprobe.d/ptfs.conf";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The file that changes.
    pub path: &'static str,
    /// How.
    pub what: What,
    /// What it is good for.
    pub why: &'static str,
}

/// How a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A parameter of the kernel gets this value.
    Value(String),
    /// A file, made if it is missing, has these lines.
    Lines(Vec<String>),
}

/// All changes that make this host better, in order.
pub fn plan(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(module) = &facts.module
        && let Some(switch) = module.enable_uring.as_deref()
    {
        if switch != "Y" {
            steps.push(value(ENABLE_URING, "Y", "FUSE-over-io_uring for mounts made from now on"));
        }
        if !module.enabled_at_boot {
            // It finds a module that is part of the kernel, or was loaded before it runs.
            let line = format!("w {ENABLE_URING} - - - - Y");
            steps.push(ours(TMPFILES, line, "FUSE-over-io_uring after each boot, by systemd-tmpfiles"));
        }
        if !module.enabled_at_boot && module.loadable {
            let line = "options fuse enable_uring=Y".to_owned();
            steps.push(ours(MODPROBE, line, "FUSE-over-io_uring whenever the module is loaded"));
        }
    }
    if facts.max_pages.is_some_and(|pages| pages < PAGES_WANTED) {
        steps.push(value(MAX_PAGES, &PAGES_WANTED.to_string(), "requests of 1 MiB for mounts made from now on"));
        let line = format!("w {MAX_PAGES} - - - - {PAGES_WANTED}");
        steps.push(ours(TMPFILES, line, "requests of 1 MiB after each boot, by systemd-tmpfiles"));
    }
    if facts.fusermount.is_some() && !facts.allows_other() {
        let what = What::Lines(vec!["user_allow_other".to_owned()]);
        steps.push(Step { path: FUSE_CONF, what, why: "plain users may let others into their mounts" });
    }
    steps
}

fn value(path: &'static str, value: &str, why: &'static str) -> Step {
    Step { path, what: What::Value(value.to_owned()), why }
}

/// A line in a file that is there for us alone.
fn ours(path: &'static str, line: String, why: &'static str) -> Step {
    const HEADER: &str = "# Made by `ptfs doctor --fix`; `ptfs doctor --undo` removes it.";
    Step { path, what: What::Lines(vec![HEADER.to_owned(), line]), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::doctor::facts::Module;

    fn paths(facts: &Facts) -> Vec<&'static str> {
        plan(facts).iter().map(|step| step.path).collect()
    }

    #[test]
    fn a_host_with_everything_is_left_alone() {
        assert!(plan(&Facts::sample()).is_empty());
    }

    #[test]
    fn the_switch_is_set_for_now_and_for_the_next_boot() {
        let mut facts = Facts::sample();
        facts.module = Some(Module { enable_uring: Some("N".to_owned()), ..Module::default() });
        assert_eq!(paths(&facts), [ENABLE_URING, TMPFILES]);
        facts.module = Some(Module { enable_uring: Some("Y".to_owned()), ..Module::default() });
        assert_eq!(paths(&facts), [TMPFILES]);
        facts.module = Some(Module { enable_uring: Some("N".to_owned()), loadable: true, enabled_at_boot: false });
        assert_eq!(paths(&facts), [ENABLE_URING, TMPFILES, MODPROBE]);
        facts.module = Some(Module { enable_uring: Some("N".to_owned()), loadable: true, enabled_at_boot: true });
        assert_eq!(paths(&facts), [ENABLE_URING]);
        facts.module = Some(Module::default());
        assert!(paths(&facts).is_empty(), "there is no switch");
        facts.module = None;
        assert!(paths(&facts).is_empty(), "there is no module");
    }

    #[test]
    fn a_lowered_limit_is_raised_and_a_raised_one_stays() {
        let mut facts = Facts::sample();
        for (pages, steps) in [(Some(32), &[MAX_PAGES, TMPFILES][..]), (Some(1024), &[]), (None, &[])] {
            facts.max_pages = pages;
            assert_eq!(paths(&facts), steps, "{pages:?}");
        }
    }

    #[test]
    fn others_are_let_in_where_there_is_a_fusermount() {
        let mut facts = Facts::sample();
        facts.fuse_conf = Some("#user_allow_other\n".to_owned());
        assert_eq!(paths(&facts), [FUSE_CONF]);
        facts.fuse_conf = None;
        assert_eq!(paths(&facts), [FUSE_CONF]);
        // Its package brings the file, and would ask what to do with ours.
        facts.fusermount = None;
        assert!(paths(&facts).is_empty());
    }

    #[test]
    fn io_uring_is_never_allowed_where_it_is_forbidden() {
        let mut facts = Facts::sample();
        (facts.io_uring, facts.io_uring_disabled) = (Err("forbidden".to_owned()), Some(2));
        assert!(plan(&facts).is_empty());
    }
}
