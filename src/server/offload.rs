//! The offload pool: threads for work that would block an event loop.
//!
//! Event loops hand over responses that take long to make (a listing of a large directory) and
//! reads from slow file systems (FUSE, network). Blocking strategies do that work in place, because
//! they delay no other client.
//!
//! Invariants:
//! 1. At most [`THREADS_MAX`] threads and [`QUEUED_JOBS_MAX`] queued jobs. A job beyond that is
//!    refused, and its client gets a 503.
//! 2. Every job that was accepted yields exactly one completion, also when its client is gone.
//! 3. A job may leave its response to another thread (see [`Work`](crate::http::Work)). It does not
//!    occupy a thread of the pool while it waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};

use bytes::Bytes;
use rustix::io::Errno;

use super::tracer::ConnectionId;
use super::waker::Waker;
use crate::http::{CompletedReply, DeferredReply, ReplyReceiver};
use crate::site::{File, FileChunk};
use crate::sync::{lock, wait};

/// More threads than cores: on a slow file system most of them sleep in a system call.
const THREADS_MAX: usize = 64;
/// A queue that takes minutes to drain helps no client; a 503 lets it try again.
const QUEUED_JOBS_MAX: usize = 1024;

/// The pool of one server, shared by its event loops. Threads start on demand.
#[derive(Clone, Debug, Default)]
pub struct OffloadPool(Arc<Pool>);

#[derive(Debug, Default)]
struct Pool {
    state: Mutex<PoolState>,
    job_queued: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    queued: VecDeque<Task>,
    threads: usize,
    idle_threads: usize,
}

/// Work for the pool.
#[derive(Debug)]
pub enum Job {
    Response(DeferredReply<File>),
    /// The next bytes of a response body.
    FileChunk(FileChunk),
}

/// The result of a [`Job`].
#[derive(Debug)]
pub enum Completion {
    Response(CompletedReply<File>),
    /// Empty if the file has been truncated.
    FileChunk(rustix::io::Result<Bytes>),
}

/// Names the client that a completion belongs to. Slab keys are reused, connection ids never are,
/// so a completion for a closed connection is not delivered to its successor.
#[derive(Clone, Copy, Debug)]
pub struct ClientKey {
    pub slab_key: usize,
    pub id: ConnectionId,
}

/// Keeps a job alive; the pool skips the job once the guard has been dropped.
#[derive(Debug, Default)]
pub struct JobGuard(Arc<()>);

#[derive(Debug)]
struct Task {
    client: ClientKey,
    job: Job,
    completions: Arc<CompletionQueue>,
    guard: Weak<()>,
}

/// The client that waits for a job.
struct JobReceiver {
    client: ClientKey,
    completions: Arc<CompletionQueue>,
    guard: Weak<()>,
}

impl OffloadPool {
    /// Queues a job; its result goes to `completions`.
    ///
    /// # Errors
    /// The job itself, if the queue is full or no thread can be started.
    pub fn submit(
        &self,
        client: ClientKey,
        job: Job,
        completions: &Arc<CompletionQueue>,
    ) -> Result<JobGuard, Job> {
        let mut state = lock(&self.0.state);
        if state.queued.len() >= QUEUED_JOBS_MAX {
            return Err(job);
        }
        let guard = JobGuard::default();
        let completions = completions.clone();
        state.queued.push_back(Task { client, job, completions, guard: Arc::downgrade(&guard.0) });
        // A notified thread counts as idle until it takes a job, so each queued job needs its own.
        if state.queued.len() > state.idle_threads && state.threads < THREADS_MAX {
            let pool = self.0.clone();
            if std::thread::Builder::new().spawn(move || pool.run()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0
                && let Some(task) = state.queued.pop_back()
            {
                return Err(task.job);
            }
        }
        self.0.job_queued.notify_one();
        Ok(guard)
    }
}

impl Pool {
    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(task) = state.queued.pop_front() {
                drop(state);
                task.run();
                state = lock(&self.state);
            }
            state.idle_threads += 1;
            state = wait(&self.job_queued, state);
            state.idle_threads -= 1;
        }
    }
}

impl Task {
    fn run(self) {
        let Task { client, job, completions, guard } = self;
        let receiver = JobReceiver { client, completions, guard };
        match job {
            job if receiver.is_closed() => receiver.complete(job.refuse()),
            Job::Response(deferred) => deferred.start(receiver),
            Job::FileChunk(chunk) => {
                // A panic is a bug of ours, and costs one connection and not a thread of the pool.
                let read = catch_unwind(AssertUnwindSafe(|| chunk.read()));
                let read = read.unwrap_or(Err(Errno::IO));
                receiver.complete(Completion::FileChunk(read.map(Bytes::from)))
            }
        }
    }
}

impl JobReceiver {
    fn complete(&self, completion: Completion) {
        self.completions.push(self.client, completion);
    }
}

impl ReplyReceiver<File> for JobReceiver {
    fn is_closed(&self) -> bool {
        self.guard.strong_count() == 0
    }

    fn receive(&self, reply: CompletedReply<File>) {
        self.complete(Completion::Response(reply));
    }
}

impl Job {
    /// The completion of a job that is not run: a 503, or a failed read.
    pub fn refuse(self) -> Completion {
        match self {
            Job::Response(deferred) => Completion::Response(deferred.refuse()),
            Job::FileChunk(_) => Completion::FileChunk(Err(Errno::CANCELED)),
        }
    }
}

/// What other threads have for one event loop: results of its jobs, and requests to evict.
#[derive(Debug)]
pub struct CompletionQueue {
    completed: Mutex<Vec<(ClientKey, Completion)>>,
    is_eviction_requested: AtomicBool,
    waker: Waker,
}

impl CompletionQueue {
    /// An empty queue; `waker` wakes the event loop that it belongs to.
    pub fn new(waker: Waker) -> CompletionQueue {
        CompletionQueue {
            completed: Mutex::default(),
            is_eviction_requested: AtomicBool::new(false),
            waker,
        }
    }

    /// Asks the event loop to close some of its idle connections.
    pub fn request_eviction(&self) {
        self.is_eviction_requested.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether eviction was requested since the last call.
    pub fn take_eviction_request(&self) -> bool {
        // A plain load first: a busy-polling loop calls this in every pass.
        self.is_eviction_requested.load(Ordering::Acquire)
            && self.is_eviction_requested.swap(false, Ordering::AcqRel)
    }

    fn push(&self, client: ClientKey, completion: Completion) {
        lock(&self.completed).push((client, completion));
        self.waker.wake();
    }

    /// The jobs completed since the last call.
    pub fn take(&self) -> Vec<(ClientKey, Completion)> {
        std::mem::take(&mut lock(&self.completed))
    }
}
