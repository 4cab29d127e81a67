//! The interface between a connection and the site that it serves.

use super::deferred::Reply;
use super::now::Now;
use super::request::Request;
use super::request_error::RequestError;
use super::response::Response;

/// A source of responses for the requests of a connection.
pub trait Respond {
    /// An open file.
    type File;

    /// Replies to a well-formed request.
    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<Self::File>;

    /// Whether the responses of this turn have cost so much that other clients come before the next
    /// one. Then the connection processes no further request until it is resumed.
    fn is_turn_over(&self) -> bool {
        false
    }

    /// Whether the [`Exchange`](super::Exchange) of `request` is recorded, if
    /// [`Limits::record_exchanges`](super::Limits::record_exchanges) is set.
    fn is_recorded(&self, _request: &Request<'_>) -> bool {
        true
    }

    /// Makes the response to a request that is refused before it is understood:
    /// [`RequestError::response`], with the headers that every response of the site has.
    fn refuse(&self, error: RequestError) -> Response<Self::File>;
}
