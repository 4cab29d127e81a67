//! A response: what is said (status and fields) and what follows it (the body).
//!
//! The head is rendered once, in [`Response::write_head`]. Date, Server and Connection are written
//! there and nowhere else, so that no path of the program can forget them.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;

use super::date::DateText;
use super::status::Status;

/// An answer, ready to be queued on a connection. `F` is an open file, opaque to this folder.
#[derive(Debug)]
pub struct Response<F> {
    /// The status.
    pub status: Status,
    /// The fields, Date, Server and Connection aside.
    pub headers: HeaderBlock,
    /// What follows the head. A HEAD request is answered with the same body as GET here; the connection leaves it out.
    pub body: Body<F>,
}

/// What follows the head.
#[derive(Debug)]
pub enum Body<F> {
    /// Nothing.
    Empty,
    /// Bytes in memory, cached or generated.
    Bytes(Bytes),
    /// A part of an open file, in bytes from its start.
    File {
        /// Handed back to whoever writes to the socket.
        file: F,
        /// Never empty.
        range: Range<u64>,
    },
    /// One behind the other.
    Parts(Vec<Body<F>>),
}

impl<F> Body<F> {
    /// Bytes that will follow the head.
    pub fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { range, .. } => range.end - range.start,
            Body::Parts(parts) => parts.iter().map(Body::len).sum(),
        }
    }

    /// Whether nothing follows the head.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Field lines as they go over the wire, each with its CRLF: some that are shared with other responses
/// (rendered when a file was read into the cache), some of this one alone.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlock {
    shared: Bytes,
    own: Vec<u8>,
}

impl HeaderBlock {
    /// The lines rendered earlier; no lines of its own.
    pub fn shared(shared: Bytes) -> HeaderBlock {
        HeaderBlock { shared, own: Vec::new() }
    }

    /// Adds a line. Neither part may hold a line end: they come from this program or were escaped by it.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        // Room for all the lines of an ordinary answer, so that they are not copied from one allocation to the next.
        const OWN_BYTES_TYPICAL: usize = 256;
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

    /// Adds lines that are rendered already.
    pub fn push_lines(&mut self, lines: &[u8]) {
        self.own.extend_from_slice(lines);
    }

    /// Adds the media type, and that it is to be believed: a browser that guesses another can be made to run what is
    /// only to be shown.
    pub fn push_content_type(&mut self, media_type: &str) {
        self.push("Content-Type", media_type);
        self.push("X-Content-Type-Options", "nosniff");
    }

    /// Bytes of all lines.
    pub fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line whose value is a number.
    pub fn push_number(&mut self, name: &str, value: u64) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.own, "{name}: {value}\r\n");
    }

    /// The lines, to be kept and shared.
    pub fn freeze(self) -> Bytes {
        if self.shared.is_empty() {
            self.own.into_boxed_slice().into()
        } else {
            [&self.shared[..], &self.own[..]].concat().into()
        }
    }
}

/// What the Connection field of a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Nothing: HTTP/1.1 goes on by default.
    Implied,
    /// `keep-alive`, to an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `close`.
    Close,
}

impl<F> Response<F> {
    /// Appends the head to `out`, the empty line included.
    pub(super) fn write_head(&self, out: &mut Vec<u8>, date: &DateText, persistence: Persistence) {
        out.extend_from_slice(self.status.line().as_bytes());
        out.extend_from_slice(b"\r\nServer: miniweb\r\nDate: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.headers.shared);
        out.extend_from_slice(&self.headers.own);
        out.extend_from_slice(match persistence {
            Persistence::Implied => b"\r\n",
            Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        });
    }
}
