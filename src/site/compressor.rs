//! Compresses files, each once for all workers, on threads of its own.
//!
//! ```text
//!   request ──> made already ───────────────────────────> sent
//!      │ no
//!      ├──> being made ──> waits ──┐
//!      └──> queued ──> a thread compresses it ──> sent to all that wait, and kept
//! ```
//!
//! A client that prefers such a coding waits for it. It is not sent the uncompressed file in the
//! meantime, because a shared cache in front of this server may keep the first response for a year.
//!
//! Invariants:
//! 1. A key is in `waiting` while its file is queued or being compressed, so a file is not
//!    compressed by two threads at once. A request that waits occupies no thread.
//! 2. At most one thread per core and [`THREADS_MAX`] in all, at a lower priority than event loops.
//! 3. A share of the budget is taken before a file is compressed, and returned when the last reader
//!    of the result is done. If clients that do not read use up the budget, files are sent
//!    uncompressed. Besides, each thread's encoder takes up to 16 MiB while it works.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use rustix::process::setpriority_process;

use super::compress::{MadeCoding, SIZE_BYTES_MAX};
use super::content_hash::ContentHash;
use super::file_version::FileVersion;
use super::memory_budget::{MemoryBudget, MemoryShare};
use super::open_file::File;
use super::representation::Representation;
use super::waiting::{self, WaitingReply};
use crate::http::{ReplySender, Response};
use crate::sync::lock;

/// The budget of a server.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Each thread may take [`SIZE_BYTES_MAX`] of the budget; four leave half of it to the cache.
const THREADS_MAX: usize = 4;
/// The files that may wait for a thread. Further ones are sent uncompressed.
const QUEUED_MAX: usize = 256;

/// Identifies the input of a compression, so that the result can be reused: the path of a file,
/// which determines the headers, its content, and the coding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompressionKey {
    pub path: Box<[u8]>,
    pub content: ContentKey,
    pub coding: MadeCoding,
}

/// Identifies the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentKey {
    /// Of a file in memory.
    Hash(ContentHash),
    /// Of a large file.
    Version(FileVersion),
    /// A large file that may still be changing: only what one load has found can be used again.
    Load(u64),
}

/// A compressed file.
#[derive(Clone, Debug)]
pub enum Compressed {
    Smaller(Arc<Representation>),
    /// Compressing would save too little.
    NotSmaller,
}

/// Makes the result, within memory of the file's size. None if the file can't be read now.
pub type Make = Box<dyn FnOnce(MemoryShare) -> Option<Compressed> + Send>;

/// A request that waits for a compressed file.
pub struct WaitingRequest {
    pub reply: ReplySender<File>,
    /// Makes the response: with the compressed file, or None if the file is to be sent as it is.
    pub respond: Box<dyn FnOnce(Option<Arc<Representation>>) -> Response<File> + Send>,
}

/// The compressed files of a server, and the threads that make them.
#[derive(Debug)]
pub struct Compressor {
    state: Mutex<State>,
    budget: MemoryBudget,
    threads_max: usize,
    /// Which codings are made, in order of preference.
    pub codings: &'static [MadeCoding],
}

struct State {
    made: Cache<CompressionKey, Compressed, CompressedWeighter>,
    waiting: HashMap<CompressionKey, Vec<WaitingRequest>>,
    queue: VecDeque<Job>,
    threads: usize,
}

struct Job {
    key: CompressionKey,
    size_bytes: u64,
    make: Make,
}

#[derive(Clone)]
struct CompressedWeighter;

impl Weighter<CompressionKey, Compressed> for CompressedWeighter {
    fn weight(&self, key: &CompressionKey, compressed: &Compressed) -> u64 {
        /// What the cache itself allocates for an entry, roughly.
        const OVERHEAD_BYTES: usize = 192;
        let content = match compressed {
            Compressed::Smaller(representation) => representation.weight_bytes(),
            Compressed::NotSmaller => 0,
        };
        (key.path.len() + content + OVERHEAD_BYTES) as u64
    }
}

impl Compressor {
    /// For processes that end with their connection: each may hold little, because there are many.
    /// So they make gzip only, whose encoder takes 0.4 MiB; brotli's takes 1.1 MiB for the smallest
    /// file. And what a child makes it sends to one client, so it never pays for its CPU time.
    pub fn for_children() -> Compressor {
        Compressor { codings: &[MadeCoding::Gzip], ..Compressor::new(256 * 1024, 1) }
    }

    /// What is kept leaves room in the budget for each thread to make a file of the largest size.
    fn new(bytes_max: u64, threads_max: usize) -> Compressor {
        const TYPICAL_BYTES: u64 = 8192;
        let kept_bytes_max = bytes_max.saturating_sub(threads_max as u64 * SIZE_BYTES_MAX);
        let kept_bytes_max = kept_bytes_max.max(bytes_max / 2);
        let made = Cache::with_weighter(
            (kept_bytes_max / TYPICAL_BYTES) as usize,
            kept_bytes_max,
            CompressedWeighter,
        );
        let (waiting, queue) = (HashMap::new(), VecDeque::new());
        Compressor {
            state: Mutex::new(State { made, waiting, queue, threads: 0 }),
            budget: MemoryBudget::new(bytes_max),
            threads_max,
            codings: &MadeCoding::ALL,
        }
    }

