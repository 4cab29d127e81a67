//! Bounds how many passwords a server checks at once, over all its threads and children.
//!
//! A check keeps a core busy and may take a quarter of a gigabyte. Without a bound, a thread or
//! child per connection would let any number of clients ask for checks at the same time.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use rustix::fs::{FlockOperation, MemfdFlags, fcntl_lock, memfd_create};
use rustix::io::Result;

/// How long a check waits for others to end. Then its client gets a 503.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The most passwords that are checked at once: half of the cores are left for everything else, and
/// no more than 1 GiB is needed.
pub fn checks_max() -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 4)
}

/// As many slots as there may be checks.
#[derive(Debug)]
pub struct CheckSlots(Vec<Slot>);

#[derive(Debug)]
struct Slot {
    /// Whether a thread of this process has it.
    is_taken: AtomicBool,
    /// A file whose lock a process takes with the slot. The kernel releases it when the process
    /// ends, however it ends.
    file: OwnedFd,
}

/// Permission to check one password.
#[derive(Debug)]
pub struct CheckPermit<'a>(&'a Slot);

impl CheckSlots {
    /// # Errors
    /// No descriptor is left.
    pub fn new(count: usize) -> Result<CheckSlots> {
        let slot = |_| {
            let file = memfd_create("miniweb", MemfdFlags::CLOEXEC)?;
            Ok(Slot { is_taken: AtomicBool::new(false), file })
        };
        (0..count).map(slot).collect::<Result<_>>().map(CheckSlots)
    }

    /// Waits for a free slot; None if there is none in time. An event loop's pool has as many
    /// threads as there are slots, and does not wait.
    pub fn acquire(&self) -> Option<CheckPermit<'_>> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);
        let (mut pause, mut waited) = (Duration::from_millis(5), Duration::ZERO);
        loop {
            if let Some(permit) = self.0.iter().find_map(Slot::try_take) {
                return Some(permit);
            }
            if waited >= WAIT_MAX {
                return None;
            }
            // No lock can be waited for with a timeout. The pauses add up to little beside a check.
            sleep(pause);
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Slot {
    fn try_take(&self) -> Option<CheckPermit<'_>> {
        if self.is_taken.swap(true, Ordering::Acquire) {
            return None;
        }
        match fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(CheckPermit(self)),
            Err(_) => {
                self.is_taken.store(false, Ordering::Release);
                None
            }
        }
    }
}

impl Drop for CheckPermit<'_> {
    fn drop(&mut self) {
        // Fails only if the lock is not held.
        let _ = fcntl_lock(&self.0.file, FlockOperation::Unlock);
        self.0.is_taken.store(false, Ordering::Release);
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
        assert!(slots.0.iter().all(|slot| slot.try_take().is_none()));
        drop(first);
        assert!(slots.acquire().is_some());
    }
}
