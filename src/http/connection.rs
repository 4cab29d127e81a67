//! The state machine of one connection, without its socket.
//!
//! ```text
//!                   ┌────────────────── the queue has drained ──── Held
//!                   v                                               ^
//!   accept ──> Idle ──first byte──> Head ──complete──> answered ────┤ the queue is full
//!               ^  │                 │                  │  │  │     │
//!               │  │ silent too      │ malformed,       │  │  └─────┴─> Idle   keep-alive
//!               │  │ long, or FIN    │ too large, late  │  └──> Body ──passed──> Idle
//!               │  v                 v                  v         │ malformed, too long
//!               │  Closed         Closing <───── last answer <────┘
//!               │                    │ everything queued is sent
//!               │                    ├── the peer may be sending still ──> Lingering ──FIN or late──> Closed
//!               └── (never)          └── it said it would not, and is not ────────────────────────────> Closed
//! ```
//!
//! What lives here: what the bytes of a peer mean, in which order answers leave, when a connection ends and why.
//! What does not: reading and writing (`server/drive.rs`), the answer itself ([`Respond`]).
//!
//! Laws:
//! 1. Answers leave in the order of their requests; after a `close` nothing more is answered.
//! 2. Nothing is read while anything waits to be sent: a peer that does not read is not read from.
//! 3. An idle connection owns no buffer. Only an incomplete head, requests that a full queue holds up, and
//!    an unsent remainder are copied into it.
//! 4. A deadline is a moment, fixed when the state is entered, so that a byte now and then postpones nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::body::BodyDrain;
use super::closing::{CloseReason, Closing};
use super::date::Now;
use super::deferred::{CompletedReply, DeferredReply, Reply};
use super::error_page::error_response;
use super::exchange::Exchange;
use super::framing::Framing;
use super::head::{Head, HeadScan};
use super::headers::HeaderStorage;
use super::limits::Limits;
use super::moment::Moment;
use super::output::Output;
use super::request::Request;
use super::request_error::RequestError;

use super::response::{Persistence, Response};
use super::status::Status;
use super::version::Version;

/// What answers the requests of a connection.
pub trait Respond {
    /// An open file.
    type File;

    /// The answer to a well-formed request.
    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<Self::File>;
}

/// One connection. Ask [`Connection::step`] what to do, do it, and report what came of it.
#[derive(Debug)]
pub struct Connection<F> {
    limits: Arc<Limits>,
    state: State,
    /// Bytes that were received and not yet understood; empty in every state but Idle, Head and Held.
    input: Vec<u8>,
    output: Output<F>,
    writing: Writing,
    requests_left: u32,
    /// Whether it has had an answer.
    is_served: bool,
    /// Why the connection ends when none is left.
    last_because: CloseReason,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle { until: Moment },
    Head { until: Moment, scan: HeadScan },
    Held,
    Answering { after: After },
    Body { until: Moment, skip: BodyDrain },
    Closing { reason: CloseReason, linger: LingeringClose },
    Lingering { reason: CloseReason, until: Moment, dropped_bytes: u64 },
    Closed { reason: CloseReason },
}

/// What is decided about an answer before it is there.
#[derive(Clone, Copy, Debug)]
struct After {
    is_head: bool,
    persistence: Persistence,
    close: Option<CloseReason>,
    linger: LingeringClose,
}

/// Whether the peer is given time to read before the close. Bytes that nobody has read make a reset of it, which takes away
/// what the peer has not read yet (RFC 9112 section 9.6).
#[derive(Clone, Copy, Debug)]
enum LingeringClose {
    /// It may be sending still.
    Always,
    /// It said that it would send no more.
    IfInputPending,
    /// It is known that nothing has come.
    Never,
}

/// How the sending goes.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Nothing,
    Since { start: Moment, progress: Moment, sent_bytes: u64 },
}

