//! The head of a request, and the search for its end in a byte stream.

use super::limits::Limits;
use super::request_error::RequestError;

/// A complete head, found by a [`HeadScan`]: every line ends in CRLF, and the last line is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// The length of the request line, without its CRLF.
    request_line_bytes: usize,
    /// The number of lines between the request line and the empty line.
    pub(super) header_lines: usize,
}

impl<'a> Head<'a> {
    pub(super) fn new(bytes: &'a [u8], request_line_bytes: usize, header_lines: usize) -> Head<'a> {
        Head { bytes, request_line_bytes, header_lines }
    }

    /// The whole head, including the empty line.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The request line, without its CRLF.
    pub fn request_line(self) -> &'a [u8] {
        &self.bytes[..self.request_line_bytes]
    }

    /// The header lines and the empty line.
    pub(super) fn headers(self) -> &'a [u8] {
        &self.bytes[self.request_line_bytes + b"\r\n".len()..]
    }
}

/// Finds the end of a head that arrives in pieces, and examines each byte once.
///
/// The result depends on the bytes, not on how they were split: the first fault in the stream
/// decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// The number of bytes examined so far.
    scanned_bytes: usize,
    /// The number of complete lines so far.
    lines: usize,
    /// The length of the first line, without its CRLF.
    request_line_bytes: usize,
}

impl HeadScan {
    /// Returns the head at the start of `bytes`, or None while it is incomplete. The next call
    /// must pass the same bytes followed by new ones; it continues where this call stopped.
    ///
    /// # Errors
    /// `BareLineFeed` at the first LF without CR; `TargetTooLong` or `HeadTooLarge` as soon as the
    /// limit is exceeded, even if the head is incomplete.
    pub fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, RequestError> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.scanned_bytes..]) {
            let line_feed = self.scanned_bytes + offset;
            self.scanned_bytes = line_feed + 1;
            self.check_limits(limits)?;
            if line_feed == 0 || bytes[line_feed - 1] != b'\r' {
                return Err(RequestError::BareLineFeed);
            }
            if line_feed >= 3 && bytes[line_feed - 3..line_feed - 1] == *b"\r\n" {
                return Ok(Some(Head {
                    bytes: &bytes[..self.scanned_bytes],
                    request_line_bytes: self.request_line_bytes,
                    // `lines` counts the request line, and does not yet count the empty line.
                    header_lines: self.lines - 1,
                }));
            }
            if self.lines == 0 {
                self.request_line_bytes = line_feed - 1;
            }
            self.lines += 1;
        }
        self.scanned_bytes = bytes.len();
        self.check_limits(limits)?;
        Ok(None)
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), RequestError> {
        // The longest method, two spaces and the version fit into this, so that a request line
        // beyond the sum has a target beyond its limit (or no valid method).
        const METHOD_AND_VERSION_BYTES_MAX: usize = 64;
        match self.lines {
            0 if self.scanned_bytes > limits.target_bytes_max + METHOD_AND_VERSION_BYTES_MAX => {
                Err(RequestError::TargetTooLong)
            }
            _ if self.scanned_bytes > limits.head_bytes_max => Err(RequestError::HeadTooLarge),
            _ => Ok(()),
        }
    }
}
