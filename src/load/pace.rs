//! When the next request is due.
//!
//! At a fixed rate a request has a moment that was intended for it before the load began. A server that stalls does not move those
//! moments: the requests queue up here, and the time they wait is theirs. A client that asks only after it
//! was responses would ask less just then, and call it a good average (coordinated omission).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next as soon as the last is responses: shows capacity.
    Closed,
    /// So many a second, whatever the server does: shows latency.
    Open {
        /// Over all connections.
        per_second: f64,
    },
}

/// The intended moments of one recorder, and a clock that rings at each. A poll's timeout is too coarse for that: it
/// counts in milliseconds.
#[derive(Debug)]
pub(super) struct Schedule {
    timer: OwnedFd,
    interval: Duration,
    next: Instant,
    end: Instant,
}

impl Schedule {
    pub(super) fn new(per_second: f64) -> io::Result<Schedule> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let interval = Duration::from_secs_f64(1.0 / per_second.clamp(0.01, 1e7));
        let now = Instant::now();
        Ok(Schedule { timer, interval, next: now, end: now })
    }

    pub(super) fn begin(&mut self, start: Instant, end: Instant) {
        (self.next, self.end) = (start, end);
    }

    /// Rings when the next request is due. The timer is registered edge-triggered; to set it anew does for reading it.
    pub(super) fn set_timer(&self, now: Instant) -> io::Result<()> {
        // Zero would stop it.
        let until = self.next.saturating_duration_since(now).max(Duration::from_nanos(1));
        let value =
            Timespec { tv_sec: until.as_secs() as i64, tv_nsec: until.subsec_nanos().into() };
        let times = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }

    /// A moment that has come and for which no request was sent yet.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = (self.next <= now && self.next < self.end).then_some(self.next)?;
        self.next += self.interval;
        Some(due)
    }
}

impl AsFd for Schedule {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