/// What the connection needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give [`Connection::output`] to the socket, then call [`Connection::sent`].
    Send,
    /// The queue has drained: call [`Connection::receive`] with no bytes.
    Resume,
    /// Wait for [`Connection::complete`].
    Wait,
    /// Read the socket, then call [`Connection::receive`] or [`Connection::end_of_input`].
    Receive,
    /// Read what has come by now, then call [`Connection::receive`], or [`Connection::end_of_input`] if that was nothing.
    Look,
    /// Close the sending side, then call [`Connection::half_closed`].
    HalfClose,
    /// Close the socket.
    Close(Closing),
}

/// How a connection is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleState {
    /// Whether it has had an answer: then it is kept out of courtesy only.
    pub is_served: bool,
    /// Since when.
    pub since: Moment,
}

impl<F> Connection<F> {
    /// A connection that was just accepted.
    pub fn new(limits: Arc<Limits>, now: &Now) -> Connection<F> {
        Connection {
            state: State::Idle { until: now.moment + limits.header_timeout },
            input: Vec::new(),
            output: Output::default(),
            writing: Writing::Nothing,
            requests_left: limits.requests_max,
            is_served: false,
            last_because: CloseReason::RequestsMax,
            limits,
        }
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        match self.state {
            State::Closed { reason } => {
                Step::Close(Closing { reason, reset: reason == CloseReason::WriteStalled })
            }
            _ if !self.output.is_empty() => Step::Send,
            State::Held => Step::Resume,
            State::Answering { .. } => Step::Wait,
            State::Closing { linger: LingeringClose::Always, .. } => Step::HalfClose,
            State::Closing { linger: LingeringClose::IfInputPending, .. } => Step::Look,
            State::Closing { reason, linger: LingeringClose::Never } => {
                Step::Close(Closing { reason, reset: false })
            }
            State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Lingering { .. } => Step::Receive,
        }
    }

    /// Understands what came from the peer and queues the answers. What it returns is to be done, here or elsewhere, and
    /// brought to [`Connection::complete`].
    pub fn receive<R: Respond<File = F>>(
        &mut self,
        bytes: &[u8],
        now: &Now,
        site: &mut R,
    ) -> Option<DeferredReply<F>> {
        if self.input.is_empty() {
            let (used, deferred) = self.process_input(bytes, now, site);
            self.input.extend_from_slice(&bytes[used..]);
            return deferred;
        }
        let mut held = std::mem::take(&mut self.input);
        held.extend_from_slice(bytes);
        let (used, deferred) = self.process_input(&held, now, site);
        if used < held.len() {
            held.drain(..used);
            self.input = held;
        }
        deferred
    }

    /// The answer that [`Connection::receive`] deferred.
    pub fn complete(&mut self, finished: CompletedReply<F>, now: &Now) {
        if let State::Answering { after } = self.state {
            self.queue(finished.response, after.is_head, after.persistence, finished.exchange, now);
            // More requests may have come with this one: they are looked at when its answer is sent.
            self.state = match after.close {
                Some(reason) => {
                    State::Closing { reason, linger: after.linger.or_after(&self.input) }
                }
                None => State::Held,
            };
        }
    }

    /// The peer sends no more. What it asked for before that is still answered.
    pub fn end_of_input(&mut self) {
        self.state = match self.state {
            State::Lingering { reason, .. } | State::Closed { reason } => State::Closed { reason },
            State::Closing { reason, .. } => {
                State::Closing { reason, linger: LingeringClose::Never }
            }
            State::Idle { .. }
            | State::Head { .. }
            | State::Held
            | State::Answering { .. }
            | State::Body { .. } => {
                State::Closing { reason: CloseReason::PeerClosed, linger: LingeringClose::Never }
            }
        };
    }

    /// The next bytes of the file that [`Connection::output`] names next, from somebody who has read them.
    pub fn fill(&mut self, bytes: Bytes) {
        self.output.fill(bytes);
    }

    /// What waits to be sent.
    pub fn output(&self) -> &Output<F> {
        &self.output
    }

