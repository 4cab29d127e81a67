//! What connections without TLS get from a server that has TLS.
//!
//! | where the connection was accepted | response |
//! |---|---|
//! | a port for HTTPS | 400: the client has to use HTTPS |
//! | the address of `--redirect-http` | 308 to the URL with `https`, or an ACME challenge |
//!
//! Neither reveals anything about other files: the site may require a password, which must not be
//! sent in the clear.

use percent_encoding::percent_encode;

use super::open_file::File;
use super::path::ESCAPED_IN_URL;
use super::{HTTPS_PORT, Service, Site};
use crate::http::{
    Method, Now, Reply, Request, Response, Status, Target, error_response, text_response,
};

/// Where an ACME client puts what the certificate authority asks for over plain HTTP (RFC 8555
/// section 8.3).
const ACME_CHALLENGES: &[u8] = b".well-known/acme-challenge/";

impl Site {
    /// Replies to a request that has arrived without TLS.
    #[cold]
    pub(super) fn respond_without_tls(
        &mut self,
        service: Service,
        request: &Request<'_>,
        now: &Now,
    ) -> Reply<File> {
        match service {
            Service::HttpsRedirect { port } => match self.is_acme_challenge(request) {
                true => self.respond_with_file(request, now),
                false => Reply::Ready(self.to_https(request, port)),
            },
            Service::Site | Service::HttpsRequired => Reply::Ready(https_required()),
        }
    }

    /// Decided by the normalised path: the challenge is served without a password, and nothing else
    /// may be.
    fn is_acme_challenge(&self, request: &Request<'_>) -> bool {
        matches!(request.method, Method::Get | Method::Head)
            && self
                .policy
                .valid_path(request)
                .is_some_and(|path| path.relative.starts_with(ACME_CHALLENGES))
    }

    fn to_https(&self, request: &Request<'_>, port: u16) -> Response<File> {
        if self.is_misdirected(request) {
            return self.misdirected();
        }
        let host = request.host().filter(|host| !host.is_empty());
        let (Some(host), Target::Path { path, query }) = (host, request.target) else {
            return https_required();
        };
        // The characters of a host are ASCII.
        let mut location = format!("https://{}", String::from_utf8_lossy(host));
        if port != HTTPS_PORT {
            location.push_str(&format!(":{port}"));
        }
        location.extend(percent_encode(path, ESCAPED_IN_URL));
        if let Some(query) = query {
            location.push('?');
            location.extend(percent_encode(query, ESCAPED_IN_URL));
        }
        let mut response =
            error_response(Status::PermanentRedirect, "This site is served over HTTPS.");
        response.headers.push("Location", location);
        response
    }
}

fn https_required() -> Response<File> {
    const TEXT: &str = "This port is for HTTPS. Please use a URL that begins with https://\n";
    text_response(Status::BadRequest, "text/plain; charset=utf-8", TEXT)
}
