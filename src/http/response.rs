//! A response: status, headers and body.
//!
//! Date, Server and Connection are written only in `HeaderBlock::write_head`, so that every
//! response has them.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::date::DateText;
use super::status::Status;

/// A response to be queued on a connection. `F` is an open file, which is opaque to `http`.
#[derive(Debug)]
pub struct Response<F> {
    /// The status code.
    pub status: Status,
    /// The headers except Date, Server and Connection.
    pub headers: HeaderBlock,
    /// The body. A response to HEAD has the same body as to GET; the connection omits it.
    pub body: Body<F>,
}

/// A response body.
#[derive(Debug)]
pub enum Body<F> {
    /// No bytes.
    Empty,
    /// Bytes in memory, cached or generated.
    Bytes(Bytes),
    /// A part of an open file.
    File {
        /// The open file, for the code that writes to the socket.
        file: F,
        /// The range to send, in bytes from the start of the file; never empty.
        range: Range<u64>,
    },
    /// Several bodies, concatenated.
    Parts(Vec<Body<F>>),
}

impl<F> Body<F> {
    /// The number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { range, .. } => range.end - range.start,
            Body::Parts(parts) => parts.iter().map(Body::len).sum(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rendered header lines, each with its CRLF. Some may be shared with other responses, because they
/// were rendered when a file entered the cache; the others belong to this response.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlock {
    /// The part of rendered lines that belongs to this block.
    shared: Option<(HeaderLines, Range<usize>)>,
    own: Vec<u8>,
}

/// Header lines that were rendered once, for several responses. Not `Bytes`: cloning an `Arc` is
/// one increment instead of an indirect call, and its count is next to the lines.
pub type HeaderLines = Arc<[u8]>;

impl HeaderBlock {
    /// A block of lines that were rendered before, those in `part`.
    pub fn shared(lines: HeaderLines, part: Range<usize>) -> HeaderBlock {
        HeaderBlock { shared: Some((lines, part)), own: Vec::new() }
    }

    fn shared_lines(&self) -> &[u8] {
        self.shared.as_ref().map_or(&[], |(lines, part)| &lines[part.clone()])
    }

    /// Adds a line. Neither `name` nor `value` may contain a line end; both come from this program
    /// or were escaped by it.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        // The headers of an ordinary response fit, so that the vector does not grow several times.
        const OWN_BYTES_TYPICAL: usize = 384;
        if self.own.capacity() == 0 {
            self.own.reserve(OWN_BYTES_TYPICAL);
        }
        let value = value.as_ref();
        debug_assert!(
            !value.iter().any(|b| matches!(b, b'\r' | b'\n')),
            "a line end in the value of {name}"
        );
        self.own.extend_from_slice(name.as_bytes());
        self.own.extend_from_slice(b": ");
        self.own.extend_from_slice(value);
        self.own.extend_from_slice(b"\r\n");
    }

    /// Adds lines that are already rendered.
    pub fn push_lines(&mut self, lines: &[u8]) {
        self.own.extend_from_slice(lines);
    }

    /// Adds Content-Type, and forbids browsers to guess another media type: a page could otherwise
    /// make them execute what should only be displayed.
    pub fn push_content_type(&mut self, media_type: &str) {
        self.push("Content-Type", media_type);
        self.push("X-Content-Type-Options", "nosniff");
    }

    /// The length of all lines, in bytes.
    pub fn len(&self) -> usize {
        self.shared_lines().len() + self.own.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line with a numeric value.
    pub fn push_number(&mut self, name: &str, value: u64) {
        // Writing to a `Vec` cannot fail.
        let _ = write!(self.own, "{name}: {value}\r\n");
    }

    /// The lines, for [`HeaderBlock::shared`].
    pub fn freeze(self) -> HeaderLines {
        match self.shared {
            None => self.own.into(),
            Some(_) => [self.shared_lines(), &self.own].concat().into(),
        }
    }

    /// Appends the head of a response with these headers to `out`, including the empty line.
    pub(super) fn write_head(
        &self,
        out: &mut Vec<u8>,
        status: Status,
        date: &DateText,
        persistence: Persistence,
    ) {
        out.extend_from_slice(status.status_line().as_bytes());
        out.extend_from_slice(b"\r\nServer: miniweb\r\nDate: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.shared_lines());
        // Nearly all responses are of cached files and have no lines of their own.
        if !self.own.is_empty() {
            out.extend_from_slice(&self.own);
        }
        match persistence {
            Persistence::Implied => out.extend_from_slice(b"\r\n"),
            Persistence::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
            Persistence::Close => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        }
    }
}

/// The Connection header of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Absent: an HTTP/1.1 connection persists by default.
    Implied,
    /// `keep-alive`, to an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `close`.
    Close,
}
