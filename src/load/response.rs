//! A minimal parser for responses: status, length, and whether the connection closes.
//!
//! A load generator must cost less than the servers it compares, so a body is counted and dropped.
//! But every response is checked: a server that is fast because it responds 503 is not fast.

use memchr::memmem;

use super::chunked::{ChunkedBody, Malformed};

/// Splits a byte stream into responses, however it is fragmented.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    /// An incomplete head. Rare: servers usually send it in one segment.
    PartOfHead(Vec<u8>),
    Body {
        head: Head,
        left_bytes: u64,
    },
    ChunkedBody {
        head: Head,
        body: ChunkedBody,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// None if the body is chunked.
    body_bytes: Option<u64>,
    is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Without the framing of chunks.
    pub(super) body_bytes: u64,
    /// The server closes the connection after it.
    pub(super) is_last: bool,
}

/// No static server sends a longer head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl ResponseReader {
    /// Parses `bytes` up to the end of a response and advances past it. None if more bytes are
    /// needed.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Response>, Malformed> {
        loop {
            match &mut self.state {
                State::Start => match memmem::find(bytes, b"\r\n\r\n") {
                    Some(end) => {
                        let head = Head::read(&bytes[..end])?;
                        *bytes = &bytes[end + 4..];
                        self.state = State::after(head);
                    }
                    None if bytes.is_empty() => return Ok(None),
                    None => {
                        self.state = State::PartOfHead(bytes.to_vec());
                        *bytes = &[];
                        return Ok(None);
                    }
                },
                State::PartOfHead(kept) => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let before = kept.len();
                    kept.extend_from_slice(bytes);
                    let Some(end) = memmem::find(kept, b"\r\n\r\n") else {
                        *bytes = &[];
                        return if kept.len() > HEAD_BYTES_MAX { Err(Malformed) } else { Ok(None) };
                    };
                    let head = Head::read(&kept[..end])?;
                    *bytes = &bytes[end + 4 - before..];
                    self.state = State::after(head);
                }
                State::Body { head, left_bytes } => {
                    let taken = bytes.len().min(usize::try_from(*left_bytes).unwrap_or(usize::MAX));
                    *bytes = &bytes[taken..];
                    *left_bytes -= taken as u64;
                    if *left_bytes > 0 {
                        return Ok(None);
                    }
                    let response = head.with_body(head.body_bytes.unwrap_or(0));
                    self.state = State::Start;
                    return Ok(Some(response));
                }
                State::ChunkedBody { head, body } => {
                    if !body.advance(bytes)? {
                        return Ok(None);
                    }
                    let response = head.with_body(body.data_bytes);
                    self.state = State::Start;
                    return Ok(Some(response));
                }
            }
        }
    }
}

impl State {
    fn after(head: Head) -> State {
        match head.body_bytes {
            Some(left_bytes) => State::Body { head, left_bytes },
            None => State::ChunkedBody { head, body: ChunkedBody::new() },
        }
    }
}

impl Head {
    fn read(head: &[u8]) -> Result<Head, Malformed> {
        // "HTTP/1.1 200"
        let digits = head.get(9..12).filter(|_| head.starts_with(b"HTTP/1.")).ok_or(Malformed)?;
        let status = number(digits).ok_or(Malformed)? as u16;
        let (mut body_bytes, mut is_chunked, mut is_last) = (None, false, head[7] == b'0');
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            // The first letter excludes most headers without a comparison.
            match line.first().map(u8::to_ascii_lowercase) {
                Some(b'c') => {}
                Some(b't') => match value_of(line, b"transfer-encoding") {
                    Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => is_chunked = true,
                    Some(_) => return Err(Malformed),
                    None => continue,
                },
                _ => continue,
            }
            if let Some(value) = value_of(line, b"content-length") {
                body_bytes = Some(number(value).ok_or(Malformed)?);
            } else if let Some(value) = value_of(line, b"connection") {
                is_last = !value.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        let body_bytes = match status {
            204 | 304 => Some(0),
            // It overrides a length (RFC 9112 section 6.3).
            _ if is_chunked => None,
            // Without a length the body ends with the connection, and a truncated one could not be
            // detected.
            _ => Some(body_bytes.ok_or(Malformed)?),
        };
        Ok(Head { status, body_bytes, is_last })
    }

    fn with_body(self, body_bytes: u64) -> Response {
        Response { status: self.status, body_bytes, is_last: self.is_last }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (before, after) = line.split_at_checked(name.len())?;
    let value = after.strip_prefix(b":").filter(|_| before.eq_ignore_ascii_case(name))?;
    Some(value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: now\r\ncontent-LENGTH: 5\r\n\r\nhello\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[test]
    fn responses_are_parsed_at_every_fragmentation() {
        for piece in 1..THREE.len() {
            let (mut reader, mut responses) = (ResponseReader::default(), Vec::new());
            for mut bytes in THREE.chunks(piece) {
                while let Some(response) = reader.next(&mut bytes).expect("it is well-formed") {
                    responses.push(response);
                }
                assert!(bytes.is_empty());
            }
            let first = Response { status: 200, body_bytes: 5, is_last: false };
            let second = Response { status: 200, body_bytes: 3, is_last: false };
            let third = Response { status: 404, body_bytes: 0, is_last: true };
            assert_eq!(responses, [first, second, third], "in fragments of {piece} bytes");
        }
    }

    #[test]
    fn malformed_responses_are_rejected() {
        for head in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ] {
            assert_eq!(
                ResponseReader::default().next(&mut head.as_bytes()),
                Err(Malformed),
                "{head}"
            );
        }
    }
}
