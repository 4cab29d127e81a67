//! The head of a request, and the search for its end in a byte stream.

use super::characters::is_token;
use super::limits::Limits;
use super::method::Method;
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
    /// `BareLineFeed` at the first LF without CR; `HeadTooLarge`, or an error about the part of the
    /// request line that is too long, as soon as a limit is exceeded, even if the head is
    /// incomplete.
    pub fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, RequestError> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.scanned_bytes..]) {
            let line_feed = self.scanned_bytes + offset;
            self.scanned_bytes = line_feed + 1;
            self.check_limits(bytes, limits)?;
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
        self.check_limits(bytes, limits)?;
        Ok(None)
    }

    fn check_limits(&self, bytes: &[u8], limits: &Limits) -> Result<(), RequestError> {
        // The longest method, two spaces and the version fit into this.
        const METHOD_AND_VERSION_BYTES_MAX: usize = 64;
        let request_line_bytes_max = limits.target_bytes_max + METHOD_AND_VERSION_BYTES_MAX;
        match self.lines {
            0 if self.scanned_bytes > request_line_bytes_max => {
                Err(overlong_part(&bytes[..=request_line_bytes_max], limits))
            }
            _ if self.scanned_bytes > limits.head_bytes_max => Err(RequestError::HeadTooLarge),
            _ => Ok(()),
        }
    }
}

/// Which part makes a request line too long. `start` is the line up to the first byte beyond the
/// limit, however many have arrived, so that the result does not depend on how they were split.
#[cold]
fn overlong_part(start: &[u8], limits: &Limits) -> RequestError {
    // The byte beyond the limit may be the line feed, which belongs to no part.
    let line = start.strip_suffix(b"\n").unwrap_or(start);
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let [method, target] = [(); 2].map(|()| parts.next().unwrap_or_default());
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return RequestError::InvalidMethod;
    }
    if target.len() > limits.target_bytes_max {
        return RequestError::TargetTooLong;
    }
    // A method that is longer than any known one is a 501 (RFC 9112 section 3).
    Method::parse(method).err().unwrap_or(RequestError::InvalidVersion)
}
