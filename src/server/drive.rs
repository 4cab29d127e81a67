//! One turn of one client: at most [`STEPS_MAX`] steps, and about as many bytes as its transport
//! allows ([`Transport::turn_bytes_max`]). A step reads once, writes once, or does what else the
//! connection asks for.
//!
//! Every strategy calls [`drive`] and decides only when. So all strategies make the same calls to
//! read and to write, and a comparison measures nothing but the way of waiting. It works on
//! blocking and on non-blocking sockets: on a blocking socket, EAGAIN means that the socket's
//! timeout has passed.
//!
//! The one difference is a slow file system: an event loop lets the offload pool read the file and
//! sends the bytes that the pool returns, whereas a blocking strategy waits in sendfile.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::access_log::AccessLog;
use super::client::{Client, Peer, PendingJob, ReadState, Transport};
use super::encrypted::{self, Input};
use super::kernel_tls::{self, Readiness};
use super::proxy_header::{ProxyHeader, ProxyHeaderProgress};
use super::trace_event::TraceEvent;
use super::traced_site::TracedSite;
use super::worker::Worker;
use crate::http::{CloseReason, Closing, Exchange, Now, Output, Step, Timeout, Transmit};
use crate::syscall_stats::{Call, Event, SyscallStats};

/// The steps of one turn: enough for an ordinary exchange.
const STEPS_MAX: usize = 16;
/// The most slices of one gathered write.
const SLICES_MAX: usize = 16;

/// How a turn of [`drive`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveOutcome {
    /// The client waits for its socket or for an offloaded job.
    Blocked,
    /// The client can continue, but its turn is over.
    Yielded,
    /// The connection is closed; drop the client.
    Closed,
}

/// Gives `client` one turn: serves it until it has to wait, for its socket or for an offloaded job,
/// until it is closed, or until its turn is over.
pub fn drive(client: &mut Client, worker: &mut Worker) -> DriveOutcome {
    client.lend_buffers(&mut worker.spare_output, &mut worker.spare_records);
    // A panic is a bug of ours. It closes the connection that triggered it; the worker continues.
    match catch_unwind(AssertUnwindSafe(|| run_steps(client, worker))) {
        Ok(outcome) => {
            client.reclaim_buffers(&mut worker.spare_output, &mut worker.spare_records);
            outcome
        }
        Err(_) => {
            worker.spare_output = Output::default();
            let closing = Closing { reason: CloseReason::Panicked, reset: false };
            // It logs the responses that are lost, and that may have been what panicked.
            let _ = catch_unwind(AssertUnwindSafe(|| close(client, worker, closing)));
            DriveOutcome::Closed
        }
    }
}

/// Serves a client whose deadline may have passed at `now`. A client times out only if its deadline
/// is still in the past after one more attempt to read and write: input that arrived in time
/// counts, even if the server is late to read it. The caller has set [`ReadState::MaybeReadable`];
/// otherwise a drained client is not read again.
pub fn drive_with_timeout(client: &mut Client, worker: &mut Worker, now: &Now) -> DriveOutcome {
    let outcome = drive(client, worker);
    let is_late = client.connection.deadline().is_some_and(|deadline| deadline <= now.moment);
    if outcome == DriveOutcome::Closed || !is_late {
        return outcome;
    }
    let site = worker.site.for_client(client.network(), client.transport.service());
    if let Some(timeout) = client.connection.handle_timeout(now, &site) {
        worker.stats.count_event(match timeout {
            Timeout::Idle => Event::IdleTimeout,
            Timeout::Header => Event::HeaderTimeout,
            Timeout::Body => Event::BodyTimeout,
            Timeout::Write => Event::WriteTimeout,
        });
    }
    drive(client, worker)
}

