//! When requests are sent.
//!
//! At a fixed rate, every request has a scheduled send time that was determined before the run. A
//! stalling server does not shift these times: requests queue in the client, and the queueing time
//! counts as latency. A client that waits for each response before it sends the next request sends
//! fewer requests during a stall and so underreports it (coordinated omission).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::server::TimerFd;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A closed loop: each connection sends the next request when a response arrives. Measures
    /// capacity.
    Closed,
    /// An open loop: requests are sent at a fixed rate whatever the server does. Measures latency.
    Open {
        /// The rate over all connections.
        per_second: f64,
    },
}

/// The scheduled send times of one run, and a timerfd that expires at each. The timeout of
/// epoll_wait(2) is too coarse: its unit is the millisecond.
#[derive(Debug)]
pub(super) struct Schedule {
    timer: TimerFd,
    interval: Duration,
    next: Instant,
    end: Instant,
}

impl Schedule {
    pub(super) fn new(per_second: f64) -> io::Result<Schedule> {
        let timer = TimerFd::new()?;
        let interval = Duration::from_secs_f64(1.0 / per_second.clamp(0.01, 1e7));
        let now = Instant::now();
        Ok(Schedule { timer, interval, next: now, end: now })
    }

    pub(super) fn begin(&mut self, start: Instant, end: Instant) {
        (self.next, self.end) = (start, end);
    }

    /// Sets the timer to the next send time. It is registered edge-triggered, so setting it again
    /// replaces reading it.
    pub(super) fn set_timer(&self, now: Instant) -> io::Result<()> {
        self.timer.arm_after(self.next.saturating_duration_since(now))
    }

    /// The next send time that has passed and for which no request was sent yet.
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
