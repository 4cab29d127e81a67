//! A connection over a site in memory, driven as a strategy drives it, by a peer that does what a schedule says.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrayvec::ArrayVec;
use miniweb::http::{
    Body, CloseReason, Closing, Connection, DeferredReply, Exchange, HeaderBlock, Limits, Method,
    Moment, Now, Output, Reply, Request, Respond, Response, Status, Step, Target, Transmit,
    error_response,
};

/// What the peer and the world around may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Everything is sent at once and taken at once.
    Whole,
    /// Pieces of any size are sent and taken, and answers that take long are completed late.
    Pieces,
    /// That, and time passes, the server stops, the peer leaves, the socket fails.
    Disturbed,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What the site was asked, in order.
    pub asked: Vec<Asked>,
    /// What the peer had sent, in bytes, when the server had nothing more to say: what came later was answered by nothing.
    pub given: usize,
    pub received: Vec<u8>,
    pub exchanges: Vec<Exchange>,
    pub closing: Closing,
    /// Whether an answer was never made, because the connection ended first.
    pub is_unanswered: bool,
}

/// One request as the site saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub line: Vec<u8>,
    pub is_head: bool,
}

/// A file that is nowhere: the letter it consists of.
type PaperFile = u8;

/// Bodies of every kind, each of the letter of its answer.
#[derive(Debug, Default)]
struct PaperSite {
    asked: Vec<Asked>,
}

/// The letter that the body of the n-th answer consists of.
pub fn letter(n: usize) -> u8 {
    b'a' + (n % 26) as u8
}

impl Respond for PaperSite {
    type File = PaperFile;

    fn respond(&mut self, request: &Request<'_>, _: &Now) -> Reply<PaperFile> {
        let n = self.asked.len();
        self.asked
            .push(Asked { line: request.head.request_line().to_vec(), is_head: request.is_head() });
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
                response.headers.push_number("Answer", n as u64);
                return Reply::Ready(response);
            }
            (Method::Options, _) => {
                let mut headers = HeaderBlock::default();
                headers.push_number("Answer", n as u64);
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
            headers.push_number("Answer", n as u64);
            headers.push_number("Content-Length", body.len());
            Response { status: Status::Ok, headers, body }
        };
        if path.starts_with(b"/later") {
            Reply::Deferred(Box::new(response))
        } else {
            Reply::Ready(response())
        }
    }
}

/// Small, so that a short input can pass them; each time another, so that none is taken for another.
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

/// Sends `wire` on one connection until that is over.
pub fn talk(wire: &[u8], schedule: &[u8], manner: Manner) -> Outcome {
    let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
    let mut talk = Talk {
        connection: Connection::new(Arc::new(limits()), &now),
        site: PaperSite::default(),
        now,
        manner,
        wire,
        given: 0,
        given_in_time: None,
        received: Vec::new(),
        exchanges: Vec::new(),
        deferred: None,
        spare: Output::default(),
    };
    let mut schedule = if manner == Manner::Whole { [].iter() } else { schedule.iter() }.copied();
    // A byte of the schedule is a turn; when it is over, everything goes on at once, and a few turns for each request
    // and each part of its answer end it.
    let turns_max = schedule.len() + 1000;
    for _ in 0..turns_max {
        if let Some(closing) = talk.turn(Choice::of(schedule.next())) {
            return talk.end(closing);
        }
    }
    panic!("the connection is stuck: {:?}", talk.connection);
}

/// What happens in one turn.
#[derive(Clone, Copy, Debug)]
struct Choice {
    /// How many bytes are sent, or taken.
    amount: usize,
    disturbance: Option<Disturbance>,
    /// The answer that takes long takes longer.
    is_late: bool,
}

#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Wait(Duration),
    BeLate,
    Stop,
    Leave,
    Fail,
    Refuse,
}

impl Choice {
    /// The upper three bits are a disturbance, the lower five an amount.
    fn of(byte: Option<u8>) -> Choice {
        let Some(byte) = byte else {
            return Choice { amount: usize::MAX, disturbance: None, is_late: false };
        };
        let (kind, low) = (byte >> 5, byte & 31);
        let amount = if low < 24 { usize::from(low) + 1 } else { 32 << (low - 24) };
        let disturbance = match (kind, low % 4) {
            (4, _) => Some(Disturbance::Wait(Duration::from_secs(low.into()))),
            (5, _) => Some(Disturbance::BeLate),
            (6, 0) => Some(Disturbance::Stop),
            (6, 1) => Some(Disturbance::Leave),
            (6, 2) => Some(Disturbance::Fail),
            (6, _) => Some(Disturbance::Refuse),
            _ => None,
        };
        Choice { amount, disturbance, is_late: kind == 7 }
    }
}

struct Talk<'a> {
    connection: Connection<PaperFile>,
    site: PaperSite,
    now: Now,
    manner: Manner,
    wire: &'a [u8],
    given: usize,
    /// The same when the server closed its side.
    given_in_time: Option<usize>,
    received: Vec<u8>,
    exchanges: Vec<Exchange>,
    deferred: Option<DeferredReply<PaperFile>>,
    spare: Output<PaperFile>,
}

