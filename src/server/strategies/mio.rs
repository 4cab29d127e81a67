//! Readiness: ask the kernel once which sockets are ready, then serve only those.
//!
//! ```text
//!   ┌─> epoll_wait: sleep until something is ready
//!   │     ├─ clients that yielded ───────────┐
//!   │     ├─ clients whose socket is ready ──┤          ┌─> Blocked: wait for the next event
//!   │     ├─ clients whose file was read ────┼─> serve ─┼─> Yielded: to the turn queue
//!   │     ├─ clients that have timed out ────┘          └─> Closed: out of the slab
//!   │     ├─ a signal ───────> shut down
//!   │     └─ the listener ───> accept a few connections, serve each at once, register it
//!   └──────── and again, until every client has been served after a signal
//! ```
//!
//! Each socket is registered once, edge-triggered, for both directions. The kernel reports changes
//! only: a client that stops before its socket is drained or full goes to the turn queue, because
//! no event will bring it back. Workers share nothing: each has its own listener (SO_REUSEPORT),
//! epoll instance and slab.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::strategy::{self, Comparison, ConfiguredStrategy, Setup, Strategy};
use crate::format::counted;
use crate::http::Moment;
use crate::option_values::count_up_to;
use crate::server::client::{Client, ReadState};
use crate::server::context::{ServerContext, run_on_threads};
use crate::server::event_loop::EventLoop;
use crate::server::shutdown_signal::ShutdownSignal;
use crate::server::timer_fd::TimerFd;
use crate::server::worker::Worker;
use crate::syscall_stats::Call;

pub static STRATEGY: Strategy = Strategy {
    name: "mio",
    options: strategy::options_of::<Mio>,
    configure: strategy::configure::<Mio>,
    is_event_loop: true,
    waits_with: &[Call::Wait, Call::EpollCtl, Call::SetTimer],
    setups: &[
        Setup::event_loop(&STRATEGY, "mio", &["mio", "--workers", "1"]),
        Setup {
            event_loops: 2,
            comparison: Comparison::None,
            ..Setup::event_loop(&STRATEGY, "mio-2", &["mio", "--workers", "2"])
        },
    ],
};

/// Edge-triggered readiness: one event loop per core sleeps in epoll until sockets become ready.
#[derive(FromArgs, ArgsInfo, Debug)]
struct Mio {
    /// event loops, each with its own thread and listener (default one per core)
    #[argh(option, from_str_fn(count_up_to::<1024>), arg_name = "number")]
    workers: Option<NonZeroUsize>,
}

impl Mio {
    fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(cores).get()
    }
}

impl ConfiguredStrategy for Mio {
    fn description(&self) -> String {
        format!("mio, {}", counted(self.workers(), "worker"))
    }

    fn event_loops(&self) -> usize {
        self.workers()
    }

    fn run(self: Box<Self>, mut server: ServerContext) -> io::Result<()> {
        let event_loops = server.event_loops("worker")?;
        let reactors = event_loops.into_iter().map(|each| Reactor::new(each, &server.shutdown));
        let reactors = reactors.collect::<io::Result<_>>()?;
        server.announce_ready();
        run_on_threads(reactors, Reactor::run)
    }
}

const SHUTDOWN: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);
const LISTENER: Token = Token(usize::MAX - 3);

/// One event loop with its epoll instance.
struct Reactor {
    event_loop: EventLoop,
    poll: Poll,
    timer: TimerFd,
    /// When the timer expires, if it is armed.
    armed: Option<Moment>,
    /// Held open: it becomes readable when a signal arrives.
    _shutdown: UnixStream,
}

