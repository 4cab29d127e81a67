//! Error pages: small, readable HTML in light and dark mode.

use bytes::Bytes;

use super::response::{Body, HeaderBlock, HeaderLines, Response};
use super::status::Status;

/// An error response whose page shows `status` and `message`, a sentence or an empty string.
pub fn error_response<F>(status: Status, message: &str) -> Response<F> {
    ErrorPage::new(status, message, &[]).response()
}

/// A rendered error page, for responses that are sent more than once.
#[derive(Debug)]
pub struct ErrorPage {
    status: Status,
    headers: HeaderLines,
    page: Bytes,
}

impl ErrorPage {
    /// Renders a page with `status`, `message` (a sentence or an empty string), and `links`, each a
    /// target and a text. Nothing is escaped.
    pub fn new(status: Status, message: &str, links: &[(&str, &str)]) -> ErrorPage {
        let page = render(status, message, links);
        let mut headers = HeaderBlock::default();
        headers.push_content_type("text/html; charset=utf-8");
        headers.push_number("Content-Length", page.len() as u64);
        push_retry_after(&mut headers, status);
        ErrorPage { status, headers: headers.freeze(), page: page.into() }
    }

    /// A response with this page; it shares the rendered bytes.
    pub fn response<F>(&self) -> Response<F> {
        let headers = HeaderBlock::shared(self.headers.clone(), 0..self.headers.len());
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

fn render(status: Status, message: &str, links: &[(&str, &str)]) -> String {
    let (code, phrase) = (status.digits(), status.reason());
    let links: String = match links {
        [] => String::new(),
        links => {
            let links = links.iter().map(|(href, text)| format!("<a href=\"{href}\">{text}</a>\n"));
            format!("<nav>\n{}</nav>\n", links.collect::<String>())
        }
    };
    // Concatenated, not formatted: a response to a malformed request should cost as little as
    // possible.
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>",
        code,
        " ",
        phrase,
        "</title>\n<style>",
        STYLE,
        "</style>\n<h1><b>",
        code,
        "</b> ",
        phrase,
        "</h1>\n<p>",
        message,
        "</p>\n",
        &links,
        "<footer>miniweb</footer>\n</html>\n",
    ]
    .concat()
}

/// The colours are those of the listings.
const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fbfcf9;--ink:#1a2320;--muted:#4f5d57;--hair:#dbe2d9;--accent:#0b6650}\
@media screen and (prefers-color-scheme:dark){\
:root{--paper:#111715;--ink:#e2e8e2;--muted:#a3b0a8;--hair:#2a3530;--accent:#6ad3ab}}\
body{max-width:34rem;margin:16vh auto 2rem;padding:0 1.5rem;background:var(--paper);color:var(--ink);\
font:1.0625rem/1.5 system-ui,sans-serif}\
h1{margin:0;font-size:1.75rem;line-height:1.25}\
h1 b{display:block;color:var(--accent);font-size:1rem;letter-spacing:.05em}\
p{margin:.75rem 0 1.75rem}code{white-space:nowrap}\
nav{display:flex;flex-wrap:wrap;gap:.75rem}\
a{padding:.45rem 1rem;border:1px solid var(--accent);border-radius:.4rem;color:var(--accent);text-decoration:none}\
a:hover{text-decoration:underline}a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}\
footer{margin-top:3rem;padding-top:.75rem;border-top:1px solid var(--hair);color:var(--muted);font-size:.875rem}";
