//! Request target → [`Response`].
//!
//! This module decides what is served and in which representation. It does not parse requests or
//! send responses. All strategies call the same [`Site::respond`].
//!
//! | module | responsibility |
//! |---|---|
//! | `file_responder`, `file_response` | the response to a GET or HEAD |
//! | `path` | decode and normalise a path |
//! | `error_response` | the built-in error pages |
//! | `destination` | the file of a path: index pages, clean URLs, redirects |
//! | `cache`, `loader`, `compress`, `compressor` | find, read, compress and remember files |
//! | `watched_directories`, `watch` | notice changes on the disk |
//! | `memory_budget` | bounds the memory of caches |
//! | `open_files`, `file_blocks` | keep large files open, and parts of them in memory |
//! | `loaded_file`, `representation`, `ranges` | what is sent of a file, and with which headers |
//! | `file_version`, `content_hash` | what identifies the content of a file |
//! | `root`, `directory_root`, `open_root`, `file_root`, `sample` | where files come from |
//! | `shared_file` | locks and numbers that the processes of a server share |
//! | `listing` | directories without an index page |
//! | `policy`, `rules`, `hidden`, `media_type` | what the options of the command line change |
//! | `health` | the path that tells whether the server accepts requests |
//! | `redirects` | the redirects of `--redirect` |
//! | `https` | what connections without TLS get from a server that has TLS |
//! | `route_prefix` | the path beneath which the site is served |
//! | `cors` | which origins may read the site |
//! | `server_names` | which hosts the site is served for |
//! | `served_files` | whether a file on the disk is served |
//! | `private_file` | files that no client may read |
//! | `auth` | which requests carry the name and password of a user |
//! | `waiting` | requests that wait for one result |
//! | `offloaded`, `file_chunk`, `slow_mounts` | roots whose files are slow to open or read |

mod auth;
mod cache;
mod compress;
mod compressor;
mod content_hash;
mod cors;
mod delayed;
mod destination;
mod directory_root;
mod error_response;
mod errors;
mod file_blocks;
mod file_chunk;
mod file_responder;
mod file_response;
mod file_root;
mod file_version;
mod health;
mod hidden;
mod https;
mod listing;
mod loaded_file;
mod loader;
mod media_type;
mod memory_budget;
mod offloaded;
mod open_file;
mod open_files;
mod open_root;
mod panic_trigger;
mod path;
mod policy;
mod private_file;
mod ranges;
mod redirects;
mod representation;
mod resolved;
mod root;
mod route_prefix;
mod rules;
mod sample;
mod served_files;
mod server_names;
mod shared_file;
mod slow_mounts;
mod waiting;
mod watch;
mod watched_directories;

use std::sync::Arc;
use std::time::Duration;

use crate::http::{
    Body, HeaderBlock, Method, Now, Reply, Request, RequestError, Respond, Response, Status, Work,
    error_response,
};
use crate::syscall_stats::SyscallStats;
use auth::Access;
use content_hash::Asking;
use delayed::Delayed;
use file_responder::FileResponder;
use offloaded::OffloadedSite;

pub use auth::{Authenticator, ClientNetwork, Credentials, checks_max};
#[doc(hidden)] // For the bench that measures them.
pub use compress::{MadeCoding, PIECE_BYTES as COMPRESSED_PIECE_BYTES};
pub use compressor::Compressor;
pub use cors::{Cors, Origin};
pub use file_chunk::FileChunk;
#[cfg(feature = "tls")]
pub(crate) use file_version::FileVersion;
pub use health::HealthPath;
pub use hidden::{HiddenPaths, HidePattern};
pub use listing::Listings;
pub use memory_budget::{MemoryBudget, MemoryShare};
pub use open_file::File;
pub use open_files::OpenFiles;
#[doc(hidden)] // For the fuzz targets, which compare it with a second implementation.
pub use path::SitePath;
pub use path::{IndexName, IndexNames, is_hidden_file};
pub use policy::{Compress, ErrorPages, Policy};
pub(crate) use private_file::PrivateFiles;
#[cfg(feature = "tls")]
pub(crate) use private_file::{PrivateFile, private_file_version};
pub use redirects::RedirectRule;
pub use root::{Root, default_directory};
pub use route_prefix::RoutePrefix;
pub use rules::{CacheRule, ErrorPageRule, HeaderRule, MediaTypeRule};
pub use sample::sample_files;
pub use served_files::{ServedFiles, resolve as resolve_file};
pub use server_names::ServerName;

