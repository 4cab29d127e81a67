//! What the black-box suites share: the real binary on a free port, a folder for it to serve, a client of
//! raw bytes, and the answers taken apart.
//!
//! Laws:
//! 1. Everything goes through what a stranger would use: the command line, a socket, a signal.
//! 2. Nothing waits for ever: what does not come within [`PATIENCE`] is a failure.
//! 3. Nothing is left behind: a dropped [`Server`] is dead and reaped, and so are its children.

#![allow(dead_code, unused_imports, reason = "each suite uses its part")]

mod peer;
mod response;
mod server;
mod site;

use std::time::{Duration, Instant};

pub use miniweb::server::strategies::Setup;
pub use peer::{End, Peer, get, get_with, head};
pub use response::Response;
pub use server::{Lines, Server, any_setup, miniweb, setup_with, setups, with_socket};
pub use site::{Site, patterned};

/// How long anything may take. Far more than it needs: the machine may be busy with other things, and a
/// suite that fails for that tells nothing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until `found` has something to say, and fails if it never does.
#[track_caller]
pub fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(Instant::now() < give_up, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes for a failure's message: readable, and not a megabyte of them.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 600;
    let start = bytes[..bytes.len().min(SHOWN_BYTES)]
        .escape_ascii()
        .to_string()
        .replace("\\r\\n", "\\r\\n\n    ");
    match bytes.len() {
        length if length > SHOWN_BYTES => format!("{start}... ({length} bytes)"),
        _ => start,
    }
}
