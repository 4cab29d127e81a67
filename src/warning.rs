//! Warnings: one line on stderr about something that the server works without.

use std::fmt::Display;
use std::io::Write;

use crate::format::printable;

/// Prints `warning: message` with one write, so that lines of several processes do not mix. A
/// closed stderr does not matter.
pub(crate) fn warn(message: impl Display) {
    let line = format!("warning: {}\n", printable(&message.to_string()));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
