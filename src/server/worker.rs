//! What one flow of control has for itself: its view of the site, its buffers, its clock, its accounts.
//!
//! A reactor is one worker; a blocking thread borrows one while it serves a connection. Nothing in
//! here is shared while it is used, so nothing in here is locked.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::access_log::{AccessLog, LogWriter};
use super::clock::{Clock, ClockMode};
use super::drive::{Client, PendingJob, ReadState};
use super::offload::{Completion, CompletionQueue, Job, OffloadPool};
use crate::http::{CompletedReply, Connection, DeferredReply, Limits, Output};
use crate::site::{self, FileChunk, Policy, Root, Site};
use crate::syscall_stats::{ConnectionId, Counters, SyscallStats};

/// What is read at once, in bytes. It holds a whole head within its bound, or a pipeline of some hundred.
const SCRATCH_BYTES: usize = 64 * 1024;

/// One flow of control.
#[derive(Debug)]
pub struct Worker {
    /// The present moment.
    pub clock: Clock,
    /// Its counters of system calls.
    pub stats: Arc<SyscallStats>,
    /// Bytes received and sent: a pass that moves none found nothing to do.
    pub moved_bytes: u64,
    pub(super) site: Site,
    pub(super) log: AccessLog,
    pub(super) scratch: Box<[u8]>,
    pub(super) spare: Output<site::File>,
    limits: Arc<Limits>,
    accepted: u64,
    offload: Offload,
}

/// Who makes the answers that take long.
#[derive(Debug)]
enum Offload {
    /// The worker itself: it blocks anyway, and holds up nobody else.
    Inline,
    OffloadPool {
        offload: OffloadPool,
        completion_queue: Arc<CompletionQueue>,
        outstanding: usize,
    },
}

/// What all workers of a server have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is served.
    pub root: Arc<Root>,
    /// In which form.
    pub policy: Arc<Policy>,
    /// What a connection may cost.
    pub limits: Arc<Limits>,
    /// How many connections there may be.
    pub connection_limit: Arc<ConnectionLimit>,
    /// Where answers are logged.
    pub log: AccessLog,
    /// Who makes the answers that take long, for the loops that must not block.
    pub offload: OffloadPool,
    /// Whether each step is told on stderr.
    pub trace: bool,
    /// The one counters of all workers, where somebody asks for it.
    pub counters: Option<&'static Counters>,
}

