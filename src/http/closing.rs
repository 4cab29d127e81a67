//! How and why a connection ends.

use std::fmt;

use super::request_error::RequestError;

/// How and why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
    /// Drop what the kernel still holds, too: the peer is not reading it.
    pub reset: bool,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed its side.
    PeerClosed,
    /// A request said `Connection: close`, or was HTTP/1.0 without keep-alive.
    Asked,
    /// No request came in time.
    Idle,
    /// A request was answered with this status and the connection can't go on.
    Refused(RequestError),
    /// The request's body was not worth reading past.
    BodyUnread,
    /// The connection has had its number of requests.
    RequestsMax,
    /// The server is stopping.
    Stopping,
    /// All places were taken, and this one was idle.
    Evicted,
    /// The peer took nothing for too long, or too little.
    WriteStalled,
    /// A file became shorter while it was being sent: what was promised can't be kept.
    FileTruncated,
    /// The socket or the file failed.
    Failed,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::PeerClosed => f.write_str("the peer closed"),
            CloseReason::Asked => f.write_str("the request asked for it"),
            CloseReason::Idle => f.write_str("no request came in time"),
            CloseReason::Refused(error) => write!(f, "answered {}", error.status().code()),
            CloseReason::BodyUnread => f.write_str("the request's body was not read"),
            CloseReason::RequestsMax => f.write_str("it has had its number of requests"),
            CloseReason::Evicted => f.write_str("its place was needed"),
            CloseReason::Stopping => f.write_str("the server is stopping"),
            CloseReason::WriteStalled => f.write_str("the peer reads too little"),
            CloseReason::FileTruncated => f.write_str("the file became shorter"),
            CloseReason::Failed => f.write_str("an error"),
        }
    }
}
