//! What wakes a loop that sleeps in epoll when a moment has come.
//!
//! The timeout of the wait itself would do it, too. But then the kernel sets a timer whenever the loop falls asleep and takes it
//! back whenever it is woken, which makes a lone client's request dearer by a tenth. An timer_fd is set once and stays:
//! most timer_queue have moved on by the time they come, so it is set again once in an idle timeout, not in every request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::http::Moment;
use crate::syscall_stats::{Call, SyscallStats};

/// Ready to be read when it has gone off.
#[derive(Debug)]
pub struct TimerFd {
    timer: OwnedFd,
    set: Option<Moment>,
}

impl TimerFd {
    /// Not set.
    ///
    /// # Errors
    /// The system's, if it has no descriptors left.
    pub fn new() -> io::Result<TimerFd> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(TimerFd { timer, set: None })
    }

    /// Sees to it that it goes off at `moment`, or before.
    ///
    /// # Errors
    /// The system's: then whoever sleeps would not be woken.
    pub fn set(&mut self, moment: Moment, stats: &SyscallStats) -> io::Result<()> {
        if self.set.is_some_and(|set| set <= moment) {
            return Ok(());
        }
        let time = moment.since(Moment::default());
        let it_value =
            Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        stats.count(Call::SetTimer);
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set = Some(moment);
        Ok(())
    }

    /// It has gone off. Where readiness is told once, as an edge, there is nothing to be read: setting it again clears it.
    pub fn expired(&mut self) {
        self.set = None;
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
