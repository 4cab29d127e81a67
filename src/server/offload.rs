//! The offload pool: threads for work that would block an event loop.
//!
//! Event loops hand over responses that take long to make (a listing of a large directory), reads
//! from slow file systems (FUSE, network) and checks of passwords. Blocking strategies do that work
//! in place, because they delay no other client.
//!
//! The pool has two lanes, each with threads and a queue of its own. Files and listings mostly wait
//! for a disk; a password check keeps a core busy for up to seconds, and any client can ask for
//! one. Neither can take the threads of the other.
//!
//! Invariants:
//! 1. Each lane has a limit of threads and of queued jobs. A job beyond that is refused, and its
//!    client gets a 503.
//! 2. Every accepted job yields exactly one completion, even if its client has disconnected.
//! 3. A job may leave its response to another thread (see [`Work`](crate::http::Work)). While it
//!    waits for that, it occupies no thread of the pool.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

use super::tracer::ConnectionId;
use super::waker::Waker;
use crate::http::{CompletedReply, DeferredReply, ReplyReceiver};
use crate::site::{File, FileChunk};
use crate::sync::{lock, wait_timeout_while};

/// How long an idle thread waits for a job before it ends: much longer than starting a thread
/// takes, but short for a program that has stopped its server.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The pool of one server, shared by its event loops. Threads start on demand.
#[derive(Clone, Debug)]
pub struct OffloadPool {
    files: Arc<Lane>,
    checks: Arc<Lane>,
}

/// Threads that take jobs from one queue.
#[derive(Debug)]
struct Lane {
    threads_max: usize,
    queued_jobs_max: usize,
    state: Mutex<LaneState>,
    job_queued: Condvar,
}

#[derive(Debug, Default)]
struct LaneState {
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
    /// A pool that runs at most `checks_max` checks at once.
    pub fn new(checks_max: usize) -> OffloadPool {
        // More threads than cores: on a slow file system most of them sleep in a system call. And a
        // queue that takes minutes to drain helps no client; a 503 lets it try again.
        const FILE_THREADS_MAX: usize = 64;
        const QUEUED_FILE_JOBS_MAX: usize = 1024;
        // A check takes about a quarter of a second, so the last one waits for a few seconds.
        const QUEUED_CHECKS_MAX_PER_THREAD: usize = 16;
        OffloadPool {
            files: Arc::new(Lane::new(FILE_THREADS_MAX, QUEUED_FILE_JOBS_MAX)),
            checks: Arc::new(Lane::new(checks_max, checks_max * QUEUED_CHECKS_MAX_PER_THREAD)),
        }
    }

