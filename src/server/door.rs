//! The way in for a loop that never waits: accepting under the limit of connections.
//!
//! At the limit, or when the system has no descriptor left, new connections stay in the backlog, where they cost
//! nothing and lose nothing, and the door rests: trying again at once would spin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drive::Client;
use super::listen::{Accepted, Listener, Waiting};
use super::worker::{Slots, Worker};

/// How long it rests, unless a connection ends before.
pub const REST: Duration = Duration::from_millis(100);

/// A listener and the places for those who come through it.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    slots: Arc<Slots>,
    rests_until: Option<Instant>,
}

/// Who came in.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is moved once, into the slab; a box would be one allocation more")]
pub enum Admission {
    /// A connection.
    Client(Client),
    /// Nobody waits.
    Nobody,
    /// Somebody may wait, and has to.
    Resting,
}

impl Door {
    /// Open.
    pub fn new(listener: Listener, slots: Arc<Slots>) -> Door {
        Door { listener, slots, rests_until: None }
    }

    /// Lets one in, to be served by `worker`.
    pub fn admit(&mut self, worker: &mut Worker) -> Admission {
        let now = worker.clock.now().instant;
        if self.rests_until.is_some_and(|until| now < until) {
            return Admission::Resting;
        }
        self.rests_until = None;
        let Some(slot) = self.slots.take() else { return self.rest(now) };
        match self.listener.accept(Waiting::Never, &worker.ledger) {
            Accepted::Connection(socket, peer) => Admission::Client(worker.welcome(socket, peer, slot)),
            Accepted::Nobody => Admission::Nobody,
            Accepted::Exhausted(errno) => {
                worker.ledger.tell_of_worker(format_args!("accept: {errno}; it rests for a moment"));
                self.rest(now)
            }
        }
    }

    fn rest(&mut self, now: Instant) -> Admission {
        self.rests_until = Some(now + REST);
        Admission::Resting
    }

    /// A connection has ended: there is a place and a descriptor.
    pub fn reopen(&mut self) {
        self.rests_until = None;
    }

    /// Until when it rests.
    pub fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    /// What it lets in from.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}
