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
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::deadlines::Deadlines;
use super::drive::{Client, Drive, Readable, drive};
use super::listen::{Accepted, Listener, Waiting};
use super::worker::{Slots, Worker};
use crate::ledger::Call;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
/// After accept failed for want of descriptors, or at the limit of connections, unless one closes before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One worker's loop and all it owns.
pub(super) struct Reactor {
    poll: Poll,
    phase: Phase,
    clients: Slab<Client>,
    /// Tokens of those that yielded.
    ready: Vec<usize>,
    deadlines: Deadlines,
    worker: Worker,
    slots: Arc<Slots>,
    shutdown_timeout: Duration,
}

enum Phase {
    Serving { listener: Listener, backlog: Backlog, _stop: UnixStream },
    Draining { until: Instant },
}

/// What is known of the listener's queue. Edge-triggered, too: it is told once.
#[derive(Clone, Copy)]
enum Backlog {
    Empty,
    Waiting,
    Paused { until: Instant },
}

impl Reactor {
    /// A reactor on `listener` that ends in order when `stop` can be read.
    pub(super) fn new(
        listener: Listener,
        worker: Worker,
        slots: Arc<Slots>,
        stop: UnixStream,
        shutdown_timeout: Duration,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&listener.as_fd().as_raw_fd()), LISTENER, Interest::READABLE)?;
        poll.registry().register(&mut SourceFd(&stop.as_raw_fd()), STOP, Interest::READABLE)?;
        let phase = Phase::Serving { listener, backlog: Backlog::Empty, _stop: stop };
        let (clients, ready, deadlines) = (Slab::new(), Vec::new(), Deadlines::default());
        Ok(Reactor { poll, phase, clients, ready, deadlines, worker, slots, shutdown_timeout })
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
                    LISTENER => self.set_backlog(Backlog::Waiting),
                    STOP => self.stop(),
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
                if let Phase::Serving { backlog: backlog @ Backlog::Paused { .. }, .. } = &mut self.phase {
                    *backlog = Backlog::Waiting;
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

    /// Takes all that wait. Each is served before it is registered: its request has often come already, and a
    /// connection that is over by then need not be registered at all.
    fn accept(&mut self) {
        while let Phase::Serving { listener, backlog: Backlog::Waiting, .. } = &self.phase {
            let pause = Backlog::Paused { until: self.worker.clock.now().instant + ACCEPT_PAUSE };
            let Some(slot) = self.slots.take() else { return self.set_backlog(pause) };
            match listener.accept(Waiting::Never, &self.worker.ledger) {
                Accepted::Nobody => self.set_backlog(Backlog::Empty),
                Accepted::Exhausted(errno) => {
                    self.worker.ledger.tell_of_worker(format_args!("accept: {errno}; it rests for a moment"));
                    self.set_backlog(pause);
                }
                Accepted::Connection(socket, peer) => {
                    let key = self.clients.insert(self.worker.welcome(socket, peer, slot));
                    self.serve(key);
                    self.register(key);
                }
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
        while let Some(key) = self.deadlines.pop_due(now.instant) {
            let Some(client) = self.clients.get_mut(key) else { continue };
            match client.connection.deadline() {
                Some(deadline) if deadline > now.instant => self.deadlines.schedule(key, deadline),
                Some(_) => {
                    client.connection.expire(&now);
                    self.serve(key);
                }
                None => {}
            }
        }
        if let Phase::Serving { backlog: backlog @ Backlog::Paused { .. }, .. } = &mut self.phase
            && matches!(backlog, Backlog::Paused { until } if *until <= now.instant)
        {
            *backlog = Backlog::Waiting;
        }
    }

    /// How long to sleep at most; None for ever.
    fn patience(&mut self) -> Option<Duration> {
        let phase_ends = match self.phase {
            Phase::Serving { backlog: Backlog::Waiting, .. } => return Some(Duration::ZERO),
            Phase::Serving { backlog: Backlog::Paused { until }, .. } | Phase::Draining { until } => Some(until),
            Phase::Serving { backlog: Backlog::Empty, .. } => None,
        };
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [phase_ends, self.deadlines.next()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.worker.clock.now().instant))
    }

    /// Accepts those who are connected already, then closes the door and lets everyone finish.
    fn stop(&mut self) {
        self.set_backlog(Backlog::Waiting);
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

    fn set_backlog(&mut self, to: Backlog) {
        if let Phase::Serving { backlog, .. } = &mut self.phase {
            *backlog = to;
        }
    }
}
