//! The load generator of `miniweb compare` and of the benches.
//!
//! One thread sends requests over non-blocking sockets, checks the responses and counts them. What
//! the counts mean is decided elsewhere.
//!
//! Invariants:
//! 1. Every request is counted exactly once: as a correct response with its latency, or as a
//!    [`LoadError`].
//! 2. A run begins and ends without requests in flight, so everything the server did during the run
//!    it did for requests that are counted. [`Load::run_and_close`] is the exception, and the last
//!    run of its connections.
//! 3. At a fixed rate, latency is measured from the time at which a request was scheduled
//!    ([`Pace`]).
//! 4. Every call returns: [`Load::run`] at most [`Plan::timeout`] after the time it was given,
//!    whatever the server does.
//! 5. The client is cheaper than a server: requests are rendered in advance, and responses are
//!    parsed no further than necessary.
//! 6. With TLS, each connection's handshake is known to be full or resumed.

mod chunked;
mod connection;
mod generator;
mod handshakes;
mod opening;
mod pace;
mod plan;
mod response;
mod result;
mod slow_readers;
mod stream;
mod template;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;

pub use generator::Load;
pub use handshakes::{Handshake, HandshakeCounts};
pub use pace::Pace;
pub use plan::Plan;
pub use result::{LoadError, LoadResult};
pub use slow_readers::SlowReaders;
pub use template::{RequestTemplate, Reuse};
pub use tls::ClientTls;
