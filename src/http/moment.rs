//! An instant on a monotonic clock.
//!
//! `std::time::Instant` takes two words, and comparing or adding two of them takes two operations.
//! Each request does so several times, and each idle connection stores instants; one word halves
//! the cost. All moments come from one clock, which `server/clock.rs` reads.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds since the origin of the clock, enough for five centuries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `since_origin` after the origin of the clock.
    pub fn new(since_origin: Duration) -> Moment {
        Moment(nanoseconds(since_origin))
    }

    /// The time since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates: a moment beyond the range of the clock is never reached.
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

/// Saturates at the origin of the clock.
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
    fn arithmetic_saturates_at_both_ends_of_the_clock() {
        let (second, origin) = (Duration::from_secs(1), Moment::default());
        assert_eq!(origin - second, origin);
        assert_eq!(origin.since(origin + second), Duration::ZERO);
        assert_eq!((origin + second).since(origin), second);
        let end = origin + Duration::MAX;
        assert_eq!(end + second, end);
        assert!(end > origin + Duration::from_secs(500 * 365 * 24 * 3600));
    }
}
