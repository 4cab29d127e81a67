//! The state machine of one connection, without its socket.
//!
//! ```text
//! accept ──> Idle ──first byte──> Head ──complete──┬── keep-alive ────────> Idle
//!                                                  ├── a body follows ────> Body
//!                                                  ├── last response ─────> Closing
//!                                                  └── reply is deferred ─> AwaitingReply
//!
//! Idle ───────────queue is full─────────────> Paused ──everything sent──> Idle or Head
//! Idle ───────────timeout or eviction───────> Closed
//! Head ───────────malformed or timeout──────> Closing, with an error response queued
//! AwaitingReply ──reply queued──────────────> Paused, or Closing after the last response
//! AwaitingReply ──check passed──────────────> Paused, with the request in front of the input again
//! Body ───────────end of the body───────────> Idle, or Closing after the last response
//! Body ───────────malformed or timeout──────> Closing
//! Closing ────────everything sent──────────┬> Lingering, if the client may still be sending
//!                                          └> Closed, otherwise
//! Lingering ──────FIN, timeout or limit─────> Closed
//! any other ──────FIN───────────────────────> Closing, which sends the rest and does not linger
//! any ────────────write timeout or failure──> Closed
//! ```
//!
//! This module decides what the received bytes mean, in which order responses leave, and when and
//! why the connection closes. I/O is done by `server/drive.rs`, and responses come from a
//! [`Respond`].
//!
//! Invariants:
//! 1. Responses leave in the order of their requests. After a response with `Connection: close`,
//!    no further request is processed.
//! 2. [`Connection::step`] asks for input only when all output has been sent. The server stops
//!    reading from a client that does not read its responses (backpressure).
//! 3. An idle connection owns no buffer. The connection keeps a copy of only three things: an
//!    incomplete head (or a CR that may begin an empty line), input behind a full queue or a
//!    deferred reply, and an unsent remainder of the output.
//! 4. A read deadline is set when a state is entered, and again when the output has been sent.
//!    Receiving bytes never extends it. The write deadline moves with write progress.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::body::BodyDrain;
use super::closing::{CloseReason, Closing, LingeringClose, Timeout};
use super::deferred::{CompletedReply, DeferredReply, Outcome, Reply};
use super::exchange::Exchange;
use super::forwarded::TrustedProxies;
use super::head::{Head, HeadScan};
use super::headers::HeaderStorage;
use super::limits::Limits;
use super::moment::Moment;
use super::now::Now;
use super::output::Output;
use super::request::Request;
use super::request_error::RequestError;
use super::respond::Respond;
use super::response::{Body, Persistence, Response};
use super::response_plan::ResponsePlan;
use super::state::{EvictionCandidate, State};
use super::status::Status;
use super::step::Step;
use super::write_progress::WriteProgress;

/// One connection. The driver calls [`Connection::step`], performs the step, and reports its
/// result.
#[derive(Debug)]
pub struct Connection<F> {
    limits: Arc<Limits>,
    state: State,
    /// Bytes received and not yet processed. Empty in Body, Lingering and Closed.
    input: Vec<u8>,
    output: Output<F>,
    /// Present while there is unsent output.
    write_progress: Option<WriteProgress>,
    requests_left: u32,
    /// Why the connection closes once `requests_left` is zero.
    exhausted_reason: CloseReason,
    /// The arrival time of the request that has passed its check and is back in front of `input`.
    checked_request_started: Option<Moment>,
    /// Present if the peer is a trusted proxy.
    trusted_proxies: Option<Arc<TrustedProxies>>,
}

impl<F> Connection<F> {
    /// A connection that was just accepted.
    pub fn new(limits: Arc<Limits>, now: &Now) -> Connection<F> {
        Connection {
            state: State::new(now.moment, &limits),
            input: Vec::new(),
            output: Output::default(),
            write_progress: None,
            requests_left: limits.requests_max,
            exhausted_reason: CloseReason::RequestsMax,
            checked_request_started: None,
            trusted_proxies: None,
            limits,
        }
    }

    /// Takes the client's address from X-Forwarded-For. The peer must be one of `proxies`.
    pub fn trust(&mut self, proxies: Arc<TrustedProxies>) {
        self.trusted_proxies = Some(proxies);
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        match self.state {
            State::Closed { reason } => {
                Step::Close(Closing { reason, reset: reason == CloseReason::WriteStalled })
            }
            _ if !self.output.is_empty() => Step::Send,
            State::Paused => Step::Resume,
            State::AwaitingReply { .. } => Step::Wait,
            State::Closing { linger: LingeringClose::Always, .. } => Step::HalfClose,
            State::Closing { linger: LingeringClose::IfInputPending, .. } => Step::CheckInput,
            State::Closing { reason, linger: LingeringClose::Never } => {
                Step::Close(Closing { reason, reset: false })
            }
            State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Lingering { .. } => Step::Receive,
        }
    }

