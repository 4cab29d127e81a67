//! Which credentials have been verified recently, so that they need no check.
//!
//! A process remembers them in memory. A child that was forked for a new connection knows nothing
//! of what others have verified, so it looks in a table that all processes share.

use std::time::Duration;

use quick_cache::sync::Cache;
use rustix::io::Result;

use super::secret_key::KeyedHash;
use super::shared_table::SharedTable;
use crate::http::Moment;

/// How long verified credentials are remembered: it bounds how long a hash of them is in memory.
/// An active user costs one check in that time.
const VERIFIED_TIME: Duration = Duration::from_secs(600);
/// The most credentials that a process remembers in its own memory.
const VERIFIED_MAX: usize = 4096;

/// Keyed hashes of verified credentials, with the time at which they expire.
#[derive(Debug)]
pub struct VerifiedCredentials {
    own: Cache<KeyedHash, Moment>,
    shared: SharedTable,
}

impl VerifiedCredentials {
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new() -> Result<VerifiedCredentials> {
        Ok(VerifiedCredentials { own: Cache::new(VERIFIED_MAX), shared: SharedTable::new()? })
    }

    /// Whether the credentials with this hash have been verified.
    pub fn contains(&self, credentials: KeyedHash, now: Moment) -> bool {
        if self.own.get(&credentials).is_some_and(|until| now < until) {
            return true;
        }
        match self.shared.until(credentials.table_key()).filter(|until| now < *until) {
            Some(until) => {
                self.own.insert(credentials, until);
                true
            }
            None => false,
        }
    }

    pub fn insert(&self, credentials: KeyedHash, now: Moment) {
        let until = now + VERIFIED_TIME;
        self.own.insert(credentials, until);
        self.shared.set_until(credentials.table_key(), |_| until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret_key::{Purpose, SecretKey};
    use super::*;

    fn hashes() -> impl Iterator<Item = KeyedHash> {
        let key = SecretKey::random().expect("random bytes");
        (0_u64..).map(move |n| key.hash(Purpose::VerifiedCredentials, &[&n.to_le_bytes()]))
    }

    #[test]
    fn verified_credentials_expire() {
        let verified = VerifiedCredentials::new().expect("a descriptor is free");
        let mut hashes = hashes();
        let [one, another] = std::array::from_fn(|_| hashes.next().expect("it is endless"));
        let now = Moment::new(Duration::from_secs(1));
        assert!(!verified.contains(one, now));
        verified.insert(one, now);
        // In this process, and in one that has not verified them itself.
        for _ in 0..2 {
            assert!(verified.contains(one, now) && !verified.contains(another, now));
            assert!(!verified.contains(one, now + VERIFIED_TIME));
            verified.own.clear();
        }
    }

    #[test]
    fn the_number_of_verified_credentials_is_bounded() {
        let verified = VerifiedCredentials::new().expect("a descriptor is free");
        let now = Moment::default();
        hashes().take(3 * VERIFIED_MAX).for_each(|hash| verified.insert(hash, now));
        assert!(verified.own.len() <= VERIFIED_MAX);
    }
}
