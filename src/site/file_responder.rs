//! The response to a GET or HEAD: a file, a listing, a redirect or an error.
//!
//! ```text
//!   target → path → file → coding → preconditions → range → 200, 206, 304, 412, 416
//!              │      ├──> another address ───────────────> 301
//!              │      └──> nothing ──> listing, fallback page, 404 page
//!              └─────────> malformed ──────────────────────> 400
//! ```

use std::sync::Arc;

use super::cache::{FileCache, Preferred};
use super::compressor::{CompressionKey, WaitingRequest};
use super::content_hash::Asking;
use super::destination::{self, DIRECTORY_ADDRESS, Destination};
use super::directory_root::OpenDirectory;
use super::error_response;
use super::errors::reason;
use super::file_response::{self, check_preconditions};
use super::file_version::FileVersion;
use super::listing::{ListingOptions, ListingRequest, Listings};
use super::loaded_file::LoadedFile;
use super::loader::{Loader, Lookup};
use super::memory_budget::MemoryShare;
use super::open_file::File;
use super::panic_trigger::panic_if_requested;
use super::path::{SitePath, escape_query};
use super::policy::Policy;
use super::ranges;
use super::representation::Representation;
use super::root::Root;
use super::route_prefix::{PathError, RoutePrefix};
use crate::http::{
    self, AcceptEncoding, Now, OwnedRequest, Reply, Request, Response, Status, Target, Validators,
    Work, evaluate_preconditions,
};
use crate::syscall_stats::SyscallStats;

/// Responds to requests for files, with one cache.
#[derive(Debug)]
pub struct FileResponder {
    cache: FileCache,
    policy: Arc<Policy>,
    asking: Asking,
    /// The path that every request is for, if the root is a file.
    only_path: Option<SitePath<'static>>,
}

