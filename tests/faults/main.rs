//! Injected faults, one at a time: a system call fails, a client disconnects at every possible
//! moment, a bug panics. Each time the affected client gets a well-defined end, no other client
//! notices, and no resource is left behind.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod disconnects;
mod isolation;
mod syscalls;

use support::{Server, Site, patterned, wait_until};

/// More than the socket buffers hold.
const LARGE_BYTES: usize = 12 << 20;

fn site() -> Site {
    let site = Site::new();
    site.write("large.bin", patterned(LARGE_BYTES));
    (0..10).for_each(|n| drop(site.write(format!("{n}.txt"), "not asked for before")));
    site
}

/// The open descriptors without clients. Earlier connections may take a moment to close.
fn settled_descriptors(server: &Server) -> usize {
    let mut before = server.descriptors();
    wait_until("its descriptors settle", || {
        let (then, now) = (before, server.descriptors());
        before = now;
        (then == now).then_some(now)
    })
}
