//! The states of a [`Connection`](super::Connection), and their deadlines. The diagram is in
//! `connection.rs`.

use super::body::BodyDrain;
use super::closing::{CloseReason, LingeringClose, Timeout};
use super::head::HeadScan;
use super::limits::Limits;
use super::moment::Moment;
use super::response_plan::ResponsePlan;

#[derive(Debug)]
pub(super) enum State {
    /// No request has begun.
    Idle {
        is_served: bool,
        since: Moment,
        until: Moment,
    },
    Head {
        since: Moment,
        scan: HeadScan,
    },
    /// Parsing is paused until all output has been sent. Then buffered input, which may contain
    /// further requests, is parsed again.
    Paused,
    AwaitingReply {
        plan: ResponsePlan,
    },
    Body {
        since: Moment,
        drain: BodyDrain,
    },
    Closing {
        reason: CloseReason,
        linger: LingeringClose,
    },
    Lingering {
        reason: CloseReason,
        since: Moment,
        dropped_bytes: u64,
    },
    Closed {
        reason: CloseReason,
    },
}

/// A connection that can be closed to make room for another, because no response is in progress.
/// The order is that of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvictionCandidate {
    /// What it waits for.
    pub awaits: Awaits,
    /// When it began to wait.
    pub since: Moment,
}

/// What a connection waits for from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaits {
    /// Another request: the client has had its responses, and connects again if it needs to.
    NextRequest,
    /// The first request, the rest of a request, or the client's close after a response.
    Rest,
}

impl State {
    /// A connection that was just accepted.
    pub(super) fn new(now: Moment, limits: &Limits) -> State {
        State::Idle { is_served: false, since: now, until: now + limits.first_request_timeout }
    }

    /// A connection that waits for its next request.
    #[inline]
    pub(super) fn keep_alive(now: Moment, limits: &Limits) -> State {
        State::Idle { is_served: true, since: now, until: now + limits.idle_timeout }
    }

    /// When the client has taken too long to send what this state waits for.
    #[inline]
    pub(super) fn read_deadline(&self, limits: &Limits) -> Option<Moment> {
        match self {
            State::Idle { until, .. } => Some(*until),
            State::Head { since, .. } => Some(*since + limits.head_timeout),
            State::Body { since, .. } => Some(*since + limits.body_timeout),
            State::Lingering { since, .. } => Some(*since + limits.linger_timeout),
            State::Paused
            | State::AwaitingReply { .. }
            | State::Closing { .. }
            | State::Closed { .. } => None,
        }
    }

    /// The timeout that has expired once the read deadline has passed.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        match self {
            State::Idle { .. } => Some(Timeout::Idle),
            State::Head { .. } => Some(Timeout::Header),
            State::Body { .. } => Some(Timeout::Body),
            State::Paused
            | State::AwaitingReply { .. }
            | State::Closing { .. }
            | State::Lingering { .. }
            | State::Closed { .. } => None,
        }
    }

    /// What the connection waits for from its client, and since when, if all output has been sent.
    /// `has_no_input`: whether nothing has been received that is not processed yet.
    pub(super) fn eviction_candidate(&self, has_no_input: bool) -> Option<EvictionCandidate> {
        match *self {
            State::Idle { is_served: true, since, .. } if has_no_input => {
                Some(EvictionCandidate { awaits: Awaits::NextRequest, since })
            }
            State::Idle { since, .. }
            | State::Head { since, .. }
            | State::Body { since, .. }
            | State::Lingering { since, .. } => {
                Some(EvictionCandidate { awaits: Awaits::Rest, since })
            }
            State::Paused
            | State::AwaitingReply { .. }
            | State::Closing { .. }
            | State::Closed { .. } => None,
        }
    }

    /// Gives the client the full time of this state again.
    #[inline]
    pub(super) fn restart_read_timeout(&mut self, now: Moment, limits: &Limits) {
        match self {
            State::Idle { since, until, .. } => {
                *since = now;
                *until = now + limits.idle_timeout;
            }
            State::Head { since, .. } | State::Body { since, .. } => *since = now,
            State::Paused
            | State::AwaitingReply { .. }
            | State::Closing { .. }
            | State::Lingering { .. }
            | State::Closed { .. } => {}
        }
    }

    /// The client has closed its sending side.
    pub(super) fn end_of_input(&mut self) {
        *self = match *self {
            State::Lingering { reason, .. } | State::Closed { reason } => State::Closed { reason },
            State::Closing { reason, .. } => {
                State::Closing { reason, linger: LingeringClose::Never }
            }
            State::Idle { .. }
            | State::Head { .. }
            | State::Paused
            | State::AwaitingReply { .. }
            | State::Body { .. } => {
                State::Closing { reason: CloseReason::InputEnded, linger: LingeringClose::Never }
            }
        };
    }
}
