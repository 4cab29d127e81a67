//! Error pages: small, readable HTML in light and dark mode.

use bytes::Bytes;

use super::response::{Body, HeaderBlock, Response};
use super::status::Status;

/// An error response whose page shows `status` and `message`, a sentence or an empty string.
pub fn error_response<F>(status: Status, message: &str) -> Response<F> {
    ErrorPage::new(status, message).response()
}

/// A rendered error page, for responses that are sent more than once.
#[derive(Debug)]
pub struct ErrorPage {
    status: Status,
    headers: Bytes,
    page: Bytes,
}

impl ErrorPage {
    /// Renders a page that shows `status` and `message`, a sentence or an empty string. `message`
    /// is not escaped.
    pub fn new(status: Status, message: &str) -> ErrorPage {
        let page = render(status, message);
        let mut headers = HeaderBlock::default();
        headers.push_content_type("text/html; charset=utf-8");
        headers.push_number("Content-Length", page.len() as u64);
        push_retry_after(&mut headers, status);
        ErrorPage { status, headers: headers.freeze(), page: page.into() }
    }

    /// A response with this page; it shares the rendered bytes.
    pub fn response<F>(&self) -> Response<F> {
        let headers = HeaderBlock::shared(self.headers.clone());
        Response { status: self.status, headers, body: Body::Bytes(self.page.clone()) }
    }
}

/// Says when to try again, if `status` is a 503.
pub(crate) fn push_retry_after(headers: &mut HeaderBlock, status: Status) {
    if status == Status::ServiceUnavailable {
        // A shortage of descriptors, memory or threads is usually over in a second.
        headers.push_number("Retry-After", 1);
    }
}

fn render(status: Status, message: &str) -> String {
    let (code, phrase) = (status.digits(), status.reason());
    // Concatenated, not formatted: a response to a malformed request should cost as little as
    // possible.
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>",
        code,
        " ",
        phrase,
        "</title>\n\
         <style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
         margin:18vh auto 0;padding:0 1.5rem}h1{font-size:1.4rem}h1 b{font-weight:300;opacity:.7;margin-right:.4em}\
         footer{opacity:.65;font-size:.85rem;margin-top:3rem}</style>\n\
         <h1><b>",
        code,
        "</b>",
        phrase,
        "</h1>\n<p>",
        message,
        "</p>\n<footer>miniweb</footer>\n</html>\n",
    ]
    .concat()
}
