//! The pages that say what went wrong: small, readable, the same in light and dark.

use bytes::Bytes;

use super::response::{Body, HeaderBlock, Response};
use super::status::Status;

/// An answer of `status` with a page that says so and gives `reason`, a sentence (or nothing).
pub fn error_response<F>(status: Status, reason: &str) -> Response<F> {
    ErrorPage::new(status, reason).response()
}

/// Such an answer, for whoever gives it more than once.
#[derive(Debug)]
pub struct ErrorPage {
    status: Status,
    headers: Bytes,
    page: Bytes,
}

impl ErrorPage {
    /// Renders the page that says `status` and gives `reason`, a sentence (or nothing).
    pub fn new(status: Status, reason: &str) -> ErrorPage {
        let page = page(status, reason);
        let mut headers = HeaderBlock::default();
        headers.push_content_type("text/html; charset=utf-8");
        headers.push_number("Content-Length", page.len() as u64);
        if status == Status::ServiceUnavailable {
            // What is short (descriptors, memory, helpers) is mostly there again in a moment.
            headers.push_number("Retry-After", 1);
        }
        ErrorPage { status, headers: headers.freeze(), page: page.into() }
    }

    /// The answer.
    pub fn response<F>(&self) -> Response<F> {
        let headers = HeaderBlock::shared(self.headers.clone());
        Response { status: self.status, headers, body: Body::Bytes(self.page.clone()) }
    }
}

fn page(status: Status, reason: &str) -> String {
    let (code, words) = (status.digits(), status.reason());
    // Put together, not formatted: it is the answer to whoever sends nonsense, and ought to cost less than the nonsense.
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>",
        code,
        " ",
        words,
        "</title>\n\
         <style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
         margin:18vh auto 0;padding:0 1.5rem}h1{font-size:1.4rem}h1 b{font-weight:300;opacity:.7;margin-right:.4em}\
         footer{opacity:.65;font-size:.85rem;margin-top:3rem}</style>\n\
         <h1><b>",
        code,
        "</b>",
        words,
        "</h1>\n<p>",
        reason,
        "</p>\n<footer>miniweb</footer>\n</html>\n",
    ]
    .concat()
}
