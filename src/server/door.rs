//! The way in for a loop that never waits: accepting under the limit of connections.
//!
//! At the limit those go first that have been idle for longest: a kept connection is a courtesy, a new one is a user. When
//! none is idle, or when the system has no descriptor left, new connections stay in the backlog, where they cost nothing
//! and are served as soon as there is a place; a 503 would tell them to do by themselves, later, what the backlog does
//! for them. Meanwhile the door rests: trying again at once would spin.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::drive::Client;
use super::listen::{Accepted, Listener};
use super::worker::{Slots, Worker};
use crate::http::Moment;
use crate::ledger::Call;

/// How long it rests, unless a connection ends before.
pub const REST: Duration = Duration::from_millis(100);

/// A listener and the places for those who come through it.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    slots: Arc<Slots>,
    rests_until: Option<Moment>,
}

/// Who came in.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is moved once, into the slab; a box would be one allocation more"
)]
pub enum Admission {
    /// A connection.
    Client(Client),
    /// Nobody waits.
    Nobody,
    /// Somebody waits, and there is no place: let [`oldest_idle`] make room.
    Full,
    /// Somebody may wait, and has to.
    Resting,
}

/// Most that are ended at once to make room: the search for them is worth more than one place.
const ROOM_MAX: usize = 32;

/// How long a newcomer may say nothing while others wait for its place.
const SILENCE: Duration = Duration::from_secs(1);

/// Those among `clients` that have been idle for longest: kept connections first, then newcomers that only came to sit. Of few
/// only a few: they are likely to be used again.
pub fn oldest_idle<'a, Key>(
    clients: impl Iterator<Item = (Key, &'a Client)>,
    now: Moment,
) -> Vec<Key> {
    let idle = |(key, client): (Key, &Client)| {
        let idle_state = client.connection.idle_state()?;
        let counts = idle_state.is_served || now.since(idle_state.since) > SILENCE;
        counts.then_some((!idle_state.is_served, idle_state.since, key))
    };
    let mut idle: Vec<_> = clients.filter_map(idle).collect();
    idle.sort_unstable_by_key(|(is_new, since, _)| (*is_new, *since));
    let count = idle.len().div_ceil(16).min(ROOM_MAX);
    idle.into_iter().take(count).map(|(.., key)| key).collect()
}

impl Door {
    /// Open.
    pub fn new(listener: Listener, slots: Arc<Slots>) -> Door {
        Door { listener, slots, rests_until: None }
    }

    /// Lets one in, to be served by `worker`.
    pub fn admit(&mut self, worker: &mut Worker) -> Admission {
        let now = worker.clock.now().moment;
        if self.rests_until.is_some_and(|until| now < until) {
            return Admission::Resting;
        }
        self.rests_until = None;
        let Some(slot) = self.slots.take() else {
            return if self.someone_waits(worker) { Admission::Full } else { Admission::Nobody };
        };
        match self.listener.accept(&worker.ledger) {
            Accepted::Connection(socket, peer) => {
                Admission::Client(worker.welcome(socket, peer, slot))
            }
            Accepted::Nobody => Admission::Nobody,
            Accepted::Exhausted(errno) => {
                worker
                    .ledger
                    .tell_of_worker(format_args!("accept: {errno}; it rests for a moment"));
                self.rest(now)
            }
        }
    }

    /// Does not let anyone in for a moment.
    pub fn rest(&mut self, now: Moment) -> Admission {
        self.rests_until = Some(now + REST);
        Admission::Resting
    }

    fn someone_waits(&self, worker: &Worker) -> bool {
        worker.ledger.count(Call::Poll);
        let mut listener = [PollFd::new(&self.listener, PollFlags::IN)];
        // If it can't be told, accept will.
        poll(&mut listener, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Nobody is idle here: the other workers are asked, and those who wait have to for a moment.
    pub fn ask_for_room(&mut self, now: Moment) {
        self.slots.ask_for_room();
        self.rest(now);
    }

    /// A connection has ended: there is a place and a descriptor.
    pub fn reopen(&mut self) {
        self.rests_until = None;
    }

    /// Until when it rests.
    pub fn rests_until(&self) -> Option<Moment> {
        self.rests_until
    }

    /// What it lets in from.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}