fn run_steps(client: &mut Client, worker: &mut Worker) -> DriveOutcome {
    // `progress` counts bytes received and sent. The step that reaches this ends the turn.
    let progress_max = worker.progress + client.transport.turn_bytes_max();
    worker.site.begin_turn();
    for _ in 0..STEPS_MAX {
        let flow = match client.connection.step() {
            Step::Close(closing) => {
                close(client, worker, closing);
                ControlFlow::Break(DriveOutcome::Closed)
            }
            Step::Send => send_or_await_file(client, worker),
            // TLS messages that belong to no response.
            _ if client.transport.has_unsent() => send_records(client, worker),
            // What was made of a response has been sent; the rest waits for the next turn.
            Step::Resume if worker.site.is_turn_over() => ControlFlow::Break(DriveOutcome::Yielded),
            Step::Resume => {
                process_input(client, worker, 0);
                ControlFlow::Continue(())
            }
            Step::Receive if client.read_state != ReadState::Drained => {
                receive(client, worker, RecvFlags::empty())
            }
            // A drained socket, or a response that the offload pool makes.
            Step::Receive | Step::Wait => ControlFlow::Break(DriveOutcome::Blocked),
            // Before it closes, a connection asks whether unread input has arrived, which an
            // ordinary close would answer with a reset. None may ever arrive, so not even a
            // blocking socket waits for it.
            Step::CheckInput => {
                if receive(client, worker, RecvFlags::DONTWAIT).is_break() {
                    client.connection.end_of_input();
                }
                ControlFlow::Continue(())
            }
            Step::HalfClose => {
                half_close(client, worker);
                ControlFlow::Continue(())
            }
        };
        if let ControlFlow::Break(outcome) = flow {
            return outcome;
        }
        if worker.progress >= progress_max {
            break;
        }
    }
    DriveOutcome::Yielded
}

/// Reads once.
fn receive(
    client: &mut Client,
    worker: &mut Worker,
    flags: RecvFlags,
) -> ControlFlow<DriveOutcome> {
    if client.transport.has_input_ended() {
        client.connection.end_of_input();
        return ControlFlow::Continue(());
    }
    if flags.is_empty() {
        worker.tracer.trace_call(client.id, Call::Recv);
    }
    let bytes_max = worker.receive_buffer.len().min(client.transport.receive_bytes_max());
    let buffer = &mut worker.receive_buffer[..bytes_max];
    let received = rustix::net::recv(&client.socket, buffer, flags).map(|(length, _)| length);
    worker.record_transfer(client.id, Call::Recv, received);
    match received {
        Ok(0) => client.connection.end_of_input(),
        Ok(length) => {
            worker.progress += length as u64;
            if length < bytes_max && client.read_state == ReadState::MaybeReadable {
                client.read_state = ReadState::Drained;
            }
            process_input(client, worker, length);
        }
        Err(errno) => {
            if errno == Errno::AGAIN {
                client.read_state = ReadState::Drained;
            }
            return handle_error(client, errno);
        }
    }
    ControlFlow::Continue(())
}

/// Hands the first `length` bytes of the receive buffer to the connection. A response that takes
/// long goes to the offload pool; if the worker has none, or the pool is full and refuses it, the
/// reply is there at once.
fn process_input(client: &mut Client, worker: &mut Worker, length: usize) {
    let mut start = 0;
    if let ProxyHeader::Expected(_) = client.proxy_header {
        match client.proxy_header.receive(&worker.receive_buffer[..length]) {
            ProxyHeaderProgress::Incomplete => return,
            ProxyHeaderProgress::Invalid => {
                return client.connection.fail(CloseReason::NoProxyHeader);
            }
            ProxyHeaderProgress::Complete(address, rest) => {
                start = length - rest.len();
                worker.identify(client, address);
            }
        }
    }
    let input = match client.transport {
        Transport::Plain(_) => Input::Received,
        Transport::Tls(_) => encrypted::receive(client, worker, start..length),
        Transport::Kernel(_) => kernel_tls::receive(client, worker, start..length),
    };
    let input = match input {
        Input::Received => &worker.receive_buffer[start..length],
        Input::Decrypted => &worker.plaintext[..],
        Input::None => return,
    };
    let mut site = worker.site.for_client(client.network(), client.transport.service());
    let now = worker.clock.now();
    let deferred = match worker.tracer.is_enabled() {
        false => client.connection.receive(input, now, &mut site),
        true => {
            let mut site = TracedSite::new(site, &worker.tracer, client.id);
            client.connection.receive(input, now, &mut site)
        }
    };
    if let Some(deferred) = deferred
        && let Some(reply) = worker.offload_response(client, *deferred)
    {
        client.connection.complete(reply, worker.clock.now());
    }
}

