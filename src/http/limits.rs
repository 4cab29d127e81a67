//! The limits of every connection, with their defaults.
//!
//! Where a limit has a precedent, its doc names it. The timeouts for which the command line has an
//! option are set from it; the other limits are policy.

use std::time::Duration;

/// What one connection may cost: bytes stored, requests, and time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum length of a request target, in bytes. RFC 9112 section 3 recommends at least
    /// 8,000. Beyond it: 414.
    pub target_bytes_max: usize,
    /// The maximum length of a request head, in bytes, including the request line. nginx allows
    /// four lines of 8 KiB. Beyond it: 431.
    pub head_bytes_max: usize,
    /// How long a new connection may stay silent. Beyond it: closed without a response.
    pub first_request_timeout: Duration,
    /// From the first byte of a head to its end. More bytes do not extend it. Beyond it: 408.
    pub head_timeout: Duration,
    /// From the end of a head to the end of the request body. Beyond it: closed, because the
    /// response has already been sent.
    pub body_timeout: Duration,
    /// How long a connection may be idle between two requests. Beyond it: closed without a response
    /// (RFC 9112 section 9.5).
    pub idle_timeout: Duration,
    /// How long the client may accept no byte of a response. Beyond it: reset, so that the kernel
    /// discards its send buffer, too.
    pub write_timeout: Duration,
    /// The minimum average rate at which a client must read, in bytes per second, once a response
    /// has taken `write_timeout`. Without it, a client that reads one byte now and then would hold
    /// its connection for ever. Below it: reset.
    pub write_rate_min: u64,
    /// The maximum number of requests on one connection; the last response says
    /// `Connection: close`. It lets a load balancer redistribute clients. nginx: 1,000.
    pub requests_max: u32,
    /// The number of bytes in memory, queued for one client, at which parsing pauses.
    pub queue_bytes_max: usize,
    /// The maximum length of a request body that is read and discarded to keep the connection open,
    /// in bytes. A static site has no use for request bodies. Beyond it: 413, if the length is
    /// announced; otherwise closed.
    pub body_bytes_max: u64,
    /// How long to wait for the client to close after the server has shut down its sending side
    /// (nginx: 5 s per read, 30 s in total).
    pub linger_timeout: Duration,
    /// The maximum number of bytes discarded during a lingering close. It is large enough that a
    /// client that is still sending 10 MB of headers can read its 431 instead of receiving a reset;
    /// `linger_timeout` is the limit that matters.
    pub linger_bytes_max: u64,
    /// Whether an [`Exchange`](super::Exchange) is recorded for every response, for the access log.
    pub record_exchanges: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            target_bytes_max: 8_000,
            head_bytes_max: 32 * 1024,
            first_request_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            write_rate_min: 1024,
            requests_max: 10_000,
            queue_bytes_max: 64 * 1024,
            body_bytes_max: 64 * 1024,
            linger_timeout: Duration::from_secs(2),
            linger_bytes_max: 16 * 1024 * 1024,
            record_exchanges: false,
        }
    }
}