    /// Queues a job; its result goes to `completions`.
    ///
    /// # Errors
    /// The job itself, if the queue is full or no thread can be started.
    pub fn submit(
        &self,
        client: ClientKey,
        job: Job,
        completions: &Arc<CompletionQueue>,
    ) -> Result<JobGuard, Box<Job>> {
        let lane = match &job {
            Job::Response(deferred) if deferred.is_check() => &self.checks,
            Job::Response(_) | Job::FileChunk(_) => &self.files,
        };
        let mut state = lock(&lane.state);
        if state.queued.len() >= lane.queued_jobs_max {
            state.drop_abandoned();
        }
        if state.queued.len() >= lane.queued_jobs_max {
            return Err(Box::new(job));
        }
        let guard = JobGuard::default();
        let completions = completions.clone();
        state.queued.push_back(Task { client, job, completions, guard: Arc::downgrade(&guard.0) });
        // A notified thread counts as idle until it takes a job, so each queued job needs its own.
        if state.queued.len() > state.idle_threads && state.threads < lane.threads_max {
            let runner = lane.clone();
            if std::thread::Builder::new().spawn(move || runner.run()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0
                && let Some(task) = state.queued.pop_back()
            {
                return Err(Box::new(task.job));
            }
        }
        lane.job_queued.notify_one();
        Ok(guard)
    }
}

impl Lane {
    fn new(threads_max: usize, queued_jobs_max: usize) -> Lane {
        let (state, job_queued) = (Mutex::default(), Condvar::new());
        Lane { threads_max, queued_jobs_max, state, job_queued }
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(task) = state.queued.pop_front() {
                drop(state);
                task.run();
                state = lock(&self.state);
            }
            state.idle_threads += 1;
            let has_no_job = |state: &mut LaneState| state.queued.is_empty();
            state = wait_timeout_while(&self.job_queued, state, IDLE_MAX, has_no_job);
            state.idle_threads -= 1;
            if state.queued.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl LaneState {
    /// Completes the queued jobs of clients that have disconnected. Without that, a client could
    /// fill the queue with one job per connection and close them all.
    fn drop_abandoned(&mut self) {
        let is_wanted = |task: &Task| task.guard.strong_count() > 0;
        let queued = std::mem::take(&mut self.queued);
        let (wanted, abandoned) = queued.into_iter().partition::<VecDeque<Task>, _>(is_wanted);
        self.queued = wanted;
        abandoned.into_iter().for_each(Task::run);
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
                // A panic is a bug of ours. It costs one connection, but no thread of the pool.
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

/// What other threads have for one event loop: results of its jobs, requests to evict, and permits
/// for connections.
#[derive(Debug)]
pub struct CompletionQueue {
    completed: Mutex<Vec<(ClientKey, Completion)>>,
    is_eviction_requested: AtomicBool,
    is_permit_offered: AtomicBool,
    waker: Waker,
}

impl CompletionQueue {
    /// An empty queue; `waker` wakes the event loop that it belongs to.
    pub fn new(waker: Waker) -> CompletionQueue {
        CompletionQueue {
            completed: Mutex::default(),
            is_eviction_requested: AtomicBool::new(false),
            is_permit_offered: AtomicBool::new(false),
            waker,
        }
    }

    /// Asks the event loop to close some of its idle connections.
    pub fn request_eviction(&self) {
        self.is_eviction_requested.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Tells the event loop that it may accept again, if it was at the connection limit.
    pub fn offer_permit(&self) {
        self.is_permit_offered.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether eviction was requested since the last call.
    pub fn take_eviction_request(&self) -> bool {
        take(&self.is_eviction_requested)
    }

    /// Whether a permit was offered since the last call.
    pub fn take_permit_offer(&self) -> bool {
        take(&self.is_permit_offered)
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

/// Resets `flag`, and returns what it was.
fn take(flag: &AtomicBool) -> bool {
    // A plain load first: a busy-polling loop calls this in every pass.
    flag.load(Ordering::Acquire) && flag.swap(false, Ordering::AcqRel)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::http::{
        Connection, HeaderLines, Limits, Moment, Now, Reply, Request, RequestError, Respond,
        Response, Status, Work, error_response,
    };

    /// Defers each reply until the test sends, or drops, what the work waits for.
    struct BlockedSite {
        is_check: bool,
        blockers: Vec<Receiver<()>>,
    }

    impl Respond for BlockedSite {
        type File = File;

        fn respond(&mut self, _: &Request<'_>, _: &Now) -> Reply<File> {
            let blocker = self.blockers.pop();
            let respond = move || {
                // Fails once the test has dropped the sender.
                let _ = blocker.map(|blocker| blocker.recv());
                error_response(Status::NotFound, "")
            };
            Reply::Deferred(match self.is_check {
                true => Work::check(HeaderLines::default(), || Some(respond())),
                false => Work::new(HeaderLines::default(), |reply| reply.send(respond())),
            })
        }

        fn refuse(&self, error: RequestError) -> Response<File> {
            error.response()
        }
    }

    fn job(is_check: bool, blocker: Option<Receiver<()>>) -> Job {
        let now = Now::new(Moment::default(), UNIX_EPOCH);
        let mut connection = Connection::new(Arc::new(Limits::default()), &now);
        let mut site = BlockedSite { is_check, blockers: blocker.into_iter().collect() };
        let deferred = connection.receive(b"GET / HTTP/1.0\r\n\r\n", &now, &mut site);
        Job::Response(*deferred.expect("the reply is deferred"))
    }

    #[test]
    fn checks_have_a_bound_of_their_own_and_leave_files_their_threads() {
        const CHECKS_MAX: usize = 2;
        let pool = OffloadPool::new(CHECKS_MAX);
        let waker = Waker::new().expect("a descriptor is free");
        let completions = Arc::new(CompletionQueue::new(waker));
        let client = ClientKey { slab_key: 0, id: ConnectionId(1) };
        let mut senders = Vec::new();
        let mut guards = Vec::new();
        let refused = loop {
            let (sender, blocker) = channel();
            senders.push(sender);
            assert!(senders.len() < 1000, "checks are not bounded");
            match pool.submit(client, job(true, Some(blocker)), &completions) {
                Ok(guard) => guards.push(guard),
                Err(job) => break job,
            }
            // Each thread has its job before the queue is filled.
            while senders.len() <= CHECKS_MAX && !lock(&pool.checks.state).queued.is_empty() {
                std::thread::yield_now();
            }
        };
        assert!(matches!(refused.refuse(), Completion::Response(_)));
        assert_eq!(lock(&pool.checks.state).threads, CHECKS_MAX);
        // A client that disconnects leaves its place in the queue.
        guards.pop();
        let replacement = pool.submit(client, job(true, None), &completions);
        assert!(replacement.is_ok() && completions.take().len() == 1);
        // No check has completed, and a file is still read at once.
        let guard = pool.submit(client, job(false, None), &completions);
        let give_up = std::time::Instant::now() + Duration::from_secs(20);
        let completed = loop {
            let completed = completions.take();
            if !completed.is_empty() {
                break completed;
            }
            assert!(std::time::Instant::now() < give_up, "the file waits behind the checks");
            std::thread::yield_now();
        };
        assert!(guard.is_ok() && completed.len() == 1);
        drop(senders);
    }
}
