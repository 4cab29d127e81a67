//! Writes lines to stdout and stderr, which other processes may be writing to as well: the server
//! that this one replaces, or other programs in a shell's pipeline.
//!
//! Invariant: a write is whole lines of at most [`WRITE_BYTES_MAX`] bytes together, unless one line
//! is longer than that. The kernel does not divide such a write to a pipe, even one in non-blocking
//! mode: it takes all of it or nothing (pipe(7)). A stream socket with a send buffer of the default
//! size takes it as one packet. A file is locked for a write, and so is a terminal.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, Result};

/// PIPE_BUF of Linux.
pub const WRITE_BYTES_MAX: usize = 4096;

/// Writes `lines` and returns how many bytes the disk had space for. Calls `on_write` before each
/// system call.
///
/// # Errors
/// `output` is closed, or fails in another way that does not pass.
pub fn write_lines(output: impl AsFd, lines: &[u8], on_write: impl Fn()) -> Result<usize> {
    let mut written = 0;
    while written < lines.len() {
        on_write();
        match rustix::io::write(&output, next_piece(&lines[written..])) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            // O_NONBLOCK is a property of the pipe or terminal, and another program that has it
            // open may have set it.
            Err(Errno::AGAIN) => {
                // If poll fails, the next write shows why.
                let _ = poll(&mut [PollFd::new(&output, PollFlags::OUT)], None);
            }
            // Waiting for space on the disk would stop the server.
            Err(Errno::NOSPC | Errno::DQUOT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}

/// As many lines as one write takes, or what one takes of a line that is too long for it.
fn next_piece(lines: &[u8]) -> &[u8] {
    let Some(start) = lines.get(..WRITE_BYTES_MAX) else { return lines };
    match memchr::memrchr(b'\n', start) {
        Some(line_end) => &lines[..=line_end],
        None => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_as_many_whole_lines_as_one_write_takes() {
        let line = |length: usize| "x".repeat(length - 1) + "\n";
        for (lengths, first) in [
            (&[10][..], 10),
            (&[10, 20], 30),
            (&[WRITE_BYTES_MAX], WRITE_BYTES_MAX),
            (&[WRITE_BYTES_MAX - 1, 1], WRITE_BYTES_MAX),
            (&[WRITE_BYTES_MAX - 1, 2], WRITE_BYTES_MAX - 1),
            (&[1, WRITE_BYTES_MAX], 1),
            (&[WRITE_BYTES_MAX + 1], WRITE_BYTES_MAX),
        ] {
            let lines: String = lengths.iter().map(|length| line(*length)).collect();
            assert_eq!(next_piece(lines.as_bytes()).len(), first, "{lengths:?}");
        }
    }
}
