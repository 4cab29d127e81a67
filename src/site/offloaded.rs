//! A site on a slow file system: its requests are answered in the offload pool.
//!
//! A local file system opens a file from memory, or from a disk within milliseconds. A FUSE or
//! network file system may take seconds, and would block an event loop for all its clients. So each
//! request becomes work for the pool, whose threads borrow a [`FileResponder`] with a cache of its
//! own. Large response bodies are read in the pool as well, one
//! [`FileChunk`](super::file_chunk::FileChunk) at a time.

use std::sync::{Arc, Mutex};

use super::content_hash::Asking;
use super::file_responder::FileResponder;
use super::memory_budget::{MemoryBudget, MemoryShare};
use super::open_file::File;
use super::policy::Policy;
use super::root::Root;
use crate::http::{HeaderLines, Now, OwnedRequest, Reply, ReplySender, Request, Work};
use crate::sync::lock;
use crate::syscall_stats::SyscallStats;

/// Idle responders that are kept, with their caches. When more threads work at once, the excess
/// responders are dropped after one request.
const IDLE_RESPONDERS_MAX: usize = 16;

/// The responders that threads of the offload pool borrow.
#[derive(Debug)]
pub struct OffloadedSite {
    root: Arc<Root>,
    policy: Arc<Policy>,
    stats: Arc<SyscallStats>,
    idle_responders: Mutex<Vec<FileResponder>>,
    /// What the caches of all responders may hold, the busy ones included.
    cache_budget: MemoryBudget,
    /// What one responder takes of it, as long as there is enough.
    cache_bytes_max: u64,
    _cache: MemoryShare,
}

impl OffloadedSite {
    /// The responders divide `cache`.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        cache: MemoryShare,
    ) -> OffloadedSite {
        OffloadedSite {
            root,
            policy,
            stats,
            idle_responders: Mutex::default(),
            cache_budget: MemoryBudget::new(cache.bytes()),
            cache_bytes_max: cache.bytes() / IDLE_RESPONDERS_MAX as u64,
            _cache: cache,
        }
    }

    /// The work of answering `request`, a GET or HEAD. See [`Work::new`] for `error_headers`.
    pub fn defer(
        self: &Arc<Self>,
        error_headers: HeaderLines,
        request: &Request<'_>,
        now: &Now,
    ) -> Work<File> {
        let (site, request, now) = (self.clone(), OwnedRequest::from(request), *now);
        Work::new(error_headers, move |reply| {
            request.with(|request| site.respond(request, &now, reply))
        })
    }

    fn respond(&self, request: &Request<'_>, now: &Now, sender: ReplySender<File>) {
        let idle = lock(&self.idle_responders).pop();
        let mut responder = idle.unwrap_or_else(|| self.new_responder());
        let reply = responder.respond(request, now);
        let mut idle_responders = lock(&self.idle_responders);
        if idle_responders.len() < IDLE_RESPONDERS_MAX {
            idle_responders.push(responder);
        }
        drop(idle_responders);
        match reply {
            Reply::Ready(response) => sender.send(response),
            Reply::Deferred(work) => work.run(sender),
        }
    }

    fn new_responder(&self) -> FileResponder {
        let (root, policy, stats) = (self.root.clone(), self.policy.clone(), self.stats.clone());
        let cache = self.cache_budget.take_up_to(self.cache_bytes_max);
        FileResponder::new(root, policy, stats, cache, Asking::ClientThread)
    }
}
