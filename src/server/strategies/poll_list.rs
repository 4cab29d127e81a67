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

use crate::format;
use crate::http::CloseReason;
use crate::server::acceptor::{AcceptOutcome, Acceptor, oldest_idle};
use crate::server::drive::{Client, Drive, ReadState, drive_with_timeout};
use crate::server::shutdown_signal::ShutdownSignal;
use crate::server::worker::Worker;
use crate::syscall_stats::Call;

/// The loop and all it owns.
pub(in crate::server) struct PollList {
    clients: Vec<Client>,
    worker: Worker,
    /// Slept after a pass that moved nothing.
    pause: Duration,
}

impl PollList {
    pub(in crate::server) fn new(worker: Worker, pause: Duration) -> PollList {
        PollList { clients: Vec::new(), worker, pause }
    }

    /// Serves until it is told to stop and has finished.
    pub(in crate::server) fn run(mut self, mut acceptor: Acceptor, stop: &ShutdownSignal) {
        while !stop.is_requested() {
            self.turn(Some(&mut acceptor));
        }
        // Those who are connected already, then nobody; each may finish.
        self.turn(Some(&mut acceptor));
        drop(acceptor);
        let now = self.worker.clock.now();
        self.clients.iter_mut().for_each(|client| client.graceful_shutdown(now));
        let give_up = self.worker.clock.now().moment + stop.timeout();
        while !self.clients.is_empty() && self.worker.clock.now().moment < give_up {
            self.turn(None);
        }
        self.clients.iter_mut().for_each(|client| client.connection.fail(CloseReason::Stopping));
        self.pass();
    }

    fn turn(&mut self, acceptor: Option<&mut Acceptor>) {
        self.worker.clock.tick();
        let moved_before = self.worker.moved_bytes;
        let accepted = acceptor.is_some_and(|acceptor| self.accept(acceptor));
        for (id, done) in self.worker.finished() {
            if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
                client.take(done, self.worker.clock.now());
            }
        }
        self.pass();
        let found_nothing = !accepted && self.worker.moved_bytes == moved_before;
        if found_nothing && !self.pause.is_zero() {
            self.worker.stats.count(Call::Sleep);
            if !self.clients.is_empty() {
                self.worker
                    .stats
                    .trace_worker(format_args!("sleep for {}", format::time(self.pause)));
            }
            std::thread::sleep(self.pause);
        }
    }

    /// Takes all that wait; tells whether anyone did.
    fn accept(&mut self, acceptor: &mut Acceptor) -> bool {
        let before = self.clients.len();
        loop {
            match acceptor.accept(&mut self.worker) {
                AcceptOutcome::Accepted(client) => self.clients.push(client),
                AcceptOutcome::WouldBlock | AcceptOutcome::BackingOff => {
                    return self.clients.len() > before;
                }
                // Those who came in just now have not had their turn yet: they are not idle.
                AcceptOutcome::AtCapacity if self.clients.len() > before => return true,
                AcceptOutcome::AtCapacity => {
                    // The pass closes them, and the next turn lets others in.
                    let now = self.worker.clock.now().moment;
                    let idle = oldest_idle(self.clients.iter().enumerate(), now);
                    if idle.is_empty() {
                        acceptor.back_off(now);
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
            client.readable = ReadState::MaybeReadable;
            match drive_with_timeout(client, &mut self.worker, &now) {
                Drive::Closed => drop(self.clients.swap_remove(at)),
                Drive::Blocked | Drive::Yielded => at += 1,
            }
        }
    }
}
