//! The current time, as the driver of a connection passes it in.
//!
//! `http` reads no clock; `server/clock.rs` does.

use std::time::SystemTime;

use super::date::DateText;
use super::moment::Moment;

/// One reading of the monotonic clock and of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock, for deadlines.
    pub moment: Moment,
    /// The wall clock in whole seconds, for the Date header.
    pub wall: SystemTime,
    /// `wall`, formatted.
    pub date: DateText,
}

impl Now {
    /// Combines two clock readings that the caller took together.
    pub fn new(moment: Moment, wall: SystemTime) -> Now {
        let date = DateText::new(wall).unwrap_or(DateText::EPOCH);
        Now { moment, wall, date }
    }
}
