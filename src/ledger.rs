//! The account that a worker keeps of its own system calls, and the trace that tells them one by one.
//!
//! Every call into the kernel for a socket or a file of the site is entered here when it is made, so that
//! what a strategy claims to cost can be held against strace. Only the worker itself writes its
//! counters; anyone may read them at any time.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::{Errno, Result};

/// The system calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(usize)]
pub enum Call {
    Accept,
    Recv,
    Send,
    Sendfile,
    Shutdown,
    Setsockopt,
    Close,
    Wait,
    EpollCtl,
    Open,
    Stat,
    Read,
    Sleep,
    Fork,
}

const CALLS: usize = Call::Fork as usize + 1;

/// The account of one worker.
#[derive(Debug, Default)]
pub struct Ledger {
    made: [AtomicU64; CALLS],
    would_block: AtomicU64,
    /// The worker's name in the trace; None where nothing is traced.
    tracer: Option<String>,
}

impl Ledger {
    /// An account in the name of `worker`, each entry told on stderr if `trace` is set.
    pub fn new(worker: &str, trace: bool) -> Ledger {
        Ledger { tracer: trace.then(|| worker.to_owned()), ..Ledger::default() }
    }

    /// Enters a call that is not about one connection.
    pub fn count(&self, call: Call) {
        // One writer: a plain load and store are enough, and cheaper than a locked addition.
        let made = &self.made[call as usize];
        made.store(made.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Enters a call that moves bytes of `connection`, and what came of it.
    pub fn transfer(&self, call: Call, connection: ConnectionId, result: Result<usize>) {
        self.count(call);
        if result == Err(Errno::AGAIN) {
            self.would_block.store(self.would_block.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        if self.tracer.is_some() {
            let name = match call {
                Call::Recv => "recv",
                Call::Send => "send",
                Call::Sendfile => "sendfile",
                _ => "transfer",
            };
            match result {
                Ok(0) if call == Call::Recv => self.tell(connection, format_args!("recv: end of input")),
                Ok(bytes) => self.tell(connection, format_args!("{name} {bytes} bytes")),
                Err(Errno::AGAIN) => self.tell(connection, format_args!("{name}: would block")),
                Err(error) => self.tell(connection, format_args!("{name}: {error}")),
            }
        }
    }

    /// Enters an accepted connection.
    pub fn accepted(&self, connection: ConnectionId, peer: Option<SocketAddr>) {
        match peer {
            Some(peer) => self.tell(connection, format_args!("accept from {peer}")),
            None => self.tell(connection, format_args!("accept")),
        }
    }

    /// Tells something about `connection`, if anything is told.
    pub fn tell(&self, connection: ConnectionId, what: fmt::Arguments<'_>) {
        if let Some(worker) = &self.tracer {
            write_line(format_args!("{worker} #{connection} {what}"));
        }
    }

    /// Tells something about the worker itself, if anything is told.
    pub fn tell_of_worker(&self, what: fmt::Arguments<'_>) {
        if let Some(worker) = &self.tracer {
            write_line(format_args!("{worker} {what}"));
        }
    }

    /// How often `call` was made.
    pub fn made(&self, call: Call) -> u64 {
        self.made[call as usize].load(Ordering::Relaxed)
    }

    /// How often a transfer would have blocked.
    pub fn would_block(&self) -> u64 {
        self.would_block.load(Ordering::Relaxed)
    }
}

/// One write, so that the lines of several workers don't mix. A trace that nobody reads any more is
/// no reason to stop serving.
fn write_line(what: fmt::Arguments<'_>) {
    let mut line = String::with_capacity(80);
    let _ = writeln!(line, "{what}");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A number for people: the how-manieth connection of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
