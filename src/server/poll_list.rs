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

use std::time::Duration;

use super::door::{Admission, Door, oldest_idle};
use super::drive::{Client, Drive, Readable, drive_in_time};
use super::stop::Stop;
use super::worker::Worker;
use crate::http::CloseReason;
use crate::human;
use crate::ledger::Call;

/// The loop and all it owns.
pub(super) struct PollList {
    clients: Vec<Client>,
    worker: Worker,
    /// Slept after a pass that moved nothing.
    pause: Duration,
}

impl PollList {
    pub(super) fn new(worker: Worker, pause: Duration) -> PollList {
        PollList { clients: Vec::new(), worker, pause }
    }

    /// Serves until it is told to stop and has finished.
    pub(super) fn run(mut self, mut door: Door, stop: &Stop) {
        while !stop.is_requested() {
            self.turn(Some(&mut door));
        }
        // Those who are connected already, then nobody; each may finish.
        self.turn(Some(&mut door));
        drop(door);
        let now = self.worker.clock.now();
        self.clients.iter_mut().for_each(|client| client.stop(now));
        let give_up = self.worker.clock.now().moment + stop.timeout();
        while !self.clients.is_empty() && self.worker.clock.now().moment < give_up {
            self.turn(None);
        }
        self.clients.iter_mut().for_each(|client| client.connection.fail(CloseReason::Stopping));
        self.pass();
    }

    fn turn(&mut self, door: Option<&mut Door>) {
        self.worker.clock.tick();
        let moved_before = self.worker.moved_bytes;
        let accepted = door.is_some_and(|door| self.accept(door));
        for (id, done) in self.worker.finished() {
            if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
                client.take(done, self.worker.clock.now());
            }
        }
        self.pass();
        let found_nothing = !accepted && self.worker.moved_bytes == moved_before;
        if found_nothing && !self.pause.is_zero() {
            self.worker.ledger.count(Call::Sleep);
            if !self.clients.is_empty() {
                self.worker
                    .ledger
                    .tell_of_worker(format_args!("sleep for {}", human::time(self.pause)));
            }
            std::thread::sleep(self.pause);
        }
    }

    /// Takes all that wait; tells whether anyone did.
    fn accept(&mut self, door: &mut Door) -> bool {
        let before = self.clients.len();
        loop {
            match door.admit(&mut self.worker) {
                Admission::Client(client) => self.clients.push(client),
                Admission::Nobody | Admission::Resting => return self.clients.len() > before,
                // Those who came in just now have not had their turn yet: they are not idle.
                Admission::Full if self.clients.len() > before => return true,
                Admission::Full => {
                    // The pass closes them, and the next turn lets others in.
                    let now = self.worker.clock.now().moment;
                    let idle = oldest_idle(self.clients.iter().enumerate(), now);
                    if idle.is_empty() {
                        door.rest(now);
                    }
                    idle.into_iter().for_each(|at| self.clients[at].connection.evict_idle());
                    return true;
                }
            }
        }
    }

    /// Gives every connection its turn.
    fn pass(&mut self) {
        let now = *self.worker.clock.now();
        let mut at = 0;
        while let Some(client) = self.clients.get_mut(at) {
            client.readable = Readable::Yes;
            match drive_in_time(client, &mut self.worker, &now) {
                Drive::Closed => drop(self.clients.swap_remove(at)),
                Drive::Blocked | Drive::Yielded => at += 1,
            }
        }
    }
}