impl FileResponder {
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache: MemoryShare,
        asking: Asking,
    ) -> FileResponder {
        let only_path = root.only_path();
        let loader = Arc::new(Loader::new(root, policy.clone(), stats));
        let cache = FileCache::new(loader, policy.compressor.clone(), cache);
        FileResponder { cache, policy, asking, only_path }
    }

    /// Call it at the start of a client's turn.
    pub fn begin_turn(&mut self) {
        self.cache.turn_operations = 0;
    }

    /// The number of operations on files in this turn.
    pub fn turn_operations(&self) -> u32 {
        self.cache.turn_operations
    }

    /// Responds to a GET or HEAD request.
    pub fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<File> {
        let Target::Path { path: target, query } = request.target else {
            unreachable!("the target of a GET or HEAD request is a path");
        };
        panic_if_requested(target);
        let mut path = match self.policy.parse_path(target) {
            Ok(path) => path,
            Err(error) => return Reply::Ready(self.no_path(error, query)),
        };
        if let Some(only_path) = &self.only_path {
            path = only_path.clone();
        }
        match destination::find(&mut self.cache, &self.policy, &mut path, now) {
            Destination::File(file) => match self.send_file(request, &path, &file, now) {
                Ok(reply) => reply,
                Err(status) => Reply::Ready(self.error(status, &path, now)),
            },
            Destination::Redirect { location, reason } => {
                Reply::Ready(self.redirect(location, reason, Some(&path), query))
            }
            Destination::NotFound(Status::NotFound) => {
                let open =
                    |listings: &Arc<Listings>| (listings.clone(), self.cache.open_directory(&path));
                match self.policy.listings.as_ref().map(open) {
                    Some((listings, Ok(directory))) => {
                        self.list(request, listings, directory, path, query, now)
                    }
                    None | Some((_, Err(Status::NotFound))) => self.not_found(request, &path, now),
                    Some((_, Err(status))) => Reply::Ready(self.error(status, &path, now)),
                }
            }
            Destination::NotFound(status) => Reply::Ready(self.error(status, &path, now)),
        }
    }

    /// The response to a target that is not a path beneath the root.
    #[cold]
    fn no_path(&self, error: PathError, query: Option<&[u8]>) -> Response<File> {
        let response = match error {
            PathError::Malformed(reason) => http::error_response(Status::BadRequest, reason),
            PathError::OutsidePrefix => {
                http::error_response(Status::NotFound, reason(Status::NotFound))
            }
            PathError::Prefix => {
                let prefix = self.policy.route_prefix.map_or("", RoutePrefix::as_target);
                return self.redirect(format!("{prefix}/"), DIRECTORY_ADDRESS, None, query);
            }
        };
        self.policy.apply_to(response, None)
    }

    /// A 200, 206, 304, 412 or 416.
    ///
    /// Most responses send the file as it is. The functions on that path are inlined, because each
    /// return would copy the response, some 100 bytes.
    #[inline(always)]
    fn send_file(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        file: &LoadedFile,
        now: &Now,
    ) -> Result<Reply<File>, Status> {
        match file.has_choice() && request.headers.might_contain("accept-encoding") {
            true => self.send_preferred(request, path, file, now),
            false => self.send_representation(request, path, &file.identity, now),
        }
    }

    /// Sends the representation of `file` that the client prefers. Not inlined, so that a response
    /// without a choice stays short.
    #[inline(never)]
    fn send_preferred(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        file: &LoadedFile,
        now: &Now,
    ) -> Result<Reply<File>, Status> {
        match self.cache.choose(path, file, &AcceptEncoding::parse(request.headers)) {
            Preferred::Made(representation) => {
                self.send_representation(request, path, &representation, now)
            }
            Preferred::Compress(key) => Ok(self.compress(request, path, file, key, now)),
        }
    }

    #[inline(always)]
    fn send_representation(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        representation: &Arc<Representation>,
        now: &Now,
    ) -> Result<Reply<File>, Status> {
        let hashed;
        let representation = match representation.version_to_hash() {
            Some(version) => {
                hashed = self.hash(path, representation.clone(), version, now);
                &hashed
            }
            None => representation,
        };
        if let Some(response) = check_preconditions(request, representation, path, &self.policy) {
            return Ok(Reply::Ready(response));
        }
        let selected = ranges::select(request, representation);
        match self.cache.content(path, representation, &selected) {
            Ok(content) => Ok(Reply::Ready(file_response::send(
                selected,
                representation,
                &content,
                path,
                &self.policy,
            ))),
            Err(Status::NotFound) => self.send_changed_file(request, path, representation, now),
            Err(status) => Err(status),
        }
    }

    /// Sends the file that was found changed when `representation` was to be sent, which has
    /// evicted its entry.
    #[cold]
    fn send_changed_file(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        representation: &Arc<Representation>,
        now: &Now,
    ) -> Result<Reply<File>, Status> {
        match self.cache.look_up(path, now) {
            Lookup::File(file) if !Arc::ptr_eq(representation, &file.identity) => {
                self.send_file(request, path, &file, now)
            }
            _ => Err(Status::NotFound),
        }
    }

    /// Waits until `file` is compressed.
    #[cold]
    fn compress(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        file: &LoadedFile,
        key: CompressionKey,
        now: &Now,
    ) -> Reply<File> {
        let loader = self.cache.loader().clone();
        let make = loader.compression(path, &file.identity, key.coding);
        let size_bytes = file.identity.size_bytes;
        let error_headers = self.policy.error_lines(Some(path));
        let (policy, path) = (self.policy.clone(), path.clone().into_owned());
        let (request, now) = (OwnedRequest::from(request), *now);
        let compressor = policy.compressor.clone();
        let respond = move |compressed: Option<Arc<Representation>>| {
            request.with(|request| {
                let response = match &compressed {
                    Some(made) => {
                        file_response::open_and_send(request, &loader, made, &path, &policy)
                    }
                    None => file_response::load_and_send(request, &loader, &path, &policy, &now),
                };
                response.unwrap_or_else(|status| {
                    file_response::error(&loader, &policy, status, &path, &now)
                })
            })
        };
        Reply::Deferred(Work::new(error_headers, move |reply| {
            let request = WaitingRequest { reply, respond: Box::new(respond) };
            compressor.request(key, size_bytes, make, request);
        }))
    }

    /// Hashes the large file that `representation` sends as it is, and returns the representation
    /// with that hash as its ETag. If the hash is not known yet, that has none.
    #[cold]
    fn hash(
        &mut self,
        path: &SitePath<'_>,
        representation: Arc<Representation>,
        version: FileVersion,
        now: &Now,
    ) -> Arc<Representation> {
        if !self.cache.hash(path, &representation, &version, self.asking) {
            return representation;
        }
        match self.cache.look_up(path, now) {
            Lookup::File(hashed) => hashed.in_coding(representation.coding).clone(),
            Lookup::Directory | Lookup::NotFound(_) => representation,
        }
    }

    /// Lists a directory that has no index page. A directory may hold tens of thousands of names,
    /// so the listing is deferred.
    fn list(
        &self,
        request: &Request<'_>,
        listings: Arc<Listings>,
        directory: OpenDirectory,
        path: SitePath<'_>,
        query: Option<&[u8]>,
        now: &Now,
    ) -> Reply<File> {
        let options = ListingOptions::parse(request, query);
        // A listing has no validators, because nothing cheaper than reading all of the directory
        // shows that it is unchanged.
        let preconditions = evaluate_preconditions(request.headers, Validators::default());
        let policy_lines = self.policy.header_lines(&path);
        let error_headers = self.policy.error_lines(Some(&path));
        let (path, policy) = (path.into_owned(), self.policy.clone());
        let (loader, now) = (self.cache.loader().clone(), *now);
        Reply::Deferred(Work::new(error_headers, move |reply| {
            let failed_path = path.clone();
            let failure = Box::new(move |status| {
                file_response::error(&loader, &policy, status, &failed_path, &now)
            });
            let request = ListingRequest { options, preconditions, policy_lines, failure, reply };
            listings.list(directory, path, request);
        }))
    }

    /// The Location names no host (RFC 9110 section 10.2.2): the client may know this server by any
    /// name. As the method is GET or HEAD, a 308 would mean the same as the 301, which every client
    /// and proxy knows.
    fn redirect(
        &self,
        mut location: String,
        reason: &str,
        path: Option<&SitePath<'_>>,
        query: Option<&[u8]>,
    ) -> Response<File> {
        if let Some(query) = query {
            location.push('?');
            location.push_str(&escape_query(query));
        }
        let mut response = http::error_response(Status::MovedPermanently, reason);
        response.headers.push("Location", location);
        self.policy.apply_to(response, path)
    }

    /// Nothing is at `path`: the fallback page for a navigation, else a 404.
    fn not_found(&mut self, request: &Request<'_>, path: &SitePath<'_>, now: &Now) -> Reply<File> {
        let depends_on_accept = self.policy.fallback.is_some() && is_page(path);
        let reply = match self.fallback(request, path, now) {
            Some(reply) => reply,
            None => Reply::Ready(self.error(Status::NotFound, path, now)),
        };
        match depends_on_accept {
            true => reply.with_header("Vary", "Accept"),
            false => reply,
        }
    }

    /// The page of a single-page app, for a navigation: a request that accepts `text/html`, for the
    /// path of a page. A script or an image that is missing stays a 404.
    fn fallback(
        &mut self,
        request: &Request<'_>,
        path: &SitePath<'_>,
        now: &Now,
    ) -> Option<Reply<File>> {
        let is_navigation = |_: &_| is_page(path) && request.headers.accepts("text/html");
        let fallback = self.policy.fallback.clone().filter(is_navigation)?;
        let page = SitePath::to_file(&fallback);
        let status = match self.cache.look_up(&page, now) {
            Lookup::File(file) => match self.send_file(request, &page, &file, now) {
                Ok(reply) => return Some(reply),
                Err(status) => status,
            },
            Lookup::NotFound(status) => status,
            Lookup::Directory => return None,
        };
        // A page that can't be read now is a 5xx: a 404 would say that it does not exist.
        status.is_server_error().then(|| Reply::Ready(self.error(status, path, now)))
    }

    /// The response to a failure, with the site's own error page or the built-in one.
    fn error(&mut self, status: Status, path: &SitePath<'_>, now: &Now) -> Response<File> {
        let own_page = self.policy.error_page(status).and_then(|page| {
            let page = SitePath::to_file(page);
            let Lookup::File(file) = self.cache.look_up(&page, now) else { return None };
            let open = |version: &FileVersion| self.cache.open(&page, &file.identity, version).ok();
            file_response::error_page(status, &file.identity, open)
        });
        let response = own_page.unwrap_or_else(|| {
            let is_bare_directory = status == Status::NotFound
                && self.policy.suggests_listings
                && self.cache.open_directory(path).is_ok();
            match is_bare_directory {
                true => error_response::no_index_page(path),
                false => error_response::failure(status, path),
            }
        });
        self.policy.apply_to(response, Some(path))
    }
}

