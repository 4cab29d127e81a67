//! Drives a connection over a site in memory, as a strategy does, with a peer that follows a
//! schedule.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrayvec::ArrayVec;
use miniweb::http::{
    Body, CloseReason, Closing, Connection, DeferredReply, Exchange, HeaderBlock, Limits, Method,
    Moment, Now, Output, Reply, Request, RequestError, Respond, Response, Status, Step, Target,
    Transmit, Work, error_response,
};

/// What a schedule may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: all input is sent at once, and all output is accepted at once.
    Whole,
    /// Input and output are split, and deferred replies are delayed.
    Pieces,
    /// As `Pieces`; also, time passes, the server shuts down, the peer closes, the socket fails.
    Disrupted,
}

/// The result of a simulation.
#[derive(Debug)]
pub struct Outcome {
    /// The requests that the site received, in order.
    pub requests: Vec<SeenRequest>,
    /// The number of bytes that the peer had sent when the server shut down its sending side. No
    /// later byte can influence a response.
    pub sent_bytes: usize,
    pub received: Vec<u8>,
    pub exchanges: Vec<Exchange>,
    pub closing: Closing,
    /// Whether the connection closed while a reply was deferred.
    pub is_reply_pending: bool,
}

/// One request as the site received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    pub line: Vec<u8>,
    pub is_head: bool,
}

/// A file that exists nowhere: every byte of it is this letter.
type FakeFile = u8;

/// Responds with every kind of body. Each byte is the letter of the response.
#[derive(Debug, Default)]
struct FakeSite {
    requests: Vec<SeenRequest>,
}

/// What the site adds to errors that are made without it.
const ERROR_HEADER: &[u8] = b"Site: fake\r\n";

/// The letter of the n-th response.
pub fn letter(n: usize) -> u8 {
    b'a' + (n % 26) as u8
}

impl Respond for FakeSite {
    type File = FakeFile;

    fn respond(&mut self, request: &Request<'_>, _: &Now) -> Reply<FakeFile> {
        let n = self.requests.len();
        self.requests.push(SeenRequest {
            line: request.head.request_line().to_vec(),
            is_head: request.is_head(),
        });
        let path = match request.target {
            Target::Path { path, .. } => path,
            Target::Server | Target::Authority => b"*",
        };
        let letter = letter(n);
        let bytes = |length: usize| Body::Bytes(vec![letter; length].into());
        let file = |range| Body::File { file: letter, range };
        let body = match (request.method, path) {
            (Method::Put | Method::Connect, _) => {
                let mut response = error_response(Status::MethodNotAllowed, "");
                response.headers.push_number("Response-Number", n as u64);
                return Reply::Ready(response);
            }
            (Method::Options, _) => {
                let mut headers = HeaderBlock::default();
                headers.push_number("Response-Number", n as u64);
                return Reply::Ready(Response {
                    status: Status::NoContent,
                    headers,
                    body: Body::Empty,
                });
            }
            (_, b"/e") => Body::Empty,
            (_, b"/l" | b"/later-l") => bytes(20_000),
            (_, b"/f" | b"/later-f") => file(10..300),
            (_, b"/p") => {
                Body::Parts(vec![bytes(7), file(1..40), bytes(17_000), file(0..1), bytes(3)])
            }
            _ => bytes(5),
        };
        let response = move || {
            let mut headers = HeaderBlock::default();
            headers.push_number("Response-Number", n as u64);
            headers.push_number("Content-Length", body.len());
            Response { status: Status::Ok, headers, body }
        };
        if path.starts_with(b"/later") {
            Reply::Deferred(Work::new(ERROR_HEADER.into(), move |reply| reply.send(response())))
        } else {
            Reply::Ready(response())
        }
    }

    fn refuse(&self, error: RequestError) -> Response<FakeFile> {
        let mut response = error.response();
        response.headers.push_lines(ERROR_HEADER);
        response
    }
}

/// Small enough to be exceeded by a short input. All timeouts are different, so that none can be
/// used for another unnoticed.
pub fn limits() -> Limits {
    const SECOND: Duration = Duration::from_secs(1);
    Limits {
        target_bytes_max: 40,
        head_bytes_max: 300,
        first_request_timeout: 8 * SECOND,
        head_timeout: 10 * SECOND,
        body_timeout: 12 * SECOND,
        idle_timeout: 15 * SECOND,
        write_timeout: 30 * SECOND,
        write_rate_min: 100,
        requests_max: 8,
        queue_bytes_max: 700,
        body_bytes_max: 64,
        linger_timeout: 2 * SECOND,
        linger_bytes_max: 100,
        record_exchanges: true,
    }
}

