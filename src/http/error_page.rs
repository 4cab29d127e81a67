//! The pages that say what went wrong: small, readable, the same in light and dark.

use super::{Body, FieldBlock, Response, Status};

/// An answer of `status` with a page that says so and gives `reason`, a sentence (or nothing).
pub fn error_response<F>(status: Status, reason: &str) -> Response<F> {
    let (code, words) = (status.digits(), status.reason());
    // Put together, not formatted: whoever probes for what isn't there asks for this page more than anyone for any other.
    let page = [
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
    .concat();
    let mut fields = FieldBlock::default();
    fields.push_content_type("text/html; charset=utf-8");
    fields.push_number("Content-Length", page.len() as u64);
    if status == Status::ServiceUnavailable {
        // What is short (descriptors, memory, helpers) is mostly there again in a moment.
        fields.push_number("Retry-After", 1);
    }
    Response { status, fields, body: Body::Bytes(page.into()) }
}
