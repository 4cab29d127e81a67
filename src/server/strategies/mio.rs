//! Readiness: ask the kernel once which sockets can go on, then serve just those.
//!
//! ```text
//!   ┌─> poll: sleep until a socket is ready, a deadline comes, or a signal
//!   │     ├─ a connection is ready ──> drive it ──> Blocked: the kernel will tell ──┐
//!   │     │                              ^   └───> Yielded: to the ready queue ─────┤
//!   │     ├─ turns of the ready queue ───┘   └───> Closed: out of the slab ─────────┤
//!   │     ├─ the listener is ready ──> accept all, drive each at once, register it ─┤
//!   │     └─ timer_queue that have come                                               │
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
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::http::{CloseReason, Moment};
use crate::server::acceptor::{AcceptOutcome, Acceptor};
use crate::server::clients::Clients;
use crate::server::drive::ReadState;
use crate::server::shutdown_signal::ShutdownSignal;
use crate::server::timer_fd::TimerFd;
use crate::server::worker::Worker;
use crate::syscall_stats::Call;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
const OTHERS: Token = Token(usize::MAX - 2);
const TIMER: Token = Token(usize::MAX - 3);

/// One worker's loop and all it owns.
pub(in crate::server) struct Reactor {
    poll: Poll,
    timer_fd: TimerFd,
    phase: Phase,
    clients: Clients,
    /// How long a stop waits.
    timeout: Duration,
}

enum Phase {
    /// `may_wait`: the listener was ready and is not known to be drained since. Edge-triggered, too: it is told once.
    Serving {
        acceptor: Acceptor,
        may_wait: bool,
        _signal: UnixStream,
    },
    Draining {
        until: Moment,
    },
}

impl Reactor {
    /// A reactor behind `acceptor` that ends in order when it is told to stop. `worker` is given what wakes it.
    pub(in crate::server) fn new(
        acceptor: Acceptor,
        worker: impl FnOnce(Waker) -> Worker,
        stop: &ShutdownSignal,
    ) -> io::Result<Reactor> {
        let (poll, timer_fd, signal) = (Poll::new()?, TimerFd::new()?, stop.waker()?);
        poll.registry().register(
            &mut SourceFd(&acceptor.listener().as_fd().as_raw_fd()),
            LISTENER,
            Interest::READABLE,
        )?;
        poll.registry().register(&mut SourceFd(&signal.as_raw_fd()), STOP, Interest::READABLE)?;
        poll.registry().register(
            &mut SourceFd(&timer_fd.as_fd().as_raw_fd()),
            TIMER,
            Interest::READABLE,
        )?;
        let worker = worker(Waker::new(poll.registry(), OTHERS)?);
        let phase = Phase::Serving { acceptor, may_wait: false, _signal: signal };
        Ok(Reactor {
            poll,
            timer_fd,
            phase,
            clients: Clients::new(worker),
            timeout: stop.timeout(),
        })
    }

    /// Serves until it is told to stop and has finished.
    pub(in crate::server) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.is_finished() {
            let (patience, before) = (self.patience()?, self.clients.len());
            self.clients.worker.stats.count(Call::Wait);
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.clients.worker.clock.tick(),
            }
            self.clients
                .worker
                .stats
                .trace_worker(format_args!("epoll_wait: {} ready", events.iter().count()));
            self.clients.serve_ready();
            for event in &events {
                match event.token() {
                    LISTENER => self.listener_is_ready(),
                    STOP => self.stop(),
                    OTHERS => self.clients.serve_others(),
                    TIMER => self.timer_fd.expired(),
                    Token(key) => {
                        if event.is_error() {
                            self.clients.reset(key);
                        }
                        if event.is_read_closed() {
                            self.clients.set_readable(key, ReadState::ReadClosed);
                        } else if event.is_readable() {
                            self.clients.set_readable(key, ReadState::MaybeReadable);
                        }
                        self.clients.serve(key);
                    }
                }
            }
            self.clients.expire_timers();
            if let (Phase::Serving { acceptor, .. }, true) =
                (&mut self.phase, self.clients.len() < before)
            {
                acceptor.resume();
            }
            self.accept();
        }
        self.clients.abort();
        Ok(())
    }

    /// Takes all that wait. Each is served before it is registered: its request has often come already, and a
    /// connection that is over by then need not be registered at all.
    fn accept(&mut self) {
        while let Phase::Serving { acceptor, may_wait: may_wait @ true, .. } = &mut self.phase {
            match acceptor.accept(&mut self.clients.worker) {
                AcceptOutcome::Accepted(client) => {
                    let registry = self.poll.registry();
                    let Some((key, client)) = self.clients.insert(client) else {
                        continue;
                    };
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let registered = registry.register(
                        &mut SourceFd(&client.socket().as_raw_fd()),
                        Token(key),
                        both,
                    );
                    self.clients.worker.stats.count(Call::EpollCtl);
                    if registered.is_err() {
                        // The kernel's own limit of watches: without one it would never be heard of again.
                        self.clients.end(key, CloseReason::Failed);
                    }
                }
                AcceptOutcome::WouldBlock => *may_wait = false,
                AcceptOutcome::AtCapacity if self.clients.evict_idle() => {}
                AcceptOutcome::AtCapacity => {
                    acceptor.request_eviction(self.clients.worker.clock.now().moment)
                }
                AcceptOutcome::BackingOff => return,
            }
        }
    }

    fn listener_is_ready(&mut self) {
        if let Phase::Serving { may_wait, .. } = &mut self.phase {
            *may_wait = true;
        }
    }

    /// How long to sleep: not at all, or until something happens, which may be the timer_fd.
    fn patience(&mut self) -> io::Result<Option<Duration>> {
        let now = self.clients.worker.clock.now().moment;
        let phase_changes = match &self.phase {
            Phase::Serving { acceptor, may_wait: true, .. } => {
                Some(acceptor.backoff_until().unwrap_or(now))
            }
            Phase::Serving { may_wait: false, .. } => None,
            Phase::Draining { until } => Some(*until),
        };
        match [phase_changes, self.clients.next_timeout()].into_iter().flatten().min() {
            Some(next) if next <= now => Ok(Some(Duration::ZERO)),
            Some(next) => self.timer_fd.set(next, &self.clients.worker.stats).map(|()| None),
            None => Ok(None),
        }
    }

    /// Accepts those who are connected already, then closes the acceptor and lets everyone finish.
    fn stop(&mut self) {
        self.listener_is_ready();
        self.accept();
        self.phase =
            Phase::Draining { until: self.clients.worker.clock.now().moment + self.timeout };
        self.clients.graceful_shutdown();
    }

    fn is_finished(&mut self) -> bool {
        let now = self.clients.worker.clock.now().moment;
        matches!(self.phase, Phase::Draining { until } if self.clients.len() == 0 || until <= now)
    }
}
