//! The access log: one line per response on stdout or in a file, written by a thread of its own.
//!
//! Workers append lines to a buffer; the log thread empties the buffer at most 20 times a second,
//! many lines per write. So a slow terminal or pipe does not delay responses until the buffer is
//! full.
//!
//! A forked process sends its lines to the process that forked it, where another thread appends
//! them to the buffer:
//!
//! ```text
//!   child ──┐ one message per line   ┌───────────────┐ append   ┌────────┐ take   ┌────────────┐
//!   child ──┴── SOCK_SEQPACKET ────> │ relay thread  │ ───────> │ buffer │ ─────> │ log thread │
//!                                    └───────────────┘          └────────┘        └────────────┘
//! ```
//!
//! Invariants:
//! 1. No line is lost while the server runs or shuts down in order. The buffer is bounded: when
//!    [`BUFFER_BYTES_MAX`] are waiting, workers wait for the log thread.
//! 2. A closed stdout ends the log, and the server continues. A full disk loses the lines that do
//!    not fit, and no others.
//! 3. One thread of one process writes the log, and opens its file again on SIGHUP. Several would
//!    tear each other's lines where the kernel takes only a part of a write, as a full disk or a
//!    full socket does.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use signal_hook::consts::SIGHUP;
use socket2::{Domain, Socket, Type};

use super::client::Peer;
use super::clock::read_monotonic;
use super::line_writer::write_lines;
use super::log_file::LogOutput;
use super::log_line::{LINE_BYTES_MAX, LogFormat, write_line};
use crate::http::{Exchange, Now};
use crate::sync::{lock, wait, wait_timeout_while};
use crate::syscall_stats::{Call, Event, SyscallStats};

/// A worker's handle to the log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: LogFormat,
    destination: Destination,
}

/// Where the lines of a worker go.
#[derive(Clone, Debug)]
enum Destination {
    /// To the log thread of this process, which receives the lines of its children from `relay`.
    Sink { sink: Arc<Sink>, relay: Option<Arc<Socket>> },
    /// To the process that forked this one.
    Relay(Arc<Socket>, SyscallStats),
}

/// About 8,000 lines.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// How long lines are collected before they are written: shorter than a person notices.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Sink {
    buffer: Mutex<Buffer>,
    /// The buffer has lines, the file must be opened again, or the log has ended.
    filled: Condvar,
    /// The buffer has space again, or the log has ended.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    /// The log file has been rotated.
    must_reopen: bool,
    has_ended: bool,
}

/// What else the log thread has to do after it has taken lines.
struct Taken {
    must_reopen: bool,
    has_ended: bool,
}

/// The threads of the log.
#[derive(Debug)]
pub struct LogWriter {
    sink: Arc<Sink>,
    thread: Option<JoinHandle<()>>,
    relay: Option<(Arc<Socket>, JoinHandle<()>)>,
}

impl AccessLog {
    /// Creates the log and starts its threads, which count their calls in `stats`. `has_children`:
    /// whether the server forks processes that write to it. `owns_process`: whether SIGHUP reopens
    /// its file.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn start(
        format: LogFormat,
        mut output: LogOutput,
        has_children: bool,
        owns_process: bool,
        stats: &SyscallStats,
    ) -> io::Result<(AccessLog, LogWriter)> {
        let sink = Arc::new(Sink::default());
        let mut writer = LogWriter { sink: sink.clone(), thread: None, relay: None };
        if format != LogFormat::None {
            if has_children {
                let (sender, receiver) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
                let (sink, stats) = (sink.clone(), stats.clone());
                let thread = std::thread::spawn(move || sink.receive_to_end(&receiver, &stats));
                writer.relay = Some((Arc::new(sender), thread));
            }
            if owns_process && matches!(output, LogOutput::File(_)) {
                let (handler_end, signals) = UnixStream::pair()?;
                signal_hook::low_level::pipe::register(SIGHUP, handler_end)?;
                let sink = sink.clone();
                std::thread::spawn(move || sink.reopen_on_hangup(signals));
            }
            let (sink, stats) = (sink.clone(), stats.clone());
            writer.thread =
                Some(std::thread::spawn(move || sink.write_to_end(&mut output, &stats)));
        }
        let relay = writer.relay.as_ref().map(|(sender, _)| sender.clone());
        Ok((AccessLog { format, destination: Destination::Sink { sink, relay } }, writer))
    }

    /// The log for a process that this one has forked. The threads of the log do not exist there.
    pub fn in_child(&self, stats: &SyscallStats) -> AccessLog {
        let destination = match &self.destination {
            Destination::Sink { relay: Some(relay), .. } => {
                Destination::Relay(relay.clone(), stats.clone())
            }
            other => other.clone(),
        };
        AccessLog { format: self.format, destination }
    }

    /// Writes the line of one response. Waits while the buffer is full.
    pub fn record(&self, exchange: &Exchange, peer: Peer, now: &Now) {
        if self.format == LogFormat::None {
            return;
        }
        let address = exchange.forwarded_for.or(peer.address);
        let client = Peer { address, ..peer };
        // An event loop reads its clock once per pass, and most responses take less than a pass.
        let now = &Now { moment: read_monotonic(), ..*now };
        match &self.destination {
            Destination::Sink { sink, .. } => {
                sink.append(|lines| write_line(self.format, lines, exchange, client, now));
            }
            Destination::Relay(socket, stats) => {
                let mut line = Vec::with_capacity(LINE_BYTES_MAX);
                write_line(self.format, &mut line, exchange, client, now);
                stats.count(Call::Send);
                // EPIPE: the log has ended.
                let _ = retry_on_intr(|| send(socket, &line, SendFlags::NOSIGNAL));
            }
        }
    }
}

