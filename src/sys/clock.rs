//! The CPU's own counter of time.

/// The counter, where the kernel itself takes the time from it: then it goes up steadily, and is the same on all CPUs.
pub fn counter() -> Option<fn() -> u64> {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let current = std::fs::read_to_string(CURRENT).ok()?;
    (current.trim() == "tsc").then_some(tsc()?)
}

#[cfg(target_arch = "x86_64")]
fn tsc() -> Option<fn() -> u64> {
    // SAFETY: every CPU of this architecture has the instruction; where it is forbidden (prctl PR_SET_TSC) the kernel's
    // own clock, which is read in this process by the same instruction, would not work either.
    Some(|| unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> Option<fn() -> u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_goes_up() {
        if let Some(counter) = counter() {
            let before = counter();
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(counter() > before);
        }
    }
}
