//! What the program prints, and its exit status.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use miniweb::format::printable;

/// Prints and flushes, so that a program that starts a server on port 0 can read the address. A
/// closed stdout is not an error: `miniweb --help | head -1`.
pub fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

pub fn fail(status: u8, message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(status)
}

/// Prints one line with one write. The message may quote a file name, an argument or another
/// server.
pub fn print_error(message: &str) {
    let line = format!("error: {}\n", printable(message));
    // A closed stderr leaves the exit status.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
