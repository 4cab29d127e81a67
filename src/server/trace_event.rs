//! The steps of a worker, and the words for them: the one place that says how a step is printed and
//! what is recorded of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

use super::tls::TlsParameters;
use crate::format::{self, counted, printable};
use crate::http::CloseReason;
use crate::syscall_stats::Call;
use crate::trace_recording::StepKind;

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum TraceEvent<'a> {
    /// An event loop begins to wait for `sockets`.
    WaitBegins {
        call: Call,
        sockets: &'a str,
    },
    /// An event loop has work left, and asks only what else is ready.
    Asks {
        call: Call,
        sockets: &'a str,
    },
    /// An event loop continues.
    WaitEnds {
        call: Call,
        ready: usize,
        waited: Duration,
    },
    /// What has ended the wait.
    Ready(ReadySource),
    /// An event loop has tried all sockets, over and over.
    Polled {
        sockets: usize,
        passes: u64,
        /// How long it meant to sleep between the passes.
        slept: Duration,
        time: Duration,
    },
    /// A call on a blocking socket may sleep now.
    Waits {
        call: Call,
    },
    Accepted {
        peer: Option<SocketAddr>,
    },
    /// The address of the client has too many connections.
    Rejected,
    ProxyHeader {
        address: IpAddr,
    },
    /// The TLS handshake is complete.
    TlsBegins {
        parameters: TlsParameters,
        resumed: bool,
    },
    TlsFails(&'a dyn std::error::Error),
    /// What the connection sends is encrypted by the kernel from now on.
    KernelEncrypts,
    /// A thread or process for a connection.
    Starts(&'static str),
    Transfers {
        call: Call,
        bytes: usize,
    },
    InputEnds,
    Fails {
        call: Call,
        errno: Errno,
    },
    /// The request line, as received.
    Request(&'a [u8]),
    /// The status of a response that is sent next.
    Response(u16),
    /// What the pool does for a connection.
    Offloaded(&'static str),
    JobEnds,
    HalfCloses,
    Closes(CloseReason),
    /// Something that the system cannot do now is tried again later.
    BacksOff {
        what: &'static str,
        error: &'a dyn std::error::Error,
    },
}

/// What can end the wait of an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadySource {
    Listener,
    Client {
        readable: bool,
        writable: bool,
    },
    /// Another worker needs a connection closed. The end of a job has a line of its own.
    EvictionRequest,
    /// A connection of some worker has closed, while this one or another was at the limit.
    Permit,
    Timer,
    Shutdown,
}

/// A longer request line is cut.
const REQUEST_CHARS_MAX: usize = 120;

impl TraceEvent<'_> {
    /// The kind of the step, an amount, and the time that it ends, as a recording has them. None if
    /// it has no place in a timeline.
    pub fn recorded(&self) -> Option<(StepKind, u64, Duration)> {
        let at_once = Duration::ZERO;
        Some(match *self {
            TraceEvent::WaitBegins { .. } => (StepKind::WaitsForReadiness, 0, at_once),
            TraceEvent::WaitEnds { ready, waited, .. } => (StepKind::Woken, ready as u64, waited),
            TraceEvent::Polled { passes, time, .. } => (StepKind::Polled, passes, time),
            TraceEvent::Waits { call: Call::Accept } => (StepKind::WaitsInAccept, 0, at_once),
            TraceEvent::Waits { call: Call::Recv } => (StepKind::WaitsInRecv, 0, at_once),
            TraceEvent::Waits { .. } => (StepKind::WaitsInSend, 0, at_once),
            TraceEvent::Accepted { peer } => {
                (StepKind::Accepted, peer.map_or(0, |peer| peer.port().into()), at_once)
            }
            TraceEvent::Starts(_) => (StepKind::Started, 0, at_once),
            TraceEvent::Transfers { call, bytes } => match call {
                Call::Recv => (StepKind::Recv, bytes as u64, at_once),
                Call::Sendfile => (StepKind::Sendfile, bytes as u64, at_once),
                _ => (StepKind::Send, bytes as u64, at_once),
            },
            TraceEvent::InputEnds => (StepKind::RecvEnd, 0, at_once),
            TraceEvent::Fails { call: Call::Recv, errno: Errno::AGAIN } => {
                (StepKind::RecvWouldBlock, 0, at_once)
            }
            TraceEvent::Fails { errno: Errno::AGAIN, .. } => (StepKind::SendWouldBlock, 0, at_once),
            TraceEvent::Closes(_) | TraceEvent::Rejected => (StepKind::Closed, 0, at_once),
            TraceEvent::Asks { .. }
            | TraceEvent::Ready(_)
            | TraceEvent::ProxyHeader { .. }
            | TraceEvent::TlsBegins { .. }
            | TraceEvent::TlsFails(_)
            | TraceEvent::KernelEncrypts
            | TraceEvent::Fails { .. }
            | TraceEvent::Request(_)
            | TraceEvent::Response(_)
            | TraceEvent::Offloaded(_)
            | TraceEvent::JobEnds
            | TraceEvent::HalfCloses
            | TraceEvent::BacksOff { .. } => return None,
        })
    }
}

impl fmt::Display for TraceEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TraceEvent::WaitBegins { call, sockets } => {
                write!(f, "waits in {} for {sockets}", call.name())
            }
            TraceEvent::Asks { call, sockets } => {
                write!(f, "has work left, and asks {} for {sockets}", call.name())
            }
            TraceEvent::WaitEnds { call, ready, waited } => {
                let (call, waited) = (call.name(), time(waited));
                write!(f, "wakes from {call} after {waited}: {ready} ready")
            }
            TraceEvent::Ready(source) => source.fmt(f),
            TraceEvent::Polled { sockets, passes, slept, .. } => {
                let (sockets, passes) =
                    (counted(sockets as u64, "socket"), counted(passes, "time"));
                write!(f, "polled {sockets} {passes}, and nothing happened")?;
                match slept {
                    Duration::ZERO => Ok(()),
                    slept => {
                        let (call, slept) = (Call::Sleep.name(), time(slept));
                        write!(f, "; slept in {call} in between, for at least {slept}")
                    }
                }
            }
            TraceEvent::Waits { call } => write!(f, "waits in {}", plain_name(call)),
            TraceEvent::Accepted { peer: Some(peer) } => write!(f, "accept from {peer}"),
            TraceEvent::Accepted { peer: None } => f.write_str("accept"),
            TraceEvent::Rejected => f.write_str("close: the client has too many connections"),
            TraceEvent::ProxyHeader { address } => write!(f, "PROXY header: from {address}"),
            TraceEvent::TlsBegins { parameters: TlsParameters { version, cipher }, resumed } => {
                let resumed = if resumed { ", resumed" } else { "" };
                write!(f, "{version} with {cipher}{resumed}")
            }
            TraceEvent::TlsFails(error) => write!(f, "TLS: {error}"),
            TraceEvent::KernelEncrypts => f.write_str("the kernel encrypts from here on"),
            TraceEvent::Starts(what) => write!(f, "{what} started"),
            TraceEvent::Transfers { call, bytes } => {
                write!(f, "{} {bytes} bytes", plain_name(call))
            }
            TraceEvent::InputEnds => f.write_str("recv: end of input"),
            TraceEvent::Fails { call, errno: Errno::AGAIN } => {
                write!(f, "{}: would block", plain_name(call))
            }
            TraceEvent::Fails { call, errno } => write!(f, "{}: {errno}", plain_name(call)),
            TraceEvent::Request(line) => write!(f, "request {}", method_and_target(line)),
            TraceEvent::Response(status) => write!(f, "response {status}"),
            TraceEvent::Offloaded(what) => write!(f, "{what} offloaded to the pool"),
            TraceEvent::JobEnds => f.write_str("the pool is done"),
            TraceEvent::HalfCloses => f.write_str("shutdown of the write side"),
            TraceEvent::Closes(reason) => write!(f, "close: {reason}"),
            TraceEvent::BacksOff { what, error } => write!(f, "{what}: {error}; backing off"),
        }
    }
}

