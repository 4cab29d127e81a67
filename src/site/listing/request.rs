//! A request that waits for its page.

use super::html;
use super::options::{Format, ListingOptions};
use super::page::Page;
use crate::http::{
    Body, HeaderBlock, HeaderLines, PreconditionResult, ReplySender, Response, Status,
};
use crate::site::open_file::File;

/// What a request for a listing needs, besides the page.
pub struct ListingRequest {
    pub options: ListingOptions,
    pub preconditions: PreconditionResult,
    /// The rendered headers of the policy.
    pub policy_lines: HeaderLines,
    /// Makes the response if there is no page.
    pub failure: Box<dyn FnOnce(Status) -> Response<File> + Send>,
    pub reply: ReplySender<File>,
}

impl ListingRequest {
    /// Whether its preconditions (RFC 9110 section 13) decide the response, so that it needs no
    /// page.
    pub(super) fn needs_no_page(&self) -> bool {
        self.preconditions != PreconditionResult::Proceed
    }

    /// Sends the response that the preconditions decide, if the directory can be read.
    pub(super) fn finish_without_page(self, readable: Result<(), Status>) {
        let status = match (readable, self.preconditions) {
            (Err(status), _) => status,
            (Ok(()), PreconditionResult::NotModified) => {
                let (status, headers) = (Status::NotModified, self.headers());
                return self.reply.send(Response { status, headers, body: Body::Empty });
            }
            (Ok(()), _) => Status::PreconditionFailed,
        };
        self.finish(Err(status));
    }

    /// Sends the page, or the response to the failure to make it.
    pub(super) fn finish(self, page: Result<Page, Status>) {
        let response = match page {
            Ok(page) => self.response(page),
            Err(status) => (self.failure)(status),
        };
        self.reply.send(response);
    }

    fn response(&self, page: Page) -> Response<File> {
        let mut headers = self.headers();
        match self.options.format {
            Format::Html => {
                headers.push_content_type("text/html; charset=utf-8");
                headers.push("Content-Security-Policy", html::content_security_policy());
            }
            Format::Json => headers.push_content_type("application/json; charset=utf-8"),
        }
        headers.push_number("Content-Length", page.len());
        Response { status: Status::Ok, headers, body: page.into_body() }
    }

    fn headers(&self) -> HeaderBlock {
        let mut headers = HeaderBlock::default();
        headers.push("Vary", "Accept");
        headers.push_lines(&self.policy_lines);
        headers
    }
}
