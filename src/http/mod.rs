//! HTTP/1.1 without I/O: bytes in, bytes out.
//!
//! What lives here: the state machine of one connection ([`Connection`]), the request parser, the
//! response and its rendering, one concept of the RFCs per file. What does not: what a target means
//! (that is [`crate::site`]) and how bytes travel (that is [`crate::server`]).
//!
//! Laws of this folder, held by `tests/tidy.rs`:
//! 1. No socket, file, thread, process or clock is touched. Time comes in as a [`Now`]; an open file is
//!    an opaque type parameter that is handed back untouched to whoever writes to the socket.
//! 2. An error means the peer and carries the status it is answered with; a panic means our bug.
//! 3. Whatever a peer sends, what is kept of it is bounded by [`Limits`].

mod body;
mod characters;
mod closing;
mod conditional;
mod connection;
mod date;
mod deferred;
mod encoding;
mod error_page;
mod etag;
mod exchange;
mod framing;
mod head;
mod headers;
mod host;
mod limits;
mod method;
mod moment;
mod now;
mod output;
mod range;
mod request;
mod request_error;
mod respond;
mod response;
mod response_plan;
mod status;
mod step;
mod target;
mod version;
mod write_progress;

pub use closing::{CloseReason, Closing};
pub use conditional::{PreconditionResult, Validators, evaluate_if_range, evaluate_preconditions};
pub use connection::{Connection, IdleState};
pub use date::DateText;
pub use deferred::{CompletedReply, DeferredReply, Reply, Work};
pub use encoding::{AcceptEncoding, Coding};
pub use error_page::{ErrorPage, error_response};
pub use etag::EntityTag;
pub use exchange::Exchange;
pub use framing::Framing;
pub use head::{Head, HeadScan};
pub use headers::{HeaderStorage, Headers};
pub use limits::Limits;
pub use method::Method;
pub use moment::Moment;
pub use now::Now;
pub use output::{Output, Transmit};
pub use range::{ResolvedRange, resolve_range};
pub use request::Request;
pub use request_error::RequestError;
pub use respond::Respond;
pub use response::{Body, HeaderBlock, Response};
pub use status::Status;
pub use step::Step;
pub use target::Target;
pub use version::Version;
