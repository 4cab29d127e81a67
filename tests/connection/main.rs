//! The connection without its socket: what `miniweb::http::Connection` promises whoever drives it.
//!
//! What lives here: every way in which a peer can cut its input, delay its reading, be late or leave, and
//! what is sent, held and logged then. What does not: what a real socket adds to that (`tests/conformance`).
//!
//! Laws:
//! 1. Nothing here sleeps: moments are made up and passed in.
//! 2. [`peer::Peer`] does only what [`miniweb::http::Connection::step`] asks for, as a strategy would.

mod closing;
mod deadlines;
mod deferred;
mod exchanges;
mod framing;
mod output;
mod peer;
