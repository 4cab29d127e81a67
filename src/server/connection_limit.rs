//! The number of connections that a server may have open at once, over all its workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::offload::CompletionQueue;
use crate::sync::lock;

/// The connections that a server may still accept.
#[derive(Debug)]
pub struct ConnectionLimit {
    available: AtomicUsize,
    /// One queue for each event loop that shares the limit.
    event_loops: Mutex<Vec<Arc<CompletionQueue>>>,
}

/// Permission to have one connection open; returned to the limit when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<ConnectionLimit>);

impl ConnectionLimit {
    pub fn new(connections_max: usize) -> Arc<ConnectionLimit> {
        let available = AtomicUsize::new(connections_max);
        Arc::new(ConnectionLimit { available, event_loops: Mutex::default() })
    }

    /// Takes a permit if one is available.
    pub fn try_acquire(self: &Arc<ConnectionLimit>) -> Option<ConnectionPermit> {
        let take_one = |available: usize| available.checked_sub(1);
        self.available.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one).ok()?;
        Some(ConnectionPermit(self.clone()))
    }

    /// Adds an event loop to those that [`ConnectionLimit::request_eviction`] reaches.
    pub fn share_with(&self, event_loop: Arc<CompletionQueue>) {
        lock(&self.event_loops).push(event_loop);
    }

    /// Asks every event loop to close some of its idle connections.
    pub fn request_eviction(&self) {
        lock(&self.event_loops).iter().for_each(|event_loop| event_loop.request_eviction());
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.available.fetch_add(1, Ordering::AcqRel);
    }
}
