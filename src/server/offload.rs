//! Threads for what would hold up a loop: making answers that take long, and reading files of a slow file system.
//!
//! Only the loops that must not block have them. They start when there is work and none of them is idle, and their number
//! is bounded: a client that asks for a thousand listings waits for its turn. On a slow file system most of them sleep, so
//! there are more of them than a machine has cores: past that many slow answers at once, fast ones wait too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use rustix::io::Errno;

use crate::http::{CompletedReply, DeferredReply};
use crate::site::{File, FileChunk};
use crate::syscall_stats::ConnectionId;

const THREADS_MAX: usize = 64;
/// Work that may wait. Past it answers are refused with a 503 rather than queued for minutes.
const WAITING_MAX: usize = 1024;

/// The threads of one server, shared by its workers.
#[derive(Clone, Debug, Default)]
pub struct OffloadPool(Arc<Pool>);

#[derive(Debug, Default)]
struct Pool {
    state: Mutex<PoolState>,
    work_came: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    waiting: VecDeque<Task>,
    threads: usize,
    idle_threads: usize,
}

/// What is to be done.
#[derive(Debug)]
pub enum Job {
    /// An answer.
    Reply(DeferredReply<File>),
    /// The next bytes of one that is on its way.
    Read(FileChunk),
}

/// What came of it.
#[derive(Debug)]
pub enum Completion {
    /// The answer.
    Reply(CompletedReply<File>),
    /// The bytes; none if the file has become shorter.
    Read(rustix::io::Result<Bytes>),
}

#[derive(Debug)]
struct Task {
    connection: ConnectionId,
    job: Job,
    completion_queue: Arc<CompletionQueue>,
    /// Gone with the connection that asked.
    asked: Weak<()>,
}

/// Where finished work waits for its worker.
#[derive(Debug, Default)]
pub struct CompletionQueue {
    finished: Mutex<Vec<(ConnectionId, Completion)>>,
    /// Another worker has somebody waiting and nobody idle.
    eviction_requested: AtomicBool,
    /// Wakes the worker, if it sleeps.
    waker: Option<mio::Waker>,
}

impl OffloadPool {
    /// Has the work done, unless `asked` is dropped before, and the result put into `completion_queue`. It comes back if there is
    /// too much of it.
    pub fn submit(
        &self,
        connection: ConnectionId,
        asked: &Arc<()>,
        job: Job,
        completion_queue: &Arc<CompletionQueue>,
    ) -> Option<Job> {
        let mut state = lock(&self.0.state);
        if state.waiting.len() >= WAITING_MAX {
            return Some(job);
        }
        state.waiting.push_back(Task {
            connection,
            job,
            completion_queue: completion_queue.clone(),
            asked: Arc::downgrade(asked),
        });
        // A thread that was woken is idle until it has taken its work: what waits has one each, or needs another.
        if state.waiting.len() > state.idle_threads && state.threads < THREADS_MAX {
            let pool = self.0.clone();
            // Without a thread to spare those that are there do it; without any, it waits for the next try.
            if std::thread::Builder::new().spawn(move || pool.work()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                return state.waiting.pop_back().map(|task| task.job);
            }
        }
        self.0.work_came.notify_one();
        None
    }
}

impl Job {
    fn finish(self) -> Completion {
        match self {
            Job::Reply(deferred) => Completion::Reply(deferred.finish()),
            Job::Read(excerpt) => Completion::Read(excerpt.read().map(Bytes::from)),
        }
    }

    fn refuse(self) -> Completion {
        match self {
            Job::Reply(deferred) => Completion::Reply(deferred.refuse()),
            Job::Read(_) => Completion::Read(Err(Errno::CANCELED)),
        }
    }
}

impl Pool {
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(Task { connection, job, completion_queue, asked }) =
                state.waiting.pop_front()
            {
                drop(state);
                // For nobody it is not done, but what became of it is told all the same: the worker counts.
                let done = if asked.strong_count() > 0 { job.finish() } else { job.refuse() };
                completion_queue.put(connection, done);
                state = lock(&self.state);
            }
            state.idle_threads += 1;
            state = self.work_came.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            state.idle_threads -= 1;
        }
    }
}

impl CompletionQueue {
    /// Empty; `waker` wakes its worker.
    pub fn new(waker: Option<mio::Waker>) -> CompletionQueue {
        CompletionQueue { waker, ..CompletionQueue::default() }
    }

    /// Asks the worker to end some of its idle connections.
    pub fn request_eviction(&self) {
        self.eviction_requested.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it was asked to since the last look.
    pub fn is_eviction_requested(&self) -> bool {
        self.eviction_requested.swap(false, Ordering::AcqRel)
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            // It can only fail if the worker is gone.
            let _ = waker.wake();
        }
    }

    fn put(&self, connection: ConnectionId, done: Completion) {
        lock(&self.finished).push((connection, done));
        self.wake();
    }

    /// What was finished since the last look.
    pub fn take(&self) -> Vec<(ConnectionId, Completion)> {
        std::mem::take(&mut lock(&self.finished))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Pushes and pops either happened or not: there is no half of one to see.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
