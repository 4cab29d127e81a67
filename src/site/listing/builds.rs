//! The queue of large directories, and the threads that build their pages: the builders.
//!
//! Invariants:
//! 1. A directory is in `waiting` while it is queued or being built. So one builder at a time reads
//!    it, and the other builders are free for other directories.
//! 2. At most [`BUILDERS_MAX`] builders, and at most one per core. A request that waits occupies no
//!    thread of an event loop or its pool.
//! 3. A request gets a page whose directory was read at most [`FRESH`] before it arrived.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::build_locks::BuildLocks;
use super::entries::Listing;
use super::options::ListingOptions;
use super::page::{Page, PageWriter, page_bytes_max};
use super::page_memory::{NUMBERS, PageMemory};
use super::render::{render, small_page};
use super::request::ListingRequest;
use super::shared_file::SharedFile;
use crate::http::Status;
use crate::site::directory_root::OpenDirectory;
use crate::site::errors::status_of_read;
use crate::site::memory_budget::MemoryBudget;
use crate::site::panic_trigger::panic_if_requested;
use crate::site::path::SitePath;
use crate::sync::{lock, wait_timeout};

/// Further names are not read, and the page says so.
const NAMES_MAX: usize = 100_000;
/// The memory of the pages in memory. While clients hold it, further pages are made in files, from
/// which memory can be reclaimed.
const SMALL_PAGES_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Each builder may hold [`NAMES_MAX`] names, about 20 MB.
const BUILDERS_MAX: usize = 4;
/// How long a page is reused: as long as a file in the cache.
const FRESH: Duration = Duration::from_millis(900);

/// The listings of a site.
#[derive(Debug)]
pub struct Listings {
    state: Mutex<State>,
    directory_queued: Condvar,
    builders_max: usize,
    small_pages: MemoryBudget,
    /// None if the system has refused an anonymous file: then large directories are not listed.
    bounds: Option<Bounds>,
}

/// What bounds the builds of all processes of the server.
#[derive(Debug)]
struct Bounds {
    build_locks: BuildLocks,
    page_memory: Arc<PageMemory>,
}

#[derive(Debug, Default)]
struct State {
    /// The requests for each directory, by path.
    waiting: HashMap<Box<[u8]>, Waiting>,
    /// The paths that are to be read next.
    queue: VecDeque<SitePath<'static>>,
    fresh_pages: Vec<FreshPage>,
    builders: usize,
    idle_builders: usize,
}

/// The requests for one directory.
struct Waiting {
    /// As the latest request found it: another directory may have been moved to the path.
    directory: Arc<OpenDirectory>,
    requests: Vec<(Instant, ListingRequest)>,
}

/// A page that is kept for reuse.
#[derive(Debug)]
struct FreshPage {
    path: SitePath<'static>,
    options: ListingOptions,
    page: Page,
    until: Instant,
}

