//! Detects a client that reads too slowly, or not at all.

use std::time::Duration;

use super::limits::Limits;
use super::moment::Moment;

/// The progress of sending what is queued, from the first unsent byte until the queue is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteProgress {
    start: Moment,
    last_progress: Moment,
    sent_bytes: u64,
}

impl WriteProgress {
    pub(super) fn new(now: Moment) -> WriteProgress {
        WriteProgress { start: now, last_progress: now, sent_bytes: 0 }
    }

    /// Records that the socket accepted `bytes`.
    pub(super) fn advance(&mut self, bytes: u64, now: Moment) {
        if bytes > 0 {
            self.last_progress = now;
            self.sent_bytes += bytes;
        }
    }

    /// When the client counts as stalled, unless it reads more before: `write_timeout` after the
    /// last progress, or as soon as its average rate is below `write_rate_min`, but not before
    /// `write_timeout` has passed since the start.
    pub(super) fn deadline(&self, limits: &Limits) -> Moment {
        // At the minimum rate, sending `sent_bytes` takes exactly this long.
        let slowest = Duration::from_secs(self.sent_bytes / limits.write_rate_min.max(1));
        let too_slow = self.start + limits.write_timeout.max(slowest);
        (self.last_progress + limits.write_timeout).min(too_slow)
    }
}
