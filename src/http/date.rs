//! Dates as HTTP writes them, and the moment that a strategy hands to the core.
//!
//! No clock is read here: a [`Now`] is made where the clock is (`server/clock.rs`) and passed in.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

use super::moment::Moment;

/// One moment, twice: for deadlines and for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back; deadlines are reckoned in it.
    pub moment: Moment,
    /// Whole seconds of the wall clock, as the Date field says them.
    pub wall: SystemTime,
    /// `wall`, written out.
    pub date: DateText,
}

impl Now {
    /// Both readings of one moment, taken by the caller.
    pub fn new(moment: Moment, wall: SystemTime) -> Now {
        let date = DateText::new(wall).unwrap_or(DateText::EPOCH);
        Now { moment, wall, date }
    }
}

/// An IMF-fixdate (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DateText([u8; 29]);

impl DateText {
    /// The first moment that can be written.
    pub const EPOCH: DateText = DateText(*b"Thu, 01 Jan 1970 00:00:00 GMT");

    /// `time` to the second, or None where the format has no room for it: before 1970, after the
    /// year 9999. A file's mtime can be either.
    pub fn new(time: SystemTime) -> Option<DateText> {
        const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
        let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
        if since_epoch >= YEAR_10000 {
            return None;
        }
        let mut text = Fixed { bytes: [b' '; 29], length: 0 };
        write!(text, "{}", HttpDate::from(time)).ok()?;
        (text.length == 29).then_some(DateText(text.bytes))
    }

    /// The 29 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A place to format into that is not the heap.
struct Fixed {
    bytes: [u8; 29],
    length: usize,
}

impl Write for Fixed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_writes_them() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(
            format!("{:?}", DateText::new(time).expect("in range")),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(DateText::new(UNIX_EPOCH), Some(DateText::EPOCH));
    }

    #[test]
    fn moments_that_the_format_cannot_write_are_none_and_no_crash() {
        assert_eq!(DateText::new(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(DateText::new(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        assert!(DateText::new(UNIX_EPOCH + Duration::from_secs(253_402_300_799)).is_some());
    }
}
