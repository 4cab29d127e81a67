//! Fault injection: system calls fail, clients disconnect at every point, a bug panics.
//!
//! Invariants, checked after each fault:
//! 1. The affected connection gets an error response or ends; it never receives wrong bytes.
//! 2. Other connections are served as before.
//! 3. No descriptor and no process leaks.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod disconnects;
mod full_disk;
mod isolation;
mod syscalls;
mod watches;

use support::{Server, Site, patterned, wait_until};

/// More than the socket buffers hold, so that the server cannot send it in one go.
const LARGE_BYTES: usize = 12 << 20;

fn site() -> Site {
    let site = Site::new();
    site.write("large.bin", patterned(LARGE_BYTES));
    (0..10).for_each(|n| drop(site.write(format!("{n}.txt"), "not cached yet")));
    site
}

/// The number of descriptors that the server has open without clients. Waits until it stops
/// changing, because the server may still be closing earlier connections.
fn settled_descriptors(server: &Server) -> usize {
    let mut before = server.descriptors();
    wait_until("a constant number of descriptors", || {
        let now = server.descriptors();
        let is_settled = std::mem::replace(&mut before, now) == now;
        is_settled.then_some(now)
    })
}
