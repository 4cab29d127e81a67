//! The access log: one line per response on stdout, written by a thread of its own.
//!
//! Workers append lines to a buffer; the log thread writes the buffer at most 20 times a second. So
//! a busy server makes 20 writes a second instead of one per request, and a slow terminal or pipe
//! does not delay responses until the buffer is full.
//!
//! Invariants:
//! 1. No line is lost while the server runs or shuts down in order. The buffer is bounded: when
//!    [`BUFFER_BYTES_MAX`] are waiting, workers wait for the log thread.
//! 2. A closed stdout ends the log, and the server continues. A full disk loses the lines that do
//!    not fit, and no others.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::log_line::{LogFormat, write_line};
use crate::http::{Exchange, Now};
use crate::sync::{lock, wait, wait_timeout_while};
use crate::syscall_stats::{Call, SyscallStats};

/// A worker's handle to the log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: LogFormat,
    sink: Arc<Sink>,
}

/// About 8,000 lines.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// How long lines are collected before they are written: shorter than a person notices.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Sink {
    buffer: Mutex<Buffer>,
    /// The buffer has lines, or the log has ended.
    filled: Condvar,
    /// The buffer has space again, or the log has ended.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    has_ended: bool,
}

#[derive(Debug)]
pub struct LogWriter {
    sink: Arc<Sink>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Creates the log and starts its thread, which counts its writes in `stats`.
    pub fn start(format: LogFormat, stats: &SyscallStats) -> (AccessLog, LogWriter) {
        let sink = Arc::new(Sink::default());
        let thread = (format != LogFormat::None).then(|| {
            let (sink, stats) = (sink.clone(), stats.clone());
            std::thread::spawn(move || sink.write_to_end(&stats))
        });
        (AccessLog { format, sink: sink.clone() }, LogWriter { sink, thread })
    }

    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Appends the line of one response. Waits while the buffer is full.
    pub fn record(&self, exchange: &Exchange, client: Option<IpAddr>, now: &Now) {
        let mut buffer = lock(&self.sink.buffer);
        while buffer.lines.len() >= BUFFER_BYTES_MAX && !buffer.has_ended {
            self.sink.filled.notify_one();
            buffer = wait(&self.sink.drained, buffer);
        }
        if buffer.has_ended {
            return;
        }
        if buffer.lines.is_empty() {
            self.sink.filled.notify_one();
        }
        write_line(self.format, &mut buffer.lines, exchange, client, now);
    }
}

impl LogWriter {
    /// Writes the lines that are left, and ends the thread.
    pub fn finish(mut self) {
        lock(&self.sink.buffer).has_ended = true;
        self.sink.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread only writes and waits, so it does not panic.
            let _ = thread.join();
        }
    }
}

impl Sink {
    fn write_to_end(&self, stats: &SyscallStats) {
        let mut lines = Vec::new();
        // Whether the last write ended within a line, because the disk was full.
        let mut is_torn = false;
        loop {
            let has_ended = self.take_lines(&mut lines);
            if !lines.is_empty() {
                stats.count(Call::WriteLog);
                if is_torn {
                    lines.insert(0, b'\n');
                }
            }
            let written = write_to_stdout(&lines);
            if let Ok(length @ 1..) = written {
                is_torn = lines[length - 1] != b'\n';
            }
            lines.clear();
            if written.is_err() || has_ended {
                lock(&self.buffer).has_ended = true;
                self.drained.notify_all();
                return;
            }
        }
    }

    /// Waits for lines, collects more for [`FLUSH_INTERVAL`], and swaps them with the empty
    /// `lines`. Returns whether the log has ended.
    fn take_lines(&self, lines: &mut Vec<u8>) -> bool {
        let mut buffer = lock(&self.buffer);
        while buffer.lines.is_empty() && !buffer.has_ended {
            buffer = wait(&self.filled, buffer);
        }
        let collects =
            |buffer: &mut Buffer| !buffer.has_ended && buffer.lines.len() < BUFFER_BYTES_MAX;
        buffer = wait_timeout_while(&self.filled, buffer, FLUSH_INTERVAL, collects);
        std::mem::swap(lines, &mut buffer.lines);
        self.drained.notify_all();
        buffer.has_ended
    }
}

/// Writes `lines` and returns how many bytes the disk had space for.
///
/// # Errors
/// Stdout is closed, or fails in another way that does not pass.
fn write_to_stdout(lines: &[u8]) -> rustix::io::Result<usize> {
    let stdout = std::io::stdout();
    let mut written = 0;
    while written < lines.len() {
        match rustix::io::write(&stdout, &lines[written..]) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            // O_NONBLOCK is a property of the pipe or terminal, and another program that has it
            // open may have set it.
            Err(Errno::AGAIN) => {
                // If poll fails, the next write shows why.
                let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
            }
            // Waiting for space on the disk would stop the server.
            Err(Errno::NOSPC | Errno::DQUOT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}
