//! Reading past a request's body, so that its bytes are never taken for the next request.
//!
//! A static server has no use for the content: it is counted and dropped, never kept.
//!
//! ```text
//!             ┌────────────── data and its CRLF passed ──────────────┐
//!             v                                                       │
//!  chunked: Size ──size > 0, line ends──> Data ──> DataEnd ───────────┘
//!             └───size = 0, line ends──> Trailer ──empty line──> over
//! ```

use super::characters::is_token;
use super::framing::Framing;
use super::request_error::RequestError;
use super::status::Status;

/// How far a body has been read past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyDrain {
    state: State,
    /// Bytes that may still come, framing included, before this server loses its patience.
    allowance: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length { remaining: u64 },
    Size { size: u64, digits: u8, line: SizeLine },
    Data { remaining: u64 },
    DataEnd { carriage_return: bool },
    Trailer { line: TrailerLine },
    Over,
}

/// Where in a line behind the last chunk the next byte stands. What is neither a field nor the empty line is no trailer:
/// a program that reads past it and one that takes it for the next request would disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailerLine {
    Start,
    Name,
    Value,
    LineFeed { is_last: bool },
}

/// Where in the line of a chunk's size the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeLine {
    Digits,
    Extension,
    LineFeed,
}

const TOO_LARGE: RequestError = RequestError {
    status: Status::ContentTooLarge,
    reason: "The request's body is larger than this server reads past.",
};

impl BodyDrain {
    /// # Errors
    /// 413 if the body is announced to be longer than `bytes_max`.
    pub(super) fn new(framing: Framing, bytes_max: u64) -> Result<Option<BodyDrain>, RequestError> {
        let state = match framing {
            Framing::None => return Ok(None),
            Framing::Length(length) if length > bytes_max => return Err(TOO_LARGE),
            Framing::Length(length) => State::Length { remaining: length },
            Framing::Chunked => SIZE,
        };
        Ok(Some(BodyDrain { state, allowance: bytes_max }))
    }

    /// Reads past what of the body is in `bytes`: how many bytes were its, and whether it is over.
    ///
    /// # Errors
    /// 400 where the chunks are malformed, 413 where they go on for too long.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Result<(usize, bool), RequestError> {
        let mut used = 0;
        while self.state != State::Over && used < bytes.len() {
            let step = self.step(&bytes[used..])?;
            used += step;
            self.allowance = self.allowance.checked_sub(step as u64).ok_or(TOO_LARGE)?;
        }
        Ok((used, self.state == State::Over))
    }

    /// One move of the machine; returns the bytes it took, at least one. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, RequestError> {
        const MALFORMED: RequestError = RequestError::bad("The chunks of the body are malformed.");
        let byte = bytes[0];
        let (state, used) = match self.state {
            State::Length { remaining } => match take(remaining, bytes) {
                (used, 0) => (State::Over, used),
                (used, remaining) => (State::Length { remaining }, used),
            },
            State::Size { size, digits, line: SizeLine::Digits } => {
                match (byte as char).to_digit(16) {
                    // Sixteen digits fill 64 bits; a longer number is an attack on whoever wraps around.
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
                    None => match byte {
                        b'\r' => (State::Size { size, digits, line: SizeLine::LineFeed }, 1),
                        b';' => (State::Size { size, digits, line: SizeLine::Extension }, 1),
                        _ => return Err(MALFORMED),
                    },
                }
            }
            State::Size { size, digits, line: SizeLine::Extension } => match byte {
                b'\r' => (State::Size { size, digits, line: SizeLine::LineFeed }, 1),
                byte if is_control(byte) => return Err(MALFORMED),
                _ => (self.state, 1),
            },
            State::Size { size, line: SizeLine::LineFeed, .. } => match (byte, size) {
                (b'\n', 0) => (State::Trailer { line: TrailerLine::Start }, 1),
                (b'\n', size) if size > self.allowance => return Err(TOO_LARGE),
                (b'\n', size) => (State::Data { remaining: size }, 1),
                _ => return Err(MALFORMED),
            },
            State::Data { remaining } => match take(remaining, bytes) {
                (used, 0) => (State::DataEnd { carriage_return: false }, used),
                (used, remaining) => (State::Data { remaining }, used),
            },
            State::DataEnd { carriage_return } => match (byte, carriage_return) {
                (b'\r', false) => (State::DataEnd { carriage_return: true }, 1),
                (b'\n', true) => (SIZE, 1),
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
                (TrailerLine::Value, byte) if !is_control(byte) => (self.state, 1),
                (TrailerLine::LineFeed { is_last: true }, b'\n') => (State::Over, 1),
                (TrailerLine::LineFeed { is_last: false }, b'\n') => {
                    (State::Trailer { line: TrailerLine::Start }, 1)
                }
                _ => return Err(MALFORMED),
            },
            State::Over => return Err(MALFORMED),
        };
        self.state = state;
        Ok(used)
    }
}

const SIZE: State = State::Size { size: 0, digits: 0, line: SizeLine::Digits };

/// What no value of a field holds, nor an extension (RFC 9110 section 5.5).
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// How many of `bytes` belong to the `remaining` ones, and how many remain after them.
fn take(remaining: u64, bytes: &[u8]) -> (usize, u64) {
    let used = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
    (used, remaining - used as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip_all(framing: Framing, body: &[u8], piece: usize) -> Result<usize, Status> {
        let mut skip =
            BodyDrain::new(framing, 1000).map_err(|e| e.status)?.expect("there is a body");
        let mut used = 0;
        for bytes in body.chunks(piece) {
            let (n, over) = skip.skip(bytes).map_err(|e| e.status)?;
            used += n;
            if over {
                return Ok(used);
            }
        }
        Err(Status::RequestTimeout)
    }

    #[test]
    fn a_body_ends_where_it_says_in_whatever_pieces_it_comes() {
        let chunked = b"5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in [1, 2, 3, 7, 1000] {
            let with_next = [&chunked[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(skip_all(Framing::Chunked, &with_next, piece), Ok(chunked.len()));
            assert_eq!(skip_all(Framing::Length(5), b"helloGET /", piece), Ok(5));
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
        ] {
            assert_eq!(
                skip_all(Framing::Chunked, body, 1),
                Err(Status::BadRequest),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_refused_as_soon_as_that_is_known() {
        assert_eq!(skip_all(Framing::Length(1001), b"", 1), Err(Status::ContentTooLarge));
        assert_eq!(
            skip_all(Framing::Chunked, b"ffffffffffffffff\r\n", 100),
            Err(Status::ContentTooLarge)
        );
        let extension = [b"1;".to_vec(), vec![b'x'; 2000]].concat();
        assert_eq!(skip_all(Framing::Chunked, &extension, 100), Err(Status::ContentTooLarge));
    }
}
