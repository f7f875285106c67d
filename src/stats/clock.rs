//! The clock of the hot path. `--cfg unmeasured` takes it away, and with it everything that is recorded: the difference
//! is what measuring costs.

#[cfg(not(unmeasured))]
use std::time::Instant;

/// False in a build that measures nothing.
pub(super) const MEASURED: bool = cfg!(not(unmeasured));

/// A moment of a request's service.
#[derive(Clone, Copy, Debug)]
pub struct Moment(#[cfg(not(unmeasured))] Instant);

impl Moment {
    /// Reads the clock, which is most of what measuring costs.
    #[inline]
    pub fn now() -> Moment {
        Moment(
            #[cfg(not(unmeasured))]
            Instant::now(),
        )
    }

    /// Nanoseconds from `earlier` to this moment; 0 if that is later.
    #[inline]
    pub fn since(self, earlier: Moment) -> u64 {
        #[cfg(not(unmeasured))]
        return u64::try_from(self.0.saturating_duration_since(earlier.0).as_nanos()).unwrap_or(u64::MAX);
        #[cfg(unmeasured)]
        {
            let _ = earlier;
            0
        }
    }
}
