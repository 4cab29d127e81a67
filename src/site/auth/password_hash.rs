//! Hashes of passwords: which formats are accepted, and whether a password matches a hash.
//!
//! A slow hash makes guessing expensive, for an attacker who has the file and for this server, too.
//! So what one check may cost is bounded when the hash is read.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Argon2, PasswordVerifier, password_hash};
use bcrypt::HashParts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// bcrypt takes 2^cost rounds: about 9 s with this cost, the highest that htpasswd offers.
const BCRYPT_COST_MAX: u32 = 17;
const BCRYPT_COST_MIN: u32 = 4;
/// The memory of one check. The second recommendation of RFC 9106 section 4 is 64 MiB; the first,
/// 2 GiB, would let a few clients exhaust a server.
const ARGON2_MEMORY_MAX_KIB: u32 = 256 * 1024;
/// Memory times passes, which determines the time: about 4 s.
const ARGON2_WORK_MAX_KIB: u64 = 4 * 1024 * 1024;
/// The version of RFC 9106, `v=19`. A hash without a version is of an older one.
const ARGON2_VERSION: u32 = 19;

const EXPECTED: &str = "expected a bcrypt hash (htpasswd -B makes one) or an argon2id hash";

/// The hash of a password.
#[derive(Clone)]
pub enum PasswordHash {
    /// SHA-256 without a salt, as `--auth` takes it.
    Sha256([u8; 32]),
    /// `$2y$10$…`
    Bcrypt(Box<str>),
    /// `$argon2id$v=19$…`
    Argon2id(Box<phc::PasswordHash>),
}

/// A check needs more memory than there is.
#[derive(Debug)]
pub struct OutOfMemory;

impl PasswordHash {
    /// Parses 64 hexadecimal digits.
    pub fn parse_sha256(text: &str) -> Option<PasswordHash> {
        let mut sha256 = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in sha256.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(PasswordHash::Sha256(sha256))
    }

    /// Parses a hash of a password file.
    ///
    /// # Errors
    /// What was expected instead. The text does not contain the hash.
    pub fn parse_salted(text: &str) -> Result<PasswordHash, String> {
        match text {
            _ if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) => {
                parse_bcrypt(text)
            }
            _ if text.starts_with("$argon2id$") => parse_argon2id(text),
            _ => Err(format!("{} is not accepted: {EXPECTED}", name_of_format(text))),
        }
    }

    /// Whether a check takes so long that an event loop must not make it.
    pub fn is_slow(&self) -> bool {
        match self {
            PasswordHash::Sha256(_) => false,
            PasswordHash::Bcrypt(_) | PasswordHash::Argon2id(_) => true,
        }
    }

    /// Whether this is the hash of `password`. bcrypt reads the first 72 bytes of it.
    pub fn is_of(&self, password: &[u8]) -> Result<bool, OutOfMemory> {
        match self {
            PasswordHash::Sha256(expected) => {
                Ok(Sha256::digest(password).as_slice().ct_eq(expected).into())
            }
            // Only a malformed hash is an error, and this one was parsed before.
            PasswordHash::Bcrypt(hash) => Ok(bcrypt::verify(password, hash).unwrap_or(false)),
            PasswordHash::Argon2id(hash) => {
                match Argon2::default().verify_password(password, &**hash) {
                    Ok(()) => Ok(true),
                    Err(password_hash::Error::OutOfMemory) => Err(OutOfMemory),
                    Err(_) => Ok(false),
                }
            }
        }
    }
}

fn parse_bcrypt(text: &str) -> Result<PasswordHash, String> {
    let parts =
        HashParts::from_str(text).map_err(|_| format!("malformed bcrypt hash: {EXPECTED}"))?;
    match parts.get_cost() {
        BCRYPT_COST_MIN..=BCRYPT_COST_MAX => Ok(PasswordHash::Bcrypt(text.into())),
        cost => Err(format!(
            "bcrypt cost {cost}: expected a cost from {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX}"
        )),
    }
}

fn parse_argon2id(text: &str) -> Result<PasswordHash, String> {
    let malformed = || format!("malformed argon2id hash: {EXPECTED}");
    let hash = phc::PasswordHash::new(text).map_err(|_| malformed())?;
    let params = argon2::Params::try_from(&hash).map_err(|_| malformed())?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(malformed());
    }
    if hash.version != Some(ARGON2_VERSION) {
        return Err(format!("argon2id hash of another version: expected v={ARGON2_VERSION}"));
    }
    let (memory_kib, passes) = (params.m_cost(), params.t_cost());
    if memory_kib > ARGON2_MEMORY_MAX_KIB {
        return Err(format!(
            "argon2id with m={memory_kib}: expected at most m={ARGON2_MEMORY_MAX_KIB} (KiB)"
        ));
    }
    if u64::from(memory_kib) * u64::from(passes) > ARGON2_WORK_MAX_KIB {
        return Err(format!(
            "argon2id with m={memory_kib},t={passes}: expected at most {ARGON2_WORK_MAX_KIB} as the \
             product of both"
        ));
    }
    Ok(PasswordHash::Argon2id(Box::new(hash)))
}

