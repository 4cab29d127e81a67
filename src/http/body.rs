//! Reads a request body and discards it, so that its bytes are never parsed as the next request.
//!
//! A static server has no use for a request body. It is read only to keep the connection open.
//!
//! ```text
//!           ┌──────────────── CRLF after the data ─────────────────┐
//!           v                                                       │
//! chunked: Size ──size > 0──> Data ──all data read──> DataEnd ──────┘
//!           └──size = 0──> Trailer ──empty line──> Complete
//!
//! length:  Length ──all data read──> Complete
//! ```

use super::characters::{is_field_text, is_token};
use super::chunk_extension::ChunkExtension;
use super::framing::Framing;
use super::request_error::RequestError;

/// The progress of reading one request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyDrain {
    state: State,
    /// The number of bytes, chunk framing included, that may still follow before the body is
    /// refused as too large.
    allowance_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length { remaining: u64 },
    Size { size: u64, digits: u8, line: SizeLine },
    Data { remaining: u64 },
    DataEnd { has_carriage_return: bool },
    Trailer { line: TrailerLine },
    Complete,
}

/// The position within the line of a chunk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeLine {
    Digits,
    Extension(ChunkExtension),
    LineFeed,
}

/// The position within a line of the trailer section. A line that is neither a header nor empty is
/// malformed: skipping it would let another implementation read it as the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailerLine {
    Start,
    Name,
    Value,
    LineFeed { is_last: bool },
}

impl BodyDrain {
    /// Returns None if there is no body.
    pub(super) fn new(framing: Framing, bytes_max: u64) -> Option<BodyDrain> {
        let state = match framing {
            Framing::None => return None,
            Framing::Length(length) => State::Length { remaining: length },
            Framing::Chunked => FIRST_SIZE,
        };
        Some(BodyDrain { state, allowance_bytes: bytes_max })
    }

    /// Reads the part of the body at the start of `bytes` and returns its length.
    ///
    /// # Errors
    /// `MalformedChunk`, and `BodyTooLarge` once a chunked body exceeds the limit.
    pub(super) fn consume(&mut self, bytes: &[u8]) -> Result<usize, RequestError> {
        let mut used = 0;
        while !self.is_complete() && used < bytes.len() {
            let step = self.step(&bytes[used..])?;
            used += step;
            self.allowance_bytes =
                self.allowance_bytes.checked_sub(step as u64).ok_or(RequestError::BodyTooLarge)?;
        }
        Ok(used)
    }

    /// Whether the whole body has been read.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Makes one state transition and returns how many bytes it consumed, at least one. `bytes`
    /// must not be empty.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, RequestError> {
        const MALFORMED: RequestError = RequestError::MalformedChunk;
        let byte = bytes[0];
        let (state, used) = match self.state {
            State::Length { remaining } => match take(remaining, bytes) {
                (used, 0) => (State::Complete, used),
                (used, remaining) => (State::Length { remaining }, used),
            },
            State::Size { size, digits, line: SizeLine::Digits } => {
                match (byte as char).to_digit(16) {
                    // Sixteen digits fill 64 bits. A longer number exploits parsers that overflow.
                    Some(_) if digits == 16 => return Err(MALFORMED),
                    Some(digit) => (
                        State::Size {
                            size: size << 4 | u64::from(digit),
                            digits: digits + 1,
                            line: SizeLine::Digits,
                        },
                        1,
                    ),
                    None if digits == 0 => return Err(MALFORMED),
                    None => {
                        let line = SizeLine::after(ChunkExtension::Complete, byte)?;
                        (State::Size { size, digits, line }, 1)
                    }
                }
            }
            State::Size { size, digits, line: SizeLine::Extension(extension) } => {
                (State::Size { size, digits, line: SizeLine::after(extension, byte)? }, 1)
            }
            State::Size { size, line: SizeLine::LineFeed, .. } => match (byte, size) {
                (b'\n', 0) => (State::Trailer { line: TrailerLine::Start }, 1),
                (b'\n', size) if size > self.allowance_bytes => {
                    return Err(RequestError::BodyTooLarge);
                }
                (b'\n', size) => (State::Data { remaining: size }, 1),
                _ => return Err(MALFORMED),
            },
            State::Data { remaining } => match take(remaining, bytes) {
                (used, 0) => (State::DataEnd { has_carriage_return: false }, used),
                (used, remaining) => (State::Data { remaining }, used),
            },
            State::DataEnd { has_carriage_return } => match (byte, has_carriage_return) {
                (b'\r', false) => (State::DataEnd { has_carriage_return: true }, 1),
                (b'\n', true) => (FIRST_SIZE, 1),
                _ => return Err(MALFORMED),
            },
            State::Trailer { line } => match (line, byte) {
                (TrailerLine::Start, b'\r') => {
                    (State::Trailer { line: TrailerLine::LineFeed { is_last: true } }, 1)
                }
                (TrailerLine::Start | TrailerLine::Name, byte) if is_token(byte) => {
                    (State::Trailer { line: TrailerLine::Name }, 1)
                }
                (TrailerLine::Name, b':') => (State::Trailer { line: TrailerLine::Value }, 1),
                (TrailerLine::Value, b'\r') => {
                    (State::Trailer { line: TrailerLine::LineFeed { is_last: false } }, 1)
                }
                (TrailerLine::Value, byte) if is_field_text(byte) => (self.state, 1),
                (TrailerLine::LineFeed { is_last: true }, b'\n') => (State::Complete, 1),
                (TrailerLine::LineFeed { is_last: false }, b'\n') => {
                    (State::Trailer { line: TrailerLine::Start }, 1)
                }
                _ => return Err(MALFORMED),
            },
            State::Complete => return Err(MALFORMED),
        };
        self.state = state;
        Ok(used)
    }
}

