//! The response to a GET or HEAD with its Range (RFC 9110 sections 14 and 15.3.7): the whole
//! representation, one part of it, or several.
//!
//! The range is [selected](select) before the content is opened, because a block in memory may
//! hold a short range.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use bytes::Bytes;

use super::open_file::File;
use super::representation::Representation;
use crate::http::{
    Body, EntityTag, Method, Request, ResolvedRange, Response, Status, error_response,
    evaluate_if_range, resolve_range,
};

/// Where the selected bytes of a representation are.
#[derive(Debug)]
pub enum SelectedContent<'a> {
    /// In the whole content, which is in memory.
    Memory(&'a Bytes),
    /// In this file.
    File(File),
    /// These bytes: exactly the one selected range.
    Range(Bytes),
}

/// The ranges to send. A Range applies to GET only, must occur once, and only if If-Range holds.
#[inline]
pub fn select(request: &Request<'_>, representation: &Representation) -> ResolvedRange {
    match request.headers.only("range") {
        Some(value)
            if request.method == Method::Get
                && evaluate_if_range(request.headers, representation.validators()) =>
        {
            resolve_range(value, representation.size_bytes)
        }
        _ => ResolvedRange::Full,
    }
}

/// A 200 with the whole representation.
#[inline]
pub fn full(representation: &Representation, content: &SelectedContent<'_>) -> Response<File> {
    let body = match content {
        SelectedContent::Memory(bytes) => Body::Bytes(Bytes::clone(bytes)),
        SelectedContent::File(_) | SelectedContent::Range(_) => {
            content.part(0..representation.size_bytes)
        }
    };
    Response { status: Status::Ok, headers: representation.headers(), body }
}

/// A 206 with one range. Like the other rare responses, it is not inlined, because that would slow
/// down the ordinary one.
#[inline(never)]
pub fn single(
    representation: &Representation,
    range: Range<u64>,
    content: &SelectedContent<'_>,
) -> Response<File> {
    let mut headers = representation.partial_headers();
    headers.push_content_type(&representation.media_type);
    headers.push("Content-Range", content_range(&range, representation.size_bytes));
    headers.push_number("Content-Length", range.end - range.start);
    Response { status: Status::PartialContent, headers, body: content.part(range) }
}

/// A 206 with several ranges, as `multipart/byteranges` (RFC 9110 section 14.6).
#[inline(never)]
pub fn multiple(
    representation: &Representation,
    ranges: Vec<Range<u64>>,
    content: &SelectedContent<'_>,
) -> Response<File> {
    let boundary = boundary(representation, &ranges);
    let media_type = &representation.media_type;
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for (n, range) in ranges.into_iter().enumerate() {
        let line_end = if n == 0 { "" } else { "\r\n" };
        let content_range = content_range(&range, representation.size_bytes);
        let head = format!(
            "{line_end}--{boundary}\r\nContent-Type: {media_type}\r\n\
             Content-Range: {content_range}\r\n\r\n"
        );
        parts.extend([Body::Bytes(head.into()), content.part(range)]);
    }
    parts.push(Body::Bytes(format!("\r\n--{boundary}--\r\n").into()));
    let body = Body::Parts(parts);
    let mut headers = representation.partial_headers();
    headers.push_content_type(&format!("multipart/byteranges; boundary={boundary}"));
    headers.push_number("Content-Length", body.len());
    Response { status: Status::PartialContent, headers, body }
}

/// A 416, without the headers of the policy.
#[cold]
pub fn unsatisfiable(size_bytes: u64) -> Response<File> {
    let mut response =
        error_response(Status::RangeNotSatisfiable, "The range lies beyond the end.");
    response.headers.push("Content-Range", format!("bytes */{size_bytes}"));
    response
}

impl SelectedContent<'_> {
    /// The bytes of `range`, which must have been selected.
    fn part(&self, range: Range<u64>) -> Body<File> {
        match self {
            _ if range.is_empty() => Body::Empty,
            SelectedContent::Memory(bytes) => {
                Body::Bytes(bytes.slice(range.start as usize..range.end as usize))
            }
            SelectedContent::File(file) => part_of(file, range),
            SelectedContent::Range(bytes) => Body::Bytes(bytes.clone()),
        }
    }
}

/// A part of an open file.
fn part_of(file: &File, range: Range<u64>) -> Body<File> {
    /// Up to this size, reading costs less than a `sendfile` beside the `send` of the head.
    const READ_BYTES_MAX: u64 = 16 * 1024;
    let is_short = range.end - range.start <= READ_BYTES_MAX;
    match is_short.then(|| file.read_all(&range)).flatten() {
        Some(bytes) => Body::Bytes(bytes),
        None => Body::File { file: file.clone(), range },
    }
}

fn content_range(range: &Range<u64>, size_bytes: u64) -> String {
    format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1)
}

/// The delimiter of the parts, the same for equal requests. Clients that search for it instead of
/// using the part lengths rely on 64 bits of hash not to occur in the content.
fn boundary(representation: &Representation, ranges: &[Range<u64>]) -> String {
    let mut hasher = DefaultHasher::new();
    (representation.validators().etag.map(EntityTag::as_str), ranges).hash(&mut hasher);
    format!("miniweb-{:016x}", hasher.finish())
}