    /// Processes input and queues the responses. The work of a returned [`DeferredReply`]
    /// must be done, here or on another thread, and its reply passed to [`Connection::complete`].
    pub fn receive<R: Respond<File = F>>(
        &mut self,
        bytes: &[u8],
        now: &Now,
        site: &mut R,
    ) -> Option<Box<DeferredReply<F>>> {
        if self.input.is_empty() {
            let (used, deferred) = self.process_input(bytes, now, site);
            self.input.extend_from_slice(&bytes[used..]);
            return deferred;
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let (used, deferred) = self.process_input(&input, now, site);
        if used < input.len() {
            input.drain(..used);
            self.input = input;
        }
        deferred
    }

    /// Queues the response that [`Connection::receive`] deferred. A request that has passed its
    /// check is put back, to be processed as if it had just arrived. If the connection has failed
    /// in the meantime, the reply is dropped.
    pub fn complete(&mut self, completed: CompletedReply<F>, now: &Now) {
        let State::AwaitingReply { plan } = self.state else { return };
        let response = match completed.outcome {
            Outcome::Response(response) => response,
            Outcome::Passed(head) => {
                self.input.splice(..0, head);
                self.requests_left += 1;
                self.checked_request_started = completed.exchange.map(|exchange| exchange.started);
                self.state = State::Paused;
                return;
            }
        };
        self.queue_response(response, plan.is_head, plan.persistence, completed.exchange, now);
        self.state = match plan.close {
            Some((reason, linger)) => {
                State::Closing { reason, linger: linger.after_input(&self.input) }
            }
            // Further requests may have arrived behind this one.
            None => State::Paused,
        };
    }

    /// Records the end of input: the client has closed its sending side, or `Step::CheckInput`
    /// found no input. Call this only when [`Connection::step`] asks for input; then every complete
    /// request has been processed.
    pub fn end_of_input(&mut self) {
        self.state.end_of_input();
    }

    /// Replaces the next bytes of the first queued file with `bytes`, read from it by the caller.
    pub fn fill(&mut self, bytes: Bytes) {
        self.output.fill(bytes);
    }

    /// The unsent output.
    pub fn output(&self) -> &Output<F> {
        &self.output
    }

    /// Records that the socket accepted `bytes` of the output. Passes every exchange that this
    /// completes to `on_end`.
    pub fn sent(&mut self, bytes: u64, now: &Now, on_end: impl FnMut(Exchange)) {
        self.output.advance(bytes, on_end);
        if self.output.is_empty() {
            self.write_progress = None;
            // While output was unsent, nothing was read from the client (invariant 2).
            self.state.restart_read_timeout(now.moment, &self.limits);
        } else if let Some(progress) = &mut self.write_progress {
            progress.advance(bytes, now.moment);
        }
    }

    /// Records that the sending side is shut down. The client now has `linger_timeout` to read the
    /// response and to close (RFC 9112 section 9.6).
    pub fn half_closed(&mut self, now: &Now) {
        if let State::Closing { reason, .. } = self.state {
            self.state = State::Lingering { reason, since: now.moment, dropped_bytes: 0 };
        }
    }

    /// Closes the connection at once, because its socket or a file failed.
    pub fn fail(&mut self, reason: CloseReason) {
        self.state = State::Closed { reason };
    }

    /// Begins a graceful shutdown for `reason`: at most one more request is processed, and its
    /// response says `Connection: close`.
    ///
    /// The first request of a new connection is probably on its way, so it has a short time to
    /// arrive.
    pub fn graceful_shutdown(&mut self, reason: CloseReason, now: &Now) {
        const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
        if let State::Idle { is_served: false, until, .. } = &mut self.state {
            *until = (*until).min(now.moment + FIRST_REQUEST_GRACE);
        }
        self.exhausted_reason = reason;
        let is_body_awaited = matches!(self.state, State::Body { .. });
        self.requests_left = self.requests_left.min(if is_body_awaited { 0 } else { 1 });
    }

    /// Whether the next response is the last, or the last one has begun.
    pub fn is_ending(&self) -> bool {
        self.requests_left <= 1
    }

    /// What the connection waits for from its client, and since when. None while a response is in
    /// progress.
    pub fn eviction_candidate(&self) -> Option<EvictionCandidate> {
        match self.output.is_empty() {
            true => self.state.eviction_candidate(self.input.is_empty()),
            false => None,
        }
    }

    /// Whether the client has sent nothing since it connected, except perhaps empty lines.
    pub fn awaits_first_request(&self) -> bool {
        matches!(self.state, State::Idle { is_served: false, .. })
    }

    /// Closes the connection to make room for another, unless a response is in progress.
    pub fn evict(&mut self) {
        if self.eviction_candidate().is_some() {
            self.state = State::Closed { reason: CloseReason::Evicted };
        }
    }

    /// When to call [`Connection::handle_timeout`] unless something happens before.
    pub fn deadline(&self) -> Option<Moment> {
        match &self.write_progress {
            Some(progress) => Some(progress.deadline(&self.limits)),
            None => self.state.read_deadline(&self.limits),
        }
    }

    /// Reacts to a deadline that has passed. Returns which one; None if the client was only slow to
    /// close.
    pub fn handle_timeout<R: Respond<File = F>>(&mut self, now: &Now, site: &R) -> Option<Timeout> {
        if self.write_progress.is_some() {
            self.state = State::Closed { reason: CloseReason::WriteStalled };
            return Some(Timeout::Write);
        }
        let timeout = self.state.timeout();
        match self.state {
            State::Idle { .. } => self.state = State::Closed { reason: CloseReason::IdleTimeout },
            State::Head { .. } => {
                let head = std::mem::take(&mut self.input);
                self.refuse(RequestError::HeadTimeout, &head, now, site);
            }
            // The response has been sent, so a 408 would be read as the response to another
            // request.
            State::Body { .. } => {
                self.state = State::Closing {
                    reason: CloseReason::BodyUnread,
                    linger: LingeringClose::Always,
                }
            }
            State::Lingering { reason, .. } => self.state = State::Closed { reason },
            State::Paused
            | State::AwaitingReply { .. }
            | State::Closing { .. }
            | State::Closed { .. } => {}
        }
        timeout
    }

    /// Passes the exchanges that will not be completed to `on_end`. Called once, when the socket is
    /// closed.
    pub fn abandon(&mut self, on_end: impl FnMut(Exchange)) {
        self.output.abandon(on_end);
    }

    /// Lends the buffers of `spare` to this connection while it is driven.
    pub fn lend_buffers(&mut self, spare: &mut Output<F>) {
        self.output.lend_buffers(spare);
    }

    /// Returns the buffers to `spare`; an unsent remainder is copied into the connection.
    pub fn reclaim_buffers(&mut self, spare: &mut Output<F>) {
        self.output.reclaim_buffers(spare);
    }

    /// Processes requests from the start of `bytes`. Returns how many bytes are used up, and the
    /// deferred reply, if any, that the rest has to wait for.
    fn process_input<R: Respond<File = F>>(
        &mut self,
        bytes: &[u8],
        now: &Now,
        site: &mut R,
    ) -> (usize, Option<Box<DeferredReply<F>>>) {
        let mut storage = HeaderStorage::default();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.state {
                State::Idle { .. } | State::Paused => match self.begin_request(rest, now, site) {
                    Some(skipped) => used += skipped,
                    None => return (used, None),
                },
                State::Head { scan, .. } => match scan.head(rest, &self.limits) {
                    Ok(Some(head)) => {
                        used += head.bytes().len();
                        if let Some(deferred) = self.respond(head, &mut storage, now, site) {
                            return (used, Some(deferred));
                        }
                    }
                    Ok(None) => return (used, None),
                    Err(error) => self.refuse(error, rest, now, site),
                },
                State::Body { drain, .. } => match drain.consume(rest) {
                    Ok(drained) => {
                        used += drained;
                        if !drain.is_complete() {
                            return (used, None);
                        }
                        self.finish_request(now);
                    }
                    Err(error) => {
                        self.state = State::Closing {
                            reason: CloseReason::Refused(error),
                            linger: LingeringClose::Always,
                        }
                    }
                },
                State::AwaitingReply { .. } => return (used, None),
                State::Closing { linger, .. } => {
                    *linger = linger.after_input(rest);
                    return (bytes.len(), None);
                }
                State::Lingering { reason, dropped_bytes, .. } => {
                    *dropped_bytes += rest.len() as u64;
                    if *dropped_bytes > self.limits.linger_bytes_max {
                        self.state = State::Closed { reason: *reason };
                    }
                    return (bytes.len(), None);
                }
                State::Closed { .. } => return (bytes.len(), None),
            }
        }
    }