const FIRST_SIZE: State = State::Size { size: 0, digits: 0, line: SizeLine::Digits };

impl SizeLine {
    /// The position behind `byte`, which follows the size or is within an extension.
    fn after(extension: ChunkExtension, byte: u8) -> Result<SizeLine, RequestError> {
        if byte == b'\r' && extension.may_end() {
            return Ok(SizeLine::LineFeed);
        }
        extension.advance(byte).map(SizeLine::Extension).ok_or(RequestError::MalformedChunk)
    }
}

/// Of `remaining` bytes, how many are in `bytes`, and how many remain after them.
fn take(remaining: u64, bytes: &[u8]) -> (usize, u64) {
    let used = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
    (used, remaining - used as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `body` in pieces of `piece_bytes` bytes; None if it is incomplete.
    fn drain(
        framing: Framing,
        body: &[u8],
        piece_bytes: usize,
    ) -> Result<Option<usize>, RequestError> {
        let mut drain = BodyDrain::new(framing, 1000).expect("each framing here has a body");
        let mut used = 0;
        for piece in body.chunks(piece_bytes) {
            used += drain.consume(piece)?;
            if drain.is_complete() {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_body_ends_at_the_same_byte_however_its_bytes_are_split() {
        let chunked = b"5\r\nhello\r\nA;name=value\r\n0123456789\r\n\
                        1 ; a\t= \"b;\\\"\\\\\xff\" ;c;d = e\r\nx\r\n\
                        0;last\r\nTrailer: x\r\n\r\n";
        for piece_bytes in [1, 2, 3, 7, 1000] {
            let with_next = [&chunked[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(drain(Framing::Chunked, &with_next, piece_bytes), Ok(Some(chunked.len())));
            assert_eq!(drain(Framing::Length(5), b"helloGET /", piece_bytes), Ok(Some(5)));
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"5\nhello",
            b"5\r\nhelloX",
            b"5 \r\nhello\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x5\r\n",
            b"11111111111111111\r\n",
            b"0\r\nX: y\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0\r\nX: \rY\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\n x: y\r\n\r\n",
            b"5;a\x0bb\r\nhello\r\n",
            b"5;\r\nhello\r\n",
            b"5; \r\nhello\r\n",
            b"5 ;\r\nhello\r\n",
            b"5;a;\r\nhello\r\n",
            b"5;;a\r\nhello\r\n",
            b"5;a \r\nhello\r\n",
            b"5;a=b \r\nhello\r\n",
            b"5;a=\"b\" \r\nhello\r\n",
            b"5;a b\r\nhello\r\n",
            b"5;a=b c\r\nhello\r\n",
            b"5;=b\r\nhello\r\n",
            b"5;a=\r\nhello\r\n",
            b"5;a==b\r\nhello\r\n",
            b"5;bad[=x\r\nhello\r\n",
            b"5;a=b]\r\nhello\r\n",
            b"5;a=b\"c\"\r\nhello\r\n",
            b"5;a=\"b\"c\r\nhello\r\n",
            b"5;a=\"b\r\nhello\r\n",
            b"5;a=\"b\\\r\n\"\r\nhello\r\n",
            b"5;a=\"\x7f\"\r\nhello\r\n",
            b"5;gr\xc3\xbcn\r\nhello\r\n",
        ] {
            assert_eq!(
                drain(Framing::Chunked, body, 1),
                Err(RequestError::MalformedChunk),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn a_body_is_refused_as_soon_as_it_is_known_to_exceed_the_limit() {
        assert_eq!(
            drain(Framing::Chunked, b"ffffffffffffffff\r\n", 100),
            Err(RequestError::BodyTooLarge)
        );
        let extension = [b"1;".to_vec(), vec![b'x'; 2000]].concat();
        assert_eq!(drain(Framing::Chunked, &extension, 100), Err(RequestError::BodyTooLarge));
    }
}
