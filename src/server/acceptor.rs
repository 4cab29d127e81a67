//! Accepts connections for an event loop, under the connection limit.
//!
//! At the limit, connections are closed to admit new ones, see [`eviction`](super::eviction). If
//! none can be closed, or the system is out of descriptors, new connections stay in the kernel's
//! backlog, where they cost nothing and are served as soon as a connection closes; a 503 would make
//! them retry, which the backlog does for them. Meanwhile the acceptor backs off, because trying
//! again at once would spin.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::connection_limit::ConnectionLimit;
use super::listener::{Accepted, Listener, wait_for_connections};
use super::trace_event::TraceEvent;
use super::worker::Worker;
use crate::http::Moment;

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
    /// A connection was closed, because its client has as many as it may have.
    Rejected,
    /// The backlog is empty.
    WouldBlock,
    /// A connection waits and the limit is reached: evict connections and try again.
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
            Accepted::Connection(incoming) => match worker.new_client(incoming, permit) {
                Some(client) => AcceptOutcome::Accepted(client),
                None => AcceptOutcome::Rejected,
            },
            Accepted::WouldBlock => AcceptOutcome::WouldBlock,
            Accepted::Exhausted(errno) => {
                worker.tracer.trace_worker(TraceEvent::BacksOff { what: "accept", error: &errno });
                self.back_off(now);
                AcceptOutcome::BackingOff
            }
        }
    }

    /// Asks all event loops that share the limit to evict connections, and backs off until a
    /// connection of any of them has closed.
    pub fn await_permit(&mut self, now: Moment) {
        if self.connection_limit.await_permit() {
            self.back_off(now);
        }
    }

    /// Whether an event loop that shares the limit waits for a permit. If none does, an eviction
    /// request is out of date.
    pub fn is_permit_awaited(&self) -> bool {
        self.connection_limit.is_awaited()
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
        !wait_for_connections(&self.listeners, Duration::ZERO, &worker.stats).is_empty()
    }
}
