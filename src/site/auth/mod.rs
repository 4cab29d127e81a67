//! Basic authentication with one user name and password for the whole site (RFC 7617).

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::Request;

/// The user name and the SHA-256 of the password. The password itself is never stored.
#[derive(Clone, Debug)]
pub struct Credentials {
    user: Vec<u8>,
    password_sha256: [u8; 32],
}

impl Credentials {
    /// Whether the request carries these credentials. The comparison takes constant time, so that a
    /// client can't guess them piece by piece.
    pub fn authorize(&self, request: &Request<'_>) -> bool {
        let authorization = request.headers.values("authorization").next();
        authorization.and_then(decode_basic).is_some_and(|(user, password)| {
            // Comparing the names themselves would reveal the length of the expected one.
            let user = Sha256::digest(user).ct_eq(&Sha256::digest(&self.user));
            let password = Sha256::digest(password).as_slice().ct_eq(&self.password_sha256);
            (user & password).into()
        })
    }
}

/// The user name and password in an Authorization value of the scheme Basic.
fn decode_basic(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, token) = authorization.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let mut user = STANDARD.decode(token.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &user)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Credentials, String> {
        const EXPECTED: &str =
            "expected 'USER:SHA256', the hash of the password as 64 hexadecimal digits";
        let (user, hash) = text.split_once(':').ok_or(EXPECTED)?;
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(EXPECTED.to_owned());
        }
        let mut password_sha256 = [0; 32];
        for (byte, digits) in password_sha256.iter_mut().zip(hash.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| EXPECTED)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| EXPECTED)?;
        }
        Ok(Credentials { user: user.into(), password_sha256 })
    }
}
