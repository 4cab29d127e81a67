//! Dates in the format of HTTP (RFC 9110 section 5.6.7).

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// A date in the format IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DateText([u8; 29]);

impl DateText {
    /// The earliest date that is formatted.
    pub const EPOCH: DateText = DateText(*b"Thu, 01 Jan 1970 00:00:00 GMT");

    /// Formats `time` to the second. Returns None before 1970 and after 9999, which the mtime of a
    /// file can be.
    pub fn new(time: SystemTime) -> Option<DateText> {
        const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
        let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
        if since_epoch >= YEAR_10000 {
            return None;
        }
        let mut text = StackBuffer { bytes: [b' '; 29], length: 0 };
        write!(text, "{}", HttpDate::from(time)).ok()?;
        (text.length == 29).then_some(DateText(text.bytes))
    }

    /// The 29 bytes of ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A buffer on the stack to format into.
struct StackBuffer {
    bytes: [u8; 29],
    length: usize,
}

impl Write for StackBuffer {
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
    fn dates_are_formatted_as_imf_fixdate() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(
            format!("{:?}", DateText::new(time).expect("in range")),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(DateText::new(UNIX_EPOCH), Some(DateText::EPOCH));
    }

    #[test]
    fn times_outside_1970_to_9999_have_no_date() {
        assert_eq!(DateText::new(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(DateText::new(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        assert!(DateText::new(UNIX_EPOCH + Duration::from_secs(253_402_300_799)).is_some());
    }
}