/// Sends `wire` on one connection until it is closed.
pub fn simulate(wire: &[u8], schedule: &[u8], mode: Mode) -> Outcome {
    let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
    let mut simulation = Simulation {
        connection: Connection::new(Arc::new(limits()), &now),
        site: FakeSite::default(),
        now,
        mode,
        wire,
        sent_bytes: 0,
        sent_before_half_close: None,
        received: Vec::new(),
        exchanges: Vec::new(),
        deferred: None,
        spare: Output::default(),
    };
    let mut schedule = if mode == Mode::Whole { [].iter() } else { schedule.iter() }.copied();
    // Each byte of the schedule is one turn. After it, each turn moves as much as possible, so that
    // a few turns per request and per body part are enough.
    let turns_max = schedule.len() + 1000;
    for _ in 0..turns_max {
        if let Some(closing) = simulation.take_turn(Turn::of(schedule.next())) {
            return simulation.end(closing);
        }
    }
    panic!("the connection is stuck: {:?}", simulation.connection);
}

/// The events of one turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// The maximum number of bytes to send or to accept.
    amount: usize,
    disruption: Option<Disruption>,
    /// Whether a deferred reply stays deferred.
    delays_reply: bool,
}

#[derive(Clone, Copy, Debug)]
enum Disruption {
    Wait(Duration),
    TimeOut,
    Shutdown,
    PeerClose,
    Fail,
    RejectWork,
}

impl Turn {
    /// Decodes the upper three bits as a disruption and the lower five as an amount.
    fn of(byte: Option<u8>) -> Turn {
        let Some(byte) = byte else {
            return Turn { amount: usize::MAX, disruption: None, delays_reply: false };
        };
        let (kind, low) = (byte >> 5, byte & 31);
        let amount = if low < 24 { usize::from(low) + 1 } else { 32 << (low - 24) };
        let disruption = match (kind, low % 4) {
            (4, _) => Some(Disruption::Wait(Duration::from_secs(low.into()))),
            (5, _) => Some(Disruption::TimeOut),
            (6, 0) => Some(Disruption::Shutdown),
            (6, 1) => Some(Disruption::PeerClose),
            (6, 2) => Some(Disruption::Fail),
            (6, _) => Some(Disruption::RejectWork),
            _ => None,
        };
        Turn { amount, disruption, delays_reply: kind == 7 }
    }
}

struct Simulation<'a> {
    connection: Connection<FakeFile>,
    site: FakeSite,
    now: Now,
    mode: Mode,
    wire: &'a [u8],
    sent_bytes: usize,
    /// `sent_bytes` at the moment of the half-close.
    sent_before_half_close: Option<usize>,
    received: Vec<u8>,
    exchanges: Vec<Exchange>,
    deferred: Option<Box<DeferredReply<FakeFile>>>,
    spare: Output<FakeFile>,
}

