//! Readiness: ask the kernel once which sockets can go on, then serve just those.
//!
//! ```text
//!   ┌─> poll: sleep until a socket is ready, a deadline comes, or a signal
//!   │     ├─ a connection is ready ──> drive it ──> Blocked: the kernel will tell ──┐
//!   │     │                              ^   └───> Yielded: to the ready queue ─────┤
//!   │     ├─ turns of the ready queue ───┘   └───> Closed: out of the slab ─────────┤
//!   │     ├─ the listener is ready ──> accept all, drive each at once, register it ─┤
//!   │     └─ deadlines that have come                                               │
//!   └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Registration is edge-triggered and made once, for both directions: the kernel speaks when something
//! changes, so whoever stops before the socket is drained or full must come back by itself. An event may be
//! left over from a token's former owner; that costs the new one a call that would block, and no more.
//! Workers share nothing: each has its own listener (SO_REUSEPORT), poll and slab.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::deadlines::Deadlines;
use super::door::{Admission, Door};
use super::drive::{Client, Drive, Readable, drive};
use super::helpers::Helpers;
use super::worker::Worker;
use crate::ledger::Call;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
const HELPERS: Token = Token(usize::MAX - 2);

/// One worker's loop and all it owns.
pub(super) struct Reactor {
    poll: Poll,
    phase: Phase,
    clients: Slab<Client>,
    /// Tokens of those that yielded.
    ready: Vec<usize>,
    deadlines: Deadlines,
    worker: Worker,
    shutdown_timeout: Duration,
}

enum Phase {
    /// `may_wait`: the listener was ready and is not known to be drained since. Edge-triggered, too: it is told once.
    Serving {
        door: Door,
        may_wait: bool,
        _stop: UnixStream,
    },
    Draining {
        until: Instant,
    },
}

impl Reactor {
    /// A reactor behind `door` that ends in order when `stop` can be read.
    pub(super) fn new(
        door: Door,
        worker: Worker,
        helpers: Helpers,
        stop: UnixStream,
        shutdown_timeout: Duration,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&door.listener().as_fd().as_raw_fd()), LISTENER, Interest::READABLE)?;
        poll.registry().register(&mut SourceFd(&stop.as_raw_fd()), STOP, Interest::READABLE)?;
        let worker = worker.with_helpers(helpers, Some(Waker::new(poll.registry(), HELPERS)?));
        let phase = Phase::Serving { door, may_wait: false, _stop: stop };
        let (clients, ready, deadlines) = (Slab::new(), Vec::new(), Deadlines::default());
        Ok(Reactor { poll, phase, clients, ready, deadlines, worker, shutdown_timeout })
    }

    /// Serves until it is told to stop and has finished.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.is_finished() {
            self.worker.ledger.count(Call::Wait);
            let patience = self.patience();
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.worker.clock.tick(),
            }
            for key in std::mem::take(&mut self.ready) {
                self.serve(key);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.listener_is_ready(),
                    STOP => self.stop(),
                    HELPERS => self.take_finished(),
                    Token(key) => self.wake(key, event),
                }
            }
            self.accept();
            self.meet_deadlines();
        }
        Ok(())
    }

    fn wake(&mut self, key: usize, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if event.is_read_closed() {
            client.readable = Readable::ToTheEnd;
        } else if event.is_readable() && client.readable == Readable::No {
            client.readable = Readable::Yes;
        }
        self.serve(key);
    }

    fn serve(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match drive(client, &mut self.worker) {
            Drive::Closed => {
                self.clients.remove(key);
                if let Phase::Serving { door, .. } = &mut self.phase {
                    door.reopen();
                }
                return;
            }
            Drive::Yielded => self.ready.push(key),
            Drive::Blocked => {}
        }
        if let Some(deadline) = client.connection.deadline() {
            self.deadlines.schedule(key, deadline);
        }
    }

    /// Answers that helpers made. A connection that ended meanwhile has no use for its own.
    fn take_finished(&mut self) {
        for (id, finished) in self.worker.finished() {
            let waiting = self.clients.iter_mut().find(|(_, client)| client.id == id);
            if let Some((key, client)) = waiting {
                client.connection.complete(finished, &self.worker.clock.now());
                self.serve(key);
            }
        }
    }

    fn listener_is_ready(&mut self) {
        if let Phase::Serving { may_wait, .. } = &mut self.phase {
            *may_wait = true;
        }
    }

    /// Takes all that wait. Each is served before it is registered: its request has often come already, and a
    /// connection that is over by then need not be registered at all.
    fn accept(&mut self) {
        while let Phase::Serving { door, may_wait: may_wait @ true, .. } = &mut self.phase {
            match door.admit(&mut self.worker) {
                Admission::Client(client) => {
                    let key = self.clients.insert(client);
                    self.serve(key);
                    self.register(key);
                }
                Admission::Nobody => *may_wait = false,
                Admission::Resting => return,
            }
        }
    }

    fn register(&mut self, key: usize) {
        let Some(client) = self.clients.get(key) else { return };
        self.worker.ledger.count(Call::EpollCtl);
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut SourceFd(&client.socket().as_raw_fd()), Token(key), both).is_err() {
            // The kernel's own limit of watches: without one the connection would never be heard of again.
            self.clients.remove(key);
        }
    }

    fn meet_deadlines(&mut self) {
        let now = self.worker.clock.now();
        while let Some(key) = self.deadlines.pop_due(now.instant, |key| self.clients.get(key)?.connection.deadline()) {
            self.clients[key].connection.expire(&now);
            self.serve(key);
        }
    }

    /// How long to sleep at most; None for ever.
    fn patience(&mut self) -> Option<Duration> {
        let now = self.worker.clock.now().instant;
        let phase_changes = match &self.phase {
            Phase::Serving { door, may_wait: true, .. } => Some(door.rests_until().unwrap_or(now)),
            Phase::Serving { may_wait: false, .. } => None,
            Phase::Draining { until } => Some(*until),
        };
        let turn = (!self.ready.is_empty()).then_some(now);
        let next = [turn, phase_changes, self.deadlines.next()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Accepts those who are connected already, then closes the door and lets everyone finish.
    fn stop(&mut self) {
        self.listener_is_ready();
        self.accept();
        self.phase = Phase::Draining { until: self.worker.clock.now().instant + self.shutdown_timeout };
        for key in self.clients.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            self.clients[key].stop();
            self.serve(key);
        }
    }

    fn is_finished(&mut self) -> bool {
        let now = self.worker.clock.now().instant;
        matches!(self.phase, Phase::Draining { until } if self.clients.is_empty() || until <= now)
    }
}
