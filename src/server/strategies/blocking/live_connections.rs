//! The sockets that blocking threads sleep in, so that a stop can wake them.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::net::Shutdown;
use slab::Slab;

/// All connections that are being served.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveConnections(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    sockets: Mutex<Slab<Arc<OwnedFd>>>,
    one_left: Condvar,
}

/// A place in the register, until it is dropped.
pub(super) struct LiveGuard {
    live: LiveConnections,
    key: usize,
}

impl LiveConnections {
    /// Enters a connection.
    pub(super) fn enter(&self, socket: &Arc<OwnedFd>) -> LiveGuard {
        LiveGuard { live: self.clone(), key: self.lock().insert(socket.clone()) }
    }

    /// Ends the input of every connection: its thread wakes, answers what was asked, and finds the end.
    /// Those that have not finished within `timeout` are cut.
    pub(super) fn stop_all(&self, timeout: Duration) {
        // The request of whoever was accepted last is on its way: its thread would find the end before it.
        const MOMENT: Duration = Duration::from_millis(100);
        let give_up = Instant::now() + timeout;
        if !self.lock().is_empty() {
            std::thread::sleep(MOMENT.min(timeout));
        }
        self.shut_down_all(Shutdown::Read);
        let mut sockets = self.lock();
        while !sockets.is_empty() {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(sockets);
                return self.shut_down_all(Shutdown::Both);
            }
            sockets = match self.0.one_left.wait_timeout(sockets, left) {
                Ok((sockets, _)) => sockets,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Waits until there is none.
    pub(super) fn wait_until_empty(&self) {
        let mut sockets = self.lock();
        while !sockets.is_empty() {
            sockets =
                self.0.one_left.wait(sockets).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn shut_down_all(&self, how: Shutdown) {
        for (_, socket) in self.lock().iter() {
            // It can only fail if the peer is gone, and then its thread has woken by itself.
            let _ = rustix::net::shutdown(socket, how);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<OwnedFd>>> {
        // An insert or a remove either happened or not: there is no half of one to see.
        self.0.sockets.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.live.lock().remove(self.key);
        self.live.0.one_left.notify_all();
    }
}
