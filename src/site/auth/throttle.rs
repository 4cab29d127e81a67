//! Limits how many wrong passwords a client may try.
//!
//! Each address may fail [`FAILURES_MAX`] times in a row, and then once every [`INTERVAL`]: a token
//! bucket, stored as the time at which it will be full again (the generic cell rate algorithm).
//!
//! Invariants:
//! 1. The table has a fixed size. If too many addresses share a part of it, the one whose failures
//!    will be forgotten first makes way.
//! 2. Children that are forked later count in the same table.

use std::time::Duration;

use rustix::io::Result;

use super::secret_key::{Purpose, SecretKey};
use super::shared_file::SharedFile;
use crate::http::Moment;

/// The failures that an address has free.
const FAILURES_MAX: u32 = 5;
/// How long an address waits for another attempt: at most 8,640 a day.
const INTERVAL: Duration = Duration::from_secs(10);

/// Where clients come from whose failures count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientNetwork {
    /// The kernel has reported no address.
    #[default]
    Unknown,
    /// One IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address. One client usually has all addresses that begin with
    /// them (RFC 6177 section 2).
    V6([u8; 8]),
}

impl ClientNetwork {
    /// Different for each network.
    pub fn bytes(&self) -> &[u8] {
        match self {
            ClientNetwork::Unknown => &[],
            ClientNetwork::V4(address) => address,
            ClientNetwork::V6(prefix) => prefix,
        }
    }
}

/// The failures of all addresses.
#[derive(Debug)]
pub struct Throttle {
    table: SharedFile,
    key: SecretKey,
}

/// A bucket of the hash table.
const BUCKET_ENTRIES: usize = 8;
const ENTRY_BYTES: usize = 16;
const BUCKET_BYTES: usize = BUCKET_ENTRIES * ENTRY_BYTES;
/// 4,096 addresses in 64 KiB.
const BUCKETS: u64 = 512;

/// The failures of one address. An address is represented by a keyed hash, so that nobody can
/// choose addresses that displace each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    address_hash: u64,
    /// When all failures are forgotten.
    until: Moment,
}

impl Throttle {
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new(key: SecretKey) -> Result<Throttle> {
        Ok(Throttle { table: SharedFile::new(BUCKETS * BUCKET_BYTES as u64)?, key })
    }

    /// How long a client must wait before its next password is checked; None if it need not.
    pub fn wait(&self, client: ClientNetwork, now: Moment) -> Option<Duration> {
        self.with_entries(client, |entries, address_hash| wait(entries, address_hash, now))?
    }

    /// Records a wrong password.
    pub fn record_failure(&self, client: ClientNetwork, now: Moment) {
        self.with_entries(client, |entries, address_hash| {
            record_failure(entries, address_hash, now)
        });
    }

    /// None if the table cannot be used, which is a failure of the kernel. Then no client has to
    /// wait: a server that nobody can log in to is worse.
    fn with_entries<T>(
        &self,
        client: ClientNetwork,
        change: impl FnOnce(&mut [Entry; BUCKET_ENTRIES], u64) -> T,
    ) -> Option<T> {
        let (bucket, address_hash) =
            self.key.hash_to_numbers(Purpose::ClientNetwork, client.bytes());
        let offset = bucket % BUCKETS * BUCKET_BYTES as u64;
        let changed = self.table.update(offset, |bytes: &mut [u8; BUCKET_BYTES]| {
            let mut entries = decode(bytes);
            let result = change(&mut entries, address_hash);
            *bytes = encode(&entries);
            result
        });
        changed.ok()
    }
}

fn wait(entries: &[Entry], address_hash: u64, now: Moment) -> Option<Duration> {
    let entry = entries.iter().find(|entry| entry.address_hash == address_hash)?;
    let next_attempt = entry.until - INTERVAL * (FAILURES_MAX - 1);
    Some(next_attempt.since(now)).filter(|wait| !wait.is_zero())
}

