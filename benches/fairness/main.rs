//! The latency of a well-behaved client beside a load, for every strategy and nginx. Prints the
//! figures of docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench fairness
//! cargo bench --bench fairness -- --rounds 1 --loads gzip,listings --servers mio,nginx
//! cargo bench --bench fairness -- --help
//! ```
//!
//! The client requests a file of 1 KiB at a fixed rate over one connection. Its latency counts from
//! the time at which a request was scheduled, so a stall is not hidden by requests that were never
//! sent. The rate is low, because the bench is about latency: at 1,000 requests/s the requests
//! beside `gzip` queue up on every server.
//!
//! Each measurement has a server of its own, because a server that polls takes CPU time even while
//! another one is measured, and because a cache would help the second measurement.

#[path = "../support/certificate.rs"]
mod certificate;
#[path = "../support/command_line.rs"]
mod command_line;
#[path = "../support/files.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod files;
mod loads;
mod measure;
#[path = "../support/numbers.rs"]
mod numbers;
mod options;
#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod peers;
mod report;
#[path = "../support/server.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod server;
mod servers;
mod site;

use std::io;
use std::process::ExitCode;

use miniweb::compare::measure::cores::Cores;
use miniweb::format::counted;

use command_line::Interruption;
use measure::measure;
use options::Selection;
use report::Table;
use site::Site;

fn main() -> ExitCode {
    let outcome = options::parse().and_then(|selection| match selection {
        Some(selection) => run(&selection).map_err(command_line::failure),
        None => Ok(()),
    });
    command_line::exit_code(outcome)
}

fn run(selection: &Selection) -> io::Result<()> {
    let interruption = Interruption::register()?;
    let effort = &selection.effort;
    let cells = selection.loads.len() * selection.servers.len() * effort.rounds;
    let seconds = (effort.warm_up + effort.window).as_secs_f64() * cells as f64;
    eprintln!("{}, about {seconds:.0} s", counted(cells as u64, "measurement"));
    let cores = Cores::divide();
    let site = Site::create(&effort.site)?;
    let mut tables: Vec<Table<'_>> =
        selection.loads.iter().map(|load| Table::new(load, &selection.servers)).collect();
    // Each round measures every load on every server, so that a change in what else the machine
    // does affects all of them alike, and few rounds of each.
    for round in 1..=effort.rounds {
        for table in &mut tables {
            eprintln!("round {round} of {}: {}", effort.rounds, table.load.name);
            for row in table.rows.iter_mut().filter(|row| table.load.is_served_by(&row.server)) {
                interruption.check()?;
                row.rounds.push(measure(&row.server, table.load, &site, &cores, effort)?);
            }
        }
    }
    report::print(&tables, effort);
    Ok(())
}