    /// The socket took `bytes` of the output; `ended` is given the exchanges that this completes.
    pub fn sent(&mut self, bytes: u64, now: &Now, ended: impl FnMut(Exchange)) {
        self.output.advance(bytes, ended);
        match (&mut self.writing, &mut self.state) {
            (writing, state) if self.output.is_empty() => {
                *writing = Writing::Nothing;
                // Meanwhile nothing was read (law 2): the peer's time begins now.
                match state {
                    State::Idle { until } => *until = now.moment + self.limits.idle_timeout,
                    State::Head { until, .. } | State::Body { until, .. } => {
                        *until = now.moment + self.limits.header_timeout
                    }
                    _ => {}
                }
            }
            (Writing::Since { progress, sent_bytes, .. }, _) if bytes > 0 => {
                *progress = now.moment;
                *sent_bytes += bytes;
            }
            _ => {}
        }
    }

    /// The sending side was closed: the peer is given a moment to read what it was sent, lest a reset
    /// takes it away (RFC 9112 section 9.6).
    pub fn half_closed(&mut self, now: &Now) {
        if let State::Closing { reason, .. } = self.state {
            self.state = State::Lingering {
                reason,
                until: now.moment + self.limits.linger_timeout,
                dropped_bytes: 0,
            };
        }
    }

    /// The connection can't go on: the socket failed, or a file did.
    pub fn fail(&mut self, reason: CloseReason) {
        self.state = State::Closed { reason };
    }

    /// The server is stopping: one request more is answered, if it has come already, and says so.
    ///
    /// Who has just come and said nothing yet has its first request on the way: it is given a moment.
    pub fn graceful_shutdown(&mut self, now: &Now) {
        const MOMENT: Duration = Duration::from_secs(1);
        let is_newcomer = self.is_newcomer();
        if let (State::Idle { until }, true) = (&mut self.state, is_newcomer) {
            *until = (*until).min(now.moment + MOMENT);
        }
        self.last_because = CloseReason::Stopping;
        self.requests_left = match self.state {
            State::Body { .. } => 0,
            _ => self.requests_left.min(1),
        };
    }

    /// Whether, and since when, nothing is asked of it or under way.
    pub fn idle_state(&self) -> Option<IdleState> {
        match self.state {
            State::Idle { until } if self.output.is_empty() && self.input.is_empty() => {
                let is_served = self.is_served;
                let patience =
                    if is_served { self.limits.idle_timeout } else { self.limits.header_timeout };
                Some(IdleState { is_served, since: until - patience })
            }
            _ => None,
        }
    }

    /// Whether nothing has come of it yet.
    pub fn is_newcomer(&self) -> bool {
        self.idle_state().is_some_and(|idle_state| !idle_state.is_served)
    }

    /// Its place is needed for another. Only an idle connection is ended for that.
    pub fn evict_idle(&mut self) {
        if self.idle_state().is_some() {
            self.state = State::Closed { reason: CloseReason::Evicted };
        }
    }

