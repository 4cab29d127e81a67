//! The sockets that blocking threads sleep in, so that a stop can wake them.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use slab::Slab;

/// All connections that are being served.
#[derive(Debug, Default)]
pub(super) struct Live {
    sockets: Mutex<Slab<Arc<OwnedFd>>>,
    one_left: Condvar,
}

/// A place in the list, until it is dropped.
pub(super) struct Registered<'a> {
    live: &'a Live,
    key: usize,
}

impl Live {
    /// Enters a connection.
    pub(super) fn enter(&self, socket: &Arc<OwnedFd>) -> Registered<'_> {
        Registered { live: self, key: self.lock().insert(socket.clone()) }
    }

    /// Ends the input of every connection: its thread wakes, answers what was asked, and finds the end.
    pub(super) fn stop_all(&self) {
        for (_, socket) in self.lock().iter() {
            // It can only fail if the peer is gone, and then its thread has woken by itself.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Read);
        }
    }

    /// Waits until all are over, but no longer than `timeout`.
    pub(super) fn wait_until_empty(&self, timeout: Duration) {
        let give_up = Instant::now() + timeout;
        let mut sockets = self.lock();
        while !sockets.is_empty() {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sockets = self
                .one_left
                .wait_timeout(sockets, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<OwnedFd>>> {
        // An insert or a remove either happened or not: there is no half of one to see.
        self.sockets.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.live.lock().remove(self.key);
        self.live.one_left.notify_all();
    }
}
