//! A bound on memory that several owners use, each of which takes its share before it allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Memory that is left to be shared.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    available_bytes: Arc<AtomicU64>,
}

/// The right to a part of a budget. Dropping it returns that part.
#[derive(Debug)]
pub struct MemoryShare {
    bytes: u64,
    budget: MemoryBudget,
}

impl MemoryBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> MemoryBudget {
        MemoryBudget { available_bytes: Arc::new(AtomicU64::new(bytes)) }
    }

    /// The bytes that no share has taken yet.
    pub fn available_bytes(&self) -> u64 {
        self.available_bytes.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or what is left if that is less.
    pub fn take_up_to(&self, bytes: u64) -> MemoryShare {
        let take = |available: u64| Some(available.saturating_sub(bytes));
        let available = self
            .available_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or_else(|available| available);
        MemoryShare { bytes: available.min(bytes), budget: self.clone() }
    }
}

impl MemoryShare {
    /// Wraps `bytes`, for which the share was taken. What the share exceeds them by is returned to
    /// the budget at once, the rest when the last clone of the bytes is dropped.
    pub fn hold(mut self, bytes: Vec<u8>) -> Bytes {
        self.shrink_to(bytes.capacity() as u64);
        Bytes::from_owner(HeldBytes { bytes, _share: self })
    }

    fn shrink_to(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.budget.available_bytes.fetch_add(excess, Ordering::Relaxed);
    }

    /// The size of the share.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

struct HeldBytes {
    bytes: Vec<u8>,
    _share: MemoryShare,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.budget.available_bytes.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_never_exceed_the_budget_and_are_returned() {
        let budget = MemoryBudget::new(10);
        let (first, second) = (budget.take_up_to(7), budget.take_up_to(7));
        assert_eq!((first.bytes(), second.bytes(), budget.take_up_to(7).bytes()), (7, 3, 0));
        let held = first.hold(vec![0; 2]);
        assert_eq!(budget.take_up_to(7).bytes(), 5);
        drop(held);
        assert_eq!(budget.take_up_to(u64::MAX).bytes(), 7);
        drop(second);
        assert_eq!(budget.take_up_to(u64::MAX).bytes(), 10);
    }
}
