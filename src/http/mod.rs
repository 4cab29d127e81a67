//! HTTP/1.1 without I/O: input bytes in, output bytes out.
//!
//! [`Connection`] is the state machine of one connection. It parses requests, asks a [`Respond`]
//! for each response, and queues the rendered responses in an [`Output`]. What a target refers to
//! is decided in [`crate::site`]; sockets are read and written in [`crate::server`].
//!
//! Invariants of this directory, checked by `tests/layout`:
//! 1. No socket, file, thread, process or clock is used. The caller passes the time in as a
//!    [`Now`]. An open file is an opaque type parameter, handed back to the caller.
//! 2. An error is a fault of the client, and has the status of the response. A panic is a bug of
//!    this server.
//! 3. The memory that a client can occupy is bounded by [`Limits`].

mod body;
mod characters;
mod chunk_extension;
mod closing;
mod conditional;
mod connection;
mod date;
mod deferred;
mod encoding;
mod error_page;
mod etag;
mod exchange;
mod forwarded;
mod framing;
mod head;
mod headers;
mod host;
mod limits;
mod method;
mod moment;
mod now;
mod output;
mod owned_request;
mod range;
mod request;
mod request_error;
mod respond;
mod response;
mod response_plan;
mod state;
mod status;
mod step;
mod target;
mod text_response;
mod version;
mod write_progress;

pub(crate) use characters::is_token;
pub use closing::{CloseReason, Closing, Timeout};
pub use conditional::{
    DateStrength, LastModified, PreconditionResult, Validators, evaluate_if_range,
    evaluate_preconditions,
};
pub use connection::Connection;
pub use date::DateText;
pub use deferred::{CompletedReply, DeferredReply, Reply, ReplyReceiver, ReplySender, Work};
pub use encoding::{AcceptEncoding, Coding};
pub(crate) use error_page::push_retry_after;
pub use error_page::{ErrorPage, error_response};
pub use etag::EntityTag;
pub use exchange::Exchange;
pub use forwarded::{TrustedProxies, TrustedProxy};
pub use framing::Framing;
pub use head::{Head, HeadScan};
pub use headers::{HeaderStorage, Headers};
pub(crate) use host::is_valid as is_authority;
pub use limits::Limits;
pub use method::Method;
pub use moment::Moment;
pub use now::Now;
pub use output::{Output, Transmit};
pub use owned_request::OwnedRequest;
pub use range::{ResolvedRange, resolve_range};
pub use request::Request;
pub use request_error::RequestError;
pub use respond::Respond;
pub use response::{Body, HeaderBlock, HeaderLines, Response};
pub use state::{Awaits, EvictionCandidate};
pub use status::Status;
pub use step::Step;
pub use target::Target;
pub use text_response::text_response;
pub use version::Version;
