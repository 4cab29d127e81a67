//! A request that outlives the buffer it was received in.

use super::headers::HeaderStorage;
use super::limits::Limits;
use super::request::Request;

/// The head of a well-formed request, for a response that is made later, on another thread.
#[derive(Debug)]
pub struct OwnedRequest {
    head: Box<[u8]>,
}

impl From<&Request<'_>> for OwnedRequest {
    fn from(request: &Request<'_>) -> OwnedRequest {
        OwnedRequest { head: request.head.bytes().into() }
    }
}

impl OwnedRequest {
    /// Calls `use_request` with the request. The server's limits were enforced when it arrived, so
    /// here the head's own length is the limit.
    pub fn with<T>(&self, use_request: impl FnOnce(&Request<'_>) -> T) -> T {
        let length = self.head.len();
        let limits =
            Limits { target_bytes_max: length, head_bytes_max: length, ..Limits::default() };
        let mut storage = HeaderStorage::default();
        let request = Request::parse(&self.head, &mut storage, &limits)
            .expect("parsing depends on the bytes alone, and these were parsed before");
        use_request(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Target;

    #[test]
    fn an_owned_request_is_not_held_to_the_default_limits() {
        let long = "x".repeat(2 * Limits::default().target_bytes_max);
        let text = format!("GET /{long}?q HTTP/1.1\r\nHost: h\r\nAccept: {long}\r\n\r\n");
        let limits = Limits {
            target_bytes_max: text.len(),
            head_bytes_max: text.len(),
            ..Limits::default()
        };
        let mut storage = HeaderStorage::default();
        let request = Request::parse(text.as_bytes(), &mut storage, &limits).expect("a request");
        let owned = OwnedRequest::from(&request);
        owned.with(|copy| {
            assert_eq!((copy.method, copy.target), (request.method, request.target));
            assert!(matches!(copy.target, Target::Path { query: Some(b"q"), .. }));
            assert_eq!(copy.headers.only("accept"), Some(long.as_bytes()));
        });
    }
}
