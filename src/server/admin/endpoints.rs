//! The responses of the admin listener, to GET and HEAD of three paths.

use std::convert::Infallible;

use super::metrics::Metrics;
use crate::http::{
    Method, Now, Reply, Request, RequestError, Respond, Response, Status, Target, error_response,
    text_response,
};
use crate::server::readiness::{Phase, Readiness};

pub struct Endpoints {
    pub metrics: Metrics,
    pub readiness: Readiness,
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The text format of Prometheus. Scrapers parse by the version.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Respond for Endpoints {
    type File = Infallible;

    fn respond(&mut self, request: &Request<'_>, _: &Now) -> Reply<Infallible> {
        if !matches!(request.method, Method::Get | Method::Head) {
            let mut response =
                error_response(Status::MethodNotAllowed, "Only GET and HEAD are allowed.");
            response.headers.push("Allow", "GET, HEAD");
            return Reply::Ready(response);
        }
        let path = match request.target {
            Target::Path { path, .. } => path,
            Target::Server | Target::Authority => &[],
        };
        Reply::Ready(match path {
            b"/healthz" => text_response(Status::Ok, PLAIN_TEXT, "ok\n"),
            b"/readyz" => self.readiness(),
            b"/metrics" => text_response(Status::Ok, METRICS_TYPE, self.metrics.render()),
            _ => error_response(
                Status::NotFound,
                "This listener has /healthz, /readyz and /metrics.",
            ),
        })
    }

    fn refuse(&self, error: RequestError) -> Response<Infallible> {
        error.response()
    }
}

impl Endpoints {
    fn readiness(&self) -> Response<Infallible> {
        let (status, text) = match self.readiness.phase() {
            Phase::Starting => (Status::ServiceUnavailable, "starting\n"),
            Phase::Ready => (Status::Ok, "ready\n"),
            Phase::Draining => (Status::ServiceUnavailable, "draining\n"),
        };
        text_response(status, PLAIN_TEXT, text)
    }
}