/// Writes once, unless the next bytes have to be read by the offload pool first.
fn send_or_await_file(client: &mut Client, worker: &mut Worker) -> ControlFlow<DriveOutcome> {
    if encrypted::has_unsent_response(client) {
        return send_records(client, worker);
    }
    if matches!(client.pending_job, PendingJob::FileChunk(_)) {
        return match client.transport.has_unsent() {
            true => send_records(client, worker),
            false => ControlFlow::Break(DriveOutcome::Blocked),
        };
    }
    if worker.site.is_offloaded()
        && let Some((file, range)) = client.connection.output().next_file()
    {
        let file = file.clone();
        if worker.offload_read(client, file, range) {
            return ControlFlow::Break(DriveOutcome::Blocked);
        }
    }
    let sent = match client.transport {
        Transport::Plain(_) => Ok(send(client, worker)),
        Transport::Tls(_) => encrypt_and_send(client, worker),
        Transport::Kernel(_) => send_through_kernel(client, worker),
    };
    sent.unwrap_or_else(|reason| {
        client.connection.fail(reason);
        ControlFlow::Continue(())
    })
}

/// Encrypts the next output and writes once, or leaves that to the kernel from now on.
fn encrypt_and_send(
    client: &mut Client,
    worker: &mut Worker,
) -> Result<ControlFlow<DriveOutcome>, CloseReason> {
    if kernel_tls::take_over(client, worker)? {
        return Ok(send(client, worker));
    }
    encrypted::encrypt(client, worker)?;
    Ok(send_records(client, worker))
}

/// Writes once what the kernel encrypts, unless it still has to send what it has accepted.
fn send_through_kernel(
    client: &mut Client,
    worker: &mut Worker,
) -> Result<ControlFlow<DriveOutcome>, CloseReason> {
    Ok(match kernel_tls::readiness(client, worker)? {
        Readiness::Send => send(client, worker),
        Readiness::Wait => ControlFlow::Break(DriveOutcome::Blocked),
        Readiness::Report(bytes) => {
            count_sent(client, worker, bytes);
            ControlFlow::Continue(())
        }
    })
}

/// What one write has offered to the socket.
#[derive(Clone, Copy)]
enum Offered {
    Memory { bytes: usize, more: bool },
    File { bytes: u64 },
}

impl Offered {
    /// Whether nothing is known to follow the bytes that were sent.
    fn is_end(self, sent: usize) -> bool {
        match self {
            Offered::Memory { bytes, more } => sent == bytes && !more,
            Offered::File { bytes } => sent as u64 == bytes,
        }
    }
}

/// Writes once.
fn send(client: &mut Client, worker: &mut Worker) -> ControlFlow<DriveOutcome> {
    let (sent, offered) = offer(client, worker);
    let sent = match (sent, offered) {
        (Ok(0), Offered::File { .. }) => {
            client.connection.fail(CloseReason::FileTruncated);
            return ControlFlow::Continue(());
        }
        (Ok(sent), _) => sent,
        (Err(errno), _) => return handle_error(client, errno),
    };
    worker.progress += sent as u64;
    worker.stats.count_sent(sent);
    let counted = kernel_tls::count_sent(client, worker, sent, offered.is_end(sent));
    count_sent(client, worker, counted);
    if offered.is_end(sent) {
        client.cork.remove(&client.socket, &worker.stats);
    }
    match offered {
        _ if counted < sent as u64 => ControlFlow::Break(DriveOutcome::Blocked),
        Offered::Memory { bytes, .. } if sent < bytes => ControlFlow::Break(DriveOutcome::Blocked),
        // sendfile may stop early for reasons other than a full send buffer; the next call shows
        // which.
        Offered::Memory { .. } | Offered::File { .. } => ControlFlow::Continue(()),
    }
}

/// Writes encrypted bytes once.
fn send_records(client: &mut Client, worker: &mut Worker) -> ControlFlow<DriveOutcome> {
    let sent = match encrypted::send(client, worker, SendFlags::empty()) {
        Ok(sent) => sent,
        Err(errno) => return handle_error(client, errno),
    };
    worker.progress += sent.bytes as u64;
    worker.stats.count_sent(sent.bytes);
    if sent.response_bytes > 0 {
        count_sent(client, worker, sent.response_bytes);
    }
    match client.transport.has_unsent() {
        true => ControlFlow::Break(DriveOutcome::Blocked),
        false => ControlFlow::Continue(()),
    }
}

/// Tells the connection what has been sent of its output.
fn count_sent(client: &mut Client, worker: &mut Worker, bytes: u64) {
    let Client { connection, transport, address, .. } = client;
    let now = worker.clock.now();
    let record = |exchange| record(&exchange, *address, transport, now, &worker.log, &worker.stats);
    connection.sent(bytes, now, record);
}

