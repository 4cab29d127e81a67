//! The head of a request, and the search for its end.

use super::limits::Limits;
use super::request_error::{FIELDS_TOO_LARGE, RequestError, TARGET_TOO_LONG};

/// A complete head as a [`HeadScan`] found it: its lines end in CRLF, and the last of them is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// Of the request line, without its end.
    line_bytes: usize,
    /// The lines between that one and the empty one.
    pub(super) field_lines: usize,
}

impl<'a> Head<'a> {
    /// As it came, the empty line included.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its request line.
    pub fn line(self) -> &'a [u8] {
        &self.bytes[..self.line_bytes]
    }

    /// Its field lines and the empty one.
    pub(super) fn headers(self) -> &'a [u8] {
        &self.bytes[self.line_bytes + b"\r\n".len()..]
    }
}

/// Finds the end of a head in bytes that may arrive in any pieces, looking at each byte once. What it says depends
/// on the bytes alone, not on where they were cut: of two faults the first counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Everything before this was looked at.
    scanned: usize,
    /// The lines that have ended.
    lines: usize,
    /// Of the first of them, without its end.
    line_bytes: usize,
}

impl HeadScan {
    /// The head at the start of `bytes`, or None while it is incomplete. Called again with more bytes it goes on where
    /// it stopped.
    ///
    /// # Errors
    /// 400 at a line feed without its carriage return, 414 or 431 as soon as a bound is passed, whether
    /// or not the head is complete.
    pub fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, RequestError> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let line_feed = self.scanned + offset;
            self.scanned = line_feed + 1;
            self.check_bounds(limits)?;
            if line_feed == 0 || bytes[line_feed - 1] != b'\r' {
                return Err(RequestError::bad("A line ends without a carriage return."));
            }
            if line_feed >= 3 && bytes[line_feed - 3..line_feed - 1] == *b"\r\n" {
                // The line before the empty one was counted when it ended.
                let (bytes, field_lines) = (&bytes[..self.scanned], self.lines - 1);
                return Ok(Some(Head { bytes, line_bytes: self.line_bytes, field_lines }));
            }
            if self.lines == 0 {
                self.line_bytes = line_feed - 1;
            }
            self.lines += 1;
        }
        self.scanned = bytes.len();
        self.check_bounds(limits)?;
        Ok(None)
    }

    fn check_bounds(&self, limits: &Limits) -> Result<(), RequestError> {
        // A line whose target is within its bound has room to spare for the longest method and the version.
        const METHOD_AND_VERSION_BYTES_MAX: usize = 64;
        match self.lines {
            0 if self.scanned > limits.target_bytes_max + METHOD_AND_VERSION_BYTES_MAX => {
                Err(TARGET_TOO_LONG)
            }
            _ if self.scanned > limits.head_bytes_max => Err(FIELDS_TOO_LARGE),
            _ => Ok(()),
        }
    }
}
