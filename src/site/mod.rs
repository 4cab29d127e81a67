//! A request's target → a [`Response`].
//!
//! What lives here: what is served and what isn't, and in which form. What does not: parsing requests and sending
//! answers. Every strategy asks the same [`Site::respond`], so that they differ in nothing but the way of waiting.

mod auth;
mod cache;
mod compress;
mod listing;
mod media_type;
mod offloaded;
mod open_file;
mod path;
mod policy;
mod ranges;
mod representation;
mod root;
mod slow_mounts;

use std::sync::Arc;

use crate::http::{
    AcceptEncoding, Body, ErrorPage, HeaderBlock, Method, Now, PreconditionResult, Reply, Request,
    Respond, Response, Status, Target, error_response, evaluate_preconditions,
};
use crate::syscall_stats::SyscallStats;
use cache::{FileCache, Lookup};
pub use offloaded::FileChunk;
use offloaded::OffloadedSite;
use open_file::OpenFile;
use representation::{Representation, Source};

pub use auth::Credentials;
#[doc(hidden)] // For the fuzz targets, which compare it with a second reading.
pub use path::SitePath;
pub use policy::{CacheRule, Compress, HeaderRule, MediaTypeRule, Policy};
use root::OpenDirectory;
pub use root::{Root, default_directory, sample_files};

/// An open file, as the connection carries it to the socket. Several answers may share one.
pub type File = Arc<OpenFile>;

const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// The site as one worker sees it.
#[derive(Debug)]
pub struct Site {
    cache: FileCache,
    policy: Arc<Policy>,
    /// Where requests are answered if the root is slow to ask and there is someone to wait for it.
    offloaded: Option<Arc<OffloadedSite>>,
    /// For what isn't there. Whoever probes asks for this more than anyone for anything else.
    nothing: ErrorPage,
}

