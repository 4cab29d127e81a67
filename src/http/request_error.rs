//! The faults for which a request is refused.

use super::error_page::error_response;
use super::response::Response;
use super::status::Status;

/// A fault of the client in a request, one variant per rule that the request breaks.
///
/// The response carries [`RequestError::status`] and closes the connection: after a malformed
/// request, the start of the next one is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// A line of the head ends in LF without CR.
    BareLineFeed,
    /// The input ends before the empty line that ends a head.
    IncompleteHead,
    /// The request line is not `method SP target SP version` (RFC 9112 section 3).
    MalformedRequestLine,
    /// The method is not a token (RFC 9110 section 5.6.2).
    InvalidMethod,
    /// The method is a token that this server does not know.
    UnknownMethod,
    /// The request target contains a space, a control character or a `#`, or is not UTF-8.
    InvalidTarget,
    /// The request target has none of the four forms of RFC 9112 section 3.2.
    UnknownTargetForm,
    /// The authority of an absolute-form target is not a host (RFC 9110 section 4.2).
    InvalidAuthority,
    /// The request target is longer than `Limits::target_bytes_max`.
    TargetTooLong,
    /// The request line does not end in `HTTP/digit.digit`.
    InvalidVersion,
    /// The major version is not 1.
    UnsupportedVersion,
    /// The head is longer than `Limits::head_bytes_max`.
    HeadTooLarge,
    /// The head has more header lines than fit into a `HeaderStorage`.
    TooManyHeaders,
    /// A header name is not a token.
    InvalidHeaderName,
    /// A header value contains a control character other than a tab (RFC 9110 section 5.5).
    InvalidHeaderValue,
    /// A header line is not `name: value`.
    MalformedHeader,
    /// An HTTP/1.1 request has no Host (RFC 9112 section 3.2).
    MissingHost,
    /// A request has more than one Host.
    MultipleHosts,
    /// The value of Host is not `host[:port]`.
    InvalidHost,
    /// A Content-Length is not a decimal number of at most 64 bits.
    InvalidContentLength,
    /// Content-Length is given more than once, with different values.
    ConflictingContentLengths,
    /// Both Content-Length and Transfer-Encoding are present (RFC 9112 section 6.1).
    AmbiguousFraming,
    /// An HTTP/1.0 request has a Transfer-Encoding.
    TransferEncodingInHttp10,
    /// A transfer coding other than `chunked` is applied.
    UnsupportedTransferCoding,
    /// `chunked` is applied twice, or is not the final transfer coding (RFC 9112 section 6.3).
    ChunkedNotFinal,
    /// The chunks of a body do not follow RFC 9112 section 7.1.
    MalformedChunk,
    /// The body is longer than `Limits::body_bytes_max`.
    BodyTooLarge,
    /// The head was still incomplete after `Limits::head_timeout`.
    HeadTimeout,
}

impl RequestError {
    /// The status of the response.
    pub const fn status(self) -> Status {
        match self {
            RequestError::BareLineFeed
            | RequestError::IncompleteHead
            | RequestError::MalformedRequestLine
            | RequestError::InvalidMethod
            | RequestError::InvalidTarget
            | RequestError::UnknownTargetForm
            | RequestError::InvalidAuthority
            | RequestError::InvalidVersion
            | RequestError::InvalidHeaderName
            | RequestError::InvalidHeaderValue
            | RequestError::MalformedHeader
            | RequestError::MissingHost
            | RequestError::MultipleHosts
            | RequestError::InvalidHost
            | RequestError::InvalidContentLength
            | RequestError::ConflictingContentLengths
            | RequestError::AmbiguousFraming
            | RequestError::TransferEncodingInHttp10
            | RequestError::ChunkedNotFinal
            | RequestError::MalformedChunk => Status::BadRequest,
            RequestError::HeadTimeout => Status::RequestTimeout,
            RequestError::BodyTooLarge => Status::ContentTooLarge,
            RequestError::TargetTooLong => Status::UriTooLong,
            RequestError::HeadTooLarge | RequestError::TooManyHeaders => {
                Status::RequestHeaderFieldsTooLarge
            }
            RequestError::UnknownMethod | RequestError::UnsupportedTransferCoding => {
                Status::NotImplemented
            }
            RequestError::UnsupportedVersion => Status::VersionNotSupported,
        }
    }

    /// The response, with an error page.
    pub fn response<F>(self) -> Response<F> {
        error_response(self.status(), self.message())
    }

    /// A sentence for the error page.
    pub const fn message(self) -> &'static str {
        match self {
            RequestError::BareLineFeed => {
                "A line of the request ends in a line feed without a carriage return."
            }
            RequestError::IncompleteHead => "The request ends before its head is complete.",
            RequestError::MalformedRequestLine => {
                "The request line must consist of a method, a target and a version, separated by \
                 single spaces."
            }
            RequestError::InvalidMethod => "The method contains a character that is not allowed.",
            RequestError::UnknownMethod => "This server does not support the request method.",
            RequestError::InvalidTarget => {
                "The request target contains a character that must be percent-encoded."
            }
            RequestError::UnknownTargetForm => "The request target must be a path or an http URL.",
            RequestError::InvalidAuthority => "The request target does not name a valid host.",
            RequestError::TargetTooLong => "The request target is longer than this server accepts.",
            RequestError::InvalidVersion => "The request line must end in an HTTP version.",
            RequestError::UnsupportedVersion => "This server supports only HTTP/1.0 and HTTP/1.1.",
            RequestError::HeadTooLarge => "The request head is larger than this server accepts.",
            RequestError::TooManyHeaders => {
                "The request has more header fields than this server accepts."
            }
            RequestError::InvalidHeaderName => {
                "The name of a header field contains a character that is not allowed."
            }
            RequestError::InvalidHeaderValue => {
                "The value of a header field contains a control character."
            }
            RequestError::MalformedHeader => "A header line is malformed.",
            RequestError::MissingHost => "The request has no Host field.",
            RequestError::MultipleHosts => "The request has more than one Host field.",
            RequestError::InvalidHost => "The Host field does not contain a valid host.",
            RequestError::InvalidContentLength => "The Content-Length is not a valid number.",
            RequestError::ConflictingContentLengths => {
                "The request has two different Content-Length values."
            }
            RequestError::AmbiguousFraming => {
                "A request must not have both Content-Length and Transfer-Encoding."
            }
            RequestError::TransferEncodingInHttp10 => {
                "Transfer-Encoding is not allowed in an HTTP/1.0 request."
            }
            RequestError::UnsupportedTransferCoding => {
                "This server supports no transfer coding except chunked."
            }
            RequestError::ChunkedNotFinal => {
                "The transfer coding chunked must be applied exactly once, and last."
            }
            RequestError::MalformedChunk => "The chunked body of the request is malformed.",
            RequestError::BodyTooLarge => "The request body is larger than this server accepts.",
            RequestError::HeadTimeout => "The request did not arrive in time.",
        }
    }
}
