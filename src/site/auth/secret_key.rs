//! A random secret key of the server, for hashes that a client can neither predict nor reverse.

use std::fmt;

use rustix::rand::{GetRandomFlags, getrandom};

use super::shared_table::TableKey;

/// Children that are forked later have the same key.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

/// A hash with a [`SecretKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyedHash([u8; 32]);

/// What a hash is for. The same bytes have unrelated hashes for different purposes.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Purpose {
    VerifiedCredentials,
    UnknownUser,
    ClientNetwork,
    Warning,
}

impl SecretKey {
    /// # Errors
    /// The kernel has no random bytes.
    pub fn random() -> std::io::Result<SecretKey> {
        let mut key = [0; 32];
        // Up to 256 bytes come in one piece (getrandom(2)).
        getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(SecretKey(key))
    }

    /// A keyed hash of `parts`.
    pub fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> KeyedHash {
        let mut keyed = blake3::Hasher::new_keyed(&self.0);
        keyed.update(&[purpose as u8]);
        for part in parts {
            // With its length, so that bytes cannot move from one part to the next.
            keyed.update(&part.len().to_le_bytes());
            keyed.update(part);
        }
        KeyedHash(keyed.finalize().into())
    }
}

impl KeyedHash {
    /// A number that identifies what was hashed.
    pub fn id(&self) -> u64 {
        self.number(0)
    }

    /// Its key in a [`SharedTable`](super::shared_table::SharedTable). The id has 64 bits, so the
    /// chance that a wrong password matches one of the 8 entries of its bucket is 1 in 2^61.
    pub fn table_key(&self) -> TableKey {
        TableKey { id: self.number(0), bucket_hash: self.number(1) }
    }

    fn number(&self, index: usize) -> u64 {
        let (numbers, _) = self.0.as_chunks();
        u64::from_le_bytes(numbers[index])
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}
