//! Lists a directory without an index page, as an HTML page or as JSON.
//!
//! A directory may hold tens of thousands of names, each of which takes a stat. So a listing is
//! always [deferred](crate::http::Reply::Deferred).
//!
//! Invariants:
//! 1. Only what would be served is listed: regular files and directories, no hidden names, and
//!    symbolic links only if their target is beneath the root.
//! 2. The memory of all listings in this process is bounded by [`LISTING_BYTES_MAX`].

mod entries;
mod html;
mod json;
mod options;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::directory_root::OpenDirectory;
use super::errors::status_of_read;
use super::open_file::File;
use super::path::SitePath;
use crate::http::{Body, HeaderBlock, PreconditionResult, Response, Status};
use entries::Listing;
use options::Format;
pub use options::ListingOptions;

/// Reads the open directory and lists it. `policy_lines` are the rendered headers of the policy.
///
/// # Errors
/// 412 if `preconditions` failed; 500 if reading the directory fails; 503 if descriptors or memory
/// are exhausted.
pub fn respond(
    directory: &OpenDirectory,
    path: &SitePath<'_>,
    options: ListingOptions,
    preconditions: PreconditionResult,
    policy_lines: &[u8],
) -> Result<Response<File>, Status> {
    let mut headers = HeaderBlock::default();
    headers.push("Vary", "Accept");
    headers.push_lines(policy_lines);
    // Preconditions count only if the directory can be read (RFC 9110 section 13.2.1).
    let mut listing = Listing::read(directory, path).map_err(status_of_read)?;
    match preconditions {
        PreconditionResult::Proceed => {}
        PreconditionResult::NotModified => {
            return Ok(Response { status: Status::NotModified, headers, body: Body::Empty });
        }
        PreconditionResult::Failed => return Err(Status::PreconditionFailed),
    }
    listing.sort(options);
    let (body, media_type) = match options.format {
        Format::Html => (html::page(path, &listing, options), "text/html; charset=utf-8"),
        Format::Json => (json::document(path, &listing), "application/json; charset=utf-8"),
    };
    let body = ListingBody::new(body).ok_or(Status::ServiceUnavailable)?;
    headers.push_content_type(media_type);
    headers.push_number("Content-Length", body.0.len() as u64);
    Ok(Response { status: Status::Ok, headers, body: Body::Bytes(Bytes::from_owner(body)) })
}

/// A listing in memory. It counts towards [`LISTING_BYTES`] until its last byte has been sent.
struct ListingBody(Vec<u8>);

/// The size of all listings in this process. A listing is the only body that is large and not
/// shared: without a bound, a thousand clients that request one and don't read it would hold a
/// thousand copies.
static LISTING_BYTES: AtomicUsize = AtomicUsize::new(0);
const LISTING_BYTES_MAX: usize = 128 * 1024 * 1024;

impl ListingBody {
    /// None if `bytes` would exceed [`LISTING_BYTES_MAX`].
    fn new(bytes: Vec<u8>) -> Option<ListingBody> {
        let body = ListingBody(bytes);
        let others = LISTING_BYTES.fetch_add(body.0.len(), Ordering::AcqRel);
        (others + body.0.len() <= LISTING_BYTES_MAX).then_some(body)
    }
}

impl Drop for ListingBody {
    fn drop(&mut self) {
        LISTING_BYTES.fetch_sub(self.0.len(), Ordering::AcqRel);
    }
}

impl AsRef<[u8]> for ListingBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
