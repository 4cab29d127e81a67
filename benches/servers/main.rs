//! The CPU time and the latency of a request to miniweb, nginx, lighttpd, h2o and a floor, and over
//! TLS to all but the floor. Prints the figures of docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench servers
//! cargo bench --bench servers -- --rounds 9 --loads range,10-mb --servers floor,mio,nginx
//! cargo bench --bench servers -- --help
//! ```
//!
//! Each server has one worker on the first core and no access log; the load runs on the last core.
//! The CPU time comes from the scheduler, the latency from the load generator, both from the same
//! run. Under each load the servers take turns, so that a change in what else the machine does
//! affects all of them alike; while one is measured, the others wait for requests and use no CPU
//! time. Before that, each has to respond with the bytes of the file.

#[path = "../support/certificate.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod certificate;
mod check;
#[path = "../support/command_line.rs"]
mod command_line;
#[path = "../support/cost.rs"]
mod cost;
#[path = "../support/files.rs"]
mod files;
mod floor;
mod loads;
#[path = "../support/numbers.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod numbers;
mod options;
#[path = "../support/peers.rs"]
mod peers;
mod report;
#[path = "../support/server.rs"]
mod server;
mod servers;
mod site;

use std::io;
use std::process::ExitCode;

use miniweb::compare::measure::cores::Cores;
use miniweb::format::counted;
use miniweb::load::Load;

use command_line::Interruption;
use cost::Cost;
use loads::Workload;
use options::{Effort, Invocation, Selection};
use report::Table;
use server::Server;
use servers::Contender;
use site::Site;

fn main() -> ExitCode {
    let outcome = options::parse().and_then(|invocation| {
        let outcome = match invocation {
            Some(Invocation::Measure(selection)) => run(&selection),
            Some(Invocation::ServeFloor { root, workload }) => floor::serve(&root, workload.target),
            None => Ok(()),
        };
        outcome.map_err(command_line::failure)
    });
    command_line::exit_code(outcome)
}

fn run(selection: &Selection) -> io::Result<()> {
    let interruption = Interruption::register()?;
    server::raise_descriptor_limit()?;
    let Selection { workloads, servers, effort } = selection;
    let cells = workloads.len() * servers.len() * effort.rounds;
    let seconds = (effort.warm_up + effort.window).as_secs_f64() * cells as f64;
    eprintln!("{}, about {seconds:.0} s", counted(cells as u64, "measurement"));
    let cores = Cores::divide();
    let site = Site::create(workloads, effort.files_max)?;
    let (mut tables, mut failures) = (Vec::new(), Vec::new());
    for workload in workloads {
        eprintln!("{}: {}", workload.name, workload.description);
        let mut running: Vec<Option<Running>> = Vec::new();
        let mut table = Table::new(workload, servers);
        for contender in servers {
            if !contender.serves(workload) {
                running.push(None);
                continue;
            }
            let start = Running::start(*contender, workload, &site, &cores, effort);
            running.push(start.map_err(|error| failures.push(error)).ok());
        }
        for _ in 0..effort.rounds {
            for (slot, row) in running.iter_mut().zip(&mut table.rows) {
                interruption.check()?;
                let Some(running) = slot else { continue };
                match running.measure(effort) {
                    Ok(cost) => row.rounds.push(cost),
                    Err(error) => {
                        failures.push(explain(error, row.server, workload));
                        row.rounds.clear();
                        *slot = None;
                    }
                }
            }
        }
        tables.push(table);
    }
    report::print(&tables, effort);
    // Not at once: the other servers and loads are worth their figures.
    match failures.is_empty() {
        true => Ok(()),
        false => {
            let failures: Vec<String> = failures.iter().map(io::Error::to_string).collect();
            Err(io::Error::other(failures.join("; ")))
        }
    }
}

/// A server under load. Fields are dropped in order: the connections close first, so that no server
/// waits for them when it stops.
struct Running {
    load: Load,
    server: Server,
}

impl Running {
    /// Starts a server, checks its responses, and requests every file once.
    fn start(
        contender: Contender,
        workload: &Workload,
        site: &Site,
        cores: &Cores,
        effort: &Effort,
    ) -> io::Result<Running> {
        let start = || {
            let server = contender.start(workload, site, cores)?;
            check::check(server.address, workload, site)?;
            let mut load = Load::open(workload.plan(site, server.address)?)?;
            let (mut responses, files) = (0, site.paths(workload.target).len() as u64);
            while responses < files {
                let result = load.run(effort.warm_up)?;
                if result.responses == 0 || result.errors_total() > 0 {
                    return Err(io::Error::other(format!("failed: {:?}", result.errors)));
                }
                responses += result.responses;
            }
            Ok(Running { load, server })
        };
        start().map_err(|error| explain(error, contender, workload))
    }

    fn measure(&mut self, effort: &Effort) -> io::Result<Cost> {
        self.load.run(effort.warm_up)?;
        Cost::measure(&mut self.load, &self.server, effort.window)
    }
}

fn explain(error: io::Error, contender: Contender, workload: &Workload) -> io::Error {
    io::Error::new(error.kind(), format!("{} under {}: {error}", contender.name(), workload.name))
}