/// The port that a URL with `https` need not name.
pub(crate) const HTTPS_PORT: u16 = 443;

const ALLOWED_METHODS: &str = "GET, HEAD, OPTIONS";

/// The site of one worker.
#[derive(Debug)]
pub struct Site {
    policy: Arc<Policy>,
    files: Files,
    /// The responses of this turn.
    turn_responses: u32,
}

/// Where files are opened and read.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a worker has only one of them")]
enum Files {
    /// On the thread that calls [`Site::respond`].
    Inline(FileResponder),
    /// In the offload pool.
    Offloaded(Arc<OffloadedSite>),
}

/// The part of a site that a connection may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// All of it.
    Site,
    /// It has no TLS, and its port requires it.
    HttpsRequired,
    /// It has no TLS, and is redirected to this port.
    HttpsRedirect {
        /// The port for HTTPS.
        port: u16,
    },
}

/// What a worker holds: its site, or with `--handicap` the same site made slower.
#[derive(Debug)]
pub enum WorkerSite {
    /// The site.
    Plain(Site),
    /// The site with the handicap.
    Delayed(Delayed<Site>),
}

impl Site {
    /// The site beneath `root`, which caches files within `cache`, for a thread that delays no
    /// other client.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache: MemoryShare,
    ) -> Site {
        Site::inline(root, policy, stats, cache, Asking::ClientThread)
    }

    /// The same, for an event loop with an offload pool: if `root` is on a slow file system,
    /// requests for files become work for the pool.
    pub fn with_offload(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache: MemoryShare,
    ) -> Site {
        if !root.is_slow() {
            return Site::inline(root, policy, stats, cache, Asking::EventLoop);
        }
        let files = OffloadedSite::new(root, policy.clone(), stats, cache);
        Site { policy, files: Files::Offloaded(Arc::new(files)), turn_responses: 0 }
    }

    fn inline(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache: MemoryShare,
        asking: Asking,
    ) -> Site {
        let files = FileResponder::new(root, policy.clone(), stats, cache, asking);
        Site { policy, files: Files::Inline(files), turn_responses: 0 }
    }

    /// Whether files must be opened and read in the offload pool.
    pub fn is_offloaded(&self) -> bool {
        matches!(self.files, Files::Offloaded(_))
    }

    fn begin_turn(&mut self) {
        self.turn_responses = 0;
        if let Files::Inline(files) = &mut self.files {
            files.begin_turn();
        }
    }

    fn is_turn_over(&self) -> bool {
        /// A turn of this many responses from the cache takes longer than one that sends the most
        /// bytes in one response, but not much.
        const RESPONSES_MAX: u32 = 128;
        /// So does one with this many opens, or pieces of files that are read.
        const FILE_OPERATIONS_MAX: u32 = 24;
        let file_operations = match &self.files {
            Files::Inline(files) => files.turn_operations(),
            // A connection waits for each response that the pool makes.
            Files::Offloaded(_) => 0,
        };
        self.turn_responses >= RESPONSES_MAX || file_operations >= FILE_OPERATIONS_MAX
    }

    /// The site for a worker, slowed down by `handicap` per request.
    pub fn with_handicap(self, handicap: Duration) -> WorkerSite {
        match handicap.is_zero() {
            true => WorkerSite::Plain(self),
            false => WorkerSite::Delayed(Delayed::new(self, handicap)),
        }
    }

    /// Replies to a well-formed request of `client`.
    fn respond_to(
        &mut self,
        client: ClientNetwork,
        request: &Request<'_>,
        now: &Now,
    ) -> Reply<File> {
        self.turn_responses += 1;
        if let Some(health) = &self.policy.health
            && health.is_asked_by(request)
        {
            return Reply::Ready(health.response());
        }
        if self.is_misdirected(request) {
            return Reply::Ready(self.misdirected());
        }
        match &self.policy.cors {
            Cors::Off | Cors::AllOrigins => self.respond_to_host(client, request, now),
            Cors::Origins(_) => self.respond_to_origin(client, request, now),
        }
    }

    /// Replies like [`Site::respond_to_host`], with the headers for the origin of the request. Not
    /// inlined, because most sites have no list of origins, and a reply is expensive to move.
    #[cold]
    #[inline(never)]
    fn respond_to_origin(
        &mut self,
        client: ClientNetwork,
        request: &Request<'_>,
        now: &Now,
    ) -> Reply<File> {
        let headers = self.policy.cors.headers_for(request);
        let reply = self.respond_to_host(client, request, now);
        let headers = headers.into_iter().flatten();
        headers.fold(reply, |reply, (name, value)| reply.with_header(name, value))
    }

    /// Replies to a request for a host that the site is served for. Inlined, because a call would
    /// cost 1 % of the instructions of each request.
    #[inline(always)]
    fn respond_to_host(
        &mut self,
        client: ClientNetwork,
        request: &Request<'_>,
        now: &Now,
    ) -> Reply<File> {
        if let Some(authenticator) = &self.policy.authenticator
            && let Some(reply) = self.authenticate(authenticator, client, request, now)
        {
            return reply;
        }
        if !self.policy.redirects.is_empty()
            && let Some(reply) = self.redirect(request)
        {
            return reply;
        }
        match request.method {
            Method::Get | Method::Head => self.respond_with_file(request, now),
            Method::Options => Reply::Ready(self.options(request)),
            _ => Reply::Ready(self.method_not_allowed(request)),
        }
    }

    #[inline(always)]
    fn respond_with_file(&mut self, request: &Request<'_>, now: &Now) -> Reply<File> {
        match &mut self.files {
            Files::Inline(files) => files.respond(request, now),
            Files::Offloaded(files) => {
                let error_headers =
                    self.policy.error_lines(self.policy.valid_path(request).as_ref());
                Reply::Deferred(files.defer(error_headers, request, now))
            }
        }
    }

    /// None if the request may be answered. Not inlined, because most sites need no password.
    #[inline(never)]
    fn authenticate(
        &self,
        authenticator: &Arc<Authenticator>,
        client: ClientNetwork,
        request: &Request<'_>,
        now: &Now,
    ) -> Option<Reply<File>> {
        if self.policy.cors.grants_preflight(request) {
            return None;
        }
        let check = match authenticator.access(client, request, now) {
            Access::Granted => return None,
            Access::Denied(denial) => {
                let response = denial.response();
                let response =
                    self.policy.apply_to(response, self.policy.valid_path(request).as_ref());
                return Some(Reply::Ready(response));
            }
            Access::Unknown(check) => check,
        };
        let error_headers = self.policy.error_lines(self.policy.valid_path(request).as_ref());
        let denial_headers = error_headers.clone();
        let run = move || {
            let mut response = check.run()?.response();
            response.headers.push_lines(&denial_headers);
            Some(response)
        };
        Some(Reply::Deferred(Work::check(error_headers, run)))
    }

    /// The redirect of `--redirect`. It applies to every method but OPTIONS, which asks about this
    /// server. POST is included, because clients repeat it after a 307 or 308.
    #[inline(never)]
    fn redirect(&self, request: &Request<'_>) -> Option<Reply<File>> {
        if request.method == Method::Options {
            return None;
        }
        let (status, location, path) = self.policy.redirect(request)?;
        let mut response = error_response(status, "This page is at another address.");
        response.headers.push("Location", location);
        Some(Reply::Ready(self.policy.apply_to(response, Some(&path))))
    }

    /// Whether a request is for a host that the site is not served for.
    #[inline(always)]
    fn is_misdirected(&self, request: &Request<'_>) -> bool {
        !self.policy.server_names.is_empty()
            && !request.host().is_some_and(|host| self.policy.serves(host))
    }

    /// The response for another host (RFC 9110 section 15.5.20). It has no headers of the policy:
    /// with `--cors`, a page of that host could read it.
    #[cold]
    fn misdirected(&self) -> Response<File> {
        let reason = "This server does not serve the requested host.";
        let mut response = error_response(Status::MisdirectedRequest, reason);
        if let Cors::Origins(_) = &self.policy.cors {
            self.policy.cors.push_headers(&mut response.headers);
        }
        response
    }

    fn method_not_allowed(&self, request: &Request<'_>) -> Response<File> {
        let mut response =
            error_response(Status::MethodNotAllowed, "This server only reads: GET and HEAD.");
        response.headers.push("Allow", ALLOWED_METHODS);
        self.policy.apply_to(response, self.policy.valid_path(request).as_ref())
    }

    /// OPTIONS of a path or of `*` (RFC 9110 section 9.3.7), or a preflight.
    fn options(&self, request: &Request<'_>) -> Response<File> {
        let mut headers = HeaderBlock::default();
        headers.push("Allow", ALLOWED_METHODS);
        if self.policy.cors.grants_preflight(request) {
            headers.push("Access-Control-Allow-Methods", ALLOWED_METHODS);
            // The wildcard does not include Authorization (Fetch standard, section 3.3.3).
            headers.push("Access-Control-Allow-Headers", "*, Authorization");
            headers.push("Access-Control-Max-Age", "86400");
        }
        let response = Response { status: Status::NoContent, headers, body: Body::Empty };
        self.policy.apply_to(response, self.policy.valid_path(request).as_ref())
    }
}

