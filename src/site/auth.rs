//! Basic authentication with one user name and password for the whole site (RFC 7617).

use std::str::FromStr;

use base64::Engine;
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
        let Some(value) = request.headers.values("authorization").next() else {
            return false;
        };
        let Some((scheme, token)) = value.split_at_checked(6) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return false;
        }
        let Ok(pair) = base64::engine::general_purpose::STANDARD.decode(token.trim_ascii()) else {
            return false;
        };
        let Some(colon) = memchr::memchr(b':', &pair) else {
            return false;
        };
        let (user, password) = (&pair[..colon], &pair[colon + 1..]);
        // Comparing the names themselves would reveal the length of the expected one.
        let user = Sha256::digest(user).ct_eq(&Sha256::digest(&self.user));
        let password = Sha256::digest(password).as_slice().ct_eq(&self.password_sha256);
        (user & password).into()
    }
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