impl fmt::Display for ReadySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadySource::Listener => "listener readable",
            ReadySource::Client { readable: true, writable: true } => "readable and writable",
            ReadySource::Client { readable: true, writable: false } => "readable",
            ReadySource::Client { readable: false, writable: true } => "writable",
            // EPOLLERR or POLLHUP alone.
            ReadySource::Client { readable: false, writable: false } => "disconnected",
            ReadySource::EvictionRequest => "another worker needs a connection closed",
            ReadySource::Permit => "a connection has closed at the limit",
            ReadySource::Timer => "timer expired",
            ReadySource::Shutdown => "shutdown requested",
        })
    }
}

/// Waits of an event loop are often shorter than a tenth of a millisecond.
fn time(time: Duration) -> String {
    match time.as_micros() {
        us @ ..1000 => format!("{us} µs"),
        _ => format::time(time),
    }
}

/// The name that man pages use. Where strace prints another one, the difference does not matter to
/// a reader of the trace.
fn plain_name(call: Call) -> &'static str {
    match call {
        Call::Accept => "accept",
        Call::Recv => "recv",
        Call::Send | Call::Sendmsg => "send",
        call => call.name(),
    }
}

/// A request line without its version, so that it ends where the target does.
fn method_and_target(line: &[u8]) -> String {
    let version = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
    let text = printable(&String::from_utf8_lossy(&line[..version]));
    match text.chars().count() {
        count if count > REQUEST_CHARS_MAX => {
            text.chars().take(REQUEST_CHARS_MAX - 1).chain(['…']).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_escaped_and_cut() {
        let text = |line: &[u8]| TraceEvent::Request(line).to_string();
        assert_eq!(text(b"GET /page.html HTTP/1.1"), "request GET /page.html");
        assert_eq!(text(b"GET /\x1b[2J\xff\r\n HTTP/1.1"), "request GET /\\u{1b}[2J\u{fffd}\\r\\n");
        let long = text(&[b"GET /", &[b'x'; 500][..], b" HTTP/1.1"].concat());
        assert_eq!(long.chars().count(), "request ".len() + REQUEST_CHARS_MAX);
        assert!(long.ends_with("xx…"));
    }

    #[test]
    fn a_wait_and_its_end_name_the_call() {
        let (call, waited) = (Call::Wait, Duration::from_micros(50_100));
        let begins = TraceEvent::WaitBegins { call, sockets: "the listener, #1 to read" };
        assert_eq!(begins.to_string(), "waits in epoll_wait for the listener, #1 to read");
        let ends = TraceEvent::WaitEnds { call, ready: 1, waited };
        assert_eq!(ends.to_string(), "wakes from epoll_wait after 50.1 ms: 1 ready");
        assert_eq!(TraceEvent::Waits { call: Call::Sendmsg }.to_string(), "waits in send");
    }

    #[test]
    fn passes_in_which_nothing_happened_are_one_line() {
        let time = Duration::from_millis(1);
        let polled =
            |slept| TraceEvent::Polled { sockets: 3, passes: 1204, slept, time }.to_string();
        assert_eq!(polled(Duration::ZERO), "polled 3 sockets 1204 times, and nothing happened");
        assert_eq!(
            polled(Duration::from_millis(241)),
            "polled 3 sockets 1204 times, and nothing happened; slept in clock_nanosleep in \
             between, for at least 241.0 ms"
        );
    }

    #[test]
    fn a_socket_is_ready_for_something() {
        let ready = |source| TraceEvent::Ready(source).to_string();
        assert_eq!(ready(ReadySource::Listener), "listener readable");
        assert_eq!(ready(ReadySource::Client { readable: false, writable: true }), "writable");
    }
}
