//! What a request costs a server.

use std::fs;
use std::io;
use std::time::Duration;

use miniweb::load::Load;

use crate::numbers::median;
use crate::server::Server;

/// CPU time of the server for each request.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub cpu_us: f64,
}

impl Cost {
    /// Runs `load` on `server` for the time of `window`.
    pub fn measure(load: &mut Load, server: &Server, window: Duration) -> io::Result<Cost> {
        let before_ns = cpu_ns(server.pid());
        let result = load.run(window)?;
        let spent_ns = cpu_ns(server.pid()) - before_ns;
        if result.errors_total() > 0 || result.responses == 0 {
            let (responses, errors) = (result.responses, result.errors);
            return Err(io::Error::other(format!("{responses} responses, failed: {errors:?}")));
        }
        Ok(Cost { cpu_us: spent_ns as f64 / 1e3 / result.responses as f64 })
    }

    /// The median of each figure.
    pub fn median(rounds: &[Cost]) -> Cost {
        let median = |figure: fn(&Cost) -> f64| median(rounds.iter().map(figure).collect());
        Cost { cpu_us: median(|cost| cost.cpu_us) }
    }
}

/// CPU time of all threads of a process in nanoseconds.
fn cpu_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the server is running");
    let of_thread = |thread: fs::DirEntry| {
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(of_thread).sum()
}
