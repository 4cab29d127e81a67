//! The way in for a loop that never waits: accepting under the limit of connections.
//!
//! At the limit those go first that have been idle for longest: a kept connection is a courtesy, a new one is a user. When
//! none is idle, or when the system has no descriptor left, new connections stay in the backlog, where they cost nothing
//! and are served as soon as there is a place; a 503 would tell them to do by themselves, later, what the backlog does
//! for them. Meanwhile the acceptor rests: trying again at once would spin.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::drive::Client;
use super::listener::{Accepted, Listener};
use super::worker::{ConnectionLimit, Worker};
use crate::http::Moment;
use crate::syscall_stats::Call;

/// How long it rests, unless a connection ends before.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A listener and the places for those who come through it.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    connection_limit: Arc<ConnectionLimit>,
    backoff_until: Option<Moment>,
}

/// Who came in.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is moved once, into the slab; a box would be one allocation more"
)]
pub enum AcceptOutcome {
    /// A connection.
    Accepted(Client),
    /// Nobody waits.
    WouldBlock,
    /// Somebody waits, and there is no place: let [`oldest_idle`] make room.
    AtCapacity,
    /// Somebody may wait, and has to.
    BackingOff,
}

/// Most that are ended at once to make room: the search for them is worth more than one place.
const EVICTIONS_MAX: usize = 32;

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
    let count = idle.len().div_ceil(16).min(EVICTIONS_MAX);
    idle.into_iter().take(count).map(|(.., key)| key).collect()
}

impl Acceptor {
    /// Open.
    pub fn new(listener: Listener, connection_limit: Arc<ConnectionLimit>) -> Acceptor {
        Acceptor { listener, connection_limit, backoff_until: None }
    }

    /// Lets one in, to be served by `worker`.
    pub fn accept(&mut self, worker: &mut Worker) -> AcceptOutcome {
        let now = worker.clock.now().moment;
        if self.backoff_until.is_some_and(|until| now < until) {
            return AcceptOutcome::BackingOff;
        }
        self.backoff_until = None;
        let Some(permit) = self.connection_limit.try_acquire() else {
            return if self.someone_waits(worker) {
                AcceptOutcome::AtCapacity
            } else {
                AcceptOutcome::WouldBlock
            };
        };
        match self.listener.accept(&worker.stats) {
            Accepted::Connection(socket, peer) => {
                AcceptOutcome::Accepted(worker.new_client(socket, peer, permit))
            }
            Accepted::WouldBlock => AcceptOutcome::WouldBlock,
            Accepted::Exhausted(errno) => {
                worker.stats.trace_worker(format_args!("accept: {errno}; it rests for a moment"));
                self.back_off(now)
            }
        }
    }

    /// Does not let anyone in for a moment.
    pub fn back_off(&mut self, now: Moment) -> AcceptOutcome {
        self.backoff_until = Some(now + ACCEPT_BACKOFF);
        AcceptOutcome::BackingOff
    }

    fn someone_waits(&self, worker: &Worker) -> bool {
        worker.stats.count(Call::Poll);
        let mut listener = [PollFd::new(&self.listener, PollFlags::IN)];
        // If it can't be told, accept will.
        poll(&mut listener, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Nobody is idle here: the other workers are asked, and those who wait have to for a moment.
    pub fn request_eviction(&mut self, now: Moment) {
        self.connection_limit.request_eviction();
        self.back_off(now);
    }

    /// A connection has ended: there is a place and a descriptor.
    pub fn resume(&mut self) {
        self.backoff_until = None;
    }

    /// Until when it rests.
    pub fn backoff_until(&self) -> Option<Moment> {
        self.backoff_until
    }

    /// What it lets in from.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}
