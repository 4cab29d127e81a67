//! What all event loops share: the clients, the order in which they are served, and the life cycle.
//!
//! ```text
//!   Serving ──shutdown signal──> Draining ──no client left, or timeout──> finished
//!      │ accepts and serves         │ accepts nothing; each client gets the responses to the
//!      └─ evicts at the limit       └─ requests that it has sent
//! ```
//!
//! A strategy decides how to wait for readiness and calls this module when something is ready; this
//! module never waits.
//!
//! Invariants:
//! 1. A client is in the slab from accept to close, under one key.
//! 2. A client that has a timeout is in the timer queue; one that can continue is in the turn
//!    queue.
//! 3. What this module does for one client at a time is bounded by a turn of `drive`, the number of
//!    connections that it accepts at a time by [`ACCEPTS_PER_PASS`], and the work for TLS
//!    handshakes between two waits by [`HANDSHAKE_STEPS_PER_PASS`].

use std::io;
use std::time::Duration;

use slab::Slab;

use super::acceptor::{AcceptOutcome, Acceptor};
use super::client::{Client, Interest, ReadState, TURN_BYTES_MAX};
use super::drive::{DriveOutcome, drive, drive_with_timeout};
use super::eviction;
use super::listener::Listener;
use super::timer_queue::TimerQueue;
use super::trace_event::{ReadySource, TraceEvent};
use super::turn_queue::TurnQueue;
use super::waker::Waker;
use super::worker::Worker;
use crate::format::counted;
use crate::http::{CloseReason, Moment};
use crate::syscall_stats::{Call, Event};

/// The connections accepted per pass. Each is served at once, so an unbounded number would keep all
/// other clients, the timers and the shutdown signal waiting under a stream of new connections.
/// nginx accepts one per wake-up; a few share the cost of the wait.
const ACCEPTS_PER_PASS: usize = 4;

/// The steps of TLS handshakes per pass. One takes from 0.1 ms (a key exchange and a signature with
/// P-256) to 0.4 ms (RSA with 2,048 bits): long compared with the fixed cost of a pass, and short
/// enough that other clients need not wait for more than one.
const HANDSHAKE_STEPS_PER_PASS: u64 = 1;

/// How long a shutdown accepts connections that were in the backlog when it began.
const LAST_ACCEPTS_TIME: Duration = Duration::from_millis(200);

/// The clients of one event loop, and the worker that serves them.
#[derive(Debug)]
pub struct EventLoop {
    pub worker: Worker,
    /// Readable when another thread has something for this loop: call
    /// [`EventLoop::handle_wake_up`].
    pub waker: Waker,
    clients: Slab<Client>,
    turns: TurnQueue,
    timers: TimerQueue,
    phase: Phase,
    shutdown_timeout: Duration,
}

#[derive(Debug)]
enum Phase {
    Serving {
        acceptor: Acceptor,
        /// Whether the backlog may hold connections: the listener was reported readable and has not
        /// been drained since. Edge-triggered waiting reports it only once.
        may_accept: bool,
    },
    Draining {
        until: Moment,
    },
}

impl EventLoop {
    pub fn new(
        worker: Worker,
        acceptor: Acceptor,
        waker: Waker,
        shutdown_timeout: Duration,
    ) -> EventLoop {
        EventLoop {
            worker,
            waker,
            clients: Slab::new(),
            turns: TurnQueue::default(),
            timers: TimerQueue::default(),
            phase: Phase::Serving { acceptor, may_accept: false },
            shutdown_timeout,
        }
    }

    /// Whether there is nothing left to do: the server is shutting down, and every client has been
    /// served or the shutdown timeout has passed.
    pub fn is_finished(&mut self) -> bool {
        let now = self.now();
        match self.phase {
            Phase::Serving { .. } => false,
            Phase::Draining { until } => self.clients.is_empty() || until <= now,
        }
    }

    /// The listeners to wait for: none while the acceptor backs off, and none while draining.
    pub fn accepting_listeners(&self) -> &[Listener] {
        match &self.phase {
            Phase::Serving { acceptor, .. } if acceptor.backoff_until().is_none() => {
                acceptor.listeners()
            }
            Phase::Serving { .. } | Phase::Draining { .. } => &[],
        }
    }

