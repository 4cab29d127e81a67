//! Arguments → settings → run → exit status.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use miniweb::args::{self, Failure, Invocation};
use miniweb::server;

fn main() -> ExitCode {
    let (settings, served) = match args::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(settings, served)) => (settings, served),
        Ok(Invocation::Print(text)) => return print(&text),
        Err(Failure::Usage(message)) => return fail(2, &format!("{message} (see miniweb --help)")),
        Err(Failure::Missing(message)) => return fail(1, &message),
    };
    let (strategy, address, privileges) = (settings.strategy, settings.address, settings.privileges.clone());
    let ran = server::run(*settings, |address| {
        print(&format!("Serving {} on {} ({})\n", served.0, args::url(address), args::describe(strategy, &privileges)));
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("{address}: {}", args::reason(&error))),
    }
}

/// At once, so that whoever started this on port 0 can read where it listens. A closed stdout is the
/// reader's choice and no error: `miniweb --help | head -1`.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn fail(status: u8, message: &str) -> ExitCode {
    // If stderr is closed there is nobody to tell; the status still says it.
    let _ = writeln!(std::io::stderr(), "miniweb: {message}");
    ExitCode::from(status)
}