impl Reactor {
    fn new(event_loop: EventLoop, shutdown: &ShutdownSignal) -> io::Result<Reactor> {
        let (poll, timer, shutdown) = (Poll::new()?, TimerFd::new()?, shutdown.stream()?);
        for listener in event_loop.accepting_listeners() {
            register(&poll, listener, LISTENER, Interest::READABLE)?;
        }
        register(&poll, &event_loop.waker, WAKER, Interest::READABLE)?;
        register(&poll, &timer, TIMER, Interest::READABLE)?;
        register(&poll, &shutdown, SHUTDOWN, Interest::READABLE)?;
        Ok(Reactor { event_loop, poll, timer, armed: None, _shutdown: shutdown })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.event_loop.is_finished() {
            let timeout = self.arm_timer()?;
            self.event_loop.begin_wait(Call::Wait, timeout);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.event_loop.end_wait(Call::Wait, events.iter().count()),
            }
            for event in &events {
                self.handle(event);
            }
            self.event_loop.serve_ready();
            self.event_loop.expire_timers();
            self.event_loop.accept(register_client(&self.poll));
        }
        self.event_loop.abort();
        Ok(())
    }

    fn handle(&mut self, event: &Event) {
        match event.token() {
            // Accepted at the end of the pass: open connections come before new ones.
            LISTENER => self.event_loop.listener_ready(),
            SHUTDOWN => self.event_loop.begin_shutdown(register_client(&self.poll)),
            WAKER => self.event_loop.handle_wake_up(),
            // Edge-triggered, the expired timer need not be read.
            TIMER => {
                self.event_loop.trace_timer();
                self.armed = None;
            }
            Token(key) => {
                if event.is_error() {
                    self.event_loop.socket_error(key);
                }
                if event.is_read_closed() {
                    self.event_loop.set_read_state(key, ReadState::ReadClosed);
                } else if event.is_readable() {
                    self.event_loop.set_read_state(key, ReadState::MaybeReadable);
                }
                self.event_loop.set_ready(key, event.is_readable(), event.is_writable());
            }
        }
    }

    /// Prepares for the wait: the timeout is zero if there is work to do, and unlimited otherwise,
    /// because the timer ends the wait in time.
    fn arm_timer(&mut self) -> io::Result<Option<Duration>> {
        let Some(next) = self.event_loop.next_timeout() else { return Ok(None) };
        let worker = &mut self.event_loop.worker;
        if next <= worker.clock.now().moment {
            return Ok(Some(Duration::ZERO));
        }
        // A timer that expires earlier stays armed: it costs one wake-up without work, and arming
        // it anew would cost a system call per request.
        if self.armed.is_none_or(|armed| armed > next) {
            worker.stats.count(Call::SetTimer);
            self.timer.arm_at(next.since(Moment::default()))?;
            self.armed = Some(next);
        }
        Ok(None)
    }
}

fn register(poll: &Poll, source: &impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&source.as_fd().as_raw_fd()), token, interest)
}

/// Registers an accepted client for both directions, once and for all.
fn register_client(poll: &Poll) -> impl FnMut(&Worker, usize, &Client) -> io::Result<()> {
    |worker, key, client| {
        worker.stats.count(Call::EpollCtl);
        register(poll, &client.socket, Token(key), Interest::READABLE | Interest::WRITABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_workers_is_from_1_to_1024() {
        for workers in ["1", "2", "1024"] {
            let mio = (STRATEGY.configure)(&["--workers", workers]).expect("the number is valid");
            assert_eq!(mio.event_loops().to_string(), workers);
        }
        for workers in ["0", "1025", "100000000", "-1", "1.5", "two", ""] {
            let configured = (STRATEGY.configure)(&["--workers", workers]);
            let error = configured.expect_err("the number is invalid");
            assert!(error.contains("expected a whole number from 1 to 1024"), "{workers}: {error}");
        }
    }

    #[test]
    fn each_core_has_a_worker_by_default() {
        let cores = std::thread::available_parallelism().expect("the number of cores is known");
        let mio = (STRATEGY.configure)(&[]).expect("every option has a default");
        assert_eq!(mio.event_loops(), cores.get());
    }
}