    /// The result for `key`, if it is kept.
    pub fn find(&self, key: &CompressionKey) -> Option<Compressed> {
        lock(&self.state).made.get(key).cloned()
    }

    /// Answers `request` with the compressed file that `key` names, now or from another thread. If
    /// there is none yet, `make` makes it, once for all requests that arrive meanwhile.
    pub fn request(
        self: &Arc<Self>,
        key: CompressionKey,
        size_bytes: u64,
        make: Make,
        request: WaitingRequest,
    ) {
        let mut state = lock(&self.state);
        if let Some(compressed) = state.made.get(&key).cloned() {
            drop(state);
            return request.finish(Some(compressed));
        }
        if let Some(waiting) = state.waiting.get_mut(&key) {
            return waiting::add(waiting, request);
        }
        if state.queue.len() >= QUEUED_MAX || !self.ensure_thread(&mut state) {
            drop(state);
            return request.finish(None);
        }
        state.waiting.insert(key.clone(), vec![request]);
        state.queue.push_back(Job { key, size_bytes, make });
    }

    /// Starts a thread for the next job unless there are enough. False if no thread runs.
    fn ensure_thread(self: &Arc<Self>, state: &mut State) -> bool {
        if state.threads < self.threads_max {
            let compressor = self.clone();
            if std::thread::Builder::new().spawn(move || compressor.run()).is_ok() {
                state.threads += 1;
            }
        }
        state.threads > 0
    }

    /// Runs the queued jobs, then ends: starting a thread takes far less time than a compression.
    fn run(&self) {
        /// Applies to this thread only; if it fails, the thread competes with the event loops.
        /// Because the thread yields before each part of a file, it loses the rest of its time
        /// slice on a busy core. There, clients wait longer for a compressed file at nice 10 than
        /// at 5 (Linux 6.18), and other clients wait no longer at 5 than at 10.
        const LOWER_PRIORITY: i32 = 5;
        let _ = setpriority_process(Some(rustix::thread::gettid()), LOWER_PRIORITY);
        let mut state = lock(&self.state);
        while let Some(job) = state.queue.pop_front() {
            if state.is_wanted(&job.key) {
                drop(state);
                let (key, compressed) = (job.key.clone(), self.make(job));
                state = lock(&self.state);
                if let Some(compressed) = &compressed {
                    state.made.insert(key.clone(), compressed.clone());
                }
                let waiting = state.waiting.remove(&key);
                drop(state);
                for request in waiting.into_iter().flatten() {
                    // A panic costs one client its response; the thread still serves the others.
                    let _ = catch_unwind(AssertUnwindSafe(|| request.finish(compressed.clone())));
                }
                state = lock(&self.state);
            }
        }
        state.threads -= 1;
    }

    /// None if the file has to be sent as it is.
    fn make(&self, job: Job) -> Option<Compressed> {
        let share = self.budget.take_up_to(job.size_bytes);
        if share.bytes() < job.size_bytes {
            return None;
        }
        // A panic is a bug of ours, and was reported on stderr.
        catch_unwind(AssertUnwindSafe(|| (job.make)(share))).ok().flatten()
    }
}

impl Default for Compressor {
    fn default() -> Compressor {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Compressor::new(BYTES_MAX, cores.min(THREADS_MAX))
    }
}

impl State {
    /// Whether a client still waits for the file. If not, forgets it.
    fn is_wanted(&mut self, key: &CompressionKey) -> bool {
        let waiting = self.waiting.get_mut(key);
        let is_wanted = waiting.is_some_and(|waiting| {
            waiting::remove_closed(waiting);
            !waiting.is_empty()
        });
        if !is_wanted {
            self.waiting.remove(key);
        }
        is_wanted
    }
}

impl WaitingRequest {
    fn finish(self, compressed: Option<Compressed>) {
        let representation = match compressed {
            Some(Compressed::Smaller(representation)) => Some(representation),
            Some(Compressed::NotSmaller) | None => None,
        };
        self.reply.send((self.respond)(representation));
    }
}

