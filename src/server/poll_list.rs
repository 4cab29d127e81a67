//! Busy polling: never wait; ask every socket, again and again.
//!
//! ```text
//!   ┌─> accept all that wait
//!   │     └─> for each connection of the Vec: drive it as far as its socket allows
//!   └──────── and at once from the start, or after --pause if a pass moved nothing
//! ```
//!
//! The simplest loop that serves many at once, and the fastest to notice a request while there are few. Its
//! price is there to be seen: a recv that would block for each idle connection in each pass, and a core
//! that never rests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drive::{Client, Drive, Readable, drive};
use super::listen::{Accepted, Listener, Waiting};
use super::stop::Stop;
use super::worker::{Slots, Worker};
use crate::ledger::Call;

/// After accept failed for want of descriptors: it would fail in every pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The loop and all it owns.
pub(super) struct PollList {
    clients: Vec<Client>,
    worker: Worker,
    slots: Arc<Slots>,
    /// Slept after a pass that moved nothing.
    pause: Duration,
    accept_after: Instant,
}

impl PollList {
    pub(super) fn new(mut worker: Worker, slots: Arc<Slots>, pause: Duration) -> PollList {
        let accept_after = worker.clock.now().instant;
        PollList { clients: Vec::new(), worker, slots, pause, accept_after }
    }

    /// Serves until it is told to stop and has finished.
    pub(super) fn run(mut self, listener: Listener, stop: &Stop, shutdown_timeout: Duration) {
        while !stop.is_requested() {
            self.turn(Some(&listener));
        }
        // Those who are connected already, then nobody; each may finish.
        self.turn(Some(&listener));
        drop(listener);
        self.clients.iter_mut().for_each(Client::stop);
        let give_up = self.worker.clock.now().instant + shutdown_timeout;
        while !self.clients.is_empty() && self.worker.clock.now().instant < give_up {
            self.turn(None);
        }
    }

    fn turn(&mut self, listener: Option<&Listener>) {
        self.worker.clock.tick();
        let moved_before = self.worker.moved_bytes;
        let accepted = listener.is_some_and(|listener| self.accept(listener));
        self.pass();
        let found_nothing = !accepted && self.worker.moved_bytes == moved_before;
        if found_nothing && !self.pause.is_zero() {
            self.worker.ledger.count(Call::Sleep);
            std::thread::sleep(self.pause);
        }
    }

    /// Takes all that wait; tells whether anyone did.
    fn accept(&mut self, listener: &Listener) -> bool {
        let mut anyone = false;
        while self.worker.clock.now().instant >= self.accept_after
            && let Some(slot) = self.slots.take()
        {
            match listener.accept(Waiting::Never, &self.worker.ledger) {
                Accepted::Nobody => break,
                Accepted::Exhausted(errno) => {
                    self.worker.ledger.tell_of_worker(format_args!("accept: {errno}; it rests for a moment"));
                    self.accept_after = self.worker.clock.now().instant + ACCEPT_PAUSE;
                }
                Accepted::Connection(socket, peer) => {
                    self.clients.push(self.worker.welcome(socket, peer, slot));
                    anyone = true;
                }
            }
        }
        anyone
    }

    /// Gives every connection its turn.
    fn pass(&mut self) {
        let now = self.worker.clock.now();
        let mut at = 0;
        while let Some(client) = self.clients.get_mut(at) {
            if client.connection.deadline().is_some_and(|deadline| deadline <= now.instant) {
                client.connection.expire(&now);
            }
            client.readable = Readable::Yes;
            match drive(client, &mut self.worker) {
                Drive::Closed => drop(self.clients.swap_remove(at)),
                Drive::Blocked | Drive::Yielded => at += 1,
            }
        }
    }
}
