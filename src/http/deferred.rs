//! Replies that take long to compute, and are computed outside the connection.
//!
//! The connection hands out a [`DeferredReply`] and later receives a [`CompletedReply`]. In between
//! it neither reads nor processes requests, so that responses stay in order.
//!
//! The work either makes the response, or checks whether the request is allowed. A request that
//! passes its check is then processed as if it had just arrived, because only the connection's
//! worker has the site's cache.
//!
//! Invariant: started work yields exactly one reply, on any thread. A [`ReplySender`] that is
//! dropped without a response, for example by a panic, sends a 500.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use super::error_page::error_response;
use super::exchange::Exchange;
use super::head::Head;
use super::response::{HeaderLines, Response};
use super::status::Status;

/// A computation that produces a response. It may send the response before it returns, or pass the
/// sender to another thread, so that its own thread need not wait.
pub struct Work<F> {
    run: Box<dyn FnOnce(ReplySender<F>) + Send>,
    is_check: bool,
    /// The header lines of the error that is sent instead if the work is not done.
    error_headers: HeaderLines,
    /// Headers that are added to the response, whichever it is.
    headers: Vec<(&'static str, &'static str)>,
}

/// What a site returns for a request.
pub enum Reply<F> {
    /// The response.
    Ready(Response<F>),
    /// Work that has to be done before there is a response.
    Deferred(Work<F>),
}

/// Work on a response that a connection waits for.
pub struct DeferredReply<F> {
    work: Work<F>,
    /// The head of the request, if the work is a check.
    head: Vec<u8>,
    exchange: Option<Exchange>,
}

/// The response to a deferred request, to be passed to
/// [`Connection::complete`](super::Connection::complete).
#[derive(Debug)]
pub struct CompletedReply<F> {
    pub(super) outcome: Outcome<F>,
    pub(super) exchange: Option<Exchange>,
}

/// What deferred work has led to.
#[derive(Debug)]
pub(super) enum Outcome<F> {
    Response(Response<F>),
    /// The request with this head has passed its check.
    Passed(Vec<u8>),
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
    /// The head of the request, if the work is a check.
    head: Vec<u8>,
    exchange: Option<Exchange>,
    error_headers: HeaderLines,
    /// Headers that are added to the response.
    headers: Vec<(&'static str, &'static str)>,
    /// None once the response has been sent.
    receiver: Option<Box<dyn ReplyReceiver<F>>>,
}

impl<F> Work<F> {
    /// Work that `run` does. `error_headers` are rendered header lines for the error that is sent
    /// without asking the site: a 503 if no thread takes the work, a 500 if it does not reply.
    pub fn new(
        error_headers: HeaderLines,
        run: impl FnOnce(ReplySender<F>) + Send + 'static,
    ) -> Work<F> {
        Work { run: Box::new(run), is_check: false, error_headers, headers: Vec::new() }
    }

    /// Work that checks a request: `run` returns a response that refuses the request, or None.
    /// After None, the site is asked again for its reply to the request.
    pub fn check(
        error_headers: HeaderLines,
        run: impl FnOnce() -> Option<Response<F>> + Send + 'static,
    ) -> Work<F> {
        let run = move |reply: ReplySender<F>| match run() {
            Some(response) => reply.send(response),
            None => reply.pass(),
        };
        Work { run: Box::new(run), is_check: true, error_headers, headers: Vec::new() }
    }

    /// Does the work, or starts it, on the calling thread. `reply` may come from other work for the
    /// same request.
    pub fn run(self, mut reply: ReplySender<F>) {
        reply.error_headers = self.error_headers;
        reply.headers.extend(self.headers);
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
            Reply::Deferred(mut work) => {
                work.headers.push((name, value));
                Reply::Deferred(work)
            }
        }
    }

    /// The response; waits until deferred work has sent it.
    ///
    /// # Panics
    /// The request has passed a check, so there is no response yet.
    pub fn wait(self) -> Response<F> {
        let work = match self {
            Reply::Ready(response) => return response,
            Reply::Deferred(work) => work,
        };
        match (DeferredReply { work, head: Vec::new(), exchange: None }).wait().outcome {
            Outcome::Response(response) => response,
            Outcome::Passed(_) => panic!("the work was a check"),
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
    pub(super) fn new(work: Work<F>, head: Head<'_>, exchange: Option<Exchange>) -> Self {
        let head = if work.is_check { head.bytes().to_vec() } else { Vec::new() };
        DeferredReply { work, head, exchange }
    }

    /// Whether the work is a check, which is CPU-bound, rather than I/O.
    pub fn is_check(&self) -> bool {
        self.work.is_check
    }

    /// Does the work on this thread, up to the point where another thread continues it. If it
    /// panics, which is a bug of this server, the response is a 500.
    pub fn start(self, receiver: impl ReplyReceiver<F> + 'static) {
        let reply = ReplySender {
            head: self.head,
            exchange: self.exchange,
            error_headers: HeaderLines::default(),
            headers: Vec::new(),
            receiver: Some(Box::new(receiver)),
        };
        let work = self.work;
        // A panic drops the sender, which sends the 500.
        let _ = catch_unwind(AssertUnwindSafe(move || work.run(reply)));
    }

    /// Rejects the work with a 503, because no thread can take it now.
    pub fn refuse(self) -> CompletedReply<F> {
        let mut response = error_with_headers(
            Status::ServiceUnavailable,
            "This server is overloaded. Please try again in a moment.",
            &self.work.error_headers,
        );
        self.work.headers.iter().for_each(|(name, value)| response.headers.push(name, value));
        CompletedReply { outcome: Outcome::Response(response), exchange: self.exchange }
    }
}

impl<F> ReplySender<F> {
    /// Sends the response.
    pub fn send(mut self, response: Response<F>) {
        self.complete(Outcome::Response(response));
    }

    /// Whether the client has disconnected, so that it needs no response.
    pub fn is_closed(&self) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.is_closed())
    }

    /// Reports that the request has passed its check.
    fn pass(mut self) {
        let head = std::mem::take(&mut self.head);
        self.complete(Outcome::Passed(head));
    }

    fn complete(&mut self, mut outcome: Outcome<F>) {
        if let Outcome::Response(response) = &mut outcome {
            self.headers.drain(..).for_each(|(name, value)| response.headers.push(name, value));
        }
        if let Some(receiver) = self.receiver.take() {
            receiver.receive(CompletedReply { outcome, exchange: self.exchange.take() });
        }
    }
}

impl<F> Drop for ReplySender<F> {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            let error_headers = std::mem::take(&mut self.error_headers);
            self.complete(Outcome::Response(error_with_headers(
                Status::InternalServerError,
                "This server failed to produce the response.",
                &error_headers,
            )));
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
