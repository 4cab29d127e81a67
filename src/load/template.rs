//! The requests of a load, rendered before it begins.

use super::response::Response;
use super::result::LoadError;

/// A request, and the response that is expected.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// At least one, all of equal length.
    pub(super) requests: Vec<Vec<u8>>,
    pub(super) reuse: Reuse,
    status: u16,
    /// None if any length is correct.
    body_bytes: Option<u64>,
}

/// How often a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// For as many requests as the server allows.
    KeepAlive,
    /// For one request; it sends `Connection: close`.
    Never,
}

impl RequestTemplate {
    /// A GET of `path` that expects status 200 and `body_bytes` bytes.
    pub fn get(host: &str, path: &str, reuse: Reuse, body_bytes: u64) -> RequestTemplate {
        let close = if reuse == Reuse::Never { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n").into_bytes();
        RequestTemplate {
            requests: vec![request],
            reuse,
            status: 200,
            body_bytes: Some(body_bytes),
        }
    }

    /// A GET of each of `paths`, which have equal lengths and equally long bodies. Every connection
    /// starts at another path and visits them in large strides, so that the order of the files does
    /// not help the server.
    pub fn get_each(
        host: &str,
        paths: &[String],
        reuse: Reuse,
        body_bytes: u64,
    ) -> RequestTemplate {
        let requests = paths
            .iter()
            .map(|path| RequestTemplate::get(host, path, reuse, body_bytes).requests.remove(0));
        let body_bytes = Some(body_bytes);
        RequestTemplate { requests: requests.collect(), reuse, status: 200, body_bytes }
    }

    /// Expects another status.
    pub fn expecting(self, status: u16) -> RequestTemplate {
        RequestTemplate { status, ..self }
    }

    /// Accepts a body of any length: servers differ in how long a listing or a compressed page is.
    pub fn with_any_length(self) -> RequestTemplate {
        RequestTemplate { body_bytes: None, ..self }
    }

    /// Adds a header to every request.
    pub fn with_header(mut self, name: &str, value: &str) -> RequestTemplate {
        for request in &mut self.requests {
            // Before the empty line.
            request.truncate(request.len() - 2);
            request.extend_from_slice(format!("{name}: {value}\r\n\r\n").as_bytes());
        }
        self
    }

    /// What is wrong with `response`.
    pub(super) fn error_in(&self, response: &Response) -> Option<LoadError> {
        if response.status != self.status {
            Some(LoadError::WrongStatus)
        } else if self.body_bytes.is_some_and(|expected| expected != response.body_bytes) {
            Some(LoadError::WrongLength)
        } else {
            None
        }
    }

    pub(super) fn first(&self) -> &[u8] {
        &self.requests[0]
    }

    /// The first request without `Connection: close`.
    pub(super) fn without_close(&self) -> RequestTemplate {
        let request = String::from_utf8_lossy(self.first()).replace("Connection: close\r\n", "");
        RequestTemplate {
            requests: vec![request.into_bytes()],
            reuse: Reuse::KeepAlive,
            ..self.clone()
        }
    }
}