fn record_failure(entries: &mut [Entry], address_hash: u64, now: Moment) {
    let own = entries.iter().position(|entry| entry.address_hash == address_hash);
    let (own, until) = match own {
        Some(own) => (own, entries[own].until.max(now)),
        None => {
            let forgotten_first = (0..entries.len()).min_by_key(|at| entries[*at].until);
            (forgotten_first.unwrap_or(0), now)
        }
    };
    entries[own] = Entry { address_hash, until: until + INTERVAL };
}

fn decode(bytes: &[u8; BUCKET_BYTES]) -> [Entry; BUCKET_ENTRIES] {
    let number = |at: usize| {
        let bytes = bytes[at..at + 8].try_into().expect("a number has 8 bytes");
        u64::from_le_bytes(bytes)
    };
    std::array::from_fn(|at| Entry {
        address_hash: number(at * ENTRY_BYTES),
        until: Moment::new(Duration::from_nanos(number(at * ENTRY_BYTES + 8))),
    })
}

fn encode(entries: &[Entry; BUCKET_ENTRIES]) -> [u8; BUCKET_BYTES] {
    let mut bytes = [0; BUCKET_BYTES];
    for (entry, bytes) in entries.iter().zip(bytes.chunks_mut(ENTRY_BYTES)) {
        let until_ns = entry.until.since(Moment::default()).as_nanos() as u64;
        bytes[..8].copy_from_slice(&entry.address_hash.to_le_bytes());
        bytes[8..].copy_from_slice(&until_ns.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn an_address_may_fail_five_times_and_then_once_per_interval() {
        let mut entries = [Entry::default(); BUCKET_ENTRIES];
        for _ in 0..FAILURES_MAX {
            assert_eq!(wait(&entries, 7, at(0)), None);
            record_failure(&mut entries, 7, at(0));
        }
        assert_eq!(wait(&entries, 7, at(0)), Some(INTERVAL));
        assert_eq!(wait(&entries, 8, at(0)), None, "another address");
        assert_eq!(wait(&entries, 7, at(4)), Some(Duration::from_secs(6)));
        assert_eq!(wait(&entries, 7, at(10)), None);
        record_failure(&mut entries, 7, at(10));
        assert_eq!(wait(&entries, 7, at(10)), Some(INTERVAL));
        // After a pause, all of them are free again, and no more.
        for _ in 0..FAILURES_MAX {
            assert_eq!(wait(&entries, 7, at(1_000)), None);
            record_failure(&mut entries, 7, at(1_000));
        }
        assert_eq!(wait(&entries, 7, at(1_000)), Some(INTERVAL));
    }

    #[test]
    fn the_address_that_is_forgotten_first_makes_way() {
        let mut entries = [Entry::default(); BUCKET_ENTRIES];
        for address in 1..=BUCKET_ENTRIES as u64 {
            (0..FAILURES_MAX + 1).for_each(|_| record_failure(&mut entries, address, at(address)));
        }
        record_failure(&mut entries, 99, at(9));
        let throttled =
            (1..=BUCKET_ENTRIES as u64).filter(|address| wait(&entries, *address, at(9)).is_some());
        assert_eq!(throttled.collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn failures_are_counted_per_network_in_a_file_that_other_processes_share() {
        let key = SecretKey::random().expect("random bytes");
        let throttle = Throttle::new(key).expect("a descriptor is free");
        let networks = [
            ClientNetwork::Unknown,
            ClientNetwork::V4([10, 0, 0, 1]),
            ClientNetwork::V4([10, 0, 0, 2]),
            ClientNetwork::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]),
        ];
        for network in networks {
            assert_eq!(throttle.wait(network, at(0)), None, "{network:?}");
            (0..FAILURES_MAX).for_each(|_| throttle.record_failure(network, at(0)));
            assert_eq!(throttle.wait(network, at(0)), Some(INTERVAL), "{network:?}");
        }
    }

    #[test]
    fn a_bucket_is_stored_and_read_again() {
        let entries = std::array::from_fn(|n| Entry {
            address_hash: u64::MAX - n as u64,
            until: at(n as u64) + Duration::from_nanos(1),
        });
        assert_eq!(decode(&encode(&entries)), entries);
    }
}
