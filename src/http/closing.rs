//! How and why a connection closes.

use std::fmt;

use super::request_error::RequestError;

/// How and why a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why it closes.
    pub reason: CloseReason,
    /// Whether to send RST and discard what is left in the kernel's send buffer, because the client
    /// is not reading it.
    pub reset: bool,
}

/// Why a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed its sending side, or the server has ended the input.
    InputEnded,
    /// A request said `Connection: close`, or was HTTP/1.0 without `keep-alive`.
    ClientRequested,
    /// No request arrived within the idle timeout.
    IdleTimeout,
    /// A trusted proxy did not begin the connection with a valid PROXY header.
    NoProxyHeader,
    /// The TLS handshake failed, or a record was invalid.
    TlsFailed,
    /// The key that the kernel encrypts with would have to be replaced, which it cannot do.
    TlsKeyUsed,
    /// The client sent HTTP without TLS to a port that requires TLS.
    HttpsRequired,
    /// A request was malformed, too large, too late or unsupported.
    Refused(RequestError),
    /// The request body was not read, so the start of the next request is unknown.
    BodyUnread,
    /// The connection has had the maximum number of requests.
    RequestsMax,
    /// The server is shutting down.
    Stopping,
    /// No response was in progress, and the server was at its connection limit.
    Evicted,
    /// The client read nothing for too long, or too slowly.
    WriteStalled,
    /// A file shrank while it was being sent, so the announced length cannot be delivered.
    FileTruncated,
    /// The socket or a file failed.
    Failed,
    /// The server panicked, which is a bug.
    Panicked,
}

/// The deadline that a client has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// For the first byte of a request.
    Idle,
    /// For the rest of a request head.
    Header,
    /// For the rest of a request body.
    Body,
    /// For reading a part of its response.
    Write,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::InputEnded => f.write_str("the input has ended"),
            CloseReason::ClientRequested => f.write_str("the client requested it"),
            CloseReason::IdleTimeout => f.write_str("no request arrived in time"),
            CloseReason::NoProxyHeader => f.write_str("there was no valid PROXY header"),
            CloseReason::TlsFailed => f.write_str("TLS failed"),
            CloseReason::TlsKeyUsed => f.write_str("the kernel cannot replace its TLS key"),
            CloseReason::HttpsRequired => f.write_str("the port requires TLS"),
            CloseReason::Refused(error) => {
                write!(f, "the request was refused with status {}", error.status().code())
            }
            CloseReason::BodyUnread => f.write_str("the request body was not read"),
            CloseReason::RequestsMax => f.write_str("the request limit was reached"),
            CloseReason::Stopping => f.write_str("the server is shutting down"),
            CloseReason::Evicted => f.write_str("the connection limit was reached"),
            CloseReason::WriteStalled => f.write_str("the client reads too slowly"),
            CloseReason::FileTruncated => f.write_str("the file shrank while it was sent"),
            CloseReason::Failed => f.write_str("an I/O error"),
            CloseReason::Panicked => f.write_str("the server panicked"),
        }
    }
}

/// Whether to wait for the client to close before the socket is closed.
///
/// Closing a socket with unread input sends RST, which can destroy response data that the client
/// has not read yet (RFC 9112 section 9.6).
#[derive(Clone, Copy, Debug)]
pub(super) enum LingeringClose {
    /// The client may still be sending.
    Always,
    /// The client announced that it will send nothing more; linger only if it sent something
    /// anyway.
    IfInputPending,
    /// No unread input can exist.
    Never,
}

impl LingeringClose {
    /// The decision after `input` has arrived behind the last request.
    pub(super) fn after_input(self, input: &[u8]) -> LingeringClose {
        if input.is_empty() { self } else { LingeringClose::Always }
    }
}
