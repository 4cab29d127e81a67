//! Parses the head of a request.
//!
//! The parser is strict wherever two implementations could read the same bytes differently, which
//! is what request smuggling exploits (RFC 9112 section 11.2): exactly one space between the parts
//! of the request line, CRLF as the only line end, exactly one Host, and exactly one way to
//! determine the length of the body.

// The address type of std::net, without its sockets.
use core::net::IpAddr;

use super::characters::{is_target, is_token};
use super::framing::Framing;
use super::head::{Head, HeadScan};
use super::headers::{HeaderStorage, Headers};
use super::host;
use super::limits::Limits;
use super::method::Method;
use super::request_error::RequestError;
use super::target::Target;
use super::version::Version;

/// A request with a complete and well-formed head. It borrows the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'a> {
    /// A known method, whether or not the site implements it.
    pub method: Method,
    /// The resource that the request is about.
    pub target: Target<'a>,
    /// `host[:port]` of a target in absolute form or authority form, which counts instead of Host
    /// (RFC 9112 sections 3.2.2 and 3.2.3).
    pub(super) authority: Option<&'a [u8]>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The header fields.
    pub headers: Headers<'a>,
    /// Whether the client allows the connection to persist (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// How the length of the request body is determined.
    pub framing: Framing,
    /// `Expect: 100-continue`: the client may or may not send the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// The address of the client, if a trusted proxy has sent the request and names it.
    pub forwarded_for: Option<IpAddr>,
    /// The bytes of the head, for the access log and for deferred replies.
    pub head: Head<'a>,
}

impl<'a> Request<'a> {
    /// Parses the head at the start of `bytes`, which must be complete.
    ///
    /// # Errors
    /// Those of [`HeadScan::head`] and [`Request::parse_head`], and `IncompleteHead`.
    pub fn parse<'h>(
        bytes: &'a [u8],
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let head = HeadScan::default().head(bytes, limits)?.ok_or(RequestError::IncompleteHead)?;
        Request::parse_head(head, storage, limits)
    }

    /// Parses a complete head.
    ///
    /// # Errors
    /// Every [`RequestError`] about the request line, a header or the framing of the body.
    pub fn parse_head<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let [method, target, version] = split_request_line(head.request_line())?;
        // The target is checked before the method: an overlong target is a 414 with any method.
        if target.len() > limits.target_bytes_max {
            return Err(RequestError::TargetTooLong);
        }
        let version = Version::parse(version)?;
        let method = Method::parse(method)?;
        let headers = Headers::parse(head, storage)?;
        let (target, authority) = Target::parse(target, method)?;
        check_host(&headers, authority, version)?;
        let keep_alive = !headers.has_member("connection", "close")
            && (version == Version::Http11 || headers.has_member("connection", "keep-alive"));
        let framing = Framing::parse(&headers, version)?;
        if matches!(framing, Framing::Length(length) if length > limits.body_bytes_max) {
            return Err(RequestError::BodyTooLarge);
        }
        Ok(Request {
            method,
            target,
            authority,
            version,
            keep_alive,
            framing,
            expects_continue: version == Version::Http11
                && headers.has_member("expect", "100-continue"),
            headers,
            forwarded_for: None,
            head,
        })
    }

    /// The host that the request is for, without the port. None if an HTTP/1.0 request has none.
    pub fn host(&self) -> Option<&[u8]> {
        self.authority.or_else(|| self.headers.only("host")).map(host::without_port)
    }

    /// Whether the method is HEAD, so that the response has no body.
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }
}

/// Splits a request line into method, target and version, separated by exactly one space each (RFC
/// 9112 section 3).
fn split_request_line(line: &[u8]) -> Result<[&[u8]; 3], RequestError> {
    let (method, rest) = split_method(line)?;
    let end = match rest.strip_suffix(b" HTTP/1.1") {
        Some(target) => target.len(),
        None => memchr::memrchr(b' ', rest).ok_or(RequestError::MalformedRequestLine)?,
    };
    let (target, version) = (&rest[..end], &rest[end + 1..]);
    if target.is_empty() || !target.iter().all(|b| is_target(*b)) && !is_target_utf8(target) {
        return Err(RequestError::InvalidTarget);
    }
    Ok([method, target, version])
}

/// Splits a request line behind the space that ends the method.
#[inline]
fn split_method(line: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    // Nearly all requests are GET; comparing four bytes at once costs less than testing each.
    if let Some(rest) = line.strip_prefix(b"GET ") {
        return Ok((b"GET", rest));
    }
    let end = line.iter().position(|b| *b == b' ').ok_or(RequestError::MalformedRequestLine)?;
    let (method, rest) = (&line[..end], &line[end + 1..]);
    match !method.is_empty() && method.iter().all(|b| is_token(*b)) {
        true => Ok((method, rest)),
        false => Err(RequestError::InvalidMethod),
    }
}

/// Whether `target` is valid although it is not ASCII. RFC 3986 has every other byte encoded, but
/// curl and scripts send what their user typed, and nginx serves it. Valid UTF-8 has one meaning,
/// that of the same bytes percent-encoded; other bytes have none.
fn is_target_utf8(target: &[u8]) -> bool {
    target.iter().all(|b| is_target(*b) || !b.is_ascii()) && std::str::from_utf8(target).is_ok()
}

/// HTTP/1.1 requires exactly one Host, HTTP/1.0 allows at most one. Host must be valid even if a
/// target with an authority overrides it (RFC 9112 sections 3.2 and 3.2.2).
fn check_host(
    headers: &Headers<'_>,
    authority: Option<&[u8]>,
    version: Version,
) -> Result<(), RequestError> {
    let mut hosts = headers.values("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host::is_valid(host) => {}
        (Some(_), None) => return Err(RequestError::InvalidHost),
        (Some(_), Some(_)) => return Err(RequestError::MultipleHosts),
        (None, _) if version == Version::Http10 => {}
        (None, _) => return Err(RequestError::MissingHost),
    }
    match authority {
        // An http URL must have a non-empty host (RFC 9110 section 4.2.1), and so must a CONNECT.
        Some(authority) if matches!(authority, [] | [b':', ..]) || !host::is_valid(authority) => {
            Err(RequestError::InvalidAuthority)
        }
        _ => Ok(()),
    }
}
