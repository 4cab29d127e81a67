//! Runs a comparison and writes its reports, and runs the floor that a comparison has started.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miniweb::cli::{self, ReportOptions};
use miniweb::compare::measure::{control_socket, floor};
use miniweb::compare::report::{self, Progress};
use miniweb::compare::results::Results;
use miniweb::compare::run::{self, CompareError, Event, Request};
use miniweb::format::reason;
use miniweb::server::ListenAddress;

use crate::output::{fail, print};

pub fn compare(request: &Request, options: &ReportOptions) -> ExitCode {
    // Before the measurements, which may take ten minutes.
    if let Some(error) = options.files().find_map(|path| report::writable(path).err()) {
        return fail(1, &error.to_string());
    }
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = None;
    // A closed stderr does not stop the measurements.
    let results = run::compare(request, &mut |event| match event {
        Event::Planned(results, expected) => {
            let _ = std::io::stderr().write_all(report::plan(results, expected).as_bytes());
            progress = Some(Progress::new(std::io::stderr(), is_terminal, results.order.len()));
        }
        Event::Measuring { measurement, done, elapsed } => {
            let label = format!("{}, {}", measurement.workload, measurement.contender);
            let _ = progress.as_mut().map(|progress| progress.draw(done, elapsed, &label));
        }
    });
    let _ = progress.map(|mut progress| progress.clear());
    let results = match results {
        Ok(results) => results,
        Err(CompareError::Io(error)) => {
            return fail(3, &format!("cannot measure: {}", reason(&error)));
        }
        Err(CompareError::TimeTooShort(why)) => return fail(2, &why),
        Err(CompareError::ResponsesDiffer(why)) => {
            return fail(3, &format!("the servers cannot be compared: {why}"));
        }
    };
    match report(&results, options) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(1, &error.to_string()),
        _ if report::any_valid(&results) => ExitCode::SUCCESS,
        _ => fail(3, "nothing valid could be measured"),
    }
}

/// Writes all reports, even if one of them fails: the measurements took long.
fn report(results: &Results, options: &ReportOptions) -> std::io::Result<()> {
    let stdout = std::io::stdout();
    let is_colored =
        options.color.is_colored(stdout.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    let printed = report::print_tables(results, &mut stdout.lock(), is_colored);
    let json = options.json.as_ref().map_or(Ok(()), |path| report::write_json(results, path));
    let html = options.html.as_ref().map_or(Ok(()), |path| report::write_html(results, path));
    json.and(html).and(printed)
}

pub fn serve_floor(root: &Path, paths: &[PathBuf]) -> ExitCode {
    let ran = control_socket::serve().and_then(|()| {
        floor::serve(root, paths, |address| {
            print(&format!("Serving the floor on {}\n", cli::url(&ListenAddress::Tcp(address))));
        })
    });
    ran.map_or_else(|error| fail(1, &reason(&error)), |()| ExitCode::SUCCESS)
}
