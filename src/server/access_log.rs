//! The access log: a line an answer on stdout, off the hot path.
//!
//! Workers append finished lines to one buffer; a thread of its own writes it out a moment later, so that
//! no worker ever waits for a terminal or a pipe, and a busy server makes twenty writes a second
//! instead of one a request.
//!
//! Laws:
//! 1. No line is lost while the server runs or stops in order: a full buffer makes workers wait for the writer.
//! 2. A line is one line: whatever a peer sends is escaped.
//! 3. If stdout is closed, logging ends and serving goes on. A full disk costs the lines that it has no room for, and no others.

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::format;
use crate::http::{Exchange, Now};
use crate::syscall_stats::{Call, SyscallStats};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// There is none.
    None,
    /// For a person at a terminal: status, request, size, time, peer.
    Short,
    /// The Common Log Format of NCSA httpd, times in UTC.
    Common,
    /// One JSON object a line.
    Json,
}

/// A worker's way to the log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: LogFormat,
    sink: Arc<Sink>,
}

/// Past this many bytes workers wait for the writer. About 8,000 lines.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// How long the writer lets lines gather: shorter than a person notices.
const GATHER: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Sink {
    state: Mutex<SinkState>,
    /// Something to write, or the end.
    filled: Condvar,
    /// Room again.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct SinkState {
    lines: Vec<u8>,
    is_over: bool,
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    sink: Arc<Sink>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// A log of `format`, and the writer of its lines, who enters his writes in `stats`.
    pub fn start(format: LogFormat, stats: &SyscallStats) -> (AccessLog, LogWriter) {
        let sink = Arc::new(Sink::default());
        let thread = (format != LogFormat::None).then(|| {
            let (sink, stats) = (sink.clone(), stats.clone());
            std::thread::spawn(move || sink.write_out(&stats))
        });
        (AccessLog { format, sink: sink.clone() }, LogWriter { sink, thread })
    }

    /// Whether anything is logged.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Appends the line of one answer to `peer`.
    pub fn record(&self, exchange: &Exchange, peer: Option<IpAddr>, now: &Now) {
        let mut state = self.sink.lock();
        while state.lines.len() >= BUFFER_BYTES_MAX && !state.is_over {
            self.sink.filled.notify_one();
            state = self.sink.drained.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if state.is_over {
            return;
        }
        if state.lines.is_empty() {
            self.sink.filled.notify_one();
        }
        format_line(self.format, &mut state.lines, exchange, peer, now);
    }
}

impl LogWriter {
    /// Writes what is left and ends.
    pub fn finish(mut self) {
        self.sink.lock().is_over = true;
        self.sink.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // It can't panic: it only writes and waits.
            let _ = thread.join();
        }
    }
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, SinkState> {
        // A line is appended whole or, if formatting it panicked, in part: no reason to stop logging.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write_out(&self, stats: &SyscallStats) {
        let (mut lines, mut is_torn) = (Vec::new(), false);
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() && !state.is_over {
                state = self.filled.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            let gathers =
                |state: &mut SinkState| !state.is_over && state.lines.len() < BUFFER_BYTES_MAX;
            state = match self.filled.wait_timeout_while(state, GATHER, gathers) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
            std::mem::swap(&mut lines, &mut state.lines);
            let is_over = state.is_over;
            self.drained.notify_all();
            drop(state);
            if !lines.is_empty() {
                stats.count(Call::WriteLog);
            }
            if is_torn && !lines.is_empty() {
                lines.insert(0, b'\n');
            }
            let written = write_to_stdout(&lines);
            if let Ok(length @ 1..) = written {
                is_torn = lines[length - 1] != b'\n';
            }
            lines.clear();
            if written.is_err() || is_over {
                self.lock().is_over = true;
                self.drained.notify_all();
                return;
            }
        }
    }
}

/// Writes `lines`, and says how many bytes of them there was room for. An error is that nobody takes any more.
fn write_to_stdout(lines: &[u8]) -> rustix::io::Result<usize> {
    let stdout = std::io::stdout();
    let mut written = 0;
    while written < lines.len() {
        match rustix::io::write(&stdout, &lines[written..]) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            // Whether calls wait is a property of the pipe or terminal itself: another program that has it may have
            // decided that they don't.
            Err(Errno::AGAIN) => {
                // If it can't be waited for, the next write tells why.
                let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
            }
            // To wait for room would be to serve nobody until someone has tidied up.
            Err(Errno::NOSPC | Errno::DQUOT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}

fn format_line(
    format: LogFormat,
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) {
    // Writing to a Vec cannot fail.
    let _ = match format {
        LogFormat::None => Ok(()),
        LogFormat::Short => short_line(out, exchange, peer, now),
        LogFormat::Common => common_line(out, exchange, peer, now),
        LogFormat::Json => json_line(out, exchange, peer, now),
    };
}

fn short_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    write!(out, "{} ", exchange.status.code())?;
    // The version is always the same and says nothing.
    let line = &exchange.request_line;
    let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
    escape(out, if line.is_empty() { b"-" } else { line }, b"");
    write!(
        out,
        "  {}  {}",
        format::bytes(exchange.body_bytes),
        format::time(now.moment.since(exchange.started))
    )?;
    if let Some(peer) = peer {
        write!(out, "  {peer}")?;
    }
    out.extend_from_slice(if exchange.complete { b"\n" } else { b"  cut short\n" });
    Ok(())
}

fn common_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    match peer {
        Some(peer) => write!(out, "{peer} - - [")?,
        None => write!(out, "- - - [")?,
    }
    // "Sun, 06 Nov 1994 08:49:37 GMT" → "06/Nov/1994:08:49:37 +0000"
    let date = now.date.as_bytes();
    for part in
        [&date[5..7], b"/", &date[8..11], b"/", &date[12..16], b":", &date[17..25], b" +0000] \""]
    {
        out.extend_from_slice(part);
    }
    escape(out, &exchange.request_line, b"\"\\");
    write!(out, "\" {} {}", exchange.status.code(), exchange.body_bytes)?;
    out.push(b'\n');
    Ok(())
}

fn json_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    let seconds = now.wall.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    write!(out, "{{\"time\":{seconds},\"status\":{},\"request\":", exchange.status.code())?;
    format::json_string(out, &exchange.request_line);
    let micros = now.moment.since(exchange.started).as_micros();
    write!(
        out,
        ",\"body_bytes\":{},\"complete\":{},\"duration_us\":{micros}",
        exchange.body_bytes, exchange.complete
    )?;
    if let Some(peer) = peer {
        write!(out, ",\"peer\":\"{peer}\"")?;
    }
    for (name, value) in [("referer", &exchange.referer), ("user_agent", &exchange.user_agent)] {
        if let Some(value) = value {
            write!(out, ",\"{name}\":")?;
            format::json_string(out, value);
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Control characters, bytes that are not ASCII and those in `also` as `\xHH`: a log is read in terminals.
fn escape(out: &mut Vec<u8>, text: &[u8], also: &[u8]) {
    for byte in text {
        match byte {
            b' '..=b'~' if !also.contains(byte) => out.push(*byte),
            _ => out.extend_from_slice(format!("\\x{byte:02X}").as_bytes()),
        }
    }
}
