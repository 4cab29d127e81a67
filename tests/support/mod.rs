//! What the black-box suites share: the real binary on a free port, a directory to serve, a client
//! of raw bytes, and a parser of responses.
//!
//! Invariants:
//! 1. Everything goes through the public interface: the command line, a socket, a signal.
//! 2. Nothing waits for ever: an event that takes longer than [`PATIENCE`] is a failure.
//! 3. Nothing is left behind: a dropped [`Server`] is dead and reaped, and so are its children.

#![allow(dead_code, unused_imports, reason = "each suite uses its part")]

mod peer;
mod response;
mod server;
mod site;
mod wait;

pub use miniweb::server::strategies::Setup;
pub use peer::{End, Peer, get, get_with, head};
pub use response::Response;
pub use server::{Lines, Server, any_setup, miniweb, setup_with, setups, with_socket};
pub use site::{Site, patterned};
pub use wait::{PATIENCE, shown, wait_until};
