//! The large directories that are to be listed, the requests that wait for them, and the pages that
//! are kept for reuse.
//!
//! Invariant: a directory is in `waiting` while it is queued or being built.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::options::ListingOptions;
use super::page::Page;
use super::request::ListingRequest;
use crate::http::{ReplySender, Status};
use crate::site::directory_root::OpenDirectory;
use crate::site::open_file::File;
use crate::site::path::SitePath;
use crate::site::waiting::{self, WaitingReply};

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The requests for each directory, by path.
    pub(super) waiting: HashMap<Box<[u8]>, Waiting>,
    /// The paths that are to be read next.
    pub(super) directories: VecDeque<SitePath<'static>>,
    pub(super) fresh_pages: Vec<FreshPage>,
    pub(super) builders: usize,
    pub(super) idle_builders: usize,
}

/// The requests for one directory.
pub(super) struct Waiting {
    /// As the latest request found it: another directory may have been moved to the path.
    pub(super) directory: Arc<OpenDirectory>,
    pub(super) requests: Vec<(Instant, ListingRequest)>,
}

/// A page that is kept for reuse.
#[derive(Debug)]
pub(super) struct FreshPage {
    pub(super) path: SitePath<'static>,
    pub(super) options: ListingOptions,
    pub(super) page: Page,
    pub(super) until: Instant,
}

impl Queue {
    pub(super) fn knows(&self, path: &SitePath<'_>) -> bool {
        self.waiting.contains_key(&*path.relative)
            || self.fresh_pages.iter().any(|fresh| fresh.path == *path)
    }

    pub(super) fn fresh_page(
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

    pub(super) fn take_stale_pages(&mut self, now: Instant) -> Vec<FreshPage> {
        self.fresh_pages.extract_if(.., |page| page.until <= now).collect()
    }

    /// The directory at `path`, unless every client that requested it has disconnected.
    pub(super) fn wanted_directory(&mut self, path: &SitePath<'_>) -> Option<Arc<OpenDirectory>> {
        let waiting = self.waiting.get_mut(&*path.relative)?;
        waiting::remove_closed(&mut waiting.requests);
        if waiting.requests.is_empty() {
            self.waiting.remove(&*path.relative);
            return None;
        }
        Some(waiting.directory.clone())
    }

    /// The options of the next page of a directory that was read. The read is fresh enough for
    /// requests that arrived before `until`; for later ones the directory is queued again.
    pub(super) fn next_options(
        &mut self,
        path: &SitePath<'static>,
        until: Instant,
    ) -> Option<ListingOptions> {
        self.wanted_directory(path)?;
        let waiting = self.waiting.get(&*path.relative)?;
        let next = waiting.requests.iter().find(|(asked_at, _)| *asked_at < until);
        let options = next.map(|(_, request)| request.options);
        if options.is_none() {
            self.directories.push_back(path.clone());
        }
        options
    }

    /// Whether another directory is queued. Then the one at `path` is queued behind it, so that the
    /// other one waits for one page of this directory, not for a page with each set of options.
    pub(super) fn yield_to_others(&mut self, path: &SitePath<'static>) -> bool {
        let others_wait = !self.directories.is_empty();
        if others_wait {
            self.directories.push_back(path.clone());
        }
        others_wait
    }

    /// Keeps a page for reuse, and returns the requests that wait for it.
    pub(super) fn add_page(&mut self, fresh: FreshPage) -> Vec<ListingRequest> {
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
    pub(super) fn push(
        &mut self,
        directory: Arc<OpenDirectory>,
        now: Instant,
        request: ListingRequest,
    ) {
        self.directory = directory;
        waiting::add(&mut self.requests, (now, request));
    }

    pub(super) fn refuse(self, status: Status) {
        self.requests.into_iter().for_each(|(_, request)| request.finish(Err(status)));
    }
}

impl WaitingReply for (Instant, ListingRequest) {
    fn reply(&self) -> &ReplySender<File> {
        &self.1.reply
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}
