//! The event loop of the load generator: one thread, non-blocking sockets, one epoll instance.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{ClientConnection, PendingRequest, Status};
use super::handshakes::Handshake;
use super::opening::Opening;
use super::pace::{Pace, Schedule};
use super::plan::Plan;
use super::result::{LoadError, LoadResult, Recorder};
use super::slow_readers::SlowClients;
use super::stream::Stream;
use super::template::Reuse;
use super::tls::ClientTls;

/// The time allowed for opening all connections, and the addition for each of them.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);
const OPEN_TIMEOUT_PER_CONNECTION: Duration = Duration::from_millis(2);
/// The pause of a connection after an error. Without it, a server that is down would be sent
/// connection attempts in a busy loop.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// How often pending requests are checked against the timeout.
const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The size of the read buffer.
const SCRATCH_BYTES: usize = 256 * 1024;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const SCHEDULE: Token = Token(usize::MAX);

/// What happens at the end of a run to requests without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outstanding {
    /// They are waited for, up to the timeout of the plan.
    Awaited,
    /// They are neither awaited nor counted.
    Dropped,
}

/// The connections to one server. Each call of [`Load::run`] sends requests for a given time.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    poll: Poll,
    /// For each template, as many copies of the request as are pipelined.
    batches: Vec<Vec<u8>>,
    scratch: Box<[u8]>,
    connections: Vec<ClientConnection>,
    /// Connections that may send a request.
    ready: VecDeque<usize>,
    /// Connections that had an error, and when they may be used again.
    backing_off: VecDeque<(Instant, usize)>,
    /// Scheduled send times for which no connection was ready.
    queued: VecDeque<Instant>,
    in_flight: usize,
    schedule: Option<Schedule>,
    slow: Option<SlowClients>,
    _idle: Vec<TcpStream>,
}

impl Load {
    /// Opens the connections of `plan` and verifies the response to a first request on each.
    /// Connections for a single request are opened when they are needed.
    ///
    /// # Errors
    /// From a system call, or because the first response did not arrive or was not the expected
    /// one.
    pub fn open(plan: Plan) -> io::Result<Load> {
        let verified = if plan.template.reuse == Reuse::Never { 0 } else { plan.active };
        Load::open_some(plan, verified)
    }

    /// Like [`Load::open`], but the active connections are opened when they are needed, so nothing
    /// verifies a first response. For requests whose responses take long.
    ///
    /// # Errors
    /// From a system call.
    pub fn open_when_needed(plan: Plan) -> io::Result<Load> {
        Load::open_some(plan, 0)
    }

