//! The Authorization header of the scheme Basic (RFC 7617).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::Request;

/// The user name and password that a request carries.
pub struct BasicCredentials {
    /// `user:password`
    pair: Vec<u8>,
    colon: usize,
}

impl BasicCredentials {
    /// None if the request carries no Basic credentials, malformed ones, or several.
    pub fn of(request: &Request<'_>) -> Option<BasicCredentials> {
        let authorization = request.headers.only("authorization")?;
        let (scheme, token) = authorization.split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let pair = STANDARD.decode(token.trim_ascii()).ok()?;
        // RFC 7617 section 2 forbids control characters. With a NUL, bcrypt would take
        // `secret\0secret` for `secret`.
        if pair.contains(&0) {
            return None;
        }
        let colon = memchr::memchr(b':', &pair)?;
        Some(BasicCredentials { pair, colon })
    }

    /// The user name, a colon and the password. The name has no colon, so no two credentials have
    /// the same bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.pair
    }

    pub fn user(&self) -> &[u8] {
        &self.pair[..self.colon]
    }

    pub fn password(&self) -> &[u8] {
        &self.pair[self.colon + 1..]
    }
}

/// Without the password.
impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicCredentials").finish_non_exhaustive()
    }
}
