//! The receive timeout of a blocking socket, which stands in for a timer.

use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::http::{Now, Step};
use crate::server::client::Client;
use crate::server::worker::Worker;
use crate::syscall_stats::Call;

/// The receive timeout of one socket, as it was set last.
#[derive(Debug)]
pub struct RecvTimeout(Duration);

impl RecvTimeout {
    /// `inherited` is the timeout that an accepted socket inherits from its listener.
    pub fn new(inherited: Duration) -> RecvTimeout {
        RecvTimeout(inherited)
    }

    /// Lets the next `recv` sleep until the client's deadline and no longer. Most requests leave
    /// the timeout as it is. A send has a fixed timeout and is retried until the deadline.
    pub fn update(&mut self, client: &Client, worker: &Worker, now: &Now) {
        let Some(deadline) = client.connection.deadline() else { return };
        if client.connection.step() == Step::Send {
            return;
        }
        // Rounded up to whole steps: the same timeout serves a deadline that comes closer by a few
        // microseconds with each request, and when it has passed, so has the deadline. Zero would
        // mean no timeout.
        const STEP_MS: u128 = 10;
        let left_us = deadline.since(now.moment).as_micros();
        let steps = left_us.div_ceil(STEP_MS * 1000).max(1);
        let timeout = Duration::from_millis((steps * STEP_MS) as u64);
        if timeout != self.0 {
            worker.stats.count(Call::Setsockopt);
            // If it fails, the socket is broken, which the next read shows.
            let _ = set_socket_timeout(&client.socket, Timeout::Recv, Some(timeout));
            self.0 = timeout;
        }
    }
}
