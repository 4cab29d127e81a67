//! The connections that blocking threads serve, so that another thread can wake those that sleep in
//! `recv`: to shut down, or to make room for a new connection.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::net::Shutdown;
use slab::Slab;

use crate::http::{EvictionCandidate, Moment};
use crate::server::eviction;
use crate::sync::{lock, wait, wait_timeout};
use crate::syscall_stats::{Event, SyscallStats};

/// The connections being served.
#[derive(Clone, Debug, Default)]
pub struct LiveConnections(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    connections: Mutex<Slab<Arc<LiveConnection>>>,
    one_closed: Condvar,
}

#[derive(Debug)]
struct LiveConnection {
    socket: Arc<OwnedFd>,
    candidate: Mutex<Option<EvictionCandidate>>,
    /// Set when the eviction is counted: until its thread wakes, a connection may be chosen again.
    is_evicted: AtomicBool,
}

/// What [`LiveConnections::evict`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Connections are being closed.
    Begun,
    /// A client waits, but no connection can be closed yet.
    NoneIdle,
    /// No client waits.
    NotNeeded,
}

/// Keeps a connection in the table until it is dropped.
#[derive(Debug)]
pub struct LiveGuard {
    live: LiveConnections,
    key: usize,
    connection: Arc<LiveConnection>,
}

impl LiveConnections {
    pub fn insert(&self, socket: &Arc<OwnedFd>) -> LiveGuard {
        let connection = Arc::new(LiveConnection {
            socket: socket.clone(),
            candidate: Mutex::default(),
            is_evicted: AtomicBool::default(),
        });
        let key = lock(&self.0.connections).insert(connection.clone());
        LiveGuard { live: self.clone(), key, connection }
    }

    /// If a client waits, ends the input of the connections that have waited for longest: their
    /// threads wake and close them. A request that arrives just now is still answered.
    ///
    /// No connection enters the table while `is_client_waiting` runs. So the client that waits is
    /// not one that a thread has accepted meanwhile, whose connection would be closed for itself.
    pub fn evict(
        &self,
        now: Moment,
        stats: &SyscallStats,
        is_client_waiting: impl FnOnce() -> bool,
    ) -> Eviction {
        let connections = lock(&self.0.connections);
        if !is_client_waiting() {
            return Eviction::NotNeeded;
        }
        // Others are closed by their threads, see `BlockingServer::offer_eviction`.
        let is_closed_at_once =
            |candidate: &EvictionCandidate| eviction::is_closed_at_once(candidate, now);
        let candidate = |(key, connection): (usize, &Arc<LiveConnection>)| {
            (key, lock(&connection.candidate).filter(is_closed_at_once))
        };
        let chosen = eviction::choose(connections.iter().map(candidate), now);
        for key in &chosen {
            connections[*key].count_eviction(stats);
            connections[*key].shut_down(Shutdown::Read);
        }
        if chosen.is_empty() { Eviction::NoneIdle } else { Eviction::Begun }
    }

    /// Ends the input of every connection: its thread wakes, answers the requests it has, and reads
    /// the end. Connections that have not finished within `timeout` are closed.
    pub fn shut_down(&self, timeout: Duration) {
        // The first request of a connection accepted just now is in flight. Without this pause its
        // thread would read the end before the request.
        const GRACE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + timeout;
        if !lock(&self.0.connections).is_empty() {
            std::thread::sleep(GRACE.min(timeout));
        }
        self.shut_down_all(Shutdown::Read);
        let mut connections = lock(&self.0.connections);
        while !connections.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(connections);
                return self.shut_down_all(Shutdown::Both);
            }
            connections = wait_timeout(&self.0.one_closed, connections, left);
        }
    }

    /// Waits until no connection is left.
    pub fn wait_until_empty(&self) {
        let mut connections = lock(&self.0.connections);
        while !connections.is_empty() {
            connections = wait(&self.0.one_closed, connections);
        }
    }

    fn shut_down_all(&self, how: Shutdown) {
        lock(&self.0.connections).iter().for_each(|(_, connection)| connection.shut_down(how));
    }
}

impl LiveConnection {
    fn shut_down(&self, how: Shutdown) {
        // It fails only if the peer has disconnected, and then the thread has woken already.
        let _ = rustix::net::shutdown(&self.socket, how);
    }

    fn count_eviction(&self, stats: &SyscallStats) {
        if !self.is_evicted.swap(true, Ordering::Relaxed) {
            stats.count_event(Event::Evicted);
        }
    }
}

impl LiveGuard {
    /// Records whether the connection can be closed while its thread sleeps.
    pub fn set_eviction_candidate(&self, candidate: Option<EvictionCandidate>) {
        *lock(&self.connection.candidate) = candidate;
    }

    /// Counts the connection as evicted by its own thread.
    pub fn count_eviction(&self, stats: &SyscallStats) {
        self.connection.count_eviction(stats);
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        lock(&self.live.0.connections).remove(self.key);
        self.live.0.one_closed.notify_all();
    }
}
