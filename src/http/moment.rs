//! A moment on a clock that never goes back.
//!
//! `std::time::Instant` would do. But its two parts are compared and added one after the other, several times in every
//! request, and every idle connection keeps some: one word is half of that. Which clock it is, and that it is one and the same
//! everywhere, is the affair of whoever reads it (`server/clock.rs`).

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds since the clock began: enough for five centuries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// So long after the clock began.
    pub fn new(since_beginning: Duration) -> Moment {
        Moment(nanoseconds(since_beginning))
    }

    /// How long after `earlier` it is; nothing, if it is not.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What lies beyond the end of the clock never comes.
impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(nanoseconds(time)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

/// What would lie before the beginning of the clock is its beginning.
impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(nanoseconds(time)))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_of_the_clock_is_its_beginning_or_its_end() {
        let (second, beginning) = (Duration::from_secs(1), Moment::default());
        assert_eq!(beginning - second, beginning);
        assert_eq!(beginning.since(beginning + second), Duration::ZERO);
        assert_eq!((beginning + second).since(beginning), second);
        let end = beginning + Duration::MAX;
        assert_eq!(end + second, end);
        assert!(end > beginning + Duration::from_secs(500 * 365 * 24 * 3600));
    }
}