/// Offers the next output to the socket, and returns how many bytes it took.
fn offer(client: &mut Client, worker: &Worker) -> (rustix::io::Result<usize>, Offered) {
    let Client { id, connection, transport, socket, cork, .. } = client;
    let mut before_write = |bytes| match transport {
        Transport::Plain(_) => cork.before_write(socket, bytes, &worker.stats),
        // The kernel's TLS fills records, and may hold some back itself.
        Transport::Tls(_) | Transport::Kernel(_) => {}
    };
    let mut slices = ArrayVec::<_, SLICES_MAX>::new();
    match connection.output().next_transmit(&mut slices) {
        Transmit::Empty => (Ok(0), Offered::Memory { bytes: 0, more: false }),
        Transmit::Memory { more } => {
            let bytes = slices.iter().map(|slice| slice.len()).sum();
            before_write(bytes as u64);
            let hint = if more { SendFlags::MORE } else { SendFlags::empty() };
            let flags = SendFlags::NOSIGNAL | hint;
            worker.tracer.trace_call(*id, Call::Send);
            let (call, sent) = match &slices[..] {
                [one] => (Call::Send, rustix::net::send(&*socket, one, flags)),
                many => {
                    let no_control = &mut SendAncillaryBuffer::default();
                    let sent = rustix::net::sendmsg(&*socket, many, no_control, flags);
                    (Call::Sendmsg, sent)
                }
            };
            worker.record_transfer(*id, call, sent);
            (sent, Offered::Memory { bytes, more })
        }
        Transmit::File { file, range } => {
            let bytes = range.end - range.start;
            before_write(bytes);
            let count = bytes.min(transport.turn_bytes_max()) as usize;
            let mut offset = range.start;
            worker.tracer.trace_call(*id, Call::Sendfile);
            let sent = rustix::fs::sendfile(&*socket, file, Some(&mut offset), count);
            worker.record_transfer(*id, Call::Sendfile, sent);
            (sent, Offered::File { bytes })
        }
    }
}

/// What a failed call means for the turn. After EINTR the turn ends, so that the strategy sees the
/// signal before the client's next turn.
fn handle_error(client: &mut Client, errno: Errno) -> ControlFlow<DriveOutcome> {
    match errno {
        Errno::AGAIN => ControlFlow::Break(DriveOutcome::Blocked),
        Errno::INTR => ControlFlow::Break(DriveOutcome::Yielded),
        _ => {
            client.connection.fail(CloseReason::Failed);
            ControlFlow::Continue(())
        }
    }
}

fn half_close(client: &mut Client, worker: &mut Worker) {
    worker.stats.count(Call::Shutdown);
    worker.tracer.trace(client.id, TraceEvent::HalfCloses);
    end_session(client, worker);
    match rustix::net::shutdown(&client.socket, rustix::net::Shutdown::Write) {
        Ok(()) => client.connection.half_closed(worker.clock.now()),
        Err(_) => client.connection.fail(CloseReason::Failed),
    }
}

fn close(client: &mut Client, worker: &mut Worker, closing: Closing) {
    match closing.reset {
        true => {
            worker.stats.count(Call::Setsockopt);
            // If it fails, the peer gets an ordinary close instead of a reset.
            let _ = rustix::net::sockopt::set_socket_linger(&client.socket, Some(Duration::ZERO));
        }
        false => end_session(client, worker),
    }
    worker.stats.count(Call::Close);
    worker.tracer.trace(client.id, TraceEvent::Closes(closing.reason));
    let Client { connection, transport, address, .. } = client;
    let now = worker.clock.now();
    let record = |exchange| record(&exchange, *address, transport, now, &worker.log, &worker.stats);
    connection.abandon(record);
}

fn end_session(client: &mut Client, worker: &Worker) {
    match client.transport {
        Transport::Plain(_) => {}
        Transport::Tls(_) => encrypted::end(client, worker),
        Transport::Kernel(_) => kernel_tls::end(client, worker),
    }
}

/// Counts and logs the end of a response, so that the counters and the log agree.
fn record(
    exchange: &Exchange,
    address: Option<IpAddr>,
    transport: &Transport,
    now: &Now,
    log: &AccessLog,
    stats: &SyscallStats,
) {
    // Counted first, because the log may block.
    stats.count_response(exchange.status.code());
    log.record(exchange, Peer { address, tls: transport.parameters() }, now);
}
