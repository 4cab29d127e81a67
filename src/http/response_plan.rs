//! Decides, for each request, how its response is framed and whether the connection persists.

use super::closing::{CloseReason, LingeringClose};
use super::deferred::Reply;
use super::framing::Framing;
use super::request::Request;
use super::response::Persistence;
use super::status::Status;
use super::version::Version;

/// The decisions about a response that follow from its request. They are made before the response
/// exists if the reply is deferred.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponsePlan {
    /// Whether the request is a HEAD, so that the body is omitted.
    pub(super) is_head: bool,
    pub(super) persistence: Persistence,
    /// Why and how the connection closes after the response, or None if it persists.
    pub(super) close: Option<(CloseReason, LingeringClose)>,
}

impl ResponsePlan {
    /// `exhausted` is why no further request is allowed on the connection, if none is.
    pub(super) fn new<F>(
        request: &Request<'_>,
        reply: &Reply<F>,
        exhausted: Option<CloseReason>,
    ) -> ResponsePlan {
        let has_body = request.framing != Framing::None;
        // The body of a method that is not allowed is not worth reading, and input cannot be read
        // while a reply is deferred.
        let is_body_unwanted = match reply {
            Reply::Ready(response) => response.status == Status::MethodNotAllowed,
            Reply::Deferred(_) => true,
        };
        let reason = if !request.keep_alive {
            Some(CloseReason::ClientRequested)
        // A client that expects 100 (Continue) may omit the body once it sees a final status (RFC
        // 9110 section 10.1.1); then the next byte can be of the body or of the next request.
        } else if has_body && (request.expects_continue || is_body_unwanted) {
            Some(CloseReason::BodyUnread)
        } else {
            exhausted
        };
        let persistence = match (reason, request.version) {
            (Some(_), _) => Persistence::Close,
            (None, Version::Http10) => Persistence::KeepAlive,
            (None, Version::Http11) => Persistence::Implied,
        };
        let linger = if reason == Some(CloseReason::ClientRequested) && !has_body {
            LingeringClose::IfInputPending
        } else {
            LingeringClose::Always
        };
        let close = reason.map(|reason| (reason, linger));
        ResponsePlan { is_head: request.is_head(), persistence, close }
    }
}
