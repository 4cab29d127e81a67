//! Replies that take long to compute, and are computed outside the connection.
//!
//! The connection hands out a [`DeferredReply`] and later receives a [`CompletedReply`]. In between
//! it neither reads nor processes requests, so that responses stay in order.

use bytes::Bytes;

use super::error_page::error_response;
use super::exchange::Exchange;
use super::response::Response;
use super::status::Status;

/// A computation that produces a response.
pub struct Work<F> {
    run: Box<dyn FnOnce() -> Response<F> + Send>,
    /// The header lines of the error that is sent instead if the work is not done.
    error_headers: Bytes,
}

impl<F> Work<F> {
    /// Work that `run` does. `error_headers` are rendered lines, which the response to this request
    /// has even if it is an error that is made without the site.
    pub fn new(
        error_headers: Bytes,
        run: impl FnOnce() -> Response<F> + Send + 'static,
    ) -> Work<F> {
        Work { run: Box::new(run), error_headers }
    }

    /// Does the work on the calling thread.
    pub fn run(self) -> Response<F> {
        (self.run)()
    }
}

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
        let Work { run, error_headers } = self.work;
        let run = std::panic::AssertUnwindSafe(run);
        let response = std::panic::catch_unwind(|| { run }.0()).unwrap_or_else(|_| {
            error_with_headers(
                Status::InternalServerError,
                "This server failed to produce the response.",
                &error_headers,
            )
        });
        CompletedReply { response, exchange: self.exchange }
    }

    /// Rejects the work with a 503, because no thread can take it now.
    pub fn refuse(self) -> CompletedReply<F> {
        let response = error_with_headers(
            Status::ServiceUnavailable,
            "This server is overloaded. Please try again in a moment.",
            &self.work.error_headers,
        );
        CompletedReply { response, exchange: self.exchange }
    }
}

fn error_with_headers<F>(status: Status, message: &str, headers: &[u8]) -> Response<F> {
    let mut response = error_response(status, message);
    response.headers.push_lines(headers);
    response
}

impl<F> std::fmt::Debug for DeferredReply<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredReply").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
