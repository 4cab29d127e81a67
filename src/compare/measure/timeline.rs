//! Records one second of a strategy under three clients: one quick, one slow, one stuck.
//!
//! The server records its steps in shared memory while the clients run, one thread each, on the
//! core of the load. It is not a measurement: recording costs time, so no figure of a report comes
//! from it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

use crate::compare::contender::Contender;
use crate::compare::measure::bench::Bench;
use crate::compare::measure::server::Tracing;
use crate::compare::test_site::TestFile;
use crate::compare::timeline::{
    ClientKind, REQUEST_INTERVAL_MS, StepKind, Timeline, TimelineClient, TimelineRequest,
    TimelineStep,
};
use crate::trace_recording::{RecordedStep, Recording};

/// The length of a timeline.
const LENGTH: Duration = Duration::from_secs(1);
/// The time that a timeline takes: its length, and starting and stopping the server.
pub(crate) const TIMELINE_TIME: Duration = Duration::from_millis(1250);

/// The stuck client is the first, so that a server that serves one client at a time is stuck, too.
const STUCK_AT: Duration = Duration::ZERO;
/// Its reads come between the requests of the quick client.
const SLOW_AT: Duration = Duration::from_millis(55);
const QUICK_AT: Duration = Duration::from_millis(100);

/// How often the slow client reads, and how much at a time.
const READ_INTERVAL: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 24 * 1024;
/// SO_RCVBUF of the slow client. The kernel lets the send buffer of the server grow with the window
/// that the client uses; with a larger one, the buffer would take the whole file.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024;
/// The segment size of an Ethernet. On the loopback interface a segment has 64 KiB, and a send
/// buffer starts with space for 20 segments.
const SEGMENT_BYTES: u32 = 1448;
/// The slow client requests at least as many bytes, in one or more files.
const REQUESTED_BYTES: u64 = 4 << 20;

/// Starts a server that records its steps, and runs the clients.
///
/// # Errors
/// From a system call, or because the server does not start.
pub(crate) fn record(bench: &Bench, contender: &Contender) -> io::Result<Timeline> {
    let server = bench.start_with(contender, Tracing::Recorded)?;
    let recording = server.recording.ok_or_else(|| io::Error::other("it records no steps"))?;
    let run = Run { address: server.address, began: Instant::now() };
    // Read at the same moment, to tell the times of the server.
    let began_us = monotonic_us();
    let (small, large) = (&bench.site.small, &bench.site.large);
    let clients = std::thread::scope(|scope| {
        let clients = [
            scope.spawn(|| run.quick(small)),
            scope.spawn(|| run.slow(large)),
            scope.spawn(|| run.stuck(small)),
        ];
        let join = |client: std::thread::ScopedJoinHandle<'_, _>| {
            client.join().unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
        };
        clients.into_iter().map(join).collect::<io::Result<Vec<Client>>>()
    })?;
    let ports: Vec<u16> = clients.iter().map(|client| client.port).collect();
    // Their sockets are closed here. A loop that polls reports its passes when that happens.
    let clients = clients.into_iter().map(|client| client.seen).collect();
    wait_until_all_are_closed(recording);
    Ok(timeline(recording, began_us, &ports, contender.info.name.clone(), clients))
}

/// Waits until the server has closed every connection that it has accepted.
fn wait_until_all_are_closed(recording: &Recording) {
    const TIMEOUT: Duration = Duration::from_millis(200);
    const INTERVAL: Duration = Duration::from_millis(5);
    let give_up = Instant::now() + TIMEOUT;
    let count = |kind| recording.steps().filter(|step| step.kind == kind).count();
    while count(StepKind::Closed) < count(StepKind::Accepted) && Instant::now() < give_up {
        std::thread::sleep(INTERVAL);
    }
}

fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1000
}

/// The second in which the clients run.
struct Run {
    address: SocketAddr,
    began: Instant,
}

/// A client. Its connection stays open until all have finished: if one closed earlier, the server
/// would serve the next.
struct Client {
    socket: TcpStream,
    port: u16,
    seen: TimelineClient,
}

