//! `--trace`: one line on stderr for each step of a worker. A comparison records the same steps in
//! shared memory instead ([`Recording`]), so that its pictures cannot differ from the lines.
//!
//! A line has the time since the start in seconds, the worker, the connection if there is one, and
//! the step:
//!
//! ```text
//! 1.204177 worker 0 waits in epoll_wait for the listener, #1 to read
//! 1.254301 worker 0 wakes from epoll_wait after 50.1 ms: 1 ready
//! 1.254306 worker 0 #1 readable
//! 1.254318 worker 0 #1 recv 78 bytes
//! 1.254324 worker 0 #1 request GET /page.html
//! ```
//!
//! Invariants:
//! - The only bytes of a line that a peer chose are the method and the target of a request. They
//!   are escaped and cut, so that no terminal acts on them and no line is longer than a screen.
//! - Times of one worker never decrease. Lines of different threads may be out of order by a few
//!   microseconds.
//! - A loop that never sleeps prints no line for a pass in which nothing happened. When something
//!   happens, one line says how often it has tried its sockets before.
//! - Without `--trace`, a step costs one comparison.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::time::Duration;

use rustix::io::{Errno, Result};

use super::clock::read_monotonic;
use super::line_writer::write_lines;
use super::trace_event::TraceEvent;
use crate::http::Moment;
use crate::syscall_stats::Call;
use crate::trace_recording::{RecordedStep, Recording};

/// The number of a connection among those that its worker has accepted. It is never reused, so it
/// also tells a connection from a later one with the same slab key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What becomes of the steps of a server.
#[derive(Debug, Default)]
pub enum Trace {
    /// They are not traced.
    #[default]
    Off,
    /// They are printed on stderr.
    Stderr,
    /// They are recorded in a file, shared with the process that opened it.
    Recording(File),
}

/// Where the steps of all workers go.
#[derive(Clone, Copy, Debug)]
pub enum TraceSink {
    Off,
    Stderr { start: Moment },
    Recording(&'static Recording),
}

impl TraceSink {
    pub fn stderr() -> TraceSink {
        TraceSink::Stderr { start: read_monotonic() }
    }
}

/// How the calls of a worker on its sockets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferMode {
    /// They sleep, which the trace says beforehand.
    Blocking,
    NonBlocking,
}

/// Prints or records the steps of one worker under its name.
#[derive(Debug)]
pub struct Tracer {
    active: Option<Box<ActiveTracer>>,
}

#[derive(Debug)]
struct ActiveTracer {
    sink: WorkerSink,
    mode: TransferMode,
    wait_began: Cell<Moment>,
    /// Passes in which nothing happened, and that no line has reported yet.
    idle_passes: Cell<Option<IdlePasses>>,
    /// Whether a loop tries its sockets without knowing that they are ready.
    is_polling: Cell<bool>,
    /// The connection of the last step, until that has been reported to block.
    recent: Cell<Option<ConnectionId>>,
}

#[derive(Debug)]
enum WorkerSink {
    Stderr { worker: String, start: Moment },
    Recording { recording: &'static Recording, worker: u16 },
}

#[derive(Clone, Copy, Debug)]
struct IdlePasses {
    since: Moment,
    passes: u64,
    sockets: usize,
    slept: Duration,
}

impl Tracer {
    /// A tracer for the worker called `worker`.
    pub fn new(worker: &str, sink: TraceSink, mode: TransferMode) -> Tracer {
        let sink = match sink {
            TraceSink::Off => return Tracer { active: None },
            TraceSink::Stderr { start } => WorkerSink::Stderr { worker: worker.to_owned(), start },
            TraceSink::Recording(recording) => {
                WorkerSink::Recording { recording, worker: recording.add_worker(worker) }
            }
        };
        let active = ActiveTracer {
            sink,
            mode,
            wait_began: Cell::default(),
            idle_passes: Cell::default(),
            is_polling: Cell::default(),
            recent: Cell::default(),
        };
        Tracer { active: Some(Box::new(active)) }
    }

    /// Whether a step is printed or recorded. What is costly to describe is described only then.
    pub fn is_enabled(&self) -> bool {
        self.active.is_some()
    }

    /// Traces a step that concerns the worker itself.
    #[inline]
    pub fn trace_worker(&self, event: TraceEvent<'_>) {
        if let Some(active) = &self.active {
            active.trace(None, &event);
        }
    }

    /// Traces a step that concerns one connection.
    #[inline]
    pub fn trace(&self, connection: ConnectionId, event: TraceEvent<'_>) {
        if let Some(active) = &self.active {
            active.trace(Some(connection), &event);
        }
    }