/// For callers that do not know where a request comes from.
impl Respond for Site {
    type File = File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<File> {
        self.respond_to(ClientNetwork::Unknown, request, now)
    }

    fn refuse(&self, error: RequestError) -> Response<File> {
        self.policy.apply_to(error.response(), None)
    }
}

impl WorkerSite {
    /// See [`Site::is_offloaded`].
    pub fn is_offloaded(&self) -> bool {
        self.inner().is_offloaded()
    }

    fn inner(&self) -> &Site {
        match self {
            WorkerSite::Plain(site) => site,
            WorkerSite::Delayed(delayed) => delayed.inner(),
        }
    }

    /// Call it at the start of a client's turn.
    pub fn begin_turn(&mut self) {
        match self {
            WorkerSite::Plain(site) => site.begin_turn(),
            WorkerSite::Delayed(delayed) => delayed.inner_mut().begin_turn(),
        }
    }

    /// Whether the responses since then have cost as much as one turn may cost.
    pub fn is_turn_over(&self) -> bool {
        self.inner().is_turn_over()
    }

    /// The site for the requests of `client`, except those that a trusted proxy forwards.
    pub fn for_client(&mut self, client: ClientNetwork, service: Service) -> ClientSite<'_> {
        ClientSite { site: self, client, service }
    }
}

/// A worker's site, as one client sees it.
#[derive(Debug)]
pub struct ClientSite<'a> {
    site: &'a mut WorkerSite,
    client: ClientNetwork,
    service: Service,
}

impl Respond for ClientSite<'_> {
    type File = File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<File> {
        let site = match self.site {
            WorkerSite::Plain(site) => site,
            WorkerSite::Delayed(delayed) => delayed.wait(),
        };
        if self.service != Service::Site {
            return site.respond_without_tls(self.service, request, now);
        }
        let client = request.forwarded_for.map_or(self.client, ClientNetwork::from);
        site.respond_to(client, request, now)
    }

    fn is_turn_over(&self) -> bool {
        self.site.is_turn_over()
    }

    fn is_recorded(&self, request: &Request<'_>) -> bool {
        let health = self.site.inner().policy.health.as_ref();
        !health.is_some_and(|health| health.is_asked_by(request))
    }

    fn refuse(&self, error: RequestError) -> Response<File> {
        self.site.inner().refuse(error)
    }
}
