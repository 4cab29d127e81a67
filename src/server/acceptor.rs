//! Accepts connections for an event loop, under the connection limit.
//!
//! At the limit, the longest-idle connections are closed to admit new ones: a client that
//! reconnects loses a round trip, a client that is not admitted loses the site. If no connection is
//! idle, or the system is out of descriptors, new connections stay in the kernel's backlog, where
//! they cost nothing and are served as soon as a connection closes; a 503 would make them retry,
//! which the backlog does for them. Meanwhile the acceptor backs off, because trying again at once
//! would spin.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::Client;
use super::connection_limit::ConnectionLimit;
use super::listener::{Accepted, Listener};
use super::worker::Worker;
use crate::http::Moment;
use crate::syscall_stats::Call;

/// The pause after a failed accept, unless a connection closes earlier.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Listeners, and the limit that their connections count against.
#[derive(Debug)]
pub struct Acceptor {
    /// Mostly one; several if a supervisor has passed several sockets.
    listeners: Vec<Listener>,
    connection_limit: Arc<ConnectionLimit>,
    backoff_until: Option<Moment>,
}

/// The result of one attempt to accept.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a client is moved once, into the slab; a box would cost an allocation per connection"
)]
pub enum AcceptOutcome {
    Accepted(Client),
    /// The backlog is empty.
    WouldBlock,
    /// A connection waits and the limit is reached: evict idle connections and try again.
    AtCapacity,
    /// No attempt is made before [`Acceptor::backoff_until`].
    BackingOff,
}

impl Acceptor {
    pub fn new(listeners: Vec<Listener>, connection_limit: Arc<ConnectionLimit>) -> Acceptor {
        Acceptor { listeners, connection_limit, backoff_until: None }
    }

    /// Accepts one connection for `worker`.
    pub fn accept(&mut self, worker: &mut Worker) -> AcceptOutcome {
        let now = worker.clock.now().moment;
        if self.backoff_until.is_some_and(|until| now < until) {
            return AcceptOutcome::BackingOff;
        }
        self.backoff_until = None;
        let Some(permit) = self.connection_limit.try_acquire() else {
            return match self.has_pending_connection(worker) {
                true => AcceptOutcome::AtCapacity,
                false => AcceptOutcome::WouldBlock,
            };
        };
        match self.accept_from_any(worker) {
            Accepted::Connection(socket, peer) => {
                AcceptOutcome::Accepted(worker.new_client(socket, peer, permit))
            }
            Accepted::WouldBlock => AcceptOutcome::WouldBlock,
            Accepted::Exhausted(errno) => {
                worker.tracer.trace_worker(format_args!("accept: {errno}; backing off"));
                self.back_off(now);
                AcceptOutcome::BackingOff
            }
        }
    }

    /// Asks all event loops that share the limit to evict idle connections, and backs off until one
    /// of them has.
    pub fn request_eviction(&mut self, now: Moment) {
        self.connection_limit.request_eviction();
        self.back_off(now);
    }

    /// Ends the back-off: a connection has closed, so a permit and a descriptor are available.
    pub fn resume(&mut self) {
        self.backoff_until = None;
    }

    pub fn backoff_until(&self) -> Option<Moment> {
        self.backoff_until
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Accepts from the first listener that has a connection. The listeners take turns at being
    /// first.
    fn accept_from_any(&mut self, worker: &Worker) -> Accepted {
        self.listeners.rotate_left(1);
        let accepted = self.listeners.iter().map(|listener| listener.accept(&worker.stats));
        let is_final = |accepted: &Accepted| !matches!(accepted, Accepted::WouldBlock);
        accepted.into_iter().find(is_final).unwrap_or(Accepted::WouldBlock)
    }

    fn back_off(&mut self, now: Moment) {
        self.backoff_until = Some(now + ACCEPT_BACKOFF);
    }

    fn has_pending_connection(&self, worker: &Worker) -> bool {
        worker.stats.count(Call::Poll);
        let readable = |listener| PollFd::new(listener, PollFlags::IN);
        let mut listeners: Vec<_> = self.listeners.iter().map(readable).collect();
        // If poll fails, there is nothing better to assume than an empty backlog.
        poll(&mut listeners, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

/// The most connections that are evicted at once. One search serves several new connections.
const EVICTIONS_MAX: usize = 32;

/// The time that a new connection may be silent before it can be evicted.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// The keys of the longest-idle clients, at most a sixteenth of those that are idle: keep-alive
/// connections first, then new connections that have been silent for more than [`SILENCE_MAX`].
pub fn longest_idle<'a, Key>(
    clients: impl Iterator<Item = (Key, &'a Client)>,
    now: Moment,
) -> Vec<Key> {
    let evictable = |(key, client): (Key, &Client)| {
        let idle = client.connection.idle_state()?;
        let is_evictable = idle.is_served || now.since(idle.since) > SILENCE_MAX;
        is_evictable.then_some((!idle.is_served, idle.since, key))
    };
    let mut idle: Vec<_> = clients.filter_map(evictable).collect();
    idle.sort_unstable_by_key(|(is_new, since, _)| (*is_new, *since));
    let count = idle.len().div_ceil(16).min(EVICTIONS_MAX);
    idle.into_iter().take(count).map(|(.., key)| key).collect()
}
