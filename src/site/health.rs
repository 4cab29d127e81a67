//! A path on the public port that tells load balancers whether the server accepts requests
//! (`--health`).
//!
//! The response is made before the host and the password are checked, because a load balancer may
//! know neither, and without the disk, because a slow disk is no reason to take the server out of
//! service.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::path::SitePath;
use super::rules::check_pattern;
use crate::http::{Method, Request, Response, Status, Target, text_response};

/// The path, and whether the server is shutting down.
#[derive(Clone, Debug)]
pub struct HealthPath {
    path: SitePath<'static>,
    is_draining: Arc<AtomicBool>,
}

impl HealthPath {
    /// Makes the response a 503 once `is_draining` is set.
    pub fn report_draining(&mut self, is_draining: Arc<AtomicBool>) {
        self.is_draining = is_draining;
    }

    /// Whether `request` is a GET or HEAD of the path, however it is percent-encoded: no encoding
    /// may reach a file of that name. Not inlined, because most sites have no such path.
    #[inline(never)]
    pub(super) fn is_asked_by(&self, request: &Request<'_>) -> bool {
        match request.target {
            Target::Path { path, .. } if is_read(request.method) => {
                SitePath::parse(path).is_ok_and(|path| path == self.path)
            }
            Target::Path { .. } | Target::Server | Target::Authority => false,
        }
    }

    #[inline(never)]
    pub(super) fn response<F>(&self) -> Response<F> {
        const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
        match self.is_draining.load(Ordering::Acquire) {
            false => text_response(Status::Ok, PLAIN_TEXT, "ok\n"),
            true => text_response(Status::ServiceUnavailable, PLAIN_TEXT, "draining\n"),
        }
    }
}

fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

/// A decoded and normalised path, as for patterns: `/health`.
impl FromStr for HealthPath {
    type Err = String;

    fn from_str(text: &str) -> Result<HealthPath, String> {
        let relative = text.strip_prefix('/').filter(|relative| !relative.is_empty());
        let Some(relative) = relative.filter(|relative| !relative.ends_with('/')) else {
            return Err("expected a path that begins with a slash and does not end with one, \
                        such as /health"
                .to_owned());
        };
        check_pattern(text)?;
        if let Some(special) = text.chars().find(|char| "*?[]{}\\%#".contains(*char)) {
            return Err(format!("expected a path without '{special}', not a pattern or a URL"));
        }
        let SitePath { is_hidden, .. } =
            SitePath::parse(text.as_bytes()).map_err(|reason| reason.to_owned())?;
        let path = SitePath { is_hidden, ..SitePath::to_file(relative.as_bytes()) }.into_owned();
        Ok(HealthPath { path, is_draining: Arc::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_path_is_taken() {
        for path in ["/health", "/a/b.txt", "/.well-known/health", "/.hidden", "/ä b"] {
            assert!(path.parse::<HealthPath>().is_ok(), "{path}");
        }
        for path in ["", "/", "health", "/a/", "//a", "/a/../b", "/a/./b", "/*", "/a?b", "/%61"] {
            assert!(path.parse::<HealthPath>().is_err(), "{path}");
        }
    }
}