impl Site {
    /// The site beneath `root`, with at most `cache_bytes_max` of it remembered.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache_bytes_max: u64,
    ) -> Site {
        let cache = FileCache::new(root, policy.clone(), stats, cache_bytes_max);
        let nothing = ErrorPage::new(Status::NotFound, explanation(Status::NotFound));
        Site { cache, policy, offloaded: None, nothing }
    }

    /// The same for a loop that must not wait for the root, and has helpers that may.
    pub fn with_offload(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache_bytes_max: u64,
    ) -> Site {
        let offloaded = root.is_slow().then(|| {
            OffloadedSite::new(root.clone(), policy.clone(), stats.clone(), cache_bytes_max)
        });
        Site {
            offloaded: offloaded.map(Arc::new),
            ..Site::new(root, policy, stats, cache_bytes_max)
        }
    }

    /// Whether its files are slow to ask, so that others have to read them.
    pub fn is_offloaded(&self) -> bool {
        self.offloaded.is_some()
    }

    /// The answer to a request for `target`, which is to be read.
    fn read(
        &mut self,
        request: &Request<'_>,
        target: &[u8],
        query: Option<&[u8]>,
        now: &Now,
    ) -> Reply<File> {
        // 3. The target → a path beneath the root.
        let path = match SitePath::parse(target) {
            Ok(path) => path,
            Err(reason) => {
                return Reply::Ready(
                    self.with_policy(error_response(Status::BadRequest, reason), b""),
                );
            }
        };
        // 4. The path → what stands there.
        Reply::Ready(match self.cache.look_up(&path, now) {
            Lookup::File(file) => self
                .send(request, &path, &file, now)
                .unwrap_or_else(|status| self.failure(status, &path)),
            Lookup::Directory => self.redirect_to_directory(&path, query),
            Lookup::NotFound(Status::NotFound) => {
                match self.policy.list.then(|| self.cache.open_directory(&path)) {
                    Some(Ok(directory)) => return self.list(request, directory, path, query),
                    None | Some(Err(Status::NotFound)) => self.nothing(request, &path, now),
                    Some(Err(status)) => self.failure(status, &path),
                }
            }
            Lookup::NotFound(status) => self.failure(status, &path),
        })
    }

    /// A directory without an index page. It may be large: the work is handed out.
    fn list(
        &self,
        request: &Request<'_>,
        directory: OpenDirectory,
        path: SitePath<'_>,
        query: Option<&[u8]>,
    ) -> Reply<File> {
        let wanted = listing::Wanted::parse(request, query);
        let mut policy_lines = HeaderBlock::default();
        // Rules for what is beneath the directory are for its page, too, listed or written.
        self.policy.push_headers(&mut policy_lines, &root::file_of(&path));
        let (path, policy_lines, policy) =
            (path.into_owned(), policy_lines.freeze(), self.policy.clone());
        Reply::Deferred(Box::new(move || {
            listing::respond(&directory, &path, wanted, &policy_lines)
                .unwrap_or_else(|status| failure(&policy, status, &path))
        }))
    }

    /// Answers with `file`, or a part of it, or that the client has it.
    fn send(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        file: &Arc<cache::File>,
        now: &Now,
    ) -> Result<Response<File>, Status> {
        // 5. The coding that the client likes best.
        let representation =
            match file.has_choice() && request.headers.might_contain("accept-encoding") {
                true => self.cache.choose(path, file, &AcceptEncoding::parse(request.headers), now),
                false => file.plain().clone(),
            };
        // 6. Conditions, in the order of RFC 9110 section 13.2.2.
        match evaluate_preconditions(request.headers, representation.validators()) {
            PreconditionResult::Proceed => {}
            PreconditionResult::NotModified => {
                let headers = representation.fields_of_none();
                return Ok(Response { status: Status::NotModified, headers, body: Body::Empty });
            }
            PreconditionResult::Failed => {
                let response = error_response(
                    Status::PreconditionFailed,
                    "It is no longer what the request takes it for.",
                );
                return Ok(self.with_policy(response, &path.relative));
            }
        }
        // 7. The part of it that is asked for, and where its bytes are.
        let opened = match &representation.source {
            Source::Memory(_) => None,
            Source::Disk(version) => match self.cache.open(path, &representation, version) {
                Ok(opened) => Some(opened),
                // It has changed since it was looked at: once more, with what is there now.
                Err(Status::NotFound) => match self.cache.look_up(path, now) {
                    Lookup::File(file) if !Arc::ptr_eq(&representation, file.plain()) => {
                        return self.send(request, path, &file, now);
                    }
                    _ => return Err(Status::NotFound),
                },
                Err(status) => return Err(status),
            },
        };
        let response = ranges::respond(request, &representation, opened);
        Ok(if response.status == Status::RangeNotSatisfiable {
            self.with_policy(response, &path.relative)
        } else {
            response
        })
    }

    /// Nothing stands at `path`: the page for navigations, the site's own error page, or ours.
    fn nothing(&mut self, request: &Request<'_>, path: &SitePath<'_>, now: &Now) -> Response<File> {
        let may_navigate = self.policy.fallback.is_some() && is_page(path);
        let mut response = match self.fallback(request, path, now) {
            Some(response) => response,
            None => self.not_found(path, now),
        };
        if may_navigate {
            // The same path is a 404 to who does not navigate.
            response.headers.push("Vary", "Accept");
        }
        response
    }

    /// The page of a single-page app, to a navigation: a person went there. A script or an image asks for something else.
    fn fallback(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        now: &Now,
    ) -> Option<Response<File>> {
        let fallback = self
            .policy
            .fallback
            .clone()
            .filter(|_| is_page(path) && request.headers.accepts("text/html"))?;
        let page = SitePath::to_file(&fallback);
        let failure = match self.cache.look_up(&page, now) {
            Lookup::File(file) => match self.send(request, &page, &file, now) {
                Ok(response) => return Some(response),
                Err(status) => status,
            },
            Lookup::NotFound(status) => status,
            Lookup::Directory => return None,
        };
        // What can't be had for the moment is not what isn't there.
        (failure.code() >= 500).then(|| self.failure(failure, path))
    }

    /// The site's own error page, or ours.
    fn not_found(&mut self, path: &SitePath<'_>, now: &Now) -> Response<File> {
        let page = SitePath::to_file(b"404.html");
        let own = match self.cache.look_up(&page, now) {
            Lookup::File(file) => self.error_page(file.plain(), &page),
            Lookup::Directory | Lookup::NotFound(_) => None,
        };
        let response = own.unwrap_or_else(|| self.nothing.response());
        self.with_policy(response, &path.relative)
    }

    /// The site's own page for what isn't there. It has no validators: it is about no representation.
    fn error_page(&mut self, page: &Representation, path: &SitePath<'_>) -> Option<Response<File>> {
        let body = match &page.source {
            Source::Memory(bytes) => Body::Bytes(bytes.clone()),
            Source::Disk(version) => {
                Body::File { file: self.cache.open(path, page, version).ok()?, range: 0..page.size }
            }
        };
        Some(Response { status: Status::NotFound, headers: page.fields_of_content(), body })
    }

    /// What stands at `path` can't be sent.
    fn failure(&self, status: Status, path: &SitePath<'_>) -> Response<File> {
        failure(&self.policy, status, path)
    }

    /// To the same path with a slash, so that the links of the directory's page lead into it. The Location has no
    /// host of its own (RFC 9110 section 10.2.2): what the client calls this server stays its business.
    fn redirect_to_directory(&self, path: &SitePath<'_>, query: Option<&[u8]>) -> Response<File> {
        let mut location = path.to_directory_target();
        if let Some(query) = query {
            location.push('?');
            location.push_str(&path::escape_query(query));
        }
        let mut response =
            error_response(Status::MovedPermanently, "The directory's address ends with a slash.");
        response.headers.push("Location", location);
        self.with_policy(response, &path.relative)
    }

    /// RFC 9110 section 9.3.7, for one path or for `*`; with --cors also the answer to a preflight.
    fn options(&self, request: &Request<'_>) -> Response<File> {
        let mut headers = HeaderBlock::default();
        headers.push("Allow", ALLOWED);
        if self.policy.cors {
            headers.push("Access-Control-Allow-Methods", ALLOWED);
            // The star does not stand for Authorization (Fetch standard, section 3.3.3).
            headers.push("Access-Control-Allow-Headers", "*, Authorization");
            headers.push("Access-Control-Max-Age", "86400");
        }
        self.with_policy(
            Response { status: Status::NoContent, headers, body: Body::Empty },
            &relative_of(request),
        )
    }

    fn with_policy(&self, mut response: Response<File>, relative: &[u8]) -> Response<File> {
        self.policy.push_extra_headers(&mut response.headers, relative);
        response
    }
}

