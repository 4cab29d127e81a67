//! One request and its response, as the access log records them.
//!
//! An exchange is queued behind the response in the output, and is handed out when the socket has
//! accepted the last byte of the response, or when the connection is closed before that.
//!
//! Two kinds of exchange are never handed out, and so never logged: one whose reply is still
//! deferred when the connection closes; and all of them if `Limits::record_exchanges` is off.

// The address type of std::net, without its sockets.
use core::net::IpAddr;

use super::moment::Moment;
use super::now::Now;
use super::request::Request;
use super::status::Status;

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request line as received. If the request was refused, at most its first 256 bytes.
    pub request_line: Box<[u8]>,
    /// The value of the Referer header.
    pub referer: Option<Box<[u8]>>,
    /// The value of the User-Agent header.
    pub user_agent: Option<Box<[u8]>>,
    /// The address of the client, if a trusted proxy has sent the request and names it.
    pub forwarded_for: Option<IpAddr>,
    /// The status of the response.
    pub status: Status,
    /// The number of bytes of the response body that the socket accepted.
    pub body_bytes: u64,
    /// Whether the socket accepted the whole response.
    pub complete: bool,
    /// When the request head was complete, or the request was refused.
    pub started: Moment,
}

/// The maximum length of the request line that is kept if the request is refused.
const REFUSED_LINE_BYTES_MAX: usize = 256;

impl Exchange {
    /// An exchange whose response is not known yet; the status and the length of the body are set
    /// when the response is queued.
    pub(super) fn new(request: &Request<'_>, now: &Now) -> Exchange {
        let header = |name| request.headers.values(name).next().map(Box::from);
        Exchange {
            referer: header("referer"),
            user_agent: header("user-agent"),
            forwarded_for: request.forwarded_for,
            ..Exchange::from_request_line(request.head.request_line(), now)
        }
    }

    /// An exchange for a request that cannot be parsed. `head` may be incomplete.
    pub(super) fn refused(head: &[u8], now: &Now) -> Exchange {
        let head = &head[..head.len().min(REFUSED_LINE_BYTES_MAX)];
        let line_end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
        Exchange::from_request_line(&head[..line_end], now)
    }

    fn from_request_line(line: &[u8], now: &Now) -> Exchange {
        Exchange {
            request_line: line.into(),
            referer: None,
            user_agent: None,
            forwarded_for: None,
            status: Status::Ok,
            body_bytes: 0,
            complete: true,
            started: now.moment,
        }
    }
}
