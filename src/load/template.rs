//! The requests of a load, rendered before it begins.

/// A request, and the response that is expected.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// At least one, all of equal length.
    pub(super) requests: Vec<Vec<u8>>,
    pub(super) reuse: Reuse,
    pub(super) status: u16,
    pub(super) body_bytes: u64,
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
        RequestTemplate { requests: vec![request], reuse, status: 200, body_bytes }
    }

    /// A GET of each of `paths`, which have equal lengths and equally long bodies. Every connection
    /// starts at another path and visits them in large strides, so that the order of the files does
    /// not help the server.
    pub fn get_each(host: &str, paths: &[String], body_bytes: u64) -> RequestTemplate {
        let requests = paths.iter().map(|path| {
            RequestTemplate::get(host, path, Reuse::KeepAlive, body_bytes).requests.remove(0)
        });
        RequestTemplate {
            requests: requests.collect(),
            reuse: Reuse::KeepAlive,
            status: 200,
            body_bytes,
        }
    }

    /// Expects another status.
    pub fn expecting(self, status: u16) -> RequestTemplate {
        RequestTemplate { status, ..self }
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
