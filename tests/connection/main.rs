//! Tests of `miniweb::http::Connection` without a socket.
//!
//! They split the input, limit the writes, miss deadlines and close early in every way a peer can,
//! and check what is sent, buffered and logged. `tests/conformance` tests real sockets.
//!
//! Invariants:
//! 1. No test sleeps. The time is an argument.
//! 2. [`peer::Peer`] performs only the steps that [`miniweb::http::Connection::step`] returns, as a
//!    strategy does.

mod closing;
mod deadlines;
mod deferred;
mod exchanges;
mod framing;
mod output;
mod peer;
