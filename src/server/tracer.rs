//! `--trace`: one line on stderr for each step of a worker. No line has bytes that a peer chose.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use rustix::io::{Errno, Result};

use super::line_writer::write_lines;
use crate::syscall_stats::Call;

/// The number of a connection among those that its worker has accepted. It is never reused, so it
/// also tells a connection from a later one with the same slab key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Prints the steps of one worker under its name, or nothing unless `--trace` is set.
#[derive(Clone, Debug)]
pub struct Tracer {
    worker: Option<String>,
}

impl Tracer {
    /// A tracer for the worker called `worker`.
    pub fn new(worker: &str, is_enabled: bool) -> Tracer {
        Tracer { worker: is_enabled.then(|| worker.to_owned()) }
    }

    /// Prints a step that concerns the worker itself.
    pub fn trace_worker(&self, step: fmt::Arguments<'_>) {
        if let Some(worker) = &self.worker {
            print_line(format_args!("{worker} {step}"));
        }
    }

    /// Prints a step that concerns one connection.
    pub fn trace(&self, connection: ConnectionId, step: fmt::Arguments<'_>) {
        if let Some(worker) = &self.worker {
            print_line(format_args!("{worker} #{connection} {step}"));
        }
    }

    /// Prints an accepted connection.
    pub fn trace_accept(&self, connection: ConnectionId, peer: Option<SocketAddr>) {
        match peer {
            Some(peer) => self.trace(connection, format_args!("accept from {peer}")),
            None => self.trace(connection, format_args!("accept")),
        }
    }

    /// Prints the result of a call that transfers bytes.
    #[inline]
    pub fn trace_transfer(&self, connection: ConnectionId, call: Call, result: Result<usize>) {
        if self.worker.is_some() {
            self.print_transfer(connection, call, result);
        }
    }

    #[cold]
    fn print_transfer(&self, connection: ConnectionId, call: Call, result: Result<usize>) {
        let name = match call {
            Call::Recv => "recv",
            Call::Send | Call::Sendmsg => "send",
            Call::Sendfile => "sendfile",
            _ => "transfer",
        };
        match result {
            Ok(0) if call == Call::Recv => {
                self.trace(connection, format_args!("recv: end of input"))
            }
            Ok(bytes) => self.trace(connection, format_args!("{name} {bytes} bytes")),
            Err(Errno::AGAIN) => self.trace(connection, format_args!("{name}: would block")),
            Err(error) => self.trace(connection, format_args!("{name}: {error}")),
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
