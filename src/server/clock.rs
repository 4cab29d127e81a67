//! The one place where clocks are read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::http::{Moment, Now};

/// Hands out the present moment. A loop that never waits inside [`drive`](super::drive::drive) reads the clock once a turn;
/// one whose calls may block reads it again each time it is asked.
#[derive(Debug)]
pub struct Clock {
    now: Now,
    /// When the Date changes; before that the wall clock isn't asked.
    next_second: Moment,
    pace: ClockMode,
}

/// When the clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// At each [`Clock::tick`] only.
    Cached,
    /// Whenever it is looked at.
    Live,
}

impl Clock {
    /// A clock that shows the present moment.
    pub fn new(pace: ClockMode) -> Clock {
        let now = Now::new(read_monotonic(), UNIX_EPOCH);
        let mut clock = Clock { now, next_second: now.moment, pace };
        clock.tick();
        clock
    }

    /// Reads the clocks.
    pub fn tick(&mut self) {
        self.now.moment = read_monotonic();
        if self.now.moment >= self.next_second {
            let wall = SystemTime::now();
            let part = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            self.now = Now::new(self.now.moment, wall - Duration::from_nanos(part.into()));
            self.next_second =
                self.now.moment + (Duration::from_secs(1) - Duration::from_nanos(part.into()));
        }
    }

    /// The moment.
    pub fn now(&mut self) -> &Now {
        if self.pace == ClockMode::Live {
            self.tick();
        }
        &self.now
    }
}

/// The clock that an [`TimerFd`](super::timer_fd::TimerFd) goes by, too.
fn read_monotonic() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    // It has no negative readings, and fewer nanoseconds than a second.
    Moment::new(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