impl Listings {
    /// Call it before processes are forked: they share the bounds.
    pub fn new() -> Arc<Listings> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let builders_max = cores.min(BUILDERS_MAX);
        let bounds = SharedFile::new(NUMBERS).ok().map(|file| Bounds::new(file, builders_max));
        Listings::with_bounds(builders_max, SMALL_PAGES_BYTES_MAX, bounds)
    }

    fn with_bounds(
        builders_max: usize,
        small_pages_bytes_max: u64,
        bounds: Option<Bounds>,
    ) -> Arc<Listings> {
        let small_pages = MemoryBudget::new(small_pages_bytes_max);
        let (state, directory_queued) = (Mutex::default(), Condvar::new());
        Arc::new(Listings { state, directory_queued, builders_max, small_pages, bounds })
    }

    /// Answers `request` with the listing of `directory`, now or from another thread.
    pub fn list(
        self: &Arc<Self>,
        directory: OpenDirectory,
        path: SitePath<'static>,
        request: ListingRequest,
    ) {
        panic_if_requested(&path.relative);
        if request.needs_no_page() {
            let readable = Listing::read(&directory, &path, 0).map(drop).map_err(status_of_read);
            return request.finish_without_page(readable);
        }
        // A directory that is known to be large is read by a builder only.
        let is_large = lock(&self.state).knows(&path);
        let page = match is_large {
            true => Ok(None),
            false => small_page(&directory, &path, request.options, &self.small_pages),
        };
        match page {
            Ok(Some(page)) => request.finish(Ok(page)),
            Ok(None) => self.enqueue(Arc::new(directory), path, request),
            Err(status) => request.finish(Err(status)),
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        directory: Arc<OpenDirectory>,
        path: SitePath<'static>,
        request: ListingRequest,
    ) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if let Some(page) = state.fresh_page(&path, request.options, now) {
            drop(state);
            return request.finish(Ok(page));
        }
        if let Some(waiting) = state.waiting.get_mut(&*path.relative) {
            return waiting.push(directory, now, request);
        }
        let waiting = Waiting { directory, requests: vec![(now, request)] };
        state.waiting.insert((&*path.relative).into(), waiting);
        state.queue.push_back(path);
        if state.queue.len() > state.idle_builders && state.builders < self.builders_max {
            let listings = self.clone();
            if std::thread::Builder::new().spawn(move || listings.run_builder()).is_ok() {
                state.builders += 1;
            } else if state.builders == 0 {
                // Without a builder, this was the only directory in the queue.
                state.queue.clear();
                let refused = std::mem::take(&mut state.waiting);
                drop(state);
                return refused.into_values().for_each(|w| w.refuse(Status::ServiceUnavailable));
            }
        }
        self.directory_queued.notify_one();
    }

    /// Builds the queued directories. Ends when the queue is empty and no page is kept for reuse,
    /// so that an idle server keeps neither threads nor pages.
    fn run_builder(&self) {
        let mut state = lock(&self.state);
        loop {
            let stale = state.take_stale_pages(Instant::now());
            if let Some(path) = state.queue.pop_front() {
                // Freeing pages takes time, too.
                drop((state, stale));
                self.build_directory(&path);
                state = lock(&self.state);
            } else if !stale.is_empty() {
                drop((state, stale));
                state = lock(&self.state);
            } else if let Some(until) = state.fresh_pages.iter().map(|page| page.until).min() {
                let left = until.saturating_duration_since(Instant::now());
                state.idle_builders += 1;
                state = wait_timeout(&self.directory_queued, state, left);
                state.idle_builders -= 1;
            } else {
                state.builders -= 1;
                return;
            }
        }
    }

    /// Answers the requests that wait for the directory at `path`.
    fn build_directory(&self, path: &SitePath<'static>) {
        let built = catch_unwind(AssertUnwindSafe(|| self.build_pages(path)));
        let failure = match built {
            Ok(Ok(())) => return,
            Ok(Err(status)) => status,
            // A bug of ours, which the panic hook has reported.
            Err(_) => Status::InternalServerError,
        };
        let refused = lock(&self.state).waiting.remove(&*path.relative);
        refused.into_iter().for_each(|waiting| waiting.refuse(failure));
    }

    fn build_pages(&self, path: &SitePath<'static>) -> Result<(), Status> {
        let Some(directory) = lock(&self.state).wanted_directory(path) else { return Ok(()) };
        let Some(bounds) = &self.bounds else { return Err(Status::ServiceUnavailable) };
        let _build_locks = bounds.build_locks.acquire(&path.relative).map_err(no_memory)?;
        panic_if_requested(b"build of a listing");
        let until = Instant::now() + FRESH;
        let mut listing = Listing::read(&directory, path, NAMES_MAX).map_err(status_of_read)?;
        drop(directory);
        loop {
            let Some(options) = lock(&self.state).next_options(path, until) else { return Ok(()) };
            let page = bounds.build_page(path, &mut listing, options)?;
            let fresh_page = FreshPage { path: path.clone(), options, page: page.clone(), until };
            let requests = lock(&self.state).add_page(fresh_page);
            requests.into_iter().for_each(|request| request.finish(Ok(page.clone())));
            if lock(&self.state).yield_to_others(path) {
                return Ok(());
            }
        }
    }
}

impl Bounds {
    fn new(file: SharedFile, builders_max: usize) -> Bounds {
        let file = Arc::new(file);
        let page_memory = Arc::new(PageMemory::new(file.clone()));
        Bounds { build_locks: BuildLocks::new(file, builders_max), page_memory }
    }

    fn build_page(
        &self,
        path: &SitePath<'_>,
        listing: &mut Listing,
        options: ListingOptions,
    ) -> Result<Page, Status> {
        let bytes_max = page_bytes_max(path, listing);
        let reservation = self.page_memory.reserve(bytes_max).map_err(no_memory)?;
        let mut out = PageWriter::large().map_err(status_of_read)?;
        // Writing fails only if the system has no memory for the file.
        render(&mut out, path, listing, options).map_err(no_memory)?;
        let page = out.finish().map_err(no_memory)?;
        reservation.keep(&page);
        Ok(page)
    }
}

fn no_memory<E>(_: E) -> Status {
    Status::ServiceUnavailable
}

impl State {
    fn knows(&self, path: &SitePath<'_>) -> bool {
        self.waiting.contains_key(&*path.relative)
            || self.fresh_pages.iter().any(|fresh| fresh.path == *path)
    }

    fn fresh_page(
        &self,
        path: &SitePath<'_>,
        options: ListingOptions,
        now: Instant,
    ) -> Option<Page> {
        let is_match = |fresh: &&FreshPage| {
            now < fresh.until && fresh.options == options && fresh.path == *path
        };
        self.fresh_pages.iter().find(is_match).map(|fresh| fresh.page.clone())
    }

    fn take_stale_pages(&mut self, now: Instant) -> Vec<FreshPage> {
        self.fresh_pages.extract_if(.., |page| page.until <= now).collect()
    }

