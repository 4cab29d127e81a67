//! One measurement: the latency of the client beside one load on one server.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use miniweb::compare::measure::cores::Cores;
use miniweb::load::{Load, LoadResult, Pace, Plan, RequestTemplate, Reuse};
use rustix::process::setpriority_process;

use crate::loads::BesideLoad;
use crate::numbers::{self, median};
use crate::options::Effort;
use crate::servers::Contender;
use crate::site::{SMALL_BYTES, SMALL_PATH, Site};

/// What the client saw, and what the load achieved.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Whether responses took longer than the interval between requests. Then requests queue in the
    /// client, and the latency grows with the length of the measurement.
    pub is_overloaded: bool,
    /// None without a load.
    pub load_per_second: Option<f64>,
}

impl Figures {
    fn new(client: &LoadResult, interval: Duration, load_per_second: Option<f64>) -> Figures {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let latency_ns = &client.latency_ns;
        let service_time_ns = client.service_time_ns.as_ref().map_or(0.0, |times| times.mean());
        Figures {
            p50_ms: ms(latency_ns.value_at_quantile(0.5)),
            p99_ms: ms(latency_ns.value_at_quantile(0.99)),
            max_ms: ms(latency_ns.max()),
            is_overloaded: service_time_ns > interval.as_nanos() as f64,
            load_per_second,
        }
    }

    /// The median of each figure; a server is overloaded if it was in most rounds.
    pub fn median(rounds: &[Figures]) -> Figures {
        let median = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
        let loads: Option<Vec<f64>> = rounds.iter().map(|round| round.load_per_second).collect();
        Figures {
            p50_ms: median(|round| round.p50_ms),
            p99_ms: median(|round| round.p99_ms),
            max_ms: median(|round| round.max_ms),
            is_overloaded: 2 * rounds.iter().filter(|round| round.is_overloaded).count()
                > rounds.len(),
            load_per_second: loads.map(numbers::median),
        }
    }
}

/// Starts a server, puts it under load, and measures the client.
pub fn measure(
    contender: &Contender,
    load: &BesideLoad,
    site: &Site,
    cores: &Cores,
    effort: &Effort,
) -> io::Result<Figures> {
    let explained = |error: io::Error| {
        let message = format!("{} beside {}: {error}", contender.name(), load.name);
        io::Error::new(error.kind(), message)
    };
    let server = contender.start(load.certificate(site), site, cores).map_err(explained)?;
    let address = server.address;
    // The client connects before the load does.
    let mut client = Load::open(Plan {
        tls: load.client_tls(site).map_err(explained)?,
        ..client_plan(address, effort)
    })
    .map_err(explained)?;
    let (client, beside) = match load.plan(site, address).map_err(explained)? {
        None => {
            client.run(effort.warm_up).map_err(explained)?;
            (client.run(effort.window).map_err(explained)?, None)
        }
        Some(plan) => {
            let (client, beside) = run_beside(&mut client, plan, effort).map_err(explained)?;
            (client, Some(beside))
        }
    };
    for result in [Some(&client), beside.as_ref()].into_iter().flatten() {
        if result.errors_total() > 0 {
            return Err(explained(io::Error::other(format!("failed: {:?}", result.errors))));
        }
    }
    let interval = Duration::from_secs_f64(1.0 / effort.requests_per_second);
    Ok(Figures::new(&client, interval, beside.map(|result| load.rate(&result))))
}

fn client_plan(address: SocketAddr, effort: &Effort) -> Plan {
    let template =
        RequestTemplate::get(&address.to_string(), SMALL_PATH, Reuse::KeepAlive, SMALL_BYTES);
    let pace = Pace::Open { per_second: effort.requests_per_second };
    Plan { pace, ..Plan::closed_loop(address, template, 1) }
}

/// Runs the client while a second thread runs the load.
fn run_beside(
    client: &mut Load,
    plan: Plan,
    effort: &Effort,
) -> io::Result<(LoadResult, LoadResult)> {
    /// How much longer than the window the load lasts, so that the client is never alone.
    const MARGIN: Duration = Duration::from_millis(50);
    let load = Load::open_when_needed(plan)?;
    let time = effort.warm_up + effort.window + MARGIN;
    thread::scope(|scope| {
        let load = scope.spawn(move || {
            give_way()?;
            load.run_and_close(time)
        });
        thread::sleep(effort.warm_up);
        let client = client.run(effort.window);
        let load = load.join().expect("the load generator does not panic");
        Ok((client?, load?))
    })
}

/// Lowers the priority of the calling thread, which shares its core with the client: the kernel
/// then lets the client run as soon as it has something to do.
fn give_way() -> io::Result<()> {
    const NICE_MAX: i32 = 19;
    // Linux applies it to the calling thread rather than to the process.
    Ok(setpriority_process(None, NICE_MAX)?)
}