    /// Opens the first `verified` of the active connections.
    fn open_some(plan: Plan, verified: usize) -> io::Result<Load> {
        let poll = Poll::new()?;
        let kept = plan.template.without_close();
        let connections =
            plan.active + plan.idle + plan.slow.as_ref().map_or(0, |slow| slow.connections);
        let deadline =
            Instant::now() + OPEN_TIMEOUT + OPEN_TIMEOUT_PER_CONNECTION * connections as u32;
        let opening = Opening::new(plan.address, &kept, deadline).with_tls(plan.tls.as_ref());
        let idle = opening.streams(plan.idle)?.into_iter().map(Stream::into_socket).collect();
        let slow = plan
            .slow
            .clone()
            .map(|readers| SlowClients::open(readers, &opening, plan.address, plan.tls.as_ref()))
            .transpose()?;
        let mut connections = Vec::with_capacity(plan.active);
        for (key, stream) in opening.streams(verified)?.into_iter().enumerate() {
            register(&poll, stream.socket(), key, BOTH)?;
            connections.push(ClientConnection::over(stream, key));
        }
        collect_tickets(&plan, deadline)?;
        connections.extend((verified..plan.active).map(ClientConnection::unopened));
        let schedule = match plan.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Schedule::new(per_second)?),
        };
        if let Some(schedule) = &schedule {
            let fd = schedule.as_fd().as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), SCHEDULE, Interest::READABLE)?;
        }
        Ok(Load {
            poll,
            batches: plan
                .template
                .requests
                .iter()
                .map(|request| request.repeat(plan.depth.max(1)))
                .collect(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            ready: (0..plan.active).collect(),
            connections,
            backing_off: VecDeque::new(),
            queued: VecDeque::new(),
            in_flight: 0,
            schedule,
            slow,
            _idle: idle,
            plan,
        })
    }

    /// Sends requests for `time`, then waits for the outstanding responses.
    ///
    /// # Errors
    /// From a system call. The results of the run are lost.
    pub fn run(&mut self, time: Duration) -> io::Result<LoadResult> {
        self.run_until_end(time, Outstanding::Awaited)
    }

    /// Sends requests for `time`, then closes all connections at once. For a load beside which
    /// something else is measured: its last responses may take long.
    ///
    /// # Errors
    /// From a system call. The results of the run are lost.
    pub fn run_and_close(mut self, time: Duration) -> io::Result<LoadResult> {
        self.run_until_end(time, Outstanding::Dropped)
    }

    fn run_until_end(
        &mut self,
        time: Duration,
        outstanding: Outstanding,
    ) -> io::Result<LoadResult> {
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        let end = start + time;
        let deadline = end + self.plan.timeout;
        let mut recorder = Recorder::start(start, self.schedule.is_some());
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(start, end);
        }
        let (mut now, mut next_timeout_check) = (start, start + TIMEOUT_CHECK_INTERVAL);
        loop {
            self.send_due(now, end, &mut recorder);
            if now >= end && (outstanding == Outstanding::Dropped || self.is_quiescent()) {
                break;
            }
            if now >= deadline {
                self.abandon_all(&mut recorder);
                break;
            }
            if let Some(schedule) = self.schedule.as_ref().filter(|_| now < end) {
                schedule.set_timer(now)?;
            }
            let wakes = [next_timeout_check, deadline]
                .into_iter()
                .chain(self.slow.as_ref().map(SlowClients::next_tick));
            let wake = wakes.chain((now < end).then_some(end)).min().unwrap_or(deadline);
            match self.poll.poll(&mut events, Some(wake.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = Instant::now();
            recorder.record_in_flight(self.in_flight, now);
            for event in events.iter().filter(|event| event.token() != SCHEDULE) {
                self.handle_event(
                    event.token().0,
                    event.is_read_closed() || event.is_error(),
                    end,
                    &mut recorder,
                );
            }
            if let Some(slow) = &mut self.slow {
                slow.read(now, &mut self.scratch, &self.plan.template, &mut recorder);
            }
            if now >= next_timeout_check {
                next_timeout_check = now + TIMEOUT_CHECK_INTERVAL;
                self.expire_timeouts(now, &mut recorder);
            }
        }
        Ok(recorder.finish(Instant::now()))
    }

    /// Sends every request that is due.
    fn send_due(&mut self, now: Instant, end: Instant, recorder: &mut Recorder) {
        while let Some((until, key)) = self.backing_off.front().copied()
            && until <= now
        {
            self.backing_off.pop_front();
            self.ready.push_back(key);
        }
        match &mut self.schedule {
            Some(schedule) => {
                while let Some(intended) = schedule.due(now) {
                    self.queued.push_back(intended);
                    self.in_flight += 1;
                    // It has been in flight since its scheduled time, while this thread slept or
                    // worked.
                    recorder.add_in_flight_time(now - intended);
                }
                while let Some(intended) = self.queued.front().copied()
                    && let Some(key) = self.ready.pop_front()
                {
                    self.queued.pop_front();
                    self.send_request(key, PendingRequest { intended, sent: now }, 1, recorder);
                }
            }
            None if now < end => {
                while let Some(key) = self.ready.pop_front() {
                    self.in_flight += self.plan.depth;
                    self.send_request(
                        key,
                        PendingRequest { intended: now, sent: now },
                        self.plan.depth,
                        recorder,
                    );
                }
            }
            None => {}
        }
    }

    fn send_request(
        &mut self,
        key: usize,
        request: PendingRequest,
        times: usize,
        recorder: &mut Recorder,
    ) {
        for _ in 0..times {
            self.connections[key].push(request, &self.plan.template);
        }
        if !self.connections[key].has_transport() {
            return self.connect(key, recorder);
        }
        if let Err(error) = self.connections[key].write(&self.batches) {
            self.fail(key, error, recorder);
        }
    }

    fn connect(&mut self, key: usize, recorder: &mut Recorder) {
        let connection = &mut self.connections[key];
        let connected = connection
            .connect(self.plan.address, &self.plan.template, self.plan.tls.as_ref())
            .map_err(|_| LoadError::Connect);
        let registered = connected.and_then(|()| {
            // On loopback the connection is usually established by now and takes the request at
            // once. Otherwise writability is needed, too, to learn when it is.
            connection.write(&self.batches)?;
            let interest = if connection.is_sent() { Interest::READABLE } else { BOTH };
            connection.socket().map_or(Ok(()), |socket| {
                register(&self.poll, socket, key, interest).map_err(|_| LoadError::Connect)
            })
        });
        if let Err(error) = registered {
            self.fail(key, error, recorder);
        }
    }

    /// Handles the readiness of a socket.
    fn handle_event(
        &mut self,
        key: usize,
        has_closed: bool,
        end: Instant,
        recorder: &mut Recorder,
    ) {
        let connection = &mut self.connections[key];
        let pending = connection.pending_count();
        let was_ready = connection.status() == Status::Ready;
        let read = connection.write(&self.batches).and_then(|()| {
            connection.read(&mut self.scratch, has_closed, &self.plan.template, recorder)
        });
        // A handshake that is complete now lets the request go.
        let read = read.and_then(|outcome| connection.write(&self.batches).map(|()| outcome));
        // epoll is edge-triggered, and would report the socket only when more arrives. Registered
        // again, it is reported again, behind the sockets that became ready before.
        let read =
            read.and_then(|outcome| match connection.socket().filter(|_| outcome.has_more) {
                Some(socket) => reregister(&self.poll, socket, key).map(|()| outcome.status),
                None => Ok(outcome.status),
            });
        let responses = pending - connection.pending_count();
        if responses > 0 && self.schedule.is_some() {
            // A closed loop sends the next request at once, so counting once per wake-up is
            // accurate.
            recorder.record_in_flight(self.in_flight, Instant::now());
        }
        self.in_flight -= responses;
        match read {
            Ok(Status::Busy) => {}
            // It is in `ready` or `backing_off` already.
            Ok(Status::Ready) if was_ready => {}
            Ok(Status::Ready) => {
                self.ready.push_back(key);
                let now = Instant::now();
                if self.schedule.is_none() && now < end {
                    self.send_due(now, end, recorder);
                }
            }
            Ok(Status::Reconnect) => self.connect(key, recorder),
            Err(error) => self.fail(key, error, recorder),
        }
    }

    fn fail(&mut self, key: usize, error: LoadError, recorder: &mut Recorder) {
        let pending = self.connections[key].abandon();
        self.in_flight -= pending;
        recorder.record_error(error, pending);
        self.backing_off.push_back((Instant::now() + RETRY_DELAY, key));
    }

    fn expire_timeouts(&mut self, now: Instant, recorder: &mut Recorder) {
        for key in 0..self.connections.len() {
            if self.connections[key]
                .oldest_sent()
                .is_some_and(|since| since + self.plan.timeout <= now)
            {
                let error = self.connections[key].timeout_error();
                self.fail(key, error, recorder);
            }
        }
    }

    fn abandon_all(&mut self, recorder: &mut Recorder) {
        for key in 0..self.connections.len() {
            if self.connections[key].status() != Status::Ready {
                let error = self.connections[key].timeout_error();
                self.fail(key, error, recorder);
            }
        }
        recorder.record_error(LoadError::Timeout, self.queued.len());
        self.in_flight -= self.queued.len();
        self.queued.clear();
    }

    fn is_quiescent(&self) -> bool {
        self.in_flight == 0 && self.ready.len() + self.backing_off.len() == self.connections.len()
    }
}

/// For connections that resume a session from the first one on: a ticket for each that is active at
/// the same time. One connection after the other, because a server may serve one at a time.
fn collect_tickets(plan: &Plan, deadline: Instant) -> io::Result<()> {
    let resumes = |tls: &&ClientTls| tls.handshake() == Handshake::Resumed;
    let Some(tls) = plan.tls.as_ref().filter(resumes) else { return Ok(()) };
    for _ in 0..plan.active {
        Opening::new(plan.address, &plan.template, deadline)
            .with_tls(Some(tls))
            .open_and_close()?;
    }
    Ok(())
}

fn register(poll: &Poll, socket: &TcpStream, key: usize, interest: Interest) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(key), interest)
}

fn reregister(poll: &Poll, socket: &TcpStream, key: usize) -> Result<(), LoadError> {
    let reregistered =
        poll.registry().reregister(&mut SourceFd(&socket.as_raw_fd()), Token(key), BOTH);
    // Of a registered socket, it fails only with ENOMEM.
    reregistered.map_err(|_| LoadError::ClosedEarly)
}
