//! How the end of a request's body is found (RFC 9112 section 6.3).

use super::headers::Headers;
use super::request_error::RequestError;
use super::status::Status;
use super::version::Version;

/// How the end of a request's body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body follows.
    None,
    /// So many bytes follow; never zero.
    Length(u64),
    /// Chunks follow.
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
            (true, _) if version == Version::Http10 => {
                Err(RequestError::bad("Transfer-Encoding has no place in HTTP/1.0."))
            }
            (true, Some(_)) => Err(RequestError::bad(
                "Content-Length and Transfer-Encoding contradict each other.",
            )),
            (true, None) => transfer_coding(headers),
        }
    }
}

/// Digits only, no sign, no overflow; several are one if they are equal (RFC 9110 section 8.6).
fn content_length(headers: &Headers<'_>) -> Result<Option<u64>, RequestError> {
    let mut length = None;
    for value in headers.values("content-length") {
        for value in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            // An empty value is no digits, and from_str would take a sign.
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let one = std::str::from_utf8(value)
                .ok()
                .filter(|_| digits)
                .and_then(|text| text.parse::<u64>().ok());
            let one = one.ok_or(RequestError::bad("The Content-Length is not a number."))?;
            if length.is_some_and(|length| length != one) {
                return Err(RequestError::bad("There are two different Content-Lengths."));
            }
            length = Some(one);
        }
    }
    Ok(length)
}

/// `chunked`, once and last, is the only coding that is read (RFC 9112 sections 6.1 and 7).
fn transfer_coding(headers: &Headers<'_>) -> Result<Framing, RequestError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let count = headers.list("transfer-encoding").filter(|c| is_chunked(c)).count();
    let last = headers.list("transfer-encoding").last();
    match (count, last) {
        (1, Some(last)) if is_chunked(last) => match headers.list("transfer-encoding").count() {
            1 => Ok(Framing::Chunked),
            _ => Err(RequestError::new(
                Status::NotImplemented,
                "This server knows no transfer coding but chunked.",
            )),
        },
        (0, Some(_)) => Err(RequestError::new(
            Status::NotImplemented,
            "This server knows no transfer coding but chunked.",
        )),
        _ => Err(RequestError::bad("The transfer coding chunked must come once, and last.")),
    }
}