impl LogWriter {
    /// Writes the lines that are left, and ends the threads. Children have ended before.
    pub fn finish(self) {
        // The threads only receive, append, write and wait, so they do not panic.
        if let Some((sender, thread)) = self.relay {
            // The thread receives what was sent before, and then the end.
            let _ = sender.shutdown(Shutdown::Write);
            let _ = thread.join();
        }
        lock(&self.sink.buffer).has_ended = true;
        self.sink.filled.notify_one();
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

impl Sink {
    /// Has `write` append lines to the buffer, unless the log has ended. Waits while the buffer is
    /// full. Returns whether the log goes on.
    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut buffer = lock(&self.buffer);
        while buffer.lines.len() >= BUFFER_BYTES_MAX && !buffer.has_ended {
            self.filled.notify_one();
            buffer = wait(&self.drained, buffer);
        }
        if buffer.has_ended {
            return false;
        }
        if buffer.lines.is_empty() {
            self.filled.notify_one();
        }
        write(&mut buffer.lines);
        true
    }

    /// Appends the lines of forked processes, each of which is one message.
    fn receive_to_end(&self, receiver: &Socket, stats: &SyscallStats) {
        let mut line = [0; LINE_BYTES_MAX];
        loop {
            stats.count(Call::Recv);
            let received = retry_on_intr(|| recv(receiver, &mut line[..], RecvFlags::empty()));
            let goes_on = match received {
                Ok((length @ 1.., _)) => self.append(|lines| lines.extend(&line[..length])),
                Ok((0, _)) | Err(_) => false,
            };
            if !goes_on {
                break;
            }
        }
        // Forked processes hold copies of the receiver. Without this they would wait for space.
        let _ = receiver.shutdown(Shutdown::Both);
    }

    /// Has the log thread open its file again with each SIGHUP, lines or not: the rotated file may
    /// be compressed or deleted soon.
    fn reopen_on_hangup(&self, mut signals: UnixStream) {
        loop {
            match signals.read(&mut [0; 64]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return,
            }
            lock(&self.buffer).must_reopen = true;
            self.filled.notify_one();
        }
    }

    fn write_to_end(&self, output: &mut LogOutput, stats: &SyscallStats) {
        let mut lines = Vec::new();
        // Whether the last write ended within a line, because the disk was full.
        let mut is_torn = false;
        loop {
            let Taken { must_reopen, has_ended } = self.take_lines(&mut lines);
            if must_reopen && let LogOutput::File(file) = output {
                is_torn &= !file.reopen();
            }
            if is_torn && !lines.is_empty() {
                lines.insert(0, b'\n');
            }
            let written = write_lines(&*output, &lines, || stats.count(Call::WriteLog));
            if let Ok(length @ 1..) = written {
                is_torn = lines[length - 1] != b'\n';
            }
            // After a disk error, it is unknown how much was written: all lines count as lost.
            let lost = &lines[written.unwrap_or(0)..];
            if !lost.is_empty() {
                stats.count_events(Event::LogLineLost, memchr::memchr_iter(b'\n', lost).count());
            }
            lines.clear();
            let is_closed = match (written, &mut *output) {
                (Ok(_), _) => false,
                (Err(_), LogOutput::Stdout(_)) => true,
                (Err(errno), LogOutput::File(file)) => {
                    file.warn_of_loss(&errno.into());
                    false
                }
            };
            if is_closed || has_ended {
                lock(&self.buffer).has_ended = true;
                self.drained.notify_all();
                return;
            }
        }
    }

    /// Waits for lines, collects more for [`FLUSH_INTERVAL`], and swaps them with the empty
    /// `lines`. There may be none if the file must be opened again or the log has ended.
    fn take_lines(&self, lines: &mut Vec<u8>) -> Taken {
        let mut buffer = lock(&self.buffer);
        while buffer.lines.is_empty() && !buffer.must_reopen && !buffer.has_ended {
            buffer = wait(&self.filled, buffer);
        }
        let collects = |buffer: &mut Buffer| {
            !buffer.must_reopen && !buffer.has_ended && buffer.lines.len() < BUFFER_BYTES_MAX
        };
        buffer = wait_timeout_while(&self.filled, buffer, FLUSH_INTERVAL, collects);
        std::mem::swap(lines, &mut buffer.lines);
        self.drained.notify_all();
        let must_reopen = std::mem::take(&mut buffer.must_reopen);
        Taken { must_reopen, has_ended: buffer.has_ended }
    }
}
