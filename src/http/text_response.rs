//! Short plain responses for programs, such as health probes and metrics scrapers.

use bytes::Bytes;

use super::error_page::push_retry_after;
use super::response::{Body, HeaderBlock, Response};
use super::status::Status;

/// A response whose text describes the present state, so no cache may store it.
pub fn text_response<F>(status: Status, media_type: &str, text: impl Into<Bytes>) -> Response<F> {
    let text = text.into();
    let mut headers = HeaderBlock::default();
    headers.push_content_type(media_type);
    headers.push("Cache-Control", "no-store");
    headers.push_number("Content-Length", text.len() as u64);
    push_retry_after(&mut headers, status);
    Response { status, headers, body: Body::Bytes(text) }
}
