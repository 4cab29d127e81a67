//! Arguments → settings → run → exit status. Errors go to stderr as one line.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{ErrorKind, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miniweb::cli::{self, Failure, Invocation, ReportOptions};
use miniweb::compare::measure::{control_socket, floor};
use miniweb::compare::report::{self, Progress};
use miniweb::compare::results::Results;
use miniweb::compare::run::{self, CompareError, Event, Request};
use miniweb::format::{printable, reason};
use miniweb::server::Server;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(print_panic));
    let (settings, banner) = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(settings, banner)) => (settings, banner),
        Ok(Invocation::Print(text)) => return print(&text),
        Ok(Invocation::Compare(request, options)) => return compare(&request, &options),
        Ok(Invocation::Floor(root, paths)) => return serve_floor(&root, &paths),
        Err(Failure::Usage(message)) => return fail(2, &message),
        Err(Failure::Unavailable(message)) => return fail(1, &message),
    };
    let is_compared = settings.counters_file.is_some();
    let ran = Server::open(*settings).and_then(|server| {
        // A server started by a comparison reports its resource usage, from a thread that must not
        // start earlier.
        if is_compared {
            control_socket::serve()?;
        }
        server.run(move |address| {
            let is_terminal = std::io::stdout().is_terminal();
            print(&if is_terminal { banner.lines(address) } else { banner.line(address) });
        })
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &reason(&error)),
    }
}

fn compare(request: &Request, options: &ReportOptions) -> ExitCode {
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

fn serve_floor(root: &Path, paths: &[PathBuf]) -> ExitCode {
    let ran = control_socket::serve().and_then(|()| {
        floor::serve(root, paths, |address| {
            print(&format!("Serving the floor on {}\n", cli::url(address)));
        })
    });
    ran.map_or_else(|error| fail(1, &reason(&error)), |()| ExitCode::SUCCESS)
}

/// Prints and flushes, so that a program that starts a server on port 0 can read the address. A
/// closed stdout is not an error: `miniweb --help | head -1`.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn fail(status: u8, message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(status)
}

/// Prints one line with one write. The message may quote a file name, an argument or another
/// server.
fn print_error(message: &str) {
    let line = format!("error: {}\n", printable(message));
    // A closed stderr leaves the exit status.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Prints a panic as one line, because its message may quote what a client sent. The backtrace
/// that RUST_BACKTRACE asks for follows.
fn print_panic(panic: &PanicHookInfo<'_>) {
    print_error(&format!("bug: {}", panic.to_string().replacen('\n', " ", 1)));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(std::io::stderr(), "{backtrace}");
    }
}