    /// When the loop must wake up even if no event arrives. A past moment means immediately.
    pub fn next_timeout(&mut self) -> Option<Moment> {
        let now = self.now();
        let phase_changes = match &self.phase {
            Phase::Serving { acceptor, may_accept: true } => {
                Some(acceptor.backoff_until().unwrap_or(now))
            }
            Phase::Serving { may_accept: false, .. } => None,
            Phase::Draining { until } => Some(*until),
        };
        let client_due = if self.turns.is_empty() { self.timers.next_timeout() } else { Some(now) };
        [phase_changes, client_due].into_iter().flatten().min()
    }

    /// Records that the backlog may hold connections.
    pub fn set_acceptable(&mut self) {
        if let Phase::Serving { may_accept, .. } = &mut self.phase {
            *may_accept = true;
        }
    }

    /// Accepts at most [`ACCEPTS_PER_PASS`] connections; the rest of the backlog waits for the next
    /// pass. Each is served before `register` is called: its request has often arrived already, and
    /// a connection that is over by then is not registered.
    pub fn accept(&mut self, mut register: impl FnMut(&Worker, usize, &Client) -> io::Result<()>) {
        for _ in 0..ACCEPTS_PER_PASS {
            if !self.accept_one(&mut register) {
                return;
            }
        }
    }

    /// Accepts from the backlog for a moment, closes the listener, and lets every client finish.
    /// Does nothing if the shutdown has begun already.
    pub fn begin_shutdown(
        &mut self,
        mut register: impl FnMut(&Worker, usize, &Client) -> io::Result<()>,
    ) {
        if matches!(self.phase, Phase::Draining { .. }) {
            return;
        }
        self.worker.tracer.trace_worker(TraceEvent::Ready(ReadySource::Shutdown));
        self.set_acceptable();
        let accept_until = self.now() + LAST_ACCEPTS_TIME.min(self.shutdown_timeout);
        while self.now() < accept_until && self.accept_one(&mut register) {
            self.worker.clock.tick();
        }
        self.phase = Phase::Draining { until: self.now() + self.shutdown_timeout };
        let now = *self.worker.clock.now();
        for key in self.keys() {
            self.clients[key].graceful_shutdown(CloseReason::Stopping, &now);
            self.serve_or_queue(key);
        }
    }

    /// Closes every client that is left, without waiting for its responses.
    pub fn abort(&mut self) {
        for key in self.keys() {
            self.close(key, CloseReason::Stopping);
        }
    }

    /// Records what the kernel has reported about a client's input. A stale event may name a key
    /// that a new client reuses; it costs that client one `recv` that returns EAGAIN.
    pub fn set_read_state(&mut self, key: usize, read_state: ReadState) {
        if let Some(client) = self.clients.get_mut(key) {
            client.set_read_state(read_state);
        }
    }

    /// Records that the kernel has reported an error on a client's socket.
    pub fn socket_error(&mut self, key: usize) {
        if let Some(client) = self.clients.get_mut(key) {
            client.socket_error();
        }
    }

    /// Records that a listener is ready, and that the backlog may hold connections.
    pub fn listener_ready(&mut self) {
        self.worker.tracer.trace_worker(TraceEvent::Ready(ReadySource::Listener));
        self.set_acceptable();
    }

    /// Records that a client's socket is ready, and for the trace for what;
    /// [`EventLoop::serve_ready`] serves it.
    pub fn set_ready(&mut self, key: usize, readable: bool, writable: bool) {
        if let Some(client) = self.clients.get_mut(key) {
            let source = ReadySource::Client { readable, writable };
            self.worker.tracer.trace(client.id, TraceEvent::Ready(source));
            self.turns.add_woken(client);
        }
    }

    /// Serves the clients that are ready. Those that wait for input get one turn each. Those that
    /// continue get turns until one of them uses up its turn, or they have moved as many bytes
    /// together: then it is time to look for new requests.
    pub fn serve_ready(&mut self) {
        while let Some(key) = self.turns.next_awaiting_input() {
            self.serve_if_queued(key);
        }
        let progress_before = self.worker.progress;
        let mut left = self.turns.continuing();
        while left > 0
            && let Some(key) = self.turns.next_continuing()
        {
            self.serve_if_queued(key);
            let client = self.clients.get(key);
            let has_yielded = client.is_some_and(|client| client.is_queued);
            let bytes_max = client.map_or(TURN_BYTES_MAX, |c| c.transport.turn_bytes_max());
            let is_over = has_yielded || self.worker.progress - progress_before >= bytes_max;
            left = if is_over { 0 } else { left - 1 };
        }
        self.serve_handshaking();
    }

