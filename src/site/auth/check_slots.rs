//! Bounds how many passwords a server checks at once, over all its threads and children.
//!
//! A check occupies a core and may need 256 MiB. Without a bound, a server with a thread or child
//! per connection would run as many checks at once as it has clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use rustix::io::Result;

use crate::site::shared_file::SharedFile;

/// How long a check waits for a slot. After that, its client gets a 503.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The most passwords that are checked at once: one per two cores, but at least one, and at most
/// four, which need up to 1 GiB.
pub fn checks_max() -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 4)
}

/// One slot for each check that may run at once.
#[derive(Debug)]
pub struct CheckSlots {
    /// For each slot, whether a thread of this process has taken it.
    are_taken: Vec<AtomicBool>,
    /// A process takes a slot by a lock on a byte of this file. The kernel releases it when the
    /// process ends, however it ends.
    file: SharedFile,
}

/// Permission to check one password.
#[derive(Debug)]
pub struct CheckPermit<'a> {
    slots: &'a CheckSlots,
    number: usize,
}

impl CheckSlots {
    /// Call it before processes are forked.
    ///
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new(count: usize) -> Result<CheckSlots> {
        let are_taken = (0..count).map(|_| AtomicBool::new(false)).collect();
        Ok(CheckSlots { are_taken, file: SharedFile::new(count)? })
    }

    /// Waits for a free slot. None if there is none within [`WAIT_MAX`]. The offload pool has as
    /// many threads for checks as there are slots, so its checks do not wait here.
    pub fn acquire(&self) -> Option<CheckPermit<'_>> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);
        let (mut pause, mut waited) = (Duration::from_millis(5), Duration::ZERO);
        loop {
            if let Some(permit) = self.try_acquire() {
                return Some(permit);
            }
            if waited >= WAIT_MAX {
                return None;
            }
            // fcntl(2) cannot wait with a timeout. A pause is short compared with a check.
            sleep(pause);
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_acquire(&self) -> Option<CheckPermit<'_>> {
        (0..self.are_taken.len()).find_map(|number| self.try_take(number))
    }

    fn try_take(&self, number: usize) -> Option<CheckPermit<'_>> {
        let is_taken = &self.are_taken[number];
        if is_taken.swap(true, Ordering::Acquire) {
            return None;
        }
        match self.file.try_lock(number as u64) {
            Ok(Some(lock)) => {
                lock.keep();
                Some(CheckPermit { slots: self, number })
            }
            Ok(None) | Err(_) => {
                is_taken.store(false, Ordering::Release);
                None
            }
        }
    }
}

impl Drop for CheckPermit<'_> {
    fn drop(&mut self) {
        // The file first: a thread that takes the slot must find it unlocked.
        self.slots.file.unlock(self.number as u64);
        self.slots.are_taken[self.number].store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_permits_as_slots_and_a_dropped_one_is_free_again() {
        let slots = CheckSlots::new(2).expect("descriptors are free");
        let first = slots.acquire();
        let _second = slots.acquire();
        assert!(slots.try_acquire().is_none());
        drop(first);
        assert!(slots.acquire().is_some());
    }
}