/// Whether `path` may be the address of a page: it has no extension, or that of a page. A path that
/// `--hide` hides may be one, so that its response does not differ from that of a missing path.
fn is_page(path: &SitePath<'_>) -> bool {
    let name = path.file_name();
    let is_named_like_page = !name.contains(&b'.') || name.ends_with(b".html");
    (path.is_directory || is_named_like_page) && !(path.is_hidden && path.has_hidden_name())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bytes::Bytes;

    use super::*;
    use crate::http::{Body, HeaderStorage, Limits, Moment};
    use crate::site::memory_budget::MemoryBudget;
    use crate::syscall_stats::Call;

    /// The body of the response to a browser, which accepts gzip.
    fn body(responder: &mut FileResponder, path: &str) -> Bytes {
        // Later than any write of a test, so that no file may still be changing.
        let later = SystemTime::now() + Duration::from_secs(3600);
        let now = Now::new(Moment::default(), later);
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        let mut storage = HeaderStorage::default();
        let request = Request::parse(head.as_bytes(), &mut storage, &Limits::default())
            .expect("a valid request");
        match responder.respond(&request, &now).wait().body {
            Body::Bytes(bytes) => bytes,
            _ => panic!("it is sent from memory"),
        }
    }

    #[test]
    fn workers_share_a_compressed_file_even_if_they_cache_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let page = |bytes: usize| "<p>much of the same</p>".repeat(bytes / 23 + 1);
        for (name, bytes) in [("small.html", 10_000), ("large.html", 1_000_000)] {
            std::fs::write(directory.path().join(name), page(bytes)).expect("it is writable");
        }
        let root = Arc::new(Root::open(directory.path()).expect("the directory exists"));
        let policy = Arc::new(Policy::default());
        let worker = || {
            let (root, policy) = (root.clone(), policy.clone());
            let no_cache = MemoryBudget::new(0).take_up_to(0);
            FileResponder::new(root, policy, Arc::default(), no_cache, Asking::ClientThread)
        };
        for path in ["/small.html", "/large.html"] {
            let first = body(&mut worker(), path);
            assert_eq!(body(&mut worker(), path).as_ptr(), first.as_ptr(), "{path}");
        }
    }

    #[test]
    fn a_root_that_is_a_file_is_read_and_compressed_once_for_all_paths() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("page.html");
        std::fs::write(&path, "<p>much of the same</p>".repeat(1000)).expect("it is writable");
        let root = Root::open(&path).expect("the file exists");
        let stats = Arc::new(SyscallStats::default());
        let mut responder = FileResponder::new(
            Arc::new(root),
            Arc::default(),
            stats.clone(),
            MemoryBudget::new(1 << 20).take_up_to(1 << 20),
            Asking::ClientThread,
        );
        let first = body(&mut responder, "/");
        let reads = stats.counters().made(Call::Read);
        // The same bytes in memory, not equal ones.
        assert!((0..100).all(|n| body(&mut responder, &format!("/{n}/page-{n}")).as_ptr() == first.as_ptr()));
        assert_eq!(stats.counters().made(Call::Read), reads);
    }
}
