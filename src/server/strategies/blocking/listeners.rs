//! The listeners of a blocking server, and accepting from them.
//!
//! The threads of a server that has opened one port sleep in accept, which can wait for only one
//! listener. If there are several, or a supervisor has passed them, one thread at a time waits in
//! poll(2) for all of them and accepts, while the others wait for their turn, as with Apache's
//! accept mutex. If all of them polled, each connection would wake every thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::server::listener::{Accepted, Listener, wait_for_connections};
use crate::sync::lock;
use crate::syscall_stats::SyscallStats;

/// A passed listener cannot be shut down to wake the thread that waits for it, because other
/// processes accept from it. So that thread checks twice a second whether the server is stopping.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Listeners {
    /// At least one, all with the same mode and owner.
    listeners: Vec<Listener>,
    /// The listener that is the first to be accepted from. They take turns, so that a busy
    /// one does not keep the others waiting. Held by the thread that polls.
    first: Mutex<usize>,
}

impl Listeners {
    pub fn new(listeners: Vec<Listener>) -> Listeners {
        Listeners { listeners, first: Mutex::default() }
    }

    pub fn as_slice(&self) -> &[Listener] {
        &self.listeners
    }

    /// The receive timeout of accepted sockets.
    pub fn recv_timeout(&self) -> Duration {
        self.listeners[0].recv_timeout()
    }

    /// Waits for a connection on any listener and accepts it. `WouldBlock` means that the caller
    /// has to check whether the server is stopping.
    pub fn accept(&self, is_stopping: &AtomicBool, stats: &SyscallStats) -> Accepted {
        if let [listener] = &self.listeners[..]
            && listener.waits_in_accept()
        {
            return listener.accept(stats);
        }
        let mut first = lock(&self.first);
        if is_stopping.load(Ordering::Acquire) {
            return Accepted::WouldBlock;
        }
        let ready = wait_for_connections(&self.listeners, POLL_TIMEOUT, stats);
        match ready.iter().find(|number| **number >= *first).or(ready.first()) {
            Some(number) => {
                *first = (number + 1) % self.listeners.len();
                self.listeners[*number].accept(stats)
            }
            None => Accepted::WouldBlock,
        }
    }

    /// Waits until a client has connected. False means that the caller has to check whether the
    /// server is stopping.
    pub fn wait_for_connection(&self, stats: &SyscallStats) -> bool {
        let is_shut_down_to_wake = self.listeners.iter().all(Listener::is_shut_down_to_wake);
        let timeout = if is_shut_down_to_wake { self.recv_timeout() } else { POLL_TIMEOUT };
        !wait_for_connections(&self.listeners, timeout, stats).is_empty()
    }

    /// Whether a client has connected.
    pub fn has_connection(&self, stats: &SyscallStats) -> bool {
        !wait_for_connections(&self.listeners, Duration::ZERO, stats).is_empty()
    }

    /// Wakes the threads that wait in accept.
    pub fn shut_down(&self) {
        self.listeners.iter().for_each(Listener::shut_down);
    }
}
