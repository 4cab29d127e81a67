//! The one place where clocks are read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::Now;

/// Hands out the present moment. A loop that never waits inside [`drive`](super::drive::drive) reads the clock once a turn;
/// one whose calls may block reads it again each time it is asked.
#[derive(Debug)]
pub struct Clock {
    now: Now,
    /// When the Date changes; before that the wall clock isn't asked.
    next_second: Instant,
    pace: Pace,
}

/// When the clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At each [`Clock::tick`] only.
    Turns,
    /// Whenever it is looked at.
    Always,
}

impl Clock {
    /// A clock that shows the present moment.
    pub fn new(pace: Pace) -> Clock {
        let now = Now::new(Instant::now(), UNIX_EPOCH);
        let mut clock = Clock { now, next_second: now.instant, pace };
        clock.tick();
        clock
    }

    /// Reads the clocks.
    pub fn tick(&mut self) {
        self.now.instant = Instant::now();
        if self.now.instant >= self.next_second {
            let wall = SystemTime::now();
            let part = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            self.now = Now::new(self.now.instant, wall - Duration::from_nanos(part.into()));
            self.next_second = self.now.instant + (Duration::from_secs(1) - Duration::from_nanos(part.into()));
        }
    }

    /// The moment.
    pub fn now(&mut self) -> &Now {
        if self.pace == Pace::Always {
            self.tick();
        }
        &self.now
    }
}