impl Worker {
    /// A worker called `name` in the trace, with at most `cache_bytes_max` of the site remembered.
    pub fn new(shared: &Shared, name: &str, pace: ClockMode, cache_bytes_max: u64) -> Worker {
        let stats = Arc::new(SyscallStats::new(name, shared.trace).with_shared(shared.counters));
        Worker {
            clock: Clock::new(pace),
            site: Site::new(
                shared.root.clone(),
                shared.policy.clone(),
                stats.clone(),
                cache_bytes_max,
            ),
            stats,
            moved_bytes: 0,
            log: shared.log.clone(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            spare: Output::default(),
            limits: shared.limits.clone(),
            accepted: 0,
            offload: Offload::Inline,
        }
    }

    /// The same, for a loop that must not block; `waker` wakes it when an answer is made. Its memory is of another size.
    pub fn with_offload(
        self,
        shared: &Shared,
        cache_bytes_max: u64,
        waker: Option<mio::Waker>,
    ) -> Worker {
        let offload = shared.offload.clone();
        let site = Site::with_offload(
            shared.root.clone(),
            shared.policy.clone(),
            self.stats.clone(),
            cache_bytes_max,
        );
        let completion_queue = Arc::new(CompletionQueue::new(waker));
        shared.connection_limit.share_with(completion_queue.clone());
        Worker {
            offload: Offload::OffloadPool { offload, completion_queue, outstanding: 0 },
            site,
            ..self
        }
    }

    /// Has an answer made. It comes back at once if there is nobody else to make it.
    pub(super) fn offload(
        &mut self,
        client: &mut Client,
        deferred: DeferredReply<site::File>,
    ) -> Option<CompletedReply<site::File>> {
        match &mut self.offload {
            Offload::Inline => Some(deferred.finish()),
            Offload::OffloadPool { offload, completion_queue, outstanding } => {
                self.stats
                    .trace(client.id, format_args!("the answer takes long: handed to a helper"));
                *outstanding += 1;
                let asked = Arc::default();
                let refused =
                    offload.submit(client.id, &asked, Job::Reply(deferred), completion_queue);
                client.asked = PendingJob::Reply(asked);
                let Some(Job::Reply(refused)) = refused else {
                    return None;
                };
                *outstanding -= 1;
                Some(refused.refuse())
            }
        }
    }

    /// Has `range` of `file`, or the first of it, read by a helper. False if there is nobody who would: then it is to be
    /// read here.
    pub(super) fn has_read(
        &mut self,
        client: &mut Client,
        file: site::File,
        range: Range<u64>,
    ) -> bool {
        let Offload::OffloadPool { offload, completion_queue, outstanding } = &mut self.offload
        else {
            return false;
        };
        self.stats.trace(client.id, format_args!("the file may take long: handed to a helper"));
        let asked = Arc::default();
        let job = Job::Read(FileChunk::new(file, range, self.stats.clone()));
        let is_taken = offload.submit(client.id, &asked, job, completion_queue).is_none();
        if is_taken {
            *outstanding += 1;
            client.asked = PendingJob::Bytes(asked);
        }
        is_taken
    }

    /// Whether another worker asked for room since the last look.
    pub fn is_eviction_requested(&self) -> bool {
        match &self.offload {
            Offload::Inline => false,
            Offload::OffloadPool { completion_queue, .. } => {
                completion_queue.is_eviction_requested()
            }
        }
    }

    /// What offload have done since the last look.
    pub fn finished(&mut self) -> Vec<(ConnectionId, Completion)> {
        match &mut self.offload {
            Offload::OffloadPool { completion_queue, outstanding, .. } if *outstanding > 0 => {
                let finished = completion_queue.take();
                *outstanding -= finished.len();
                finished
            }
            _ => Vec::new(),
        }
    }

    /// In a forked child: the thread that writes the parent's log is not here.
    pub fn start_log_of_its_own(&mut self) -> LogWriter {
        let (log, writer) = AccessLog::start(self.log.format(), &self.stats);
        self.log = log;
        writer
    }

    /// Takes an accepted connection into its care.
    pub fn new_client(
        &mut self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        permit: ConnectionPermit,
    ) -> Client {
        self.accepted += 1;
        let id = ConnectionId(self.accepted);
        self.stats.accepted(id, peer);
        Client {
            id,
            // Its first request has often arrived with the handshake's last packet.
            readable: ReadState::MaybeReadable,
            connection: Connection::new(self.limits.clone(), self.clock.now()),
            socket: Arc::new(socket),
            address: peer.map(|peer| peer.ip().to_canonical()),
            permit,
            asked: PendingJob::Nothing,
        }
    }
}

/// The number of connections a server may have.
#[derive(Debug)]
pub struct ConnectionLimit {
    free: AtomicUsize,
    /// The workers that share them.
    workers: Mutex<Vec<Arc<CompletionQueue>>>,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<ConnectionLimit>);

impl ConnectionLimit {
    /// So many places.
    pub fn new(count: usize) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit { free: AtomicUsize::new(count), workers: Mutex::default() })
    }

    /// Another worker takes from them.
    fn share_with(&self, worker: Arc<CompletionQueue>) {
        // A push either happened or not: there is no half of one to see.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    /// Asks every worker to end some of its idle connections.
    pub fn request_eviction(&self) {
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|worker| worker.request_eviction());
    }

    /// A place, if one is free.
    pub fn try_acquire(self: &Arc<ConnectionLimit>) -> Option<ConnectionPermit> {
        let take_one = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one).ok()?;
        Some(ConnectionPermit(self.clone()))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}
