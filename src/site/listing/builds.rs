//! Requests for listings, and the builders: the threads that make the pages of large directories.
//!
//! Invariants:
//! 1. A directory is in `waiting` while it is queued or being built. So one builder at a time reads
//!    it, and the other builders are free for other directories.
//! 2. At most [`BUILDERS_MAX`] builders, and at most one per core. A request that waits occupies no
//!    thread of an event loop or its pool.
//! 3. A request gets a page whose directory was read at most [`FRESH`] before it arrived.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::build_locks::BuildLocks;
use super::entries::Listing;
use super::options::ListingOptions;
use super::page::{Page, PageWriter, page_bytes_max};
use super::page_memory::{NUMBERS, PageMemory};
use super::queue::{FreshPage, Queue, Waiting};
use super::render::{render, small_page};
use super::request::ListingRequest;
use crate::http::Status;
use crate::site::directory_root::OpenDirectory;
use crate::site::errors::status_of_read;
use crate::site::memory_budget::MemoryBudget;
use crate::site::panic_trigger::panic_if_requested;
use crate::site::path::SitePath;
use crate::site::shared_file::SharedFile;
use crate::sync::{lock, wait_timeout};

/// Further names are not read, and the page says so.
const NAMES_MAX: usize = 100_000;
/// The most bytes of all pages on the heap. While clients hold that much, further pages are made in
/// files, whose memory can be reclaimed.
const SMALL_PAGES_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Each builder may hold [`NAMES_MAX`] names, about 20 MB.
const BUILDERS_MAX: usize = 4;
/// How long a page is reused: as long as a file in the cache.
const FRESH: Duration = Duration::from_millis(900);

/// The listings of a site.
#[derive(Debug)]
pub struct Listings {
    queue: Mutex<Queue>,
    directory_queued: Condvar,
    builders_max: usize,
    small_pages: MemoryBudget,
    /// None if the system has refused an anonymous file: then large directories get a 503.
    bounds: Option<Bounds>,
}

/// What bounds the builds of all processes of the server.
#[derive(Debug)]
struct Bounds {
    build_locks: BuildLocks,
    page_memory: Arc<PageMemory>,
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
        let (queue, directory_queued) = (Mutex::default(), Condvar::new());
        Arc::new(Listings { queue, directory_queued, builders_max, small_pages, bounds })
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
            drop(directory);
            return request.finish_without_page(readable);
        }
        // A directory that is known to be large is read by a builder only.
        let is_large = lock(&self.queue).knows(&path);
        let page = match is_large {
            true => Ok(None),
            false => small_page(&directory, &path, request.options, &self.small_pages),
        };
        match page.transpose() {
            Some(page) => {
                // Close the directory before the client can send another request.
                drop(directory);
                request.finish(page);
            }
            None => self.enqueue(Arc::new(directory), path, request),
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        directory: Arc<OpenDirectory>,
        path: SitePath<'static>,
        request: ListingRequest,
    ) {
        let now = Instant::now();
        let mut queue = lock(&self.queue);
        if let Some(page) = queue.fresh_page(&path, request.options, now) {
            drop(queue);
            return request.finish(Ok(page));
        }
        if let Some(waiting) = queue.waiting.get_mut(&*path.relative) {
            return waiting.push(directory, now, request);
        }
        let waiting = Waiting { directory, requests: vec![(now, request)] };
        queue.waiting.insert((&*path.relative).into(), waiting);
        queue.directories.push_back(path);
        if queue.directories.len() > queue.idle_builders && queue.builders < self.builders_max {
            let listings = self.clone();
            if std::thread::Builder::new().spawn(move || listings.run_builder()).is_ok() {
                queue.builders += 1;
            } else if queue.builders == 0 {
                // Without a builder, this was the only directory in the queue.
                queue.directories.clear();
                let refused = std::mem::take(&mut queue.waiting);
                drop(queue);
                return refused.into_values().for_each(|w| w.refuse(Status::ServiceUnavailable));
            }
        }
        self.directory_queued.notify_one();
    }

    /// Builds the queued directories. Ends when the queue is empty and no page is kept for reuse,
    /// so that an idle server keeps neither threads nor pages.
    fn run_builder(&self) {
        let mut queue = lock(&self.queue);
        loop {
            let stale = queue.take_stale_pages(Instant::now());
            if let Some(path) = queue.directories.pop_front() {
                // Freeing pages takes time, too.
                drop((queue, stale));
                self.build_directory(&path);
                queue = lock(&self.queue);
            } else if !stale.is_empty() {
                drop((queue, stale));
                queue = lock(&self.queue);
            } else if let Some(until) = queue.fresh_pages.iter().map(|page| page.until).min() {
                let left = until.saturating_duration_since(Instant::now());
                queue.idle_builders += 1;
                queue = wait_timeout(&self.directory_queued, queue, left);
                queue.idle_builders -= 1;
            } else {
                queue.builders -= 1;
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
        let refused = lock(&self.queue).waiting.remove(&*path.relative);
        refused.into_iter().for_each(|waiting| waiting.refuse(failure));
    }

    fn build_pages(&self, path: &SitePath<'static>) -> Result<(), Status> {
        let Some(directory) = lock(&self.queue).wanted_directory(path) else { return Ok(()) };
        let Some(bounds) = &self.bounds else { return Err(Status::ServiceUnavailable) };
        let _build_locks = bounds.build_locks.acquire(&path.relative).map_err(no_memory)?;
        panic_if_requested(b"build of a listing");
        let until = Instant::now() + FRESH;
        let mut listing = Listing::read(&directory, path, NAMES_MAX).map_err(status_of_read)?;
        drop(directory);
        loop {
            let Some(options) = lock(&self.queue).next_options(path, until) else { return Ok(()) };
            let page = bounds.build_page(path, &mut listing, options)?;
            let fresh_page = FreshPage { path: path.clone(), options, page: page.clone(), until };
            let requests = lock(&self.queue).add_page(fresh_page);
            requests.into_iter().for_each(|request| request.finish(Ok(page.clone())));
            if lock(&self.queue).yield_to_others(path) {
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
        assert_eq!(lock(&listings.queue).fresh_pages.len(), 2);
    }
}