    /// Gives every client one turn, as if each were readable.
    pub fn serve_all(&mut self) {
        self.turns.clear();
        self.worker.tracer.set_polling(true);
        for key in 0..self.clients.capacity() {
            self.set_read_state(key, ReadState::MaybeReadable);
            self.serve_or_queue(key);
        }
        self.serve_handshaking();
        self.worker.tracer.set_polling(false);
    }

    /// Counts and traces that the strategy now waits in `call`, for at most `timeout`.
    pub fn begin_wait(&self, call: Call, timeout: Option<Duration>) {
        self.worker.stats.count(call);
        self.worker.tracer.begin_wait(call, timeout, || self.awaited_sockets());
    }

    /// Traces that the wait has ended and how many sockets are ready, and reads the clock for the
    /// pass that begins.
    pub fn end_wait(&mut self, call: Call, ready: usize) {
        self.worker.clock.tick();
        self.worker.tracer.end_wait(call, ready);
    }

    /// Traces that a timer has ended the wait.
    pub fn trace_timer(&self) {
        self.worker.tracer.trace_worker(TraceEvent::Ready(ReadySource::Timer));
    }

    /// Traces that nothing happened in a pass over all sockets, and that the strategy sleeps for
    /// `pause` now.
    pub fn trace_idle_pass(&self, pause: Duration) {
        let sockets = self.accepting_listeners().len() + self.clients.len();
        self.worker.tracer.trace_idle_pass(sockets, pause);
    }

    /// Does what other threads have asked for: evicts connections if a worker still waits for a
    /// permit, accepts again once another worker has closed one, and delivers completed jobs. A
    /// completion whose client has been closed is dropped.
    pub fn handle_wake_up(&mut self) {
        if self.worker.take_eviction_request()
            && let Phase::Serving { acceptor, .. } = &self.phase
            && acceptor.is_permit_awaited()
        {
            self.worker.tracer.trace_worker(TraceEvent::Ready(ReadySource::EvictionRequest));
            self.evict();
        }
        if self.worker.take_permit_offer()
            && let Phase::Serving { acceptor, .. } = &mut self.phase
        {
            self.worker.tracer.trace_worker(TraceEvent::Ready(ReadySource::Permit));
            acceptor.resume();
        }
        for (client_key, completion) in self.worker.take_completions() {
            let key = client_key.slab_key;
            if let Some(client) = self.clients.get_mut(key)
                && client.id == client_key.id
            {
                self.worker.tracer.trace(client.id, TraceEvent::JobEnds);
                client.complete(completion, self.worker.clock.now());
                self.turns.add_completed(client);
            }
        }
    }

    /// Handles the timeouts that have passed. Each client gets one more attempt to read and write
    /// first: the kernel reports a socket writable only when a third of its buffer is free, so a
    /// slow reader may have made progress that no event has shown.
    pub fn expire_timers(&mut self) {
        let now = *self.worker.clock.now();
        let deadline_of =
            |clients: &Slab<Client>, key| clients.get(key).and_then(|c| c.connection.deadline());
        while let Some(key) = self.timers.pop_due(now.moment, |key| deadline_of(&self.clients, key))
        {
            self.set_read_state(key, ReadState::MaybeReadable);
            self.serve_with(key, |client, worker| drive_with_timeout(client, worker, &now));
        }
    }

