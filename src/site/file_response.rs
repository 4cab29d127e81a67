//! The response that sends one representation of a file, or says why it is not sent.

use super::error_response;
use super::file_version::FileVersion;
use super::loader::{Loader, Lookup};
use super::open_file::File;
use super::path::SitePath;
use super::policy::Policy;
use super::ranges::{self, SelectedContent};
use super::representation::{Representation, Source};
use crate::http::{
    Body, Now, PreconditionResult, Request, ResolvedRange, Response, Status,
    evaluate_preconditions, push_retry_after,
};

/// A 304 or 412, if a precondition of the request evaluates to false.
#[inline]
pub fn check_preconditions(
    request: &Request<'_>,
    representation: &Representation,
    path: &SitePath<'_>,
    policy: &Policy,
) -> Option<Response<File>> {
    match evaluate_preconditions(request.headers, representation.validators()) {
        PreconditionResult::Proceed => None,
        PreconditionResult::NotModified => {
            let headers = representation.not_modified_headers();
            Some(Response { status: Status::NotModified, headers, body: Body::Empty })
        }
        PreconditionResult::Failed => Some(failure(policy, Status::PreconditionFailed, path)),
    }
}

/// A 200, 206 or 416. Inlined, because a return would copy the response.
#[inline(always)]
pub fn send(
    selected: ResolvedRange,
    representation: &Representation,
    content: &SelectedContent<'_>,
    path: &SitePath<'_>,
    policy: &Policy,
) -> Response<File> {
    match selected {
        ResolvedRange::Full => ranges::full(representation, content),
        ResolvedRange::Single(range) => ranges::single(representation, range, content),
        ResolvedRange::Multiple(ranges) => ranges::multiple(representation, ranges, content),
        // The representation has the policy's headers; an error page does not.
        ResolvedRange::Unsatisfiable => {
            policy.apply_to(ranges::unsatisfiable(representation.size_bytes), Some(path))
        }
    }
}

/// The response with `representation`, whose file is opened without a cache.
///
/// # Errors
/// The status of a file that can't be opened, or has changed.
pub fn open_and_send(
    request: &Request<'_>,
    loader: &Loader,
    representation: &Representation,
    path: &SitePath<'_>,
    policy: &Policy,
) -> Result<Response<File>, Status> {
    if let Some(response) = check_preconditions(request, representation, path, policy) {
        return Ok(response);
    }
    let content = match &representation.source {
        Source::Memory { bytes, .. } => SelectedContent::Memory(bytes),
        Source::Disk(version) => {
            let opened = loader.open(path, representation, version)?;
            SelectedContent::File(opened.ok_or(Status::NotFound)?)
        }
    };
    Ok(send(ranges::select(request, representation), representation, &content, path, policy))
}

/// The response with the file at `path` as it is now, read without a cache.
///
/// # Errors
/// The status of a file that can't be read, or is gone.
pub fn load_and_send(
    request: &Request<'_>,
    loader: &Loader,
    path: &SitePath<'_>,
    policy: &Policy,
    now: &Now,
) -> Result<Response<File>, Status> {
    match loader.load(path, None, None, now)?.lookup {
        Lookup::File(file) => open_and_send(request, loader, &file.identity, path, policy),
        Lookup::Directory => Err(Status::NotFound),
        Lookup::NotFound(status) => Err(status),
    }
}

/// The response to a failure, with the site's own error page. That is loaded without a cache.
pub fn error(
    loader: &Loader,
    policy: &Policy,
    status: Status,
    path: &SitePath<'_>,
    now: &Now,
) -> Response<File> {
    let own_page = || {
        let page = SitePath::to_file(policy.error_page(status)?);
        let Lookup::File(file) = loader.load(&page, None, None, now).ok()?.lookup else {
            return None;
        };
        let open = |version: &FileVersion| loader.open(&page, &file.identity, version).ok()?;
        error_page(status, &file.identity, open)
    };
    match own_page() {
        Some(response) => policy.apply_to(response, Some(path)),
        None => failure(policy, status, path),
    }
}

/// A response to a failure, with a page of the site. It has no validators: those of `page` describe
/// the page, not what was requested. None if the page can't be opened.
pub fn error_page(
    status: Status,
    page: &Representation,
    open: impl FnOnce(&FileVersion) -> Option<File>,
) -> Option<Response<File>> {
    let body = match &page.source {
        Source::Memory { bytes, .. } => Body::Bytes(bytes.clone()),
        Source::Disk(version) => Body::File { file: open(version)?, range: 0..page.size_bytes },
    };
    let mut headers = page.content_headers();
    push_retry_after(&mut headers, status);
    Some(Response { status, headers, body })
}

fn failure(policy: &Policy, status: Status, path: &SitePath<'_>) -> Response<File> {
    policy.apply_to(error_response::failure(status, path), Some(path))
}
