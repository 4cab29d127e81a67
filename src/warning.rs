//! Warnings: one line on stderr about something that the server works without.

use std::fmt::Display;

use rustix::stdio::stderr;

use crate::format::printable;

/// Prints `warning: message` with one write, so that lines of several processes do not mix. A
/// closed stderr does not matter. The lock of std's stderr is not taken: threads warn while others
/// fork, and the child could inherit it.
pub(crate) fn warn(message: impl Display) {
    let line = format!("warning: {}\n", printable(&message.to_string()));
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(stderr(), line.as_bytes()));
}