    /// When [`Connection::handle_timeout`] is to be called if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        if let Writing::Since { start, progress, sent_bytes } = self.writing {
            // A reader that keeps the least rate is always ahead of this moment; the patience before it
            // is that of a stall.
            let owed = Duration::from_secs(sent_bytes / self.limits.write_rate_min.max(1));
            let too_slow = start + self.limits.write_timeout.max(owed);
            return Some((progress + self.limits.write_timeout).min(too_slow));
        }
        match self.state {
            State::Idle { until }
            | State::Head { until, .. }
            | State::Body { until, .. }
            | State::Lingering { until, .. } => Some(until),
            State::Held
            | State::Answering { .. }
            | State::Closing { .. }
            | State::Closed { .. } => None,
        }
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: &Now) {
        if let Writing::Since { .. } = self.writing {
            self.state = State::Closed { reason: CloseReason::WriteStalled };
            return;
        }
        match self.state {
            State::Idle { .. } => self.state = State::Closed { reason: CloseReason::Idle },
            State::Head { .. } => {
                let head = std::mem::take(&mut self.input);
                self.refuse(RequestError::HeadTimeout, &head, now);
            }
            // Its answer is out: a second one would answer nothing.
            State::Body { .. } => {
                self.state = State::Closing {
                    reason: CloseReason::BodyUnread,
                    linger: LingeringClose::Always,
                }
            }
            State::Lingering { reason, .. } => self.state = State::Closed { reason },
            State::Held
            | State::Answering { .. }
            | State::Closing { .. }
            | State::Closed { .. } => {}
        }
    }

    /// Hands out the exchanges that will not be completed. Called once, when the socket is closed.
    pub fn abandon(&mut self, ended: impl FnMut(Exchange)) {
        self.output.abandon(ended);
    }

    /// Lends the buffers of `spare` to this connection while it is served.
    pub fn lend_buffers(&mut self, spare: &mut Output<F>) {
        self.output.lend_buffers(spare);
    }

    /// Gives the buffers back; an unsent remainder is copied into the connection.
    pub fn reclaim_buffers(&mut self, spare: &mut Output<F>) {
        self.output.reclaim_buffers(spare);
    }

    /// Reads requests from the start of `bytes` and returns how many bytes are done with, and
    /// the work on an answer that the rest has to wait for.
    fn process_input<R: Respond<File = F>>(
        &mut self,
        bytes: &[u8],
        now: &Now,
        site: &mut R,
    ) -> (usize, Option<DeferredReply<F>>) {
        let mut storage = HeaderStorage::default();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.state {
                State::Idle { .. } | State::Held
                    if self.output.is_full(self.limits.queue_bytes_max) =>
                {
                    self.state = State::Held;
                    return (used, None);
                }
                State::Idle { .. } | State::Held => match rest {
                    // RFC 9112 section 2.2: empty lines before a request line are ignored. They are not its first byte.
                    [b'\r', b'\n', ..] => used += 2,
                    [] | [b'\r'] => {
                        if let State::Held = self.state {
                            self.state =
                                State::Idle { until: now.moment + self.limits.idle_timeout };
                        }
                        return (used, None);
                    }
                    _ => {
                        self.state = State::Head {
                            until: now.moment + self.limits.header_timeout,
                            scan: HeadScan::default(),
                        }
                    }
                },
                State::Head { until, mut scan } => match scan.head(rest, &self.limits) {
                    Ok(Some(head)) => {
                        used += head.bytes().len();
                        if let Some(deferred) = self.answer(head, &mut storage, now, site) {
                            return (used, Some(deferred));
                        }
                    }
                    Ok(None) => {
                        self.state = State::Head { until, scan };
                        return (used, None);
                    }
                    Err(error) => self.refuse(error, rest, now),
                },
                State::Body { until, mut skip } => match skip.consume(rest) {
                    Ok(drained) => {
                        used += drained;
                        if !skip.is_complete() {
                            self.state = State::Body { until, skip };
                            return (used, None);
                        }
                        self.next_request(now);
                    }
                    Err(error) => {
                        self.state = State::Closing {
                            reason: CloseReason::Refused(error),
                            linger: LingeringClose::Always,
                        }
                    }
                },
                State::Closing { reason, linger } => {
                    self.state = State::Closing { reason, linger: linger.or_after(rest) };
                    return (bytes.len(), None);
                }
                State::Lingering { reason, until, dropped_bytes } => {
                    let dropped_bytes = dropped_bytes + rest.len() as u64;
                    self.state = match dropped_bytes > self.limits.linger_bytes_max {
                        true => State::Closed { reason },
                        false => State::Lingering { reason, until, dropped_bytes },
                    };
                    return (bytes.len(), None);
                }
                State::Answering { .. } => return (used, None),
                State::Closed { .. } => return (bytes.len(), None),
            }
        }
    }

    fn next_request(&mut self, now: &Now) {
        self.state = match self.requests_left {
            0 => State::Closing { reason: self.last_because, linger: LingeringClose::Always },
            _ => State::Idle { until: now.moment + self.limits.idle_timeout },
        };
    }

    /// Answers the request of one complete head, or returns the work that will.
    fn answer<'a, R: Respond<File = F>>(
        &mut self,
        head: Head<'a>,
        storage: &mut HeaderStorage<'a>,
        now: &Now,
        site: &mut R,
    ) -> Option<DeferredReply<F>> {
        let parsed = Request::parse_head(head, storage, &self.limits);
        let (request, body) = match parsed
            .and_then(|r| Ok((BodyDrain::new(r.framing, self.limits.body_bytes_max)?, r)))
        {
            Ok((body, request)) => (request, body),
            Err(error) => {
                self.refuse(error, head.bytes(), now);
                return None;
            }
        };
        let answer = site.respond(&request, now);
        self.requests_left -= 1;
        self.is_served = true;
        let after = self.after(&request, &answer);
        let exchange = self.limits.record_exchanges.then(|| Exchange::new(&request, now));
        match answer {
            Reply::Deferred(work) => {
                self.state = State::Answering { after };
                return Some(DeferredReply { work, exchange });
            }
            Reply::Ready(response) => {
                self.queue(response, after.is_head, after.persistence, exchange, now)
            }
        }
        match (after.close, body) {
            (Some(reason), _) => self.state = State::Closing { reason, linger: after.linger },
            (None, Some(skip)) => {
                self.state = State::Body { until: now.moment + self.limits.header_timeout, skip }
            }
            (None, None) => self.next_request(now),
        }
        None
    }

    /// Whether and why the connection ends with this answer.
    fn after(&self, request: &Request<'_>, answer: &Reply<F>) -> After {
        // A method that is not served is no reason to read what it brought; neither is a body that the peer may
        // hold back, having seen the final status (RFC 9110 section 10.1.1), or one that would come meanwhile.
        let has_body = request.framing != Framing::None;
        let is_unwanted = match answer {
            Reply::Ready(response) => response.status == Status::MethodNotAllowed,
            Reply::Deferred(_) => true,
        };
        let close = match self.requests_left {
            _ if !request.keep_alive => Some(CloseReason::Asked),
            _ if has_body && (request.expects_continue || is_unwanted) => {
                Some(CloseReason::BodyUnread)
            }
            0 => Some(self.last_because),
            _ => None,
        };
        let persistence = match (close, request.version) {
            (Some(_), _) => Persistence::Close,
            (None, Version::Http10) => Persistence::KeepAlive,
            (None, Version::Http11) => Persistence::Implied,
        };
        let linger = if close == Some(CloseReason::Asked) && !has_body {
            LingeringClose::IfInputPending
        } else {
            LingeringClose::Always
        };
        After { is_head: request.is_head(), persistence, close, linger }
    }

    /// Answers what is no request and reads no further.
    fn refuse(&mut self, error: RequestError, head: &[u8], now: &Now) {
        let response = error_response(error.status(), error.message());
        let exchange = self.limits.record_exchanges.then(|| Exchange::refused(head, now));
        self.queue(response, head.starts_with(b"HEAD "), Persistence::Close, exchange, now);
        self.state =
            State::Closing { reason: CloseReason::Refused(error), linger: LingeringClose::Always };
    }

    fn queue(
        &mut self,
        mut response: Response<F>,
        is_head: bool,
        persistence: Persistence,
        exchange: Option<Exchange>,
        now: &Now,
    ) {
        let body = if is_head {
            super::Body::Empty
        } else {
            std::mem::replace(&mut response.body, super::Body::Empty)
        };
        let body_bytes = body.len();
        self.output.push(|out| response.write_head(out, &now.date, persistence), body);
        if let Some(exchange) = exchange {
            self.output.push_end(Exchange { body_bytes, status: response.status, ..exchange });
        }
        if let Writing::Nothing = self.writing {
            self.writing =
                Writing::Since { start: now.moment, progress: now.moment, sent_bytes: 0 };
        }
    }
}

impl LingeringClose {
    /// The same where `more` has come from the peer.
    fn or_after(self, more: &[u8]) -> LingeringClose {
        if more.is_empty() { self } else { LingeringClose::Always }
    }
}
