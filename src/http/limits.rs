//! The bounds that every connection is held to, with their defaults.
//!
//! Each default has a precedent or a measurement beside it; those a user can change are options of
//! the command line, the others are policy.

use std::time::Duration;

/// What one connection may cost: bytes kept, requests answered, time waited.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest request target, in bytes. RFC 9112 section 3 asks for at least 8,000. Past it: 414.
    pub target_bytes_max: usize,
    /// Longest request head, in bytes, the request line included. nginx allows four lines of 8 KiB.
    /// Past it: 431.
    pub head_bytes_max: usize,
    /// From the first byte of a head to its end, absolute, so that a byte now and then buys nothing;
    /// also how long a new connection may stay silent, and how long a request's body may take.
    /// Past it: 408, or a silent close where nothing of a request has come.
    pub header_timeout: Duration,
    /// Silence between two requests. Past it: closed without a word (RFC 9112 section 9.5).
    pub idle_timeout: Duration,
    /// Time without any progress of a response. Past it: reset, so that the kernel drops its buffer too.
    pub write_timeout: Duration,
    /// Least average speed of a reader, in bytes a second, asked for once `write_timeout` has passed:
    /// whoever takes a byte now and then makes progress for ever otherwise. Past it: reset.
    pub write_rate_min: u64,
    /// Requests on one connection; the last answer says `Connection: close`. Bounds what one peer can
    /// hold on to, and lets a balancer move clients. nginx: 1,000.
    pub requests_max: u32,
    /// Bytes queued for one peer in memory before its pipeline is read no further.
    pub queue_bytes_max: usize,
    /// Longest request body that is read past in order to keep a connection, in bytes. A static site
    /// has no use for bodies: this is courtesy. A longer one that is announced: 413.
    pub body_bytes_max: u64,
    /// How long a closed sending side waits for the peer to close its own (nginx: 5 s a read, 30 s in all).
    pub linger_timeout: Duration,
    /// Most bytes dropped while lingering. Large enough for the peer that is still sending 10 MB of
    /// fields to read its 431 instead of a reset; the time is the real bound.
    pub linger_bytes_max: u64,
    /// Whether an [`Exchange`](super::Exchange) is kept of every answer, for the access log.
    pub record_exchanges: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            target_bytes_max: 8_000,
            head_bytes_max: 32 * 1024,
            header_timeout: Duration::from_secs(10),
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
