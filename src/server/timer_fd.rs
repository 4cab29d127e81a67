//! A timer that is a descriptor (timerfd_create(2)), for loops that wait for descriptors.
//!
//! The timeout of epoll_wait would do, too. But then the kernel sets a timer each time the loop
//! falls asleep and removes it each time it wakes, which adds a tenth to the cost of a lone
//! client's request. A timerfd stays armed: most deadlines have moved on by the time they come, so
//! it is armed about once per idle timeout and not once per request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A one-shot timer on the monotonic clock. Its descriptor is readable once it has expired.
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// Disarmed.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn new() -> io::Result<TimerFd> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(TimerFd(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Arms the timer for an instant, given as the time since the monotonic clock's zero. Arming
    /// also makes an expired timer unreadable, so an edge-triggered loop need not read it.
    ///
    /// # Errors
    /// EINVAL for an instant that the kernel cannot represent.
    pub fn arm_at(&self, since_zero: Duration) -> io::Result<()> {
        self.arm(since_zero, TimerfdTimerFlags::ABSTIME)
    }

    /// Arms the timer to expire after `timeout`.
    ///
    /// # Errors
    /// EINVAL for a timeout that the kernel cannot represent.
    #[cfg(feature = "compare")]
    pub fn arm_after(&self, timeout: Duration) -> io::Result<()> {
        self.arm(timeout, TimerfdTimerFlags::empty())
    }

    fn arm(&self, time: Duration, flags: TimerfdTimerFlags) -> io::Result<()> {
        // Zero would disarm it.
        let time = time.max(Duration::from_nanos(1));
        let it_value =
            Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.0, flags, &Itimerspec { it_interval, it_value })?;
        Ok(())
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