impl Simulation<'_> {
    /// Performs one step, as `drive` does, and the disruption before it.
    fn take_turn(&mut self, turn: Turn) -> Option<Closing> {
        if let Some(disruption) = turn.disruption.filter(|_| self.mode == Mode::Disrupted) {
            self.disrupt(disruption);
        }
        if !turn.delays_reply
            && let Some(deferred) = self.deferred.take()
        {
            self.connection.complete(deferred.wait(), &self.now);
        }
        if self.mode != Mode::Whole {
            self.connection.lend_buffers(&mut self.spare);
        }
        let step = self.connection.step();
        match step {
            Step::Send => self.accept(turn.amount),
            Step::Resume => {
                self.receive(0);
                assert!(self.connection.step() != Step::Resume, "a drained queue blocks input");
            }
            Step::Wait => assert!(
                self.deferred.is_some() || self.site.requests.is_empty(),
                "Step::Wait without a deferred reply"
            ),
            Step::Receive if self.sent_bytes == self.wire.len() => self.connection.end_of_input(),
            Step::Receive => self.receive(turn.amount.min(self.wire.len() - self.sent_bytes)),
            Step::CheckInput if self.sent_bytes == self.wire.len() || turn.delays_reply => {
                self.connection.end_of_input()
            }
            Step::CheckInput => self.receive(turn.amount.min(self.wire.len() - self.sent_bytes)),
            Step::HalfClose => {
                self.sent_before_half_close = Some(self.sent_bytes);
                self.connection.half_closed(&self.now);
            }
            Step::Close(closing) => return Some(closing),
        }
        if self.mode != Mode::Whole {
            self.connection.reclaim_buffers(&mut self.spare);
            assert!(self.spare.is_empty(), "reclaimed buffers are not empty");
        }
        self.check_deadline();
        None
    }

    fn receive(&mut self, bytes: usize) {
        let piece = &self.wire[self.sent_bytes..self.sent_bytes + bytes];
        self.sent_bytes += bytes;
        let deferred = self.connection.receive(piece, &self.now, &mut self.site);
        assert!(deferred.is_none() || self.deferred.is_none(), "two replies are deferred");
        self.deferred = self.deferred.take().or(deferred);
    }

    fn accept(&mut self, amount: usize) {
        // For every other amount, the caller reads the file instead of using sendfile.
        if amount % 2 == 1
            && let Some((file, range)) = self.connection.output().next_file()
        {
            let offered = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let read = vec![*file; offered.min(amount)];
            self.connection.fill(read.into());
        }
        let before = self.received.len();
        let mut slices = ArrayVec::<_, 4>::new();
        match self.connection.output().next_transmit(&mut slices) {
            Transmit::Empty => {}
            Transmit::Memory { .. } => {
                let offered = slices.iter().flat_map(|slice| slice.iter());
                self.received.extend(offered.take(amount));
                assert!(self.received.len() > before, "an empty write");
            }
            Transmit::File { file, range } => {
                let offered = range
                    .end
                    .checked_sub(range.start)
                    .filter(|bytes| *bytes > 0)
                    .expect("a file range is not empty");
                let taken = usize::try_from(offered).unwrap_or(usize::MAX).min(amount);
                self.received.resize(before + taken, *file);
            }
        }
        drop(slices);
        let (taken, exchanges) = (self.received.len() - before, &mut self.exchanges);
        self.connection.sent(taken as u64, &self.now, |exchange| exchanges.push(exchange));
    }

    fn disrupt(&mut self, disruption: Disruption) {
        match disruption {
            Disruption::Wait(time) => self.now.moment += time,
            Disruption::TimeOut => {
                if let Some(deadline) = self.connection.deadline() {
                    self.now.moment = self.now.moment.max(deadline);
                }
            }
            Disruption::Shutdown => {
                self.connection.graceful_shutdown(CloseReason::Stopping, &self.now)
            }
            Disruption::PeerClose if self.connection.step() == Step::Receive => {
                self.connection.end_of_input()
            }
            Disruption::PeerClose => {}
            Disruption::Fail => self.connection.fail(CloseReason::Failed),
            Disruption::RejectWork => {
                if let Some(deferred) = self.deferred.take() {
                    self.connection.complete(deferred.refuse(), &self.now);
                }
            }
        }
        if self.connection.deadline().is_some_and(|deadline| deadline <= self.now.moment) {
            self.connection.handle_timeout(&self.now, &self.site);
            self.check_deadline();
        }
    }

    /// A connection that waits for its peer must have a deadline, and the deadline must be in the
    /// future: a strategy would otherwise handle timeouts in a busy loop.
    fn check_deadline(&self) {
        match (self.connection.step(), self.connection.deadline()) {
            (
                Step::Close(_) | Step::HalfClose | Step::CheckInput | Step::Resume | Step::Wait,
                None,
            )
            | (Step::Close(_), _) => {}
            (_, Some(deadline)) => {
                assert!(
                    deadline > self.now.moment,
                    "the deadline has already passed: {:?}",
                    self.connection
                )
            }
            (step, None) => panic!("{step:?} without a deadline: {:?}", self.connection),
        }
    }

    fn end(mut self, closing: Closing) -> Outcome {
        let is_reply_pending = self.deferred.is_some();
        if let Some(deferred) = self.deferred.take() {
            self.connection.complete(deferred.wait(), &self.now);
        }
        let exchanges = &mut self.exchanges;
        self.connection.abandon(|exchange| exchanges.push(exchange));
        let Simulation {
            site: FakeSite { requests },
            sent_bytes,
            sent_before_half_close,
            received,
            exchanges,
            ..
        } = self;
        let sent_bytes = sent_before_half_close.unwrap_or(sent_bytes);
        Outcome { requests, sent_bytes, received, exchanges, closing, is_reply_pending }
    }
}