/// The name of the format of a hash that is not accepted.
fn name_of_format(text: &str) -> &'static str {
    const FORMATS: [(&str, &str); 7] = [
        ("$apr1$", "an MD5 hash"),
        ("$1$", "an MD5 hash"),
        ("{SHA}", "a SHA-1 hash"),
        ("$5$", "a crypt hash"),
        ("$6$", "a crypt hash"),
        ("$2x$", "a $2x$ bcrypt hash"),
        ("$argon2", "an argon2 hash other than argon2id"),
    ];
    let format = FORMATS.iter().find(|(prefix, _)| text.starts_with(prefix));
    format.map_or("a plain password or unknown hash", |(_, name)| name)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordHash::Sha256(_) => "Sha256",
            PasswordHash::Bcrypt(_) => "Bcrypt",
            PasswordHash::Argon2id(_) => "Argon2id",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `htpasswd -nbB` and `argon2 -e`, neither of which shares code with this program. The
    /// prefixes of bcrypt differ only for hashes of defective programs.
    const SECRET: [&str; 4] = [
        "$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS",
        "$2b$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS",
        "$2a$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS",
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQx$1Yar3Xp5Djuabkq0uXJ2Y5dQ5b0h7ERiMb2uWJrTfa4",
    ];

    #[test]
    fn hashes_made_by_other_programs_are_accepted() {
        for hash in SECRET {
            let hash = PasswordHash::parse_salted(hash).expect(hash);
            assert!(hash.is_of(b"secret").expect("memory"), "{hash:?}");
            for password in [&b""[..], b"Secret", b"secret\0", b"secre", b"secret "] {
                assert!(!hash.is_of(password).expect("memory"), "{hash:?} {password:?}");
            }
        }
        let lanes =
            "$argon2id$v=19$m=512,t=2,p=4$b3RoZXJzYWx0$osEPcgqbPiA4Zu75oo3RZjh7BYhwVNHrJ4ktyCO4pXw";
        let lanes = PasswordHash::parse_salted(lanes).expect("a hash with four lanes");
        assert!(lanes.is_of(b"other").expect("memory"));
    }

    #[test]
    fn other_formats_are_named_and_refused() {
        for (hash, name) in [
            ("$apr1$0NKJKoVu$b/otFv4NHukJ.Hy0M7Pyr/", "MD5"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1"),
            ("544vrJ5UKGZ6E", "plain"),
            ("hunter2", "plain"),
            ("", "plain"),
            ("$5$oDSTzJha3qSABLmN$d4loffKA6sQpbJ3mbQeZrb/MgXksZUFeGAiYAy887b.", "crypt"),
            ("$6$12aozheJOCUjrWKU$ZlYULc0kEC7krUEiPZ1bzZxd", "crypt"),
            ("$2x$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS", "bcrypt"),
            ("$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNX", "malformed"),
            ("$2y$xx$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS", "malformed"),
            (
                "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQx$LBRmFrodvQrRfUOVWsvbFd9RGvEOn1l5E4eIVsh/ya0",
                "argon2id",
            ),
            ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQx", "malformed"),
            ("$argon2id$v=19$m=64", "malformed"),
            (
                "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQx$JqpbjEnTEXdjGWa0PIhBymXnBsfdbQwWsKU4CBFCfvw",
                "v=19",
            ),
        ] {
            let error = PasswordHash::parse_salted(hash).expect_err(hash);
            assert!(error.contains(name) && error.contains("expected"), "{hash}: {error}");
            assert!(hash.is_empty() || !error.contains(hash), "{hash}: {error}");
        }
    }

    #[test]
    fn hashes_that_are_too_expensive_to_check_are_refused() {
        let bcrypt =
            |cost| format!("$2y${cost}$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS");
        let argon2 = |cost| {
            format!(
                "$argon2id$v=19${cost},p=1$c29tZXNhbHQx$1Yar3Xp5Djuabkq0uXJ2Y5dQ5b0h7ERiMb2uWJrTfa4"
            )
        };
        for (hash, is_accepted) in [
            (bcrypt("03"), false),
            (bcrypt("17"), true),
            (bcrypt("18"), false),
            (bcrypt("31"), false),
            (argon2("m=262144,t=16"), true),
            (argon2("m=262145,t=1"), false),
            (argon2("m=262144,t=17"), false),
            (argon2("m=65536,t=64"), true),
            (argon2("m=65536,t=65"), false),
            (argon2("m=8,t=4294967295"), false),
            (argon2("m=4294967295,t=1"), false),
        ] {
            let parsed = PasswordHash::parse_salted(&hash);
            assert_eq!(parsed.is_ok(), is_accepted, "{hash}: {parsed:?}");
        }
    }
}