impl Run {
    /// Requests the file at regular times, with one request in flight.
    fn quick(&self, file: &TestFile) -> io::Result<Client> {
        let mut client = self.connect(ClientKind::Quick, QUICK_AT, None)?;
        let request = self.request(file);
        let mut next = QUICK_AT;
        while next < LENGTH {
            self.wait_until(next);
            let sent_us = self.now_us();
            client.socket.write_all(request.as_bytes())?;
            let received = self.receive_response(&mut client.socket, file.bytes)?;
            let responded_us = received.map(|bytes| {
                client.seen.received_bytes += bytes;
                self.now_us()
            });
            client.seen.requests.push(TimelineRequest { sent_us, responded_us });
            if received.is_none() {
                break;
            }
            next += Duration::from_millis(REQUEST_INTERVAL_MS);
        }
        self.wait_until(LENGTH);
        Ok(client)
    }

    /// Requests the file and reads little at a time.
    fn slow(&self, file: &TestFile) -> io::Result<Client> {
        let mut client = self.connect(ClientKind::Slow, SLOW_AT, Some(RECEIVE_BUFFER_BYTES))?;
        let copies = REQUESTED_BYTES.div_ceil(file.bytes.max(1)).min(100);
        for _ in 0..copies {
            client
                .seen
                .requests
                .push(TimelineRequest { sent_us: self.now_us(), responded_us: None });
            client.socket.write_all(self.request(file).as_bytes())?;
        }
        client.socket.set_nonblocking(true)?;
        let mut buffer = [0; READ_BYTES];
        let mut next = SLOW_AT;
        while next < LENGTH {
            self.wait_until(next);
            let mut left = READ_BYTES;
            while left > 0 {
                match client.socket.read(&mut buffer[..left]) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(bytes) => left -= bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            client.seen.received_bytes += (READ_BYTES - left) as u64;
            next += READ_INTERVAL;
        }
        self.wait_until(LENGTH);
        Ok(client)
    }

    /// Sends the first half of a request.
    fn stuck(&self, file: &TestFile) -> io::Result<Client> {
        let mut client = self.connect(ClientKind::Stuck, STUCK_AT, None)?;
        let request = self.request(file);
        client.socket.write_all(&request.as_bytes()[..request.len() / 2])?;
        self.wait_until(LENGTH);
        Ok(client)
    }

    fn connect(
        &self,
        kind: ClientKind,
        at: Duration,
        receive_buffer: Option<usize>,
    ) -> io::Result<Client> {
        self.wait_until(at);
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
            socket.set_tcp_mss(SEGMENT_BYTES)?;
        }
        socket.connect(&self.address.into())?;
        let (connected_us, requests) = (self.now_us(), Vec::new());
        let seen = TimelineClient { kind, connected_us, requests, received_bytes: 0 };
        let socket = TcpStream::from(socket);
        Ok(Client { port: socket.local_addr()?.port(), socket, seen })
    }

    fn request(&self, file: &TestFile) -> String {
        format!("GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n", file.path, self.address)
    }

    /// Reads a response with a body of `body_bytes`, and returns its length; None if it is not
    /// complete when the second ends.
    fn receive_response(&self, socket: &mut TcpStream, body_bytes: u64) -> io::Result<Option<u64>> {
        let mut response = Vec::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            let left = LENGTH.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            socket.set_read_timeout(Some(left))?;
            match socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => response.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            if let Some(head) = memchr::memmem::find(&response, b"\r\n\r\n")
                && response.len() as u64 >= head as u64 + 4 + body_bytes
            {
                return Ok(Some(response.len() as u64));
            }
        }
    }

    fn wait_until(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.began.elapsed()));
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// The steps within the second that began at `began_us`, with the indices of the clients that have
/// the `ports`.
fn timeline(
    recording: &Recording,
    began_us: u64,
    ports: &[u16],
    contender: String,
    clients: Vec<TimelineClient>,
) -> Timeline {
    let mut recorded: Vec<RecordedStep> = recording.steps().collect();
    recorded.sort_by_key(|step| step.time_us);
    let accepted: Vec<RecordedStep> =
        recorded.iter().filter(|step| step.kind == StepKind::Accepted).copied().collect();
    let workers = recorded.iter().map(|step| step.worker + 1).max().unwrap_or(0);
    let duration_us = LENGTH.as_micros() as u64;
    let step = |(number, step): (usize, &RecordedStep)| {
        let rest = &recorded[number + 1..];
        let (at_us, duration_us) = within(step, rest, began_us, duration_us)?;
        let client = port_of(step, &accepted)
            .and_then(|port| ports.iter().position(|of_client| u64::from(*of_client) == port));
        let (worker, kind, amount) = (step.worker.into(), step.kind, step.amount);
        // The port has served its purpose.
        let amount = if kind == StepKind::Accepted { 0 } else { amount };
        Some(TimelineStep { at_us, worker, client, kind, amount, duration_us })
    };
    let mut steps: Vec<TimelineStep> = recorded.iter().enumerate().filter_map(step).collect();
    steps.sort_by_key(|step| step.at_us);
    Timeline {
        contender,
        duration_us,
        clients,
        workers: (0..workers).map(|number| recording.worker_name(number)).collect(),
        steps,
        dropped: recording.dropped(),
    }
}