    /// The clients with their keys, in the order of the keys.
    pub fn clients(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.clients.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Accepts and serves one connection, or makes room for it. False if there is nothing to accept
    /// now.
    fn accept_one(
        &mut self,
        register: &mut impl FnMut(&Worker, usize, &Client) -> io::Result<()>,
    ) -> bool {
        let Phase::Serving { acceptor, may_accept: may_accept @ true } = &mut self.phase else {
            return false;
        };
        match acceptor.accept(&mut self.worker) {
            AcceptOutcome::Accepted(client) => {
                let key = self.insert(client);
                self.serve_or_queue(key);
                if let Some(client) = self.clients.get(key)
                    && register(&self.worker, key, client).is_err()
                {
                    // ENOSPC, the kernel's limit of watches: no event would ever arrive.
                    self.close(key, CloseReason::Failed);
                }
            }
            AcceptOutcome::Rejected => {}
            AcceptOutcome::WouldBlock => *may_accept = false,
            AcceptOutcome::AtCapacity if self.evict() => {}
            AcceptOutcome::AtCapacity => {
                let now = self.now();
                if let Phase::Serving { acceptor, .. } = &mut self.phase {
                    acceptor.await_permit(now);
                }
            }
            AcceptOutcome::BackingOff => return false,
        }
        true
    }

    fn insert(&mut self, mut client: Client) -> usize {
        let entry = self.clients.vacant_entry();
        let key = entry.key();
        client.slab_key = key;
        entry.insert(client);
        key
    }

    /// Gives a client one turn.
    fn serve(&mut self, key: usize) {
        self.serve_with(key, drive);
    }

    /// The same, but a client whose TLS handshake is not complete is queued for it instead.
    fn serve_or_queue(&mut self, key: usize) {
        match self.clients.get_mut(key) {
            Some(client) if client.transport.awaits_handshake() => self.turns.add_woken(client),
            _ => self.serve(key),
        }
    }

    /// Serves handshaking clients until [`HANDSHAKE_STEPS_PER_PASS`] steps have been done.
    fn serve_handshaking(&mut self) {
        let steps_max = self.worker.handshake_steps + HANDSHAKE_STEPS_PER_PASS;
        for _ in 0..self.turns.handshaking() {
            if self.worker.handshake_steps >= steps_max {
                return;
            }
            let Some(key) = self.turns.next_handshaking() else { return };
            self.serve_if_queued(key);
        }
    }

    /// Gives a client a turn, unless it has had one since it was queued, or is closed.
    fn serve_if_queued(&mut self, key: usize) {
        if self.clients.get(key).is_some_and(|client| client.is_queued) {
            self.serve(key);
        }
    }

    fn serve_with(
        &mut self,
        key: usize,
        drive: impl FnOnce(&mut Client, &mut Worker) -> DriveOutcome,
    ) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.is_queued = false;
        match drive(client, &mut self.worker) {
            DriveOutcome::Closed => return self.remove(key),
            DriveOutcome::Yielded => self.turns.add_yielded(client),
            DriveOutcome::Blocked => {}
        }
        if let Some(deadline) = client.connection.deadline() {
            self.timers.schedule(key, deadline);
        }
    }

    /// Closes some connections to make room for others; false if none can be closed now.
    fn evict(&mut self) -> bool {
        let now = self.now();
        let candidate =
            |(key, client): (usize, &Client)| (key, client.connection.eviction_candidate());
        let chosen = eviction::choose(self.clients.iter().map(candidate), now);
        let mut has_closed = false;
        for key in chosen {
            let connection = &mut self.clients[key].connection;
            if !connection.is_ending() {
                self.worker.stats.count_event(Event::Evicted);
            }
            let candidate = connection.eviction_candidate();
            if candidate.is_some_and(|candidate| eviction::is_closed_at_once(&candidate, now)) {
                connection.evict();
                self.serve(key);
                has_closed = true;
            } else {
                connection.graceful_shutdown(CloseReason::Evicted, self.worker.clock.now());
            }
        }
        has_closed
    }

    /// Closes a client and logs a partly sent response.
    fn close(&mut self, key: usize, reason: CloseReason) {
        if let Some(client) = self.clients.get_mut(key) {
            client.connection.fail(reason);
            self.serve(key);
        }
    }

    fn remove(&mut self, key: usize) {
        self.clients.remove(key);
        if let Phase::Serving { acceptor, .. } = &mut self.phase {
            acceptor.resume();
        }
    }

    /// What a wait is for, such as "the listener, #1 to read, #2 to write".
    fn awaited_sockets(&self) -> String {
        // More would not fit on a screen.
        const CLIENTS_MAX: usize = 8;
        let listeners = match self.accepting_listeners().len() {
            0 => None,
            1 => Some("the listener".to_owned()),
            several => Some(format!("{several} listeners")),
        };
        let clients = self.clients.iter().map(|(_, client)| match client.interest() {
            Interest::Read => format!("#{} to read", client.id),
            Interest::Write => format!("#{} to write", client.id),
            Interest::None => format!("the pool to serve #{}", client.id),
        });
        let more = self.clients.len().saturating_sub(CLIENTS_MAX);
        let more = (more > 0).then(|| counted(more as u64, "more client"));
        let all: Vec<String> =
            listeners.into_iter().chain(clients.take(CLIENTS_MAX)).chain(more).collect();
        if all.is_empty() { "a signal".to_owned() } else { all.join(", ") }
    }

    fn keys(&self) -> Vec<usize> {
        self.clients.iter().map(|(key, _)| key).collect()
    }

    fn now(&mut self) -> Moment {
        self.worker.clock.now().moment
    }
}
