//! A load on a web server, and what became of it.
//!
//! What lives here: one thread of raw, non-blocking sockets that asks, reads, checks and counts. What does not: what
//! the figures mean, and the server. It is used by `miniweb compare` and by the benches.
//!
//! # Laws
//! 1. Every request is accounted for once: as a right response with its latency, or as a [`LoadError`].
//! 2. A recorder begins and ends at rest. What the server did in it, it did for the requests that are counted.
//! 3. At a fixed rate, latency begins at the moment for which a request was intended ([`Pace`]).
//! 4. Every call ends: a recorder at most [`Plan::timeout`] after its time, whatever the server does.
//! 5. The client costs less than a server: requests are rendered beforehand, responses read no further than needed.

mod connection;
mod generator;
mod pace;
mod plan;
mod response;
mod result;
mod slow_readers;
mod template;

pub use generator::Load;
pub use pace::Pace;
pub use plan::Plan;
pub use result::{LoadError, LoadResult};
pub use slow_readers::SlowReaders;
pub use template::{RequestTemplate, Reuse};
