//! The connections of one reactor: where they are, when each is to be looked at, which have more to do.
//!
//! What lives here: everything about a connection that does not concern the kernel's readiness. What does not:
//! registering, polling, accepting (`mio.rs`).

use slab::Slab;

use super::acceptor::oldest_idle;
use super::drive::{Client, Drive, ReadState, drive, drive_with_timeout};
use super::timer_queue::TimerQueue;
use super::worker::Worker;
use crate::http::{CloseReason, Moment};

/// A slab of connections and the worker that serves them.
#[derive(Debug)]
pub(super) struct Clients {
    slab: Slab<Client>,
    /// Keys of those that yielded.
    ready: Vec<usize>,
    timer_queue: TimerQueue,
    pub(super) worker: Worker,
}

impl Clients {
    pub(super) fn new(worker: Worker) -> Clients {
        Clients { slab: Slab::new(), ready: Vec::new(), timer_queue: TimerQueue::default(), worker }
    }

    /// Takes a connection in and serves it. None if it is over by then.
    pub(super) fn insert(&mut self, client: Client) -> Option<(usize, &Client)> {
        let key = self.slab.insert(client);
        self.serve(key);
        self.slab.get(key).map(|client| (key, client))
    }

    /// The kernel says that there is something to read, or an end.
    pub(super) fn set_readable(&mut self, key: usize, readable: ReadState) {
        if let Some(client) = self.slab.get_mut(key)
            && client.readable != ReadState::ReadClosed
        {
            client.readable = readable;
        }
    }

    /// The kernel says that the connection is broken.
    pub(super) fn reset(&mut self, key: usize) {
        if let Some(client) = self.slab.get_mut(key) {
            client.reset();
        }
    }

    /// Goes on with a connection as far as it can. A key that is nobody's any more is passed over.
    pub(super) fn serve(&mut self, key: usize) {
        self.serve_by(key, drive);
    }

    fn serve_by(&mut self, key: usize, drive: impl FnOnce(&mut Client, &mut Worker) -> Drive) {
        let Some(client) = self.slab.get_mut(key) else {
            return;
        };
        match drive(client, &mut self.worker) {
            Drive::Closed => return self.remove(key),
            Drive::Yielded => self.ready.push(key),
            Drive::Blocked => {}
        }
        if let Some(deadline) = client.connection.deadline() {
            self.timer_queue.schedule(key, deadline);
        }
    }

    /// Gives those that yielded their next turn.
    pub(super) fn serve_ready(&mut self) {
        for key in std::mem::take(&mut self.ready) {
            self.serve(key);
        }
    }

    /// Somebody else has woken the worker: another worker that needs room, or offload that made answers. A connection
    /// that ended meanwhile has no use for its own.
    pub(super) fn serve_others(&mut self) {
        if self.worker.is_eviction_requested() {
            self.evict_idle();
        }
        for (id, done) in self.worker.finished() {
            let waiting = self.slab.iter_mut().find(|(_, client)| client.id == id);
            if let Some((key, client)) = waiting {
                client.take(done, self.worker.clock.now());
                self.serve(key);
            }
        }
    }

    /// Tells those whose time is over.
    pub(super) fn expire_timers(&mut self) {
        let now = *self.worker.clock.now();
        while let Some(key) =
            self.timer_queue.pop_due(now.moment, |key| self.slab.get(key)?.connection.deadline())
        {
            // The kernel says "writable" only when a third of some megabytes is free again; a reader that took less has made
            // progress all the same. And what can be read it may not have told yet. A try shows both.
            self.set_readable(key, ReadState::MaybeReadable);
            self.serve_by(key, |client, worker| drive_with_timeout(client, worker, &now));
        }
    }

    /// Ends some that are idle, for others; false if none is.
    pub(super) fn evict_idle(&mut self) -> bool {
        let idle = oldest_idle(self.slab.iter(), self.worker.clock.now().moment);
        for key in &idle {
            self.slab[*key].connection.evict_idle();
            self.serve(*key);
        }
        !idle.is_empty()
    }

    /// Lets everyone finish.
    pub(super) fn graceful_shutdown(&mut self) {
        let now = *self.worker.clock.now();
        for key in self.slab.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            self.slab[key].graceful_shutdown(&now);
            self.serve(key);
        }
    }

    /// Ends those that have not finished in time.
    pub(super) fn abort(&mut self) {
        for key in self.slab.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            self.end(key, CloseReason::Stopping);
        }
    }

    /// Ends one that can't go on; what it was sent of an answer is logged.
    pub(super) fn end(&mut self, key: usize, reason: CloseReason) {
        if let Some(client) = self.slab.get_mut(key) {
            client.connection.fail(reason);
            self.serve(key);
        }
    }

    fn remove(&mut self, key: usize) {
        self.slab.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// When the loop has to come back by itself: at once if somebody yielded, or at the next deadline.
    pub(super) fn next_timeout(&mut self) -> Option<Moment> {
        if self.ready.is_empty() {
            self.timer_queue.next()
        } else {
            Some(self.worker.clock.now().moment)
        }
    }
}
