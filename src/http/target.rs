//! The request target (RFC 9112 section 3.2).

use super::method::Method;
use super::request_error::RequestError;

/// The request target of RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Origin-form, or absolute-form without its scheme and authority. The path is still encoded and
    /// starts with a slash; the query is what follows the first `?`.
    Path {
        /// Still percent-encoded.
        path: &'a [u8],
        /// None where there is no `?`.
        query: Option<&'a [u8]>,
    },
    /// `*`, with OPTIONS only: the server itself.
    Server,
    /// `host:port`, with CONNECT only.
    Authority,
}

impl<'a> Target<'a> {
    /// The target, and the authority if it is in absolute-form.
    pub(super) fn parse(
        target: &'a [u8],
        method: Method,
    ) -> Result<(Target<'a>, Option<&'a [u8]>), RequestError> {
        let (path_and_query, authority) = match target {
            _ if method == Method::Connect => return Ok((Target::Authority, None)),
            [b'/', ..] => (target, None),
            b"*" if method == Method::Options => return Ok((Target::Server, None)),
            _ => {
                let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
                    let (start, rest) = target.split_at_checked(scheme.len())?;
                    start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
                });
                let rest = after_scheme.ok_or(RequestError::bad(
                    "The request target is neither a path nor an http address.",
                ))?;
                let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                (&rest[end..], Some(&rest[..end]))
            }
        };
        let (path, query) = match path_and_query.iter().position(|b| *b == b'?') {
            Some(mark) => (&path_and_query[..mark], Some(&path_and_query[mark + 1..])),
            None => (path_and_query, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok((Target::Path { path, query }, authority))
    }
}