    /// Enters Head at the first byte of a request and returns how many bytes to skip. Returns None
    /// if no request can begin.
    #[inline]
    fn begin_request(&mut self, rest: &[u8], now: &Now, site: &impl Respond) -> Option<usize> {
        let must_pause = site.is_turn_over() && !rest.is_empty();
        if must_pause || self.output.is_full(self.limits.queue_bytes_max) {
            self.state = State::Paused;
            return None;
        }
        match rest {
            // Empty lines before a request line are ignored (RFC 9112 section 2.2). They do not
            // start the head timeout.
            [b'\r', b'\n', ..] => Some(2),
            [] | [b'\r'] => {
                if let State::Paused = self.state {
                    self.enter_keep_alive(now);
                }
                None
            }
            _ => {
                self.state = State::Head { since: now.moment, scan: HeadScan::default() };
                Some(0)
            }
        }
    }

    /// Queues the response to the request with a complete head, or returns the deferred reply.
    fn respond<'a, R: Respond<File = F>>(
        &mut self,
        head: Head<'a>,
        storage: &mut HeaderStorage<'a>,
        now: &Now,
        site: &mut R,
    ) -> Option<Box<DeferredReply<F>>> {
        let mut request = match Request::parse_head(head, storage, &self.limits) {
            Ok(request) => request,
            Err(error) => {
                self.refuse(error, head.bytes(), now, site);
                return None;
            }
        };
        let drain = BodyDrain::new(request.framing, self.limits.body_bytes_max);
        if let Some(proxies) = &self.trusted_proxies {
            request.forwarded_for = proxies.client_of(request.headers);
        }
        let unanswered = Unanswered { connection: self, request: &request, now };
        let reply = site.respond(&request, now);
        std::mem::forget(unanswered);
        self.requests_left -= 1;
        let exhausted = (self.requests_left == 0).then_some(self.exhausted_reason);
        let plan = ResponsePlan::new(&request, &reply, exhausted);
        let started = self.checked_request_started.take().unwrap_or(now.moment);
        let new_exchange = || Exchange { started, ..Exchange::new(&request, now) };
        let is_recorded = self.limits.record_exchanges && site.is_recorded(&request);
        let exchange = is_recorded.then(new_exchange);
        match reply {
            Reply::Deferred(work) => {
                self.state = State::AwaitingReply { plan };
                // Boxed, so that the result, which every request moves, stays small.
                return Some(Box::new(DeferredReply::new(work, head, exchange)));
            }
            Reply::Ready(response) => {
                self.queue_response(response, plan.is_head, plan.persistence, exchange, now)
            }
        }
        match (plan.close, drain) {
            (Some((reason, linger)), _) => self.state = State::Closing { reason, linger },
            (None, Some(drain)) => self.state = State::Body { since: now.moment, drain },
            (None, None) => self.finish_request(now),
        }
        None
    }

    /// Leaves a request that has been read to its end.
    fn finish_request(&mut self, now: &Now) {
        match self.requests_left {
            0 => {
                let reason = self.exhausted_reason;
                self.state = State::Closing { reason, linger: LingeringClose::Always };
            }
            _ => self.enter_keep_alive(now),
        }
    }

    fn enter_keep_alive(&mut self, now: &Now) {
        self.state = State::keep_alive(now.moment, &self.limits);
    }

    /// Rejects a request: queues an error response, after which the connection closes, and
    /// processes no further input.
    fn refuse<R: Respond<File = F>>(
        &mut self,
        error: RequestError,
        head: &[u8],
        now: &Now,
        site: &R,
    ) {
        let response = site.refuse(error);
        let exchange = self.limits.record_exchanges.then(|| Exchange::refused(head, now));
        self.queue_response(
            response,
            head.starts_with(b"HEAD "),
            Persistence::Close,
            exchange,
            now,
        );
        self.state =
            State::Closing { reason: CloseReason::Refused(error), linger: LingeringClose::Always };
    }

    fn queue_response(
        &mut self,
        response: Response<F>,
        is_head: bool,
        persistence: Persistence,
        exchange: Option<Exchange>,
        now: &Now,
    ) {
        let Response { status, headers, body } = response;
        let body = if is_head { Body::Empty } else { body };
        let exchange =
            exchange.map(|exchange| Exchange { body_bytes: body.len(), status, ..exchange });
        let write_head =
            |out: &mut Vec<u8>| headers.write_head(out, status, &now.date, persistence);
        self.output.push_response(write_head, body);
        if let Some(exchange) = exchange {
            self.output.push_end(exchange);
        }
        if self.write_progress.is_none() {
            self.write_progress = Some(WriteProgress::new(now.moment));
        }
    }
}

/// A request whose response the site is making. It is dropped only if the site panics; the driver
/// then closes the connection. A catch_unwind here would cost each request 30 instructions.
struct Unanswered<'a, F> {
    connection: &'a mut Connection<F>,
    request: &'a Request<'a>,
    now: &'a Now,
}

impl<F> Drop for Unanswered<'_, F> {
    /// Queues the exchange of the lost response, to be logged as incomplete.
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        let Unanswered { connection, request, now } = self;
        connection.state = State::Closed { reason: CloseReason::Panicked };
        if connection.limits.record_exchanges {
            connection.output.push_end(Exchange {
                status: Status::InternalServerError,
                complete: false,
                ..Exchange::new(request, now)
            });
        }
    }
}
