//! The part of a representation that is asked for: all of it, a range, or several (RFC 9110 sections 14 and 15.3.7).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::File;
use super::representation::{Representation, Source};
use crate::http::{
    Body, Method, Request, ResolvedRange, Response, Status, error_response, evaluate_if_range,
    resolve_range,
};

/// 200, 206 or 416. `opened` is the file that holds the bytes, where memory doesn't.
pub fn respond(
    request: &Request<'_>,
    representation: &Representation,
    opened: Option<File>,
) -> Response<File> {
    let body = |range: Range<u64>| match (&representation.source, &opened) {
        _ if range.is_empty() => Body::Empty,
        (Source::Memory(bytes), _) => {
            Body::Bytes(bytes.slice(range.start as usize..range.end as usize))
        }
        (Source::Disk(_), Some(file)) => Body::File { file: file.clone(), range },
        (Source::Disk(_), None) => Body::Empty,
    };
    match asked_for(request, representation) {
        ResolvedRange::Full => {
            let headers = representation.fields_of_all();
            Response { status: Status::Ok, headers, body: body(0..representation.size) }
        }
        ResolvedRange::Single(range) => {
            let mut headers = representation.fields_of_part();
            headers.push_content_type(&representation.media_type);
            headers.push("Content-Range", content_range(&range, representation.size));
            headers.push_number("Content-Length", range.end - range.start);
            Response { status: Status::PartialContent, headers, body: body(range) }
        }
        ResolvedRange::Multiple(ranges) => {
            let boundary = boundary(representation, &ranges);
            let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
            for (n, range) in ranges.into_iter().enumerate() {
                let line_end = if n == 0 { "" } else { "\r\n" };
                let media_type = &representation.media_type;
                let content_range = content_range(&range, representation.size);
                let head = format!(
                    "{line_end}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range}\r\n\r\n"
                );
                parts.extend([Body::Bytes(head.into()), body(range)]);
            }
            parts.push(Body::Bytes(format!("\r\n--{boundary}--\r\n").into()));
            let body = Body::Parts(parts);
            let mut headers = representation.fields_of_part();
            headers.push_content_type(&format!("multipart/byteranges; boundary={boundary}"));
            headers.push_number("Content-Length", body.len());
            Response { status: Status::PartialContent, headers, body }
        }
        ResolvedRange::Unsatisfiable => {
            let mut response =
                error_response(Status::RangeNotSatisfiable, "The range lies beyond the end.");
            response.headers.push("Content-Range", format!("bytes */{}", representation.size));
            response
        }
    }
}

/// A Range is for GET only, must stand there once, and counts only for the state that If-Range names.
fn asked_for(request: &Request<'_>, representation: &Representation) -> ResolvedRange {
    match request.headers.only("range") {
        Some(value)
            if request.method == Method::Get
                && evaluate_if_range(request.headers, representation.validators()) =>
        {
            resolve_range(value, representation.size)
        }
        _ => ResolvedRange::Full,
    }
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// What stands between the parts. A reader finds their ends by their lengths; that the text is not in the content by
/// chance is for those who don't. The same request gives the same bytes.
fn boundary(representation: &Representation, ranges: &[Range<u64>]) -> String {
    let mut hasher = DefaultHasher::new();
    (representation.etag().as_str(), ranges).hash(&mut hasher);
    format!("miniweb-{:016x}", hasher.finish())
}