    /// Traces that a call on a connection may sleep now, unless its socket never lets it.
    #[inline]
    pub fn trace_call(&self, connection: ConnectionId, call: Call) {
        if let Some(active) = &self.active
            && active.mode == TransferMode::Blocking
        {
            active.trace(Some(connection), &TraceEvent::Waits { call });
        }
    }

    /// Traces the result of a call that transfers bytes.
    #[inline]
    pub fn trace_transfer(&self, connection: ConnectionId, call: Call, result: Result<usize>) {
        if let Some(active) = &self.active {
            active.trace_transfer(connection, call, result);
        }
    }

    /// Traces that an event loop waits in `call`, for at most `timeout`. `sockets` describes for
    /// which.
    pub fn begin_wait(
        &self,
        call: Call,
        timeout: Option<Duration>,
        sockets: impl FnOnce() -> String,
    ) {
        if let Some(active) = &self.active {
            let event = match timeout {
                Some(Duration::ZERO) => TraceEvent::Asks { call, sockets: &sockets() },
                _ => TraceEvent::WaitBegins { call, sockets: &sockets() },
            };
            active.trace(None, &event);
            active.wait_began.set(read_monotonic());
        }
    }

    /// Traces that the wait has ended, and how many sockets are ready.
    pub fn end_wait(&self, call: Call, ready: usize) {
        if let Some(active) = &self.active {
            let waited = read_monotonic().since(active.wait_began.get());
            active.trace(None, &TraceEvent::WaitEnds { call, ready, waited });
        }
    }

    /// Says whether the calls that follow try sockets that need not be ready. While they do, a call
    /// that would block is traced only if it follows a step of the same connection.
    pub fn set_polling(&self, is_polling: bool) {
        if let Some(active) = &self.active {
            active.is_polling.set(is_polling);
        }
    }

    /// Counts a pass over `sockets` in which nothing happened, and after which the loop sleeps for
    /// `pause`. The next step tells how many there were.
    #[inline]
    pub fn trace_idle_pass(&self, sockets: usize, pause: Duration) {
        if let Some(active) = &self.active {
            active.count_idle_pass(sockets, pause);
        }
    }
}

impl ActiveTracer {
    #[cold]
    fn trace(&self, connection: Option<ConnectionId>, event: &TraceEvent<'_>) {
        let now = read_monotonic();
        if let Some(IdlePasses { since, passes, sockets, slept }) = self.idle_passes.take() {
            let polled = TraceEvent::Polled { sockets, passes, slept, time: now.since(since) };
            self.write(now, None, &polled);
        }
        self.write(now, connection, event);
        self.recent.set(connection);
    }

    #[cold]
    fn trace_transfer(&self, connection: ConnectionId, call: Call, result: Result<usize>) {
        let event = match result {
            Ok(0) if call == Call::Recv => TraceEvent::InputEnds,
            Ok(bytes) => TraceEvent::Transfers { call, bytes },
            Err(errno) => TraceEvent::Fails { call, errno },
        };
        let would_block = result == Err(Errno::AGAIN);
        if !would_block {
            self.trace(Some(connection), &event);
        } else if !self.is_polling.get() || self.recent.get() == Some(connection) {
            self.trace(Some(connection), &event);
            self.recent.set(None);
        }
    }

    #[cold]
    fn count_idle_pass(&self, sockets: usize, pause: Duration) {
        let none =
            || IdlePasses { since: read_monotonic(), passes: 0, sockets, slept: Duration::ZERO };
        let before = self.idle_passes.get().unwrap_or_else(none);
        let (passes, slept) = (before.passes + 1, before.slept + pause);
        self.idle_passes.set(Some(IdlePasses { passes, sockets, slept, ..before }));
    }

    fn write(&self, now: Moment, connection: Option<ConnectionId>, event: &TraceEvent<'_>) {
        match &self.sink {
            WorkerSink::Stderr { worker, start } => {
                let time = now.since(*start).as_secs_f64();
                match connection {
                    Some(id) => print_line(format_args!("{time:.6} {worker} #{id} {event}")),
                    None => print_line(format_args!("{time:.6} {worker} {event}")),
                }
            }
            WorkerSink::Recording { recording, worker } => {
                if let Some((kind, amount, time)) = event.recorded() {
                    recording.push(&RecordedStep {
                        time_us: now.since(Moment::default()).as_micros() as u64,
                        worker: *worker,
                        connection: connection.map_or(0, |id| id.0 as u32),
                        kind,
                        amount,
                        duration_us: time.as_micros() as u64,
                    });
                }
            }
        }
    }
}

/// Prints one line with one write, so that the lines of several workers do not mix. A closed stderr
/// ends the trace and not the server.
fn print_line(line: fmt::Arguments<'_>) {
    let mut text = String::with_capacity(80);
    let _ = writeln!(text, "{line}");
    let _ = write_lines(std::io::stderr(), text.as_bytes(), || ());
}
