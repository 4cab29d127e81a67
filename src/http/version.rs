//! The HTTP version of a request (RFC 9110 section 2.5).

use super::request_error::RequestError;

/// A supported version. A minor version above 1 is treated as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    pub(super) fn parse(text: &[u8]) -> Result<Version, RequestError> {
        match text {
            b"HTTP/1.0" => Ok(Version::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
                Ok(Version::Http11)
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(RequestError::UnsupportedVersion)
            }
            _ => Err(RequestError::InvalidVersion),
        }
    }
}
