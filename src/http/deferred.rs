//! Replies that take long to compute, and are computed outside the connection.
//!
//! The connection hands out a [`DeferredReply`] and later receives a [`CompletedReply`]. In between
//! it neither reads nor processes requests, so that responses stay in order.

use super::error_page::error_response;
use super::exchange::Exchange;
use super::response::Response;
use super::status::Status;

/// A computation that produces a response.
pub type Work<F> = Box<dyn FnOnce() -> Response<F> + Send>;

/// What a site returns for a request.
pub enum Reply<F> {
    /// The response.
    Ready(Response<F>),
    /// Work that produces the response and may take long.
    Deferred(Work<F>),
}

/// Work on a response that a connection waits for.
pub struct DeferredReply<F> {
    pub(super) work: Work<F>,
    pub(super) exchange: Option<Exchange>,
}

/// The response to a deferred request, to be passed to
/// [`Connection::complete`](super::Connection::complete).
#[derive(Debug)]
pub struct CompletedReply<F> {
    pub(super) response: Response<F>,
    pub(super) exchange: Option<Exchange>,
}

impl<F> DeferredReply<F> {
    /// Does the work. If it panics, which is a bug of this server, the response is a 500.
    pub fn finish(self) -> CompletedReply<F> {
        let work = std::panic::AssertUnwindSafe(self.work);
        let failed = |_| {
            error_response(
                Status::InternalServerError,
                "This server failed to produce the response.",
            )
        };
        let response = std::panic::catch_unwind(|| { work }.0()).unwrap_or_else(failed);
        CompletedReply { response, exchange: self.exchange }
    }

    /// Rejects the work with a 503, because no thread can take it now.
    pub fn refuse(self) -> CompletedReply<F> {
        let response = error_response(
            Status::ServiceUnavailable,
            "This server is overloaded. Please try again in a moment.",
        );
        CompletedReply { response, exchange: self.exchange }
    }
}

impl<F> std::fmt::Debug for DeferredReply<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredReply").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
