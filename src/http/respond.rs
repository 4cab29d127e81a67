//! The interface between a connection and the site that it serves.

use super::deferred::Reply;
use super::now::Now;
use super::request::Request;

/// A source of responses for the requests of a connection.
pub trait Respond {
    /// An open file.
    type File;

    /// Replies to a well-formed request.
    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<Self::File>;
}
