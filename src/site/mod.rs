//! A request's target → a [`Response`].
//!
//! What lives here: what is served and what isn't. What does not: parsing requests and sending answers.
//! Every strategy asks the same [`Site::respond`], so that they differ in nothing but the way of waiting.

mod cache;
mod media_type;
mod path;
mod root;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::http::{Body, FieldBlock, Method, Now, Request, Respond, Response, Status, Target, error_response};
use crate::ledger::Ledger;
use cache::{Content, FileCache, Known, Resource};
use path::SitePath;

pub use root::{Root, default_folder};

/// An open file, as the connection carries it to the socket. Several answers may share one.
pub type File = Arc<OwnedFd>;

/// The site as one worker sees it.
#[derive(Debug)]
pub struct Site {
    cache: FileCache,
}

impl Site {
    /// The site beneath `root`, with at most `cache_bytes_max` of it remembered.
    pub fn new(root: Arc<Root>, ledger: Arc<Ledger>, cache_bytes_max: u64) -> Site {
        Site { cache: FileCache::new(root, ledger, cache_bytes_max) }
    }
}

impl Respond for Site {
    type File = File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Response<File> {
        // 1. Only reading is offered.
        if !matches!(request.method, Method::Get | Method::Head) {
            return method_not_allowed();
        }
        // 2. The target → a path beneath the root.
        let Target::Path { path: target, query } = request.target else { return method_not_allowed() };
        let path = match SitePath::parse(target) {
            Ok(path) => path,
            Err(reason) => return error_response(Status::BadRequest, reason),
        };
        // 3. The path → what stands there.
        match self.cache.look_up(&path, now) {
            Known::File(resource) => ok(&resource, None),
            Known::OpenFile(resource, file, size) => ok(&resource, Some((file, size))),
            Known::Folder => redirect_to_folder(&path, query),
            Known::Nothing(status) => error_response(status, explanation(status)),
        }
    }
}

fn ok(resource: &Resource, open: Option<(File, u64)>) -> Response<File> {
    let body = match (&resource.content, open) {
        (Content::Memory(bytes), _) => Body::Bytes(bytes.clone()),
        (Content::OnDisk, Some((file, size))) => Body::File { file, range: 0..size },
        (Content::OnDisk, None) => Body::Empty,
    };
    Response { status: Status::Ok, fields: FieldBlock::shared(resource.fields.clone()), body }
}

fn method_not_allowed() -> Response<File> {
    let mut response = error_response(Status::MethodNotAllowed, "This server only reads: GET and HEAD.");
    response.fields.push("Allow", "GET, HEAD");
    response
}

/// To the same path with a slash, so that the links of the folder's page lead into it. The Location has no
/// host of its own (RFC 9110 section 10.2.2): what the client calls this server stays its business.
fn redirect_to_folder(path: &SitePath<'_>, query: Option<&[u8]>) -> Response<File> {
    let mut location = path.to_folder_target();
    if let Some(query) = query {
        location.push('?');
        location.push_str(&path::escape_query(query));
    }
    let mut response = error_response(Status::MovedPermanently, "The folder's address ends with a slash.");
    response.fields.push("Location", location);
    response
}

fn explanation(status: Status) -> &'static str {
    match status {
        Status::Forbidden => "This server may not read what is here.",
        Status::NotFound => "There is nothing at this address.",
        Status::ServiceUnavailable => "This server is short of something it needs. It may work in a moment.",
        _ => "This server could not read what is here.",
    }
}
