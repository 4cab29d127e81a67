//! Answers that take long to make: work that is done elsewhere while the connection waits.
//!
//! The core does not know where. It hands out a [`DeferredReply`] and takes a [`CompletedReply`] back; between the two nothing
//! of that connection is read or answered, so that answers stay in order.

use super::error_page::error_response;
use super::exchange::Exchange;
use super::response::Response;
use super::status::Status;

/// What makes the answer.
pub type Work<F> = Box<dyn FnOnce() -> Response<F> + Send>;

/// What a site says to a request.
pub enum Reply<F> {
    /// The answer.
    Ready(Response<F>),
    /// What makes it, and may take its time.
    Deferred(Work<F>),
}

/// Work on an answer that a connection waits for.
pub struct DeferredReply<F> {
    pub(super) work: Work<F>,
    pub(super) exchange: Option<Exchange>,
}

/// The answer, for the connection that waits for it.
#[derive(Debug)]
pub struct CompletedReply<F> {
    pub(super) response: Response<F>,
    pub(super) exchange: Option<Exchange>,
}

impl<F> DeferredReply<F> {
    /// Does the work. If it panics (our bug) the client hears of an error instead of waiting for ever.
    pub fn finish(self) -> CompletedReply<F> {
        let work = std::panic::AssertUnwindSafe(self.work);
        let failed = |_| {
            error_response(Status::InternalServerError, "This server failed to make the answer.")
        };
        let response = std::panic::catch_unwind(|| { work }.0()).unwrap_or_else(failed);
        CompletedReply { response, exchange: self.exchange }
    }

    /// Gives the work up: there is nobody to do it now.
    pub fn refuse(self) -> CompletedReply<F> {
        let response = error_response(
            Status::ServiceUnavailable,
            "This server has too much to do. It may work in a moment.",
        );
        CompletedReply { response, exchange: self.exchange }
    }
}

impl<F> std::fmt::Debug for DeferredReply<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredReply").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