/// The time and the duration of a step, cut to the second; None if it has no part in it. Before the
/// second, only the last step of each worker counts: the worker is still waiting.
fn within(
    step: &RecordedStep,
    rest: &[RecordedStep],
    began_us: u64,
    length_us: u64,
) -> Option<(u64, u64)> {
    let start_us = (step.time_us - step.duration_us).saturating_sub(began_us);
    if step.time_us < began_us {
        let next = rest.iter().find(|next| next.worker == step.worker);
        let lasts = next.is_none_or(|next| next.time_us >= began_us);
        let is_wait = matches!(
            step.kind,
            StepKind::WaitsInAccept
                | StepKind::WaitsInRecv
                | StepKind::WaitsInSend
                | StepKind::WaitsForReadiness
        );
        return (lasts && is_wait).then_some((0, 0));
    }
    let at_us = (step.time_us - began_us).min(length_us);
    let is_cut = step.time_us - began_us > length_us;
    match step.kind {
        StepKind::Polled if start_us < length_us => Some((at_us, at_us - start_us)),
        _ if is_cut => None,
        _ => Some((at_us, at_us - start_us)),
    }
}

/// The port of the client that a step is about. A worker numbers the connections that it accepts; a
/// thread or process that does not accept has its connection from the one worker that does.
fn port_of(step: &RecordedStep, accepted: &[RecordedStep]) -> Option<u64> {
    let accepts = || accepted.iter().filter(|accept| accept.connection == step.connection);
    let own = accepts().find(|accept| accept.worker == step.worker);
    own.or_else(|| accepts().next()).map(|accept| accept.amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN_US: u64 = 5_000_000;
    const LENGTH_US: u64 = 1_000_000;

    fn step(time_us: u64, kind: StepKind, duration_us: u64) -> RecordedStep {
        RecordedStep { time_us, worker: 0, connection: 0, kind, amount: 0, duration_us }
    }

    #[test]
    fn steps_are_cut_to_the_second() {
        let wait = step(BEGAN_US - 10, StepKind::WaitsForReadiness, 0);
        let woken = step(BEGAN_US + 20, StepKind::Woken, 30);
        let cut =
            |step: &RecordedStep, rest: &[RecordedStep]| within(step, rest, BEGAN_US, LENGTH_US);
        assert_eq!(cut(&wait, &[woken]), Some((0, 0)), "it still waits when the second begins");
        assert_eq!(cut(&wait, &[step(BEGAN_US - 5, StepKind::Woken, 5)]), None);
        assert_eq!(cut(&woken, &[]), Some((20, 20)));
        let end_us = BEGAN_US + LENGTH_US;
        let polled = step(end_us + 10, StepKind::Polled, 50);
        assert_eq!(cut(&polled, &[]), Some((LENGTH_US, 40)), "it polled until the end");
        assert_eq!(cut(&step(end_us + 10, StepKind::Polled, 5), &[]), None);
        assert_eq!(cut(&step(end_us + 1, StepKind::Recv, 0), &[]), None);
    }

    #[test]
    fn a_connection_belongs_to_the_worker_that_accepted_it_or_to_the_acceptor() {
        let accepted = |worker, connection, port| RecordedStep {
            worker,
            connection,
            amount: port,
            ..step(0, StepKind::Accepted, 0)
        };
        let of =
            |worker, connection| RecordedStep { worker, connection, ..step(0, StepKind::Recv, 0) };
        let pool = [accepted(0, 1, 1000), accepted(1, 1, 1001)];
        assert_eq!(port_of(&of(1, 1), &pool), Some(1001));
        let threads = [accepted(0, 1, 1000), accepted(0, 2, 1001)];
        assert_eq!(port_of(&of(5, 2), &threads), Some(1001));
        assert_eq!(port_of(&of(0, 0), &threads), None, "it concerns the worker itself");
    }
}