impl Talk<'_> {
    /// One step, as `drive` takes it, and what may happen before it.
    fn turn(&mut self, choice: Choice) -> Option<Closing> {
        if let Some(disturbance) = choice.disturbance.filter(|_| self.manner == Manner::Disturbed) {
            self.disturb(disturbance);
        }
        if !choice.is_late
            && let Some(deferred) = self.deferred.take()
        {
            self.connection.complete(deferred.finish(), &self.now);
        }
        if self.manner != Manner::Whole {
            self.connection.lend_buffers(&mut self.spare);
        }
        let step = self.connection.step();
        match step {
            Step::Send => self.take(choice.amount),
            Step::Resume => {
                self.receive(0);
                assert!(self.connection.step() != Step::Resume, "an empty queue is held up");
            }
            Step::Wait => assert!(
                self.deferred.is_some() || self.site.asked.is_empty(),
                "nothing is under way"
            ),
            Step::Receive if self.given == self.wire.len() => self.connection.end_of_input(),
            Step::Receive => self.receive(choice.amount.min(self.wire.len() - self.given)),
            Step::CheckInput if self.given == self.wire.len() || choice.is_late => {
                self.connection.end_of_input()
            }
            Step::CheckInput => self.receive(choice.amount.min(self.wire.len() - self.given)),
            Step::HalfClose => {
                self.given_in_time = Some(self.given);
                self.connection.half_closed(&self.now);
            }
            Step::Close(closing) => return Some(closing),
        }
        if self.manner != Manner::Whole {
            self.connection.reclaim_buffers(&mut self.spare);
            assert!(self.spare.is_empty(), "what is lent is empty");
        }
        self.check_deadline();
        None
    }

    fn receive(&mut self, bytes: usize) {
        let piece = &self.wire[self.given..self.given + bytes];
        self.given += bytes;
        let deferred = self.connection.receive(piece, &self.now, &mut self.site);
        assert!(deferred.is_none() || self.deferred.is_none(), "two answers are under way");
        self.deferred = self.deferred.take().or(deferred);
    }

    fn take(&mut self, amount: usize) {
        // Now and then a file is read by somebody else.
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
                assert!(self.received.len() > before, "what is offered is something");
            }
            Transmit::File { file, range } => {
                let offered = range
                    .end
                    .checked_sub(range.start)
                    .filter(|bytes| *bytes > 0)
                    .expect("a part of a file");
                let taken = usize::try_from(offered).unwrap_or(usize::MAX).min(amount);
                self.received.resize(before + taken, *file);
            }
        }
        drop(slices);
        let (taken, exchanges) = (self.received.len() - before, &mut self.exchanges);
        self.connection.sent(taken as u64, &self.now, |exchange| exchanges.push(exchange));
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::Wait(time) => self.now.moment += time,
            Disturbance::BeLate => {
                if let Some(deadline) = self.connection.deadline() {
                    self.now.moment = self.now.moment.max(deadline);
                }
            }
            Disturbance::Stop => self.connection.graceful_shutdown(&self.now),
            Disturbance::Leave if self.connection.step() == Step::Receive => {
                self.connection.end_of_input()
            }
            Disturbance::Leave => {}
            Disturbance::Fail => self.connection.fail(CloseReason::Failed),
            Disturbance::Refuse => {
                if let Some(deferred) = self.deferred.take() {
                    self.connection.complete(deferred.refuse(), &self.now);
                }
            }
        }
        if self.connection.deadline().is_some_and(|deadline| deadline <= self.now.moment) {
            self.connection.handle_timeout(&self.now);
            self.check_deadline();
        }
    }

    /// Whoever waits for the peer has a deadline, and one that is to come: a strategy that looks at it again and again must
    /// not find it past each time.
    fn check_deadline(&self) {
        match (self.connection.step(), self.connection.deadline()) {
            (
                Step::Close(_) | Step::HalfClose | Step::CheckInput | Step::Resume | Step::Wait,
                None,
            )
            | (Step::Close(_), _) => {}
            (_, Some(deadline)) => {
                assert!(deadline > self.now.moment, "late at once: {:?}", self.connection)
            }
            (step, None) => panic!("{step:?} without a deadline: {:?}", self.connection),
        }
    }

    fn end(mut self, closing: Closing) -> Outcome {
        let is_unanswered = self.deferred.is_some();
        if let Some(deferred) = self.deferred.take() {
            self.connection.complete(deferred.finish(), &self.now);
        }
        let exchanges = &mut self.exchanges;
        self.connection.abandon(|exchange| exchanges.push(exchange));
        let Talk { site: PaperSite { asked }, given, given_in_time, received, exchanges, .. } =
            self;
        let given = given_in_time.unwrap_or(given);
        Outcome { asked, given, received, exchanges, closing, is_unanswered }
    }
}
