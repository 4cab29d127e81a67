//! A parsed request that outlives the buffer it was received in.

// The address type of std::net, without its sockets.
use core::net::IpAddr;
use std::ops::Range;

use super::framing::Framing;
use super::head::Head;
use super::headers::{HeaderOffsets, HeaderStorage, offsets};
use super::method::Method;
use super::request::Request;
use super::target::Target;
use super::version::Version;

/// A request for a response that is made later, on another thread. It owns the bytes of the head,
/// and refers to them by offsets; nothing is parsed again.
#[derive(Debug)]
pub struct OwnedRequest {
    head: Box<[u8]>,
    request_line_bytes: usize,
    method: Method,
    target: OwnedTarget,
    authority: Option<Range<usize>>,
    version: Version,
    headers: HeaderOffsets,
    keep_alive: bool,
    framing: Framing,
    expects_continue: bool,
    forwarded_for: Option<IpAddr>,
}

/// A [`Target`] by its offsets in the head.
#[derive(Debug)]
enum OwnedTarget {
    Path { path: PathBytes, query: Option<Range<usize>> },
    Server,
    Authority,
}

#[derive(Debug)]
enum PathBytes {
    InHead(Range<usize>),
    /// An absolute-form target without a path means `/`, which is not in the head.
    Root,
}

impl From<&Request<'_>> for OwnedRequest {
    fn from(request: &Request<'_>) -> OwnedRequest {
        let head = request.head.bytes();
        let target = match request.target {
            Target::Path { path, query } => OwnedTarget::Path {
                path: offsets(path, head).map_or(PathBytes::Root, PathBytes::InHead),
                query: query.map(|query| offsets(query, head).expect("a query is in the head")),
            },
            Target::Server => OwnedTarget::Server,
            Target::Authority => OwnedTarget::Authority,
        };
        OwnedRequest {
            head: head.into(),
            request_line_bytes: request.head.request_line().len(),
            method: request.method,
            target,
            authority: request
                .authority
                .map(|authority| offsets(authority, head).expect("an authority is in the head")),
            version: request.version,
            headers: HeaderOffsets::of(request.headers, head),
            keep_alive: request.keep_alive,
            framing: request.framing,
            expects_continue: request.expects_continue,
            forwarded_for: request.forwarded_for,
        }
    }
}

impl OwnedRequest {
    /// Calls `use_request` with the request.
    pub fn with<T>(&self, use_request: impl FnOnce(&Request<'_>) -> T) -> T {
        let mut storage = HeaderStorage::default();
        let headers = self.headers.resolve(&self.head, &mut storage);
        let target = match &self.target {
            OwnedTarget::Path { path, query } => Target::Path {
                path: match path {
                    PathBytes::InHead(range) => &self.head[range.clone()],
                    PathBytes::Root => b"/",
                },
                query: query.clone().map(|range| &self.head[range]),
            },
            OwnedTarget::Server => Target::Server,
            OwnedTarget::Authority => Target::Authority,
        };
        let head = Head::new(&self.head, self.request_line_bytes, headers.len());
        use_request(&Request {
            method: self.method,
            target,
            authority: self.authority.clone().map(|range| &self.head[range]),
            version: self.version,
            headers,
            keep_alive: self.keep_alive,
            framing: self.framing,
            expects_continue: self.expects_continue,
            forwarded_for: self.forwarded_for,
            head,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;

    #[test]
    fn an_owned_request_equals_the_request_it_was_made_from() {
        for target in ["/a%20b?q=1", "/", "http://h", "http://h/x?", "*"] {
            let method = if target == "*" { "OPTIONS" } else { "HEAD" };
            let text = format!(
                "{method} {target} HTTP/1.0\r\nHost: h\r\nAccept:  a, b \r\nAccept: c\r\nX:\r\n\r\n"
            );
            let mut storage = HeaderStorage::default();
            let request = Request::parse(text.as_bytes(), &mut storage, &Limits::default());
            let request = request.expect("a valid request");
            let owned = OwnedRequest::from(&request);
            let expected = format!("{request:?}");
            owned.with(|copy| assert_eq!(format!("{copy:?}"), expected));
        }
    }
}
