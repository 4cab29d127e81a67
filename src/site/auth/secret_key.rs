//! A random key of this process, for hashes that clients must be able neither to predict nor to
//! reverse.

use std::fmt;

use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};

/// Children that are forked later have the same key.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

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

    /// A keyed hash of `parts`. A prefix is enough of a key: nobody sees a hash, so none can be
    /// extended.
    pub fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut keyed = Sha256::new_with_prefix(self.0);
        keyed.update([purpose as u8]);
        for part in parts {
            // With its length, so that bytes cannot move from one part to the next.
            keyed.update(part.len().to_le_bytes());
            keyed.update(part);
        }
        keyed.finalize().into()
    }

    /// The first half of [`SecretKey::hash`], as two numbers.
    pub fn hash_to_numbers(&self, purpose: Purpose, bytes: &[u8]) -> (u64, u64) {
        let hash = self.hash(purpose, &[bytes]);
        let [first, second] = [0, 8].map(|at| {
            let bytes = hash[at..at + 8].try_into().expect("a hash has 32 bytes");
            u64::from_le_bytes(bytes)
        });
        (first, second)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}
