//! The sockets that blocking threads sleep in, so that a shutdown can wake the threads.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::net::Shutdown;
use slab::Slab;

use crate::sync::{lock, wait, wait_timeout};

/// The connections being served.
#[derive(Clone, Debug, Default)]
pub struct LiveConnections(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    sockets: Mutex<Slab<Arc<OwnedFd>>>,
    one_closed: Condvar,
}

/// Keeps a connection in the table until it is dropped.
#[derive(Debug)]
pub struct LiveGuard {
    live: LiveConnections,
    key: usize,
}

impl LiveConnections {
    pub fn insert(&self, socket: &Arc<OwnedFd>) -> LiveGuard {
        LiveGuard { live: self.clone(), key: lock(&self.0.sockets).insert(socket.clone()) }
    }

    /// Ends the input of every connection: its thread wakes, answers the requests it has, and reads
    /// the end. Connections that have not finished within `timeout` are closed.
    pub fn shut_down(&self, timeout: Duration) {
        // The first request of a connection accepted just now is in flight. Without this pause its
        // thread would read the end before the request.
        const GRACE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + timeout;
        if !lock(&self.0.sockets).is_empty() {
            std::thread::sleep(GRACE.min(timeout));
        }
        self.shut_down_all(Shutdown::Read);
        let mut sockets = lock(&self.0.sockets);
        while !sockets.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(sockets);
                return self.shut_down_all(Shutdown::Both);
            }
            sockets = wait_timeout(&self.0.one_closed, sockets, left);
        }
    }

    /// Waits until no connection is left.
    pub fn wait_until_empty(&self) {
        let mut sockets = lock(&self.0.sockets);
        while !sockets.is_empty() {
            sockets = wait(&self.0.one_closed, sockets);
        }
    }

    fn shut_down_all(&self, how: Shutdown) {
        for (_, socket) in lock(&self.0.sockets).iter() {
            // It fails only if the peer has disconnected, and then the thread has woken already.
            let _ = rustix::net::shutdown(socket, how);
        }
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        lock(&self.live.0.sockets).remove(self.key);
        self.live.0.one_closed.notify_all();
    }
}
