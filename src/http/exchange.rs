//! One request and what became of its answer: what an access log is made of.
//!
//! Kept beside the answer in the output queue and handed out when its last byte was taken by the
//! socket, or when the connection ended before that: no answer goes unlogged.

use super::moment::Moment;
use super::now::Now;
use super::request::Request;
use super::status::Status;

/// One answered request.
#[derive(Debug)]
pub struct Exchange {
    /// The request line as it came, whole if it was well-formed, at most its first bytes otherwise.
    pub request_line: Box<[u8]>,
    /// The Referer field, if any.
    pub referer: Option<Box<[u8]>>,
    /// The User-Agent field, if any.
    pub user_agent: Option<Box<[u8]>>,
    /// The status it was answered with.
    pub status: Status,
    /// Bytes of the body that the socket took.
    pub body_bytes: u64,
    /// Whether the whole answer was taken.
    pub complete: bool,
    /// When the request was answered.
    pub started: Moment,
}

/// Of a head that is no request, this much of the first line is kept.
const REFUSED_LINE_BYTES_MAX: usize = 256;

impl Exchange {
    /// As it begins; the status and the bytes are known when there is an answer.
    pub(super) fn new(request: &Request<'_>, now: &Now) -> Exchange {
        let field = |name| request.headers.values(name).next().map(Box::from);
        Exchange {
            referer: field("referer"),
            user_agent: field("user-agent"),
            ..Exchange::of_line(request.head.request_line(), now)
        }
    }

    pub(super) fn refused(head: &[u8], now: &Now) -> Exchange {
        let head = &head[..head.len().min(REFUSED_LINE_BYTES_MAX)];
        let line_end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
        Exchange::of_line(&head[..line_end], now)
    }

    fn of_line(line: &[u8], now: &Now) -> Exchange {
        Exchange {
            request_line: line.into(),
            referer: None,
            user_agent: None,
            status: Status::Ok,
            body_bytes: 0,
            complete: true,
            started: now.moment,
        }
    }
}
