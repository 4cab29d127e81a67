//! A hash table in a file that forked children share with their parent. Each entry expires.
//!
//! The table is read and written by system calls, because a shared mapping would need unsafe code.
//! They take microseconds, which is little compared with a check against a slow hash.
//!
//! Invariants:
//! 1. The table has a fixed size. If too many keys share a bucket, the entry that expires first is
//!    evicted.
//! 2. One thread of one process uses a bucket at a time.

use std::sync::Mutex;

use rustix::io::Result;

use crate::http::Moment;
use crate::site::shared_file::SharedFile;
use crate::sync::lock;

const BUCKET_ENTRIES: usize = 8;
const BUCKET_NUMBERS: usize = 2 * BUCKET_ENTRIES;
/// 4,096 entries in 64 KiB.
const BUCKETS: u64 = 512;

/// The table.
#[derive(Debug)]
pub struct SharedTable {
    file: SharedFile,
    /// The lock of the file excludes other processes, and this one excludes other threads. A parent
    /// that forks checks no passwords itself, so no child inherits it locked.
    thread_lock: Mutex<()>,
}

/// Where a key is: a bucket, and a number that identifies the key in it. Both come from a hash with
/// a secret key, so that no client can choose keys that displace each other.
#[derive(Clone, Copy, Debug)]
pub struct TableKey {
    pub bucket_hash: u64,
    pub id: u64,
}

/// The entries of a bucket. An unused entry expired at the origin of the clock.
pub type Bucket = [Entry; BUCKET_ENTRIES];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub id: u64,
    /// When the entry expires.
    pub until: Moment,
}

impl SharedTable {
    /// An empty table. Call it before processes are forked.
    ///
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new() -> Result<SharedTable> {
        let file = SharedFile::new(BUCKETS as usize * BUCKET_NUMBERS)?;
        Ok(SharedTable { file, thread_lock: Mutex::default() })
    }

    /// When the entry of `key` expires; None if there is no entry.
    pub fn until(&self, key: TableKey) -> Option<Moment> {
        self.with_bucket(key, |bucket| find(bucket, key.id))?
    }

    /// Sets when the entry of `key` expires. `until` gets the present expiry time, if there is one.
    pub fn set_until(&self, key: TableKey, until: impl FnOnce(Option<Moment>) -> Moment) {
        self.with_bucket(key, |bucket| set(bucket, key.id, until));
    }

    /// None if the kernel has no memory for a lock. Then the table has no effect, because a server
    /// that refuses every login would be worse.
    fn with_bucket<T>(&self, key: TableKey, change: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        let bucket_number = key.bucket_hash % BUCKETS;
        let first = bucket_number * BUCKET_NUMBERS as u64;
        let _thread_lock = lock(&self.thread_lock);
        let _process_lock = self.file.lock(bucket_number).ok()?;
        let mut bucket = decode(&self.file.load_all(first));
        let before = bucket;
        let result = change(&mut bucket);
        if bucket != before {
            self.file.store_all(first, encode(&bucket));
        }
        Some(result)
    }
}

fn find(bucket: &Bucket, id: u64) -> Option<Moment> {
    bucket.iter().find(|entry| entry.id == id).map(|entry| entry.until)
}

fn set(bucket: &mut Bucket, id: u64, until: impl FnOnce(Option<Moment>) -> Moment) {
    let until = until(find(bucket, id));
    let own = bucket.iter().position(|entry| entry.id == id);
    let expires_first = || (0..BUCKET_ENTRIES).min_by_key(|at| bucket[*at].until);
    let at = own.or_else(expires_first).unwrap_or(0);
    bucket[at] = Entry { id, until };
}

fn decode(numbers: &[u64; BUCKET_NUMBERS]) -> Bucket {
    std::array::from_fn(|at| Entry {
        id: numbers[2 * at],
        until: Moment::new(std::time::Duration::from_nanos(numbers[2 * at + 1])),
    })
}

fn encode(bucket: &Bucket) -> [u64; BUCKET_NUMBERS] {
    let mut numbers = [0; BUCKET_NUMBERS];
    for (entry, numbers) in bucket.iter().zip(numbers.chunks_mut(2)) {
        let until_ns = entry.until.since(Moment::default()).as_nanos() as u64;
        numbers.copy_from_slice(&[entry.id, until_ns]);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds))
    }

    #[test]
    fn the_entry_that_expires_first_is_evicted() {
        let table = SharedTable::new().expect("a descriptor is free");
        let key = |id| TableKey { bucket_hash: 7, id };
        for id in 1..=BUCKET_ENTRIES as u64 {
            table.set_until(key(id), |_| at(id));
        }
        table.set_until(key(2), |before| before.expect("it is there") + Duration::from_secs(60));
        table.set_until(key(99), |before| before.map_or(at(30), |_| at(0)));
        let left: Vec<u64> = (1..100).filter(|id| table.until(key(*id)).is_some()).collect();
        assert_eq!(left, [2, 3, 4, 5, 6, 7, 8, 99]);
        assert_eq!(table.until(key(2)), Some(at(62)));
        assert_eq!(table.until(TableKey { bucket_hash: 8, id: 2 }), None, "another bucket");
    }

    #[test]
    fn a_bucket_is_stored_and_read_again() {
        let bucket = std::array::from_fn(|n| Entry {
            id: u64::MAX - n as u64,
            until: at(n as u64) + Duration::from_nanos(1),
        });
        assert_eq!(decode(&encode(&bucket)), bucket);
    }
}
