//! The states of a [`Connection`](super::Connection), and their deadlines. The diagram is in
//! `connection.rs`.

use super::body::BodyDrain;
use super::closing::{CloseReason, LingeringClose};
use super::head::HeadScan;
use super::limits::Limits;
use super::moment::Moment;
use super::response_plan::ResponsePlan;

#[derive(Debug)]
pub(super) enum State {
    Idle {
        idle: IdleState,
        until: Moment,
    },
    Head {
        until: Moment,
        scan: HeadScan,
    },
    /// Parsing is paused until all output has been sent. Then buffered input, which may contain
    /// further requests, is parsed again.
    Paused,
    AwaitingReply {
        plan: ResponsePlan,
    },
    Body {
        until: Moment,
        drain: BodyDrain,
    },
    Closing {
        reason: CloseReason,
        linger: LingeringClose,
    },
    Lingering {
        reason: CloseReason,
        until: Moment,
        dropped_bytes: u64,
    },
    Closed {
        reason: CloseReason,
    },
}

/// An idle connection: no request has begun, and no response is unsent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleState {
    /// Whether a request has been processed before, so that this is a keep-alive connection.
    pub is_served: bool,
    /// When it became idle.
    pub since: Moment,
}

impl State {
    /// A connection that was just accepted.
    pub(super) fn new(now: Moment, limits: &Limits) -> State {
        let idle = IdleState { is_served: false, since: now };
        State::Idle { idle, until: now + limits.first_request_timeout }
    }

    /// A connection that waits for its next request.
    #[inline]
    pub(super) fn keep_alive(now: Moment, limits: &Limits) -> State {
        let idle = IdleState { is_served: true, since: now };
        State::Idle { idle, until: now + limits.idle_timeout }
    }

    /// When the client has taken too long to send what this state waits for.
    #[inline]
    pub(super) fn read_deadline(&self) -> Option<Moment> {
        match self {
            State::Idle { until, .. }
            | State::Head { until, .. }
            | State::Body { until, .. }
            | State::Lingering { until, .. } => Some(*until),
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
            State::Idle { idle, until } => {
                idle.since = now;
                *until = now + limits.idle_timeout;
            }
            State::Head { until, .. } => *until = now + limits.head_timeout,
            State::Body { until, .. } => *until = now + limits.body_timeout,
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
                State::Closing { reason: CloseReason::PeerClosed, linger: LingeringClose::Never }
            }
        };
    }
}
