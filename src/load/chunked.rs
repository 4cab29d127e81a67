//! The chunked transfer coding (RFC 9112 section 7.1), decoded only to count its bytes and find its
//! end.
//!
//! miniweb sends Content-Length with every response. Other servers omit it if they render the body
//! while they send it, as nginx does for gzip and for listings.

/// The bytes are not a response that this parser understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A chunked body that has been received in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkedBody {
    state: State,
    /// Bytes of data so far, without the framing.
    pub(super) data_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hexadecimal digits of a size.
    Size {
        bytes: u64,
    },
    /// Behind the digits: an extension, and the end of the line.
    SizeLine {
        bytes: u64,
    },
    Data {
        left_bytes: u64,
    },
    /// In the CRLF behind the data.
    DataEnd,
    /// In the trailer section, which ends with an empty line.
    Trailer {
        is_line_empty: bool,
    },
}

/// No server sends a larger chunk; the limit prevents an overflow.
const CHUNK_BYTES_MAX: u64 = 1 << 40;

impl ChunkedBody {
    pub(super) fn new() -> ChunkedBody {
        ChunkedBody { state: State::Size { bytes: 0 }, data_bytes: 0 }
    }

    /// Advances `bytes` up to the end of the body. Returns whether it has been reached.
    pub(super) fn advance(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let State::Data { left_bytes } = &mut self.state {
                let taken = bytes.len().min(usize::try_from(*left_bytes).unwrap_or(usize::MAX));
                *bytes = &bytes[taken..];
                self.data_bytes += taken as u64;
                *left_bytes -= taken as u64;
                if *left_bytes == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            *bytes = rest;
            if self.advance_framing(byte)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Handles a byte outside the data. Returns whether it is the last one of the body.
    fn advance_framing(&mut self, byte: u8) -> Result<bool, Malformed> {
        self.state = match (self.state, byte) {
            (State::Size { bytes } | State::SizeLine { bytes }, b'\n') => match bytes {
                0 => State::Trailer { is_line_empty: true },
                _ => State::Data { left_bytes: bytes },
            },
            (State::Size { bytes }, b'\r' | b';') => State::SizeLine { bytes },
            (State::Size { bytes }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
                let bytes = bytes * 16 + u64::from(digit);
                if bytes > CHUNK_BYTES_MAX {
                    return Err(Malformed);
                }
                State::Size { bytes }
            }
            (State::SizeLine { bytes }, _) => State::SizeLine { bytes },
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size { bytes: 0 },
            (State::DataEnd | State::Data { .. }, _) => return Err(Malformed),
            (State::Trailer { is_line_empty: true }, b'\n') => return Ok(true),
            (State::Trailer { is_line_empty }, b'\r') => State::Trailer { is_line_empty },
            (State::Trailer { .. }, byte) => State::Trailer { is_line_empty: byte == b'\n' },
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n0A;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn a_body_ends_with_its_trailer_section_at_every_fragmentation() {
        let input = [BODY, b"next"].concat();
        for piece in 1..=input.len() {
            let (mut body, mut consumed, mut is_complete) = (ChunkedBody::new(), 0, false);
            for fragment in input.chunks(piece) {
                let mut bytes = fragment;
                is_complete = body.advance(&mut bytes).expect("it is well-formed");
                consumed += fragment.len() - bytes.len();
                if is_complete {
                    break;
                }
            }
            assert!(is_complete, "in fragments of {piece} bytes");
            assert_eq!((body.data_bytes, consumed), (15, BODY.len()), "{piece}");
        }
    }

    #[test]
    fn malformed_bodies_are_rejected() {
        for body in ["x\r\n", "5\r\nhellos", "fffffffffffffffff\r\n", "-1\r\n"] {
            let result = ChunkedBody::new().advance(&mut body.as_bytes());
            assert_eq!(result, Err(Malformed), "{body}");
        }
    }
}
