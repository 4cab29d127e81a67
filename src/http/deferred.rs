//! Answers that take long to make: work that is done elsewhere while the connection waits.
//!
//! The core does not know where. It hands out a [`Deferred`] and takes a [`Finished`] back; between the two nothing
//! of that connection is read or answered, so that answers stay in order.

use super::{Exchange, Response, Status, error_response};

/// What makes the answer.
pub type Work<F> = Box<dyn FnOnce() -> Response<F> + Send>;

/// What a site says to a request.
pub enum Answer<F> {
    /// The answer.
    Now(Response<F>),
    /// What makes it, and may take its time.
    Later(Work<F>),
}

/// Work on an answer that a connection waits for.
pub struct Deferred<F> {
    pub(super) work: Work<F>,
    pub(super) exchange: Option<Exchange>,
}

/// The answer, for the connection that waits for it.
#[derive(Debug)]
pub struct Finished<F> {
    pub(super) response: Response<F>,
    pub(super) exchange: Option<Exchange>,
}

impl<F> Deferred<F> {
    /// Does the work. If it panics (our bug) the client hears of an error instead of waiting for ever.
    pub fn finish(self) -> Finished<F> {
        let work = std::panic::AssertUnwindSafe(self.work);
        let failed = |_| {
            error_response(Status::InternalServerError, "This server failed to make the answer.")
        };
        let response = std::panic::catch_unwind(|| { work }.0()).unwrap_or_else(failed);
        Finished { response, exchange: self.exchange }
    }

    /// Gives the work up: there is nobody to do it now.
    pub fn refuse(self) -> Finished<F> {
        let response = error_response(
            Status::ServiceUnavailable,
            "This server has too much to do. It may work in a moment.",
        );
        Finished { response, exchange: self.exchange }
    }
}

impl<F> std::fmt::Debug for Deferred<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
