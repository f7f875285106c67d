//! The clock of the hot path. `--cfg unmeasured` takes it away, and with it everything that is recorded: the difference
//! is what measuring costs.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// False in a build that measures nothing.
pub(super) const MEASURED: bool = cfg!(not(unmeasured));

/// What moments are read from, if not from the system's clock.
static TICKS: OnceLock<Option<Ticks>> = OnceLock::new();
/// When the system's clock began to count for them.
static START: OnceLock<Instant> = OnceLock::new();

/// A moment of a request's service: nanoseconds since some start.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

impl Moment {
    /// Reads the clock, which is most of what measuring costs.
    #[inline]
    pub fn now() -> Moment {
        if !MEASURED {
            return Moment(0);
        }
        Moment(match TICKS.get() {
            Some(Some(ticks)) => ticks.now(),
            _ => START.get_or_init(Instant::now).elapsed().as_nanos() as u64,
        })
    }

    /// Nanoseconds from `earlier` to this moment; 0 if that is later.
    #[inline]
    pub fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Has moments be read from a counter of the machine that goes up steadily and is the same on all CPUs: half the price
/// of the system's clock. To be called before there are workers; the first call in a process decides, and takes 2 ms.
pub fn count_ticks(counter: Option<fn() -> u64>) {
    TICKS.get_or_init(|| counter.filter(|_| MEASURED).and_then(Ticks::measure));
}

/// A counter, and how fast it goes.
struct Ticks {
    counter: fn() -> u64,
    start: u64,
    /// Nanoseconds of a tick, in 1 / 2^32.
    length: u64,
}

impl Ticks {
    #[inline]
    fn now(&self) -> u64 {
        let ticks = (self.counter)().saturating_sub(self.start);
        ((u128::from(ticks) * u128::from(self.length)) >> 32) as u64
    }

    /// `None` if two measurements do not agree to 1 %, as of a counter that stands still or jumps.
    fn measure(counter: fn() -> u64) -> Option<Ticks> {
        let pause = || thread::sleep(Duration::from_millis(1));
        let first = Reading::take(counter);
        pause();
        let second = Reading::take(counter);
        pause();
        let third = Reading::take(counter);
        let (one, other, both) = (first.length_to(&second)?, second.length_to(&third)?, first.length_to(&third)?);
        (one.abs_diff(other) <= both / 100).then_some(Ticks { counter, start: first.ticks, length: both })
    }
}

/// Both clocks at one moment.
struct Reading {
    ticks: u64,
    time: Instant,
}

impl Reading {
    /// The best of some, since this thread may lose its CPU between the two.
    fn take(counter: fn() -> u64) -> Reading {
        let read = || {
            let before = counter();
            let time = Instant::now();
            (counter().saturating_sub(before), Reading { ticks: before, time })
        };
        let first = read();
        (0..8).map(|_| read()).fold(first, |best, next| if next.0 < best.0 { next } else { best }).1
    }

    fn length_to(&self, later: &Reading) -> Option<u64> {
        let time = later.time.saturating_duration_since(self.time).as_nanos();
        u64::try_from((time << 32).checked_div(later.ticks.checked_sub(self.ticks)?.into())?).ok().filter(|&l| l > 0)
    }
}

#[cfg(all(test, not(unmeasured)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn thirds() -> u64 {
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64 * 3 + 7
    }

    #[test]
    fn a_steady_counter_is_as_good_as_the_clock() {
        // A machine that is very busy may spoil a measurement, which is then refused.
        let ticks = (0..100).find_map(|_| Ticks::measure(thirds)).expect("a steady counter");
        let (start, began) = (ticks.now(), Instant::now());
        thread::sleep(Duration::from_millis(50));
        let (took, exact) = (ticks.now() - start, began.elapsed().as_nanos() as u64);
        assert!(took.abs_diff(exact) < exact / 20, "{took} {exact}");
    }

    #[test]
    fn what_does_not_go_up_steadily_is_refused() {
        static STEPS: AtomicU64 = AtomicU64::new(0);
        assert!(Ticks::measure(|| 5).is_none());
        assert!(Ticks::measure(|| u64::MAX - STEPS.fetch_add(1, Ordering::Relaxed)).is_none());
        assert!(Ticks::measure(|| STEPS.fetch_add(1 << 20, Ordering::Relaxed).pow(2)).is_none());
    }

    #[test]
    fn time_never_goes_back() {
        let (early, late) = (Moment::now(), Moment::now());
        assert_eq!(early.since(late), 0);
    }
}
