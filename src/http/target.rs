//! The request target (RFC 9112 section 3.2).

use super::method::Method;
use super::request_error::RequestError;

/// A request target in one of the four forms of RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The path and query of a target in origin-form or absolute-form.
    Path {
        /// Percent-encoded; starts with a slash.
        path: &'a [u8],
        /// Everything after the first `?`, or None if there is no `?`.
        query: Option<&'a [u8]>,
    },
    /// Asterisk-form, `*`: the server itself. Valid only with OPTIONS.
    Server,
    /// Authority-form, `host:port`. Valid only with CONNECT.
    Authority,
}

impl<'a> Target<'a> {
    /// Parses `target`. Returns its authority as well if it is in absolute-form or authority-form.
    pub(super) fn parse(
        target: &'a [u8],
        method: Method,
    ) -> Result<(Target<'a>, Option<&'a [u8]>), RequestError> {
        let (path_and_query, authority) = match target {
            _ if method == Method::Connect => return Ok((Target::Authority, Some(target))),
            [b'/', ..] => (target, None),
            b"*" if method == Method::Options => return Ok((Target::Server, None)),
            _ => {
                let rest = after_scheme(target).ok_or(RequestError::UnknownTargetForm)?;
                let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                (&rest[end..], Some(&rest[..end]))
            }
        };
        let (path, query) = match path_and_query.iter().position(|b| *b == b'?') {
            Some(at) => (&path_and_query[..at], Some(&path_and_query[at + 1..])),
            None => (path_and_query, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok((Target::Path { path, query }, authority))
    }
}

fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}
