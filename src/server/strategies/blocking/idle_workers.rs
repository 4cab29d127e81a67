//! The workers of threads that have ended: their caches serve the next connections.
//!
//! Each has a receive buffer of 64 KiB and a cache. After a peak, those that no connection needs
//! are freed, down to the last: as long as one is left at the end of an arena of the allocator, the
//! arena keeps the memory of all that were freed before.

use std::sync::Mutex;
use std::time::Duration;

use crate::server::worker::Worker;
use crate::sync::lock;

/// More would hold memory for a load that may never come back.
const WORKERS_MAX: usize = 16;
/// How long a worker is kept that no connection needs.
const UNUSED_TIME: Duration = Duration::from_secs(1);

/// Workers without a thread, the one used last at the end.
#[derive(Debug, Default)]
pub struct IdleWorkers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    workers: Vec<Worker>,
    /// The fewest that there have been since the keeper last looked. So many, from the start, have
    /// not been used since.
    unused: usize,
    /// Whether a thread is in [`IdleWorkers::free_unused`], or about to be.
    has_keeper: bool,
}

impl IdleWorkers {
    /// A worker that a connection may use, if there is one.
    pub fn take(&self) -> Option<Worker> {
        let mut state = lock(&self.0);
        let worker = state.workers.pop();
        state.unused = state.unused.min(state.workers.len());
        worker
    }

    /// Keeps `worker` for a later connection, unless there are enough. True if the calling thread
    /// has to call [`IdleWorkers::free_unused`].
    pub fn add(&self, worker: Worker) -> bool {
        let mut state = lock(&self.0);
        if state.workers.len() == WORKERS_MAX {
            return false;
        }
        state.workers.push(worker);
        !std::mem::replace(&mut state.has_keeper, true)
    }

    /// Frees workers that are not used for a while. Returns once none is left.
    pub fn free_unused(&self) {
        let mut state = lock(&self.0);
        while !state.workers.is_empty() {
            state.unused = state.workers.len();
            drop(state);
            std::thread::sleep(UNUSED_TIME);
            state = lock(&self.0);
            let unused = ..state.unused;
            let freed: Vec<Worker> = state.workers.drain(unused).collect();
            // Freeing takes time, in which a connection may need a worker.
            drop((state, freed));
            state = lock(&self.0);
        }
        state.has_keeper = false;
    }
}
