//! Why a request is refused.

use super::status::Status;

/// Why a request is refused, and the status that says so. The connection can't go on after one: where the
/// next request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What it is answered with.
    pub status: Status,
    /// A sentence for the error page and the log.
    pub reason: &'static str,
}

impl RequestError {
    pub(super) const fn bad(reason: &'static str) -> RequestError {
        RequestError { status: Status::BadRequest, reason }
    }

    pub(super) const fn new(status: Status, reason: &'static str) -> RequestError {
        RequestError { status, reason }
    }
}

pub(super) const FIELDS_TOO_LARGE: RequestError = RequestError::new(
    Status::RequestHeaderFieldsTooLarge,
    "The request's head is larger than this server reads.",
);
pub(super) const TARGET_TOO_LONG: RequestError =
    RequestError::new(Status::UriTooLong, "The request target is longer than this server reads.");
