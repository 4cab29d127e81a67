//! Replies that take long to compute, and are computed outside the connection.
//!
//! The connection hands out a [`DeferredReply`] and later receives a [`CompletedReply`]. In between
//! it neither reads nor processes requests, so that responses stay in order.
//!
//! Invariant: started work yields exactly one reply, on any thread. A [`ReplySender`] that is
//! dropped without a response, for example by a panic, sends a 500.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use bytes::Bytes;

use super::error_page::error_response;
use super::exchange::Exchange;
use super::response::Response;
use super::status::Status;

/// A computation that produces a response. It may send the response before it returns, or pass the
/// sender to another thread, so that its own thread need not wait.
pub struct Work<F> {
    run: Box<dyn FnOnce(ReplySender<F>) + Send>,
    /// The header lines of the error that is sent instead if the work is not done.
    error_headers: Bytes,
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

/// The destination of a deferred reply.
pub trait ReplyReceiver<F>: Send {
    /// Whether the client has disconnected, so that it needs no response.
    fn is_closed(&self) -> bool;

    /// Takes the reply.
    fn receive(&self, reply: CompletedReply<F>);
}

/// Sends the response of deferred work.
pub struct ReplySender<F> {
    exchange: Option<Exchange>,
    error_headers: Bytes,
    /// Headers that are added to the response.
    headers: Vec<(&'static str, &'static str)>,
    /// None once the response has been sent.
    receiver: Option<Box<dyn ReplyReceiver<F>>>,
}

impl<F> Work<F> {
    /// Work that `run` does. `error_headers` are rendered lines, which the response to this request
    /// has even if it is an error that is made without the site.
    pub fn new(error_headers: Bytes, run: impl FnOnce(ReplySender<F>) + Send + 'static) -> Work<F> {
        Work { run: Box::new(run), error_headers }
    }

    /// Does the work, or starts it, on the calling thread. `reply` may come from other work for the
    /// same request.
    pub fn run(self, mut reply: ReplySender<F>) {
        reply.error_headers = self.error_headers;
        (self.run)(reply);
    }
}

impl<F: Send + 'static> Reply<F> {
    /// Adds a header to the response.
    pub fn with_header(self, name: &'static str, value: &'static str) -> Reply<F> {
        match self {
            Reply::Ready(mut response) => {
                response.headers.push(name, value);
                Reply::Ready(response)
            }
            Reply::Deferred(Work { run, error_headers }) => {
                Reply::Deferred(Work::new(error_headers, move |mut reply| {
                    reply.headers.push((name, value));
                    run(reply);
                }))
            }
        }
    }

    /// The response; waits until deferred work has sent it.
    pub fn wait(self) -> Response<F> {
        match self {
            Reply::Ready(response) => response,
            Reply::Deferred(work) => DeferredReply { work, exchange: None }.wait().response,
        }
    }
}

impl<F: Send + 'static> DeferredReply<F> {
    /// Does the work and waits for its response.
    pub fn wait(self) -> CompletedReply<F> {
        let (sender, receiver) = mpsc::channel();
        self.start(sender);
        receiver.recv().expect("started work yields a reply")
    }
}

impl<F> DeferredReply<F> {
    /// Does the work on this thread, up to the point where another thread continues it. If it
    /// panics, which is a bug of this server, the response is a 500.
    pub fn start(self, receiver: impl ReplyReceiver<F> + 'static) {
        let reply = ReplySender {
            exchange: self.exchange,
            error_headers: Bytes::new(),
            headers: Vec::new(),
            receiver: Some(Box::new(receiver)),
        };
        let work = self.work;
        // A panic drops the sender, which sends the 500.
        let _ = catch_unwind(AssertUnwindSafe(move || work.run(reply)));
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

impl<F> ReplySender<F> {
    /// Sends the response.
    pub fn send(mut self, response: Response<F>) {
        self.complete(response);
    }

    /// Whether the client has disconnected, so that it needs no response.
    pub fn is_closed(&self) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.is_closed())
    }

    fn complete(&mut self, mut response: Response<F>) {
        self.headers.drain(..).for_each(|(name, value)| response.headers.push(name, value));
        if let Some(receiver) = self.receiver.take() {
            receiver.receive(CompletedReply { response, exchange: self.exchange.take() });
        }
    }
}

impl<F> Drop for ReplySender<F> {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            let error_headers = std::mem::take(&mut self.error_headers);
            self.complete(error_with_headers(
                Status::InternalServerError,
                "This server failed to produce the response.",
                &error_headers,
            ));
        }
    }
}

/// For a thread that waits. It does not notice a disconnection meanwhile.
impl<F: Send> ReplyReceiver<F> for mpsc::Sender<CompletedReply<F>> {
    fn is_closed(&self) -> bool {
        false
    }

    fn receive(&self, reply: CompletedReply<F>) {
        // It fails if the thread no longer waits, and then the reply is not needed.
        let _ = self.send(reply);
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
