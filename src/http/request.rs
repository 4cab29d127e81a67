//! Bytes → [`Request`].
//!
//! The reading is strict where two programs could otherwise read two things (RFC 9112 section 11.2):
//! exactly one space between the parts of the request line, CRLF and nothing else at the end of a line,
//! one Host, one way to tell the length of a body. Every refusal carries its status.

use super::characters::is_token;
use super::framing::Framing;
use super::head::{Head, HeadScan};
use super::headers::{HeaderStorage, Headers};
use super::host;
use super::limits::Limits;
use super::method::Method;
use super::request_error::{RequestError, TARGET_TOO_LONG};
use super::target::Target;
use super::version::Version;

/// A request whose head is complete and well-formed. It borrows the bytes it was read from.
#[derive(Debug)]
pub struct Request<'a> {
    /// A method that this server knows, offered or not.
    pub method: Method,
    /// What is asked for.
    pub target: Target<'a>,
    /// 1.0 or 1.1; a later minor version counts as 1.1 (RFC 9110 section 2.5).
    pub version: Version,
    /// The field lines.
    pub headers: Headers<'a>,
    /// Whether the peer lets the connection persist after this request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// How the end of the request's body is found.
    pub framing: Framing,
    /// `Expect: 100-continue`: whether the body will follow is not known (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// The head as it came, for the log and for whoever must answer later.
    pub head: Head<'a>,
}

impl<'a> Request<'a> {
    /// Reads the head at the start of `bytes`, where it is known to be complete.
    ///
    /// # Errors
    /// Those of [`HeadScan::head`] and [`Request::parse_head`], and 400 if it is not complete.
    pub fn parse<'h>(
        bytes: &'a [u8],
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let head = HeadScan::default()
            .head(bytes, limits)?
            .ok_or(RequestError::bad("The head is not complete."))?;
        Request::parse_head(head, storage, limits)
    }

    /// Reads a complete head.
    ///
    /// # Errors
    /// 400, 414, 431, 501 or 505: see HTTP's own rules at each step.
    pub fn parse_head<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let [method, target, version] = split_line(head.line())?;
        // The target before the method: a token of any length may be unknown, a long target is too long.
        if target.len() > limits.target_bytes_max {
            return Err(TARGET_TOO_LONG);
        }
        let version = Version::parse(version)?;
        let method = Method::parse(method)?;
        let headers = Headers::parse(head, storage)?;
        let (target, authority) = Target::parse(target, method)?;
        check_host(&headers, authority, version)?;
        let keep_alive = !headers.has_member("connection", "close")
            && (version == Version::Http11 || headers.has_member("connection", "keep-alive"));
        let framing = Framing::parse(&headers, version)?;
        Ok(Request {
            method,
            target,
            version,
            keep_alive,
            framing,
            expects_continue: version == Version::Http11
                && headers.has_member("expect", "100-continue"),
            headers,
            head,
        })
    }

    /// Whether the answer is to have no body, whatever it is.
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }
}

/// Method, target and version, with exactly one space between them (RFC 9112 section 3).
fn split_line(line: &[u8]) -> Result<[&[u8]; 3], RequestError> {
    const MALFORMED: RequestError =
        RequestError::bad("The request line is not a method, a target and a version.");
    let is_space = |b: &u8| *b == b' ';
    let first = line.iter().position(is_space).ok_or(MALFORMED)?;
    let last = line.iter().rposition(is_space).ok_or(MALFORMED)?;
    if first == last {
        return Err(MALFORMED);
    }
    let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(RequestError::bad("The method is not a token."));
    }
    // A space in here is a doubled one, or one that the client forgot to encode.
    if target.is_empty() || target.iter().any(|b| *b <= b' ' || *b == 0x7f || *b == b'#') {
        return Err(RequestError::bad(
            "The request target has a character that must be percent-encoded.",
        ));
    }
    Ok([method, target, version])
}

/// Exactly one Host in HTTP/1.1, at most one in 1.0, and valid beside an absolute-form target too, whose
/// authority wins (RFC 9112 sections 3.2 and 3.2.2).
fn check_host(
    headers: &Headers<'_>,
    authority: Option<&[u8]>,
    version: Version,
) -> Result<(), RequestError> {
    let mut hosts = headers.values("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host::is_valid(host) => {}
        (Some(_), None) => return Err(RequestError::bad("The Host field is not a host.")),
        (Some(_), Some(_)) => return Err(RequestError::bad("There is more than one Host field.")),
        (None, _) if version == Version::Http10 => {}
        (None, _) => return Err(RequestError::bad("There is no Host field.")),
    }
    match authority {
        // An http address without a host is none, with or without a port (RFC 9110 section 4.2.1).
        Some(authority) if matches!(authority, [] | [b':', ..]) || !host::is_valid(authority) => {
            Err(RequestError::bad("The request target does not name a host."))
        }
        _ => Ok(()),
    }
}
