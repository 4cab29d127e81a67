//! The requests of a load, rendered before it begins.

/// What is request for, and what has to be answered.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// At least one; all of the same length.
    pub(super) requests: Vec<Vec<u8>>,
    pub(super) reuse: Reuse,
    pub(super) status: u16,
    pub(super) body_bytes: u64,
}

/// What a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As many requests as the server will response on it.
    KeepAlive,
    /// One.
    Never,
}

impl RequestTemplate {
    /// A GET of `path` from `host`, to be responses 200 with `body_bytes`.
    pub fn get(host: &str, path: &str, reuse: Reuse, body_bytes: u64) -> RequestTemplate {
        let close = if reuse == Reuse::Never { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n").into_bytes();
        RequestTemplate { requests: vec![request], reuse, status: 200, body_bytes }
    }

    /// The same of each of `paths`, in turn: they have the same length, and so have their bodies. A connection begins with a path
    /// of its own and goes through them in leaps, so that no order of the server's helps it.
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

    /// The same with another status expected.
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