impl Respond for Site {
    type File = File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<File> {
        #[cfg(debug_assertions)]
        panic_where_asked_to(request);
        self.policy.carry_handicap();
        // 1. Who asks. A preflight never brings credentials (Fetch standard, section 3.2.2).
        let is_preflight = self.policy.cors && request.method == Method::Options;
        if let Some(credentials) = &self.policy.credentials
            && !is_preflight
            && !credentials.admit(request)
        {
            let mut response =
                error_response(Status::Unauthorized, "A name and a password are needed here.");
            response.headers.push("WWW-Authenticate", "Basic realm=\"miniweb\", charset=\"UTF-8\"");
            return Reply::Ready(self.with_policy(response, &relative_of(request)));
        }
        // 2. What for: only reading is offered.
        match (request.method, request.target, &self.offloaded) {
            (Method::Get | Method::Head, Target::Path { .. }, Some(offloaded)) => {
                Reply::Deferred(offloaded.answer(request, now))
            }
            (Method::Get | Method::Head, Target::Path { path, query }, None) => {
                self.read(request, path, query, now)
            }
            (Method::Options, ..) => Reply::Ready(self.options(request)),
            _ => {
                let mut response = error_response(
                    Status::MethodNotAllowed,
                    "This server only reads: GET and HEAD.",
                );
                response.headers.push("Allow", ALLOWED);
                Reply::Ready(self.with_policy(response, &relative_of(request)))
            }
        }
    }
}

/// There should be no panic; that one costs no more than its connection can only be tested where there is one. Not in releases.
#[cfg(debug_assertions)]
fn panic_where_asked_to(request: &Request<'_>) {
    let wanted = std::env::var_os("MINIWEB_PANIC_AT");
    if let (Target::Path { path, .. }, Some(wanted)) = (request.target, wanted) {
        assert!(path != wanted.as_encoded_bytes(), "a panic was asked for");
    }
}

/// The path beneath the root that an answer is about which never looked there; nothing if there is none.
fn relative_of(request: &Request<'_>) -> Vec<u8> {
    match request.target {
        Target::Path { path, .. } => {
            SitePath::parse(path).map(|path| path.relative.into_owned()).unwrap_or_default()
        }
        Target::Server | Target::Authority => Vec::new(),
    }
}

/// Whether a page may stand at `path`, and not a page's script or image: it has no extension but a page's.
fn is_page(path: &SitePath<'_>) -> bool {
    let name = path.relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
    !path.is_hidden && (path.is_directory || !name.contains(&b'.') || name.ends_with(b".html"))
}

/// That what stands at `path` can't be sent, with what the owner wants said.
fn failure(policy: &Policy, status: Status, path: &SitePath<'_>) -> Response<File> {
    let mut response = error_response(status, explanation(status));
    policy.push_extra_headers(&mut response.headers, &path.relative);
    response
}

fn explanation(status: Status) -> &'static str {
    match status {
        Status::Forbidden => "This server may not read what is here.",
        Status::NotFound => "There is nothing at this address.",
        Status::ServiceUnavailable => {
            "This server is short of something it needs. It may work in a moment."
        }
        _ => "This server could not read what is here.",
    }
}
