//! The least reading of an response: its status, its length, and whether it is the connection's last.
//!
//! A load generator must cost less than the servers it tells apart, so a body is counted and dropped. But every
//! response is looked at: a server that is fast because it responses 503 is not fast.

use memchr::memmem;

/// Takes responses out of a stream of bytes, in whatever pieces they come.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Between two responses.
    #[default]
    Start,
    /// A head that is not whole yet. Rare: a server sends it in one piece.
    PartOfHead(Vec<u8>),
    Body {
        head: Head,
        left_bytes: u64,
    },
}

/// What of a head matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_bytes: u64,
    is_last: bool,
}

/// An response that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    /// The server closes after it.
    pub(super) is_last: bool,
}

/// What came is no response that this reader can follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Longer heads are no response of a static server.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl ResponseReader {
    /// The next whole response in `bytes`, which are moved past it; None when they are used up before it ends.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Response>, Malformed> {
        loop {
            match &mut self.state {
                State::Start => match memmem::find(bytes, b"\r\n\r\n") {
                    Some(end) => {
                        let head = Head::read(&bytes[..end])?;
                        *bytes = &bytes[end + 4..];
                        self.state = State::Body { head, left_bytes: head.body_bytes };
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
                    self.state = State::Body { head, left_bytes: head.body_bytes };
                }
                State::Body { head, left_bytes } => {
                    let taken = bytes.len().min(usize::try_from(*left_bytes).unwrap_or(usize::MAX));
                    *bytes = &bytes[taken..];
                    *left_bytes -= taken as u64;
                    if *left_bytes > 0 {
                        return Ok(None);
                    }
                    let Head { status, body_bytes, is_last } = *head;
                    self.state = State::Start;
                    return Ok(Some(Response { status, body_bytes, is_last }));
                }
            }
        }
    }
}

impl Head {
    fn read(head: &[u8]) -> Result<Head, Malformed> {
        // "HTTP/1.1 200"
        let digits = head.get(9..12).filter(|_| head.starts_with(b"HTTP/1.")).ok_or(Malformed)?;
        let status = number(digits).ok_or(Malformed)? as u16;
        let (mut body_bytes, mut is_last) = (None, head[7] == b'0');
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            // The first letter and the length of the name tell most fields apart without a comparison.
            match line.first().map(u8::to_ascii_lowercase) {
                Some(b'c') => {}
                Some(b't') if value_of(line, b"transfer-encoding").is_some() => {
                    return Err(Malformed);
                }
                _ => continue,
            }
            if let Some(value) = value_of(line, b"content-length") {
                body_bytes = Some(number(value).ok_or(Malformed)?);
            } else if let Some(value) = value_of(line, b"connection") {
                is_last = !value.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        let body_bytes = match status {
            204 | 304 => 0,
            // Without a length the body ends with the connection: this reader could not tell it from one cut short.
            _ => body_bytes.ok_or(Malformed)?,
        };
        Ok(Head { status, body_bytes, is_last })
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

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nDate: now\r\ncontent-LENGTH: 5\r\n\r\nhello\
        HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[test]
    fn answers_are_found_in_whatever_pieces_they_come() {
        for piece in 1..TWO.len() {
            let (mut reader, mut responses) = (ResponseReader::default(), Vec::new());
            for mut bytes in TWO.chunks(piece) {
                while let Some(response) = reader.next(&mut bytes).expect("it is well-formed") {
                    responses.push(response);
                }
                assert!(bytes.is_empty());
            }
            let first = Response { status: 200, body_bytes: 5, is_last: false };
            let second = Response { status: 404, body_bytes: 0, is_last: true };
            assert_eq!(responses, [first, second], "in pieces of {piece}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for head in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(
                ResponseReader::default().next(&mut head.as_bytes()),
                Err(Malformed),
                "{head}"
            );
        }
    }
}