    /// The directory at `path`, unless every client that has asked for it is gone.
    fn wanted_directory(&mut self, path: &SitePath<'_>) -> Option<Arc<OpenDirectory>> {
        let waiting = self.waiting.get_mut(&*path.relative)?;
        waiting.forget_closed();
        if waiting.requests.is_empty() {
            self.waiting.remove(&*path.relative);
            return None;
        }
        Some(waiting.directory.clone())
    }

    /// The options of the next page of a directory that was read. The read counts for requests
    /// that arrived before `until`; for later ones the directory is queued again.
    fn next_options(&mut self, path: &SitePath<'static>, until: Instant) -> Option<ListingOptions> {
        self.wanted_directory(path)?;
        let waiting = self.waiting.get(&*path.relative)?;
        let next = waiting.requests.iter().find(|(asked_at, _)| *asked_at < until);
        let options = next.map(|(_, request)| request.options);
        if options.is_none() {
            self.queue.push_back(path.clone());
        }
        options
    }

    /// Whether another directory is queued. Then the one at `path` is queued behind it, so that the
    /// other one waits for one page of this directory, not for a page with each set of options.
    fn yield_to_others(&mut self, path: &SitePath<'static>) -> bool {
        let others_wait = !self.queue.is_empty();
        if others_wait {
            self.queue.push_back(path.clone());
        }
        others_wait
    }

    /// Keeps a page for reuse, and returns the requests that wait for it.
    fn add_page(&mut self, fresh: FreshPage) -> Vec<ListingRequest> {
        let is_match = |(asked_at, request): &mut (Instant, ListingRequest)| {
            *asked_at < fresh.until && request.options == fresh.options
        };
        let requests = match self.waiting.get_mut(&*fresh.path.relative) {
            Some(waiting) => {
                waiting.requests.extract_if(.., is_match).map(|(_, request)| request).collect()
            }
            None => Vec::new(),
        };
        self.fresh_pages.push(fresh);
        requests
    }
}

impl Waiting {
    fn push(&mut self, directory: Arc<OpenDirectory>, now: Instant, request: ListingRequest) {
        // Clients that send a request and disconnect do not make the list grow.
        if self.requests.len() == self.requests.capacity() {
            self.forget_closed();
        }
        self.directory = directory;
        self.requests.push((now, request));
    }

    fn forget_closed(&mut self) {
        self.requests.retain(|(_, request)| !request.reply.is_closed());
    }

    fn refuse(self, status: Status) {
        self.requests.into_iter().for_each(|(_, request)| request.finish(Err(status)));
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{PreconditionResult, Reply, Work, error_response};
    use crate::site::directory_root::DirectoryRoot;
    use crate::site::listing::options::{Column, Format, Order};
    use crate::syscall_stats::SyscallStats;

    /// The statuses of requests for targets of which `large` has 600 files and `small` three.
    fn statuses(listings: &Arc<Listings>, targets: &[&str]) -> Vec<Status> {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        for (name, files) in [("small", 3), ("large", 600)] {
            let directory = temporary.path().join(name);
            std::fs::create_dir(&directory).expect("it is writable");
            for n in 0..files {
                std::fs::write(directory.join(n.to_string()), "").expect("it is writable");
            }
        }
        let opened = std::fs::File::open(temporary.path()).expect("the directory exists");
        let root = DirectoryRoot::new(temporary.path(), opened.into()).expect("openat2 works");
        let request = |target: &&str| {
            let path = SitePath::parse(target.as_bytes()).expect("a valid path").into_owned();
            let directory = root.open_directory(&path, &SyscallStats::default());
            let directory = directory.expect("the directory exists");
            let listings = listings.clone();
            let work = Work::new(Default::default(), move |reply| {
                let request = ListingRequest {
                    options: ListingOptions {
                        format: Format::Html,
                        sort_by: Column::Name,
                        order: Order::Ascending,
                    },
                    preconditions: PreconditionResult::Proceed,
                    policy_lines: Default::default(),
                    failure: Box::new(|status| error_response(status, "")),
                    reply,
                };
                listings.list(directory, path, request);
            });
            Reply::Deferred(work).wait().status
        };
        targets.iter().map(request).collect()
    }

    #[test]
    fn without_an_anonymous_file_large_directories_are_refused_and_small_ones_listed() {
        let listings = Listings::with_bounds(1, SMALL_PAGES_BYTES_MAX, None);
        let (ok, refused) = (Status::Ok, Status::ServiceUnavailable);
        let targets = ["/small/", "/large/", "/large/", "/small/"];
        assert_eq!(statuses(&listings, &targets), [ok, refused, refused, ok]);
    }

    #[test]
    fn small_pages_that_exceed_their_budget_are_made_in_files() {
        let file = SharedFile::new(NUMBERS).expect("a descriptor is free");
        let listings = Listings::with_bounds(1, 10, Some(Bounds::new(file, 1)));
        assert_eq!(statuses(&listings, &["/small/", "/large/"]), [Status::Ok; 2]);
        assert_eq!(lock(&listings.state).fresh_pages.len(), 2);
    }
}
