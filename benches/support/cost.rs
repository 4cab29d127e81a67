//! What a request costs a server, and how long the client waits for its response.

use std::fs;
use std::io;
use std::time::Duration;

use miniweb::load::Load;

use crate::numbers::median;
use crate::server::Server;

/// The CPU time of the server for each request, and the latency in the same run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Cost {
    /// Runs `load` on `server` for the time of `window`.
    pub fn measure(load: &mut Load, server: &Server, window: Duration) -> io::Result<Cost> {
        let before_ns = cpu_ns(server.pid())?;
        let result = load.run(window)?;
        let spent_ns = cpu_ns(server.pid())?.saturating_sub(before_ns);
        if result.errors_total() > 0 || result.responses == 0 {
            let (responses, errors) = (result.responses, result.errors);
            return Err(io::Error::other(format!("{responses} responses, failed: {errors:?}")));
        }
        let latency_us = |quantile| result.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Cost {
            cpu_us: spent_ns as f64 / 1e3 / result.responses as f64,
            p50_us: latency_us(0.5),
            p99_us: latency_us(0.99),
        })
    }

    /// The median of each figure.
    pub fn median(rounds: &[Cost]) -> Cost {
        let median = |figure: fn(&Cost) -> f64| median(rounds.iter().map(figure).collect());
        Cost {
            cpu_us: median(|cost| cost.cpu_us),
            p50_us: median(|cost| cost.p50_us),
            p99_us: median(|cost| cost.p99_us),
        }
    }
}

/// CPU time in nanoseconds of all threads of a process and its descendants, because nginx serves in
/// a child. None of the measured servers starts or ends a thread for a request.
///
/// # Errors
/// If the process is gone.
fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut total_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let directory = thread?.path();
        let schedstat = fs::read_to_string(directory.join("schedstat"))?;
        total_ns += schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        let children = fs::read_to_string(directory.join("children"))?;
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            total_ns += cpu_ns(child)?;
        }
    }
    Ok(total_ns)
}