impl WaitingReply for WaitingRequest {
    fn reply(&self) -> &ReplySender<File> {
        &self.reply
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("threads", &self.threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use bytes::Bytes;

    use super::*;
    use crate::http::{Body, HeaderBlock, HeaderLines, Reply, Status, Work};
    use crate::site::file_version::Mtime;
    use crate::site::representation::{Encoding, RepresentationBuilder, Source};

    fn key(name: &str) -> CompressionKey {
        let (content, coding) = (ContentKey::Load(0), MadeCoding::Brotli);
        CompressionKey { path: name.as_bytes().into(), content, coding }
    }

    /// A result that takes all of `share`.
    fn compressed(share: MemoryShare) -> Compressed {
        let bytes = share.bytes();
        compressed_to(bytes, share)
    }

    fn compressed_to(bytes: u64, share: MemoryShare) -> Compressed {
        let builder =
            RepresentationBuilder { media_type: "text/plain", policy_lines: b"", varies: true };
        let source = Source::in_memory(share.hold(vec![b'x'; bytes as usize]));
        Compressed::Smaller(Arc::new(builder.build(
            Encoding::Made(MadeCoding::Brotli),
            source,
            Mtime::Absent,
        )))
    }

    /// The body that a client gets: compressed, or empty for the file as it is.
    fn body(
        compressor: &Arc<Compressor>,
        name: &str,
        size_bytes: u64,
        make: impl FnOnce(MemoryShare) -> Option<Compressed> + Send + 'static,
    ) -> Option<Bytes> {
        let (compressor, key) = (compressor.clone(), key(name));
        let work = Work::new(HeaderLines::default(), move |reply| {
            let respond = Box::new(|made: Option<Arc<Representation>>| Response {
                status: Status::Ok,
                headers: HeaderBlock::default(),
                body: made.map_or(Body::Empty, |made| match &made.source {
                    Source::Memory { bytes, .. } => Body::Bytes(bytes.clone()),
                    Source::Disk(_) => unreachable!("it was made in memory"),
                }),
            });
            compressor.request(key, size_bytes, Box::new(make), WaitingRequest { reply, respond });
        });
        match Reply::Deferred(work).wait().body {
            Body::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[test]
    fn a_file_is_compressed_once_for_all_requests_and_other_files_meanwhile() {
        let compressor = Arc::new(Compressor::new(1 << 20, 2));
        let made = Arc::new(AtomicUsize::new(0));
        let (release, released) = mpsc::channel::<()>();
        let slow = {
            let made = made.clone();
            move |share| {
                made.fetch_add(1, Ordering::Relaxed);
                released.recv().ok();
                Some(compressed(share))
            }
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| body(&compressor, "slow", 10, slow));
            while made.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            let others: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| body(&compressor, "slow", 10, |_| panic!("made twice"))))
                .collect();
            assert!(body(&compressor, "fast", 10, |share| Some(compressed(share))).is_some());
            drop(release);
            let first = first.join().expect("it does not panic").expect("it was compressed");
            for other in others {
                let other = other.join().expect("it does not panic").expect("it was compressed");
                assert_eq!(other.as_ptr(), first.as_ptr());
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(compressor.find(&key("slow")).is_some());
    }

    #[test]
    fn a_file_is_sent_as_it_is_if_it_cannot_be_compressed() {
        let compressor = Arc::new(Compressor::new(1 << 20, 1));
        assert_eq!(body(&compressor, "gone", 10, |_| None), None);
        assert_eq!(body(&compressor, "bug", 10, |_| panic!("a bug")), None);
        assert_eq!(body(&compressor, "noise", 10, |_| Some(Compressed::NotSmaller)), None);
        // Only the last one is known to stay so.
        assert!(body(&compressor, "gone", 10, |share| Some(compressed(share))).is_some());
        assert!(body(&compressor, "bug", 10, |share| Some(compressed(share))).is_some());
        assert_eq!(body(&compressor, "noise", 10, |_| panic!("made again")), None);
    }

    #[test]
    fn a_panic_in_a_response_is_a_500_for_its_client_alone() {
        let compressor = Arc::new(Compressor::new(1 << 20, 1));
        let (shared, key) = (compressor.clone(), key("bug"));
        let work = Work::new(HeaderLines::default(), move |reply| {
            let respond = Box::new(|_| panic!("a bug"));
            let make = Box::new(|share| Some(compressed(share)));
            shared.request(key, 10, make, WaitingRequest { reply, respond });
        });
        let response = Reply::<File>::Deferred(work).wait();
        assert_eq!(response.status, Status::InternalServerError);
        assert!(body(&compressor, "next", 10, |share| Some(compressed(share))).is_some());
    }

    #[test]
    fn files_that_become_small_do_not_use_up_the_budget() {
        let compressor = Arc::new(Compressor::new(1 << 20, 1));
        for name in 0..50 {
            let make = |share| Some(compressed_to(1000, share));
            assert!(body(&compressor, &name.to_string(), 500_000, make).is_some(), "{name}");
        }
    }

    #[test]
    fn what_readers_hold_counts_towards_the_budget() {
        let compressor = Arc::new(Compressor::new(1000, 1));
        let make = |share| Some(compressed(share));
        let held: Vec<_> = (0..10).map(|n| body(&compressor, &n.to_string(), 100, make)).collect();
        assert!(held.iter().all(Option::is_some));
        assert_eq!(body(&compressor, "one too many", 100, make), None);
        drop(held);
        // No reader holds them any more, and few of them are kept.
        assert!(body(&compressor, "one more", 100, make).is_some());
    }
}
