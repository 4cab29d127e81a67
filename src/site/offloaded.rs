//! Answering where it may take its time, for roots that are slow to ask.
//!
//! A file system of this machine answers an open from memory, or from a disk in less time than a client notices. One that
//! lives in another program or on another machine may take seconds, and while it does a loop would serve nobody. So a
//! site on such a root answers no request itself: it hands each to a helper, which has a site of its own. What it answers with
//! may be a large file: that is read by a helper, too, an [`FileChunk`] at a time.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Site;
use super::policy::Policy;
use super::root::{self, Root};
use crate::http::{
    HeaderStorage, Limits, Now, Reply, Request, Respond, Response, Work, error_response,
};
use crate::syscall_stats::SyscallStats;

/// As many sites are kept, each with its memory. When more helpers are at work, theirs are made for one answer.
const IDLE_SITES_MAX: usize = 16;

/// Sites that helpers borrow.
#[derive(Debug)]
pub struct OffloadedSite {
    root: Arc<Root>,
    policy: Arc<Policy>,
    stats: Arc<SyscallStats>,
    idle_sites: Mutex<Vec<Site>>,
    /// Of each.
    cache_bytes_max: u64,
}

/// The next bytes of a file that is being sent.
#[derive(Debug)]
pub struct FileChunk {
    file: super::File,
    range: Range<u64>,
    stats: Arc<SyscallStats>,
}

impl FileChunk {
    /// The first of `range`: as much as is answered from memory at most.
    pub fn new(file: super::File, range: Range<u64>, stats: Arc<SyscallStats>) -> FileChunk {
        let end = range.end.min(range.start + super::cache::CONTENT_BYTES_MAX);
        FileChunk { file, range: range.start..end, stats }
    }

    /// Its bytes; fewer if the file has become shorter.
    pub fn read(&self) -> rustix::io::Result<Vec<u8>> {
        root::read(&self.file, &self.range, &self.stats)
    }
}

impl OffloadedSite {
    /// Sites beneath `root`, together with at most `cache_bytes_max` of it remembered.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache_bytes_max: u64,
    ) -> OffloadedSite {
        let cache_bytes_max = cache_bytes_max / IDLE_SITES_MAX as u64;
        OffloadedSite { root, policy, stats, idle_sites: Mutex::default(), cache_bytes_max }
    }

    /// The work on the answer to `request`.
    pub fn answer(self: &Arc<Self>, request: &Request<'_>, now: &Now) -> Work<super::File> {
        let (sites, head, now) = (self.clone(), request.head.bytes().to_vec(), *now);
        Box::new(move || sites.respond(&head, &now))
    }

    fn respond(&self, head: &[u8], now: &Now) -> Response<super::File> {
        // The lock is held for a push or a pop: there is no half of one to see.
        let rested = self.idle_sites.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut site = rested.unwrap_or_else(|| {
            Site::new(
                self.root.clone(),
                self.policy.clone(),
                self.stats.clone(),
                self.cache_bytes_max,
            )
        });
        let mut storage = HeaderStorage::default();
        let response = match Request::parse(head, &mut storage, &Limits::default()) {
            Ok(request) => match site.respond(&request, now) {
                Reply::Ready(response) => response,
                Reply::Deferred(work) => work(),
            },
            // It was read once before, so this does not happen.
            Err(error) => error_response(error.status(), error.message()),
        };
        let mut idle_sites = self.idle_sites.lock().unwrap_or_else(PoisonError::into_inner);
        if idle_sites.len() < IDLE_SITES_MAX {
            idle_sites.push(site);
        }
        response
    }
}
