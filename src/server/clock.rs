//! The one place where clocks are read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::http::{Moment, Now};

/// Provides the current time to a worker.
#[derive(Debug)]
pub struct Clock {
    now: Now,
    /// When the Date header changes. The wall clock is not read before that.
    next_second: Moment,
    mode: ClockMode,
}

/// When the clock is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// At each [`Clock::tick`]: for an event loop, which never waits between two ticks.
    Cached,
    /// At each [`Clock::now`]: for threads whose calls may block.
    Live,
}

impl Clock {
    pub fn new(mode: ClockMode) -> Clock {
        let now = Now::new(read_monotonic(), UNIX_EPOCH);
        let mut clock = Clock { now, next_second: now.moment, mode };
        clock.tick();
        clock
    }

    pub fn tick(&mut self) {
        self.now.moment = read_monotonic();
        if self.now.moment >= self.next_second {
            let wall = SystemTime::now();
            let subsecond = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            let subsecond = Duration::from_nanos(subsecond.into());
            self.now = Now::new(self.now.moment, wall - subsecond);
            self.next_second = self.now.moment + (Duration::from_secs(1) - subsecond);
        }
    }

    /// The current time, as of the last tick or as of this call.
    pub fn now(&mut self) -> &Now {
        if self.mode == ClockMode::Live {
            self.tick();
        }
        &self.now
    }
}

/// The clock that [`TimerFd`](super::timer_fd::TimerFd) uses, too.
pub fn read_monotonic() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    // The kernel never reports a negative time or more than 999,999,999 ns.
    Moment::new(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
