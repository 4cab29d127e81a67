//! How the length of a request body is determined (RFC 9112 section 6.3).

use super::headers::Headers;
use super::request_error::RequestError;
use super::version::Version;

/// How the length of a request body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes; never zero.
    Length(u64),
    /// The body is chunked.
    Chunked,
}

impl Framing {
    pub(super) fn parse(headers: &Headers<'_>, version: Version) -> Result<Framing, RequestError> {
        if !headers.might_contain("transfer-encoding") && !headers.might_contain("content-length") {
            return Ok(Framing::None);
        }
        let has_coding = headers.values("transfer-encoding").next().is_some();
        let length = content_length(headers)?;
        match (has_coding, length) {
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (true, _) if version == Version::Http10 => Err(RequestError::TransferEncodingInHttp10),
            (true, Some(_)) => Err(RequestError::AmbiguousFraming),
            (true, None) => transfer_coding(headers),
        }
    }
}

/// Parses Content-Length: digits only, no sign, no overflow. Equal repeated values count as one
/// (RFC 9110 section 8.6).
fn content_length(headers: &Headers<'_>) -> Result<Option<u64>, RequestError> {
    let mut length = None;
    for value in headers.values("content-length") {
        for value in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            let parsed = decimal(value).ok_or(RequestError::InvalidContentLength)?;
            if length.is_some_and(|length| length != parsed) {
                return Err(RequestError::ConflictingContentLengths);
            }
            length = Some(parsed);
        }
    }
    Ok(length)
}

fn decimal(text: &[u8]) -> Option<u64> {
    // `u64::from_str` accepts a leading plus sign, which Content-Length must not have.
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses Transfer-Encoding: `chunked`, applied once, is the only supported coding (RFC 9112
/// sections 6.1 and 7).
fn transfer_coding(headers: &Headers<'_>) -> Result<Framing, RequestError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunked_count = headers.list("transfer-encoding").filter(|c| is_chunked(c)).count();
    let last = headers.list("transfer-encoding").last();
    match (chunked_count, last) {
        (1, Some(last)) if is_chunked(last) => match headers.list("transfer-encoding").count() {
            1 => Ok(Framing::Chunked),
            _ => Err(RequestError::UnsupportedTransferCoding),
        },
        (0, Some(_)) => Err(RequestError::UnsupportedTransferCoding),
        _ => Err(RequestError::ChunkedNotFinal),
    }
}
