//! What one flow of control has for itself: its view of the site, its buffers, its clock, its accounts.
//!
//! A reactor is one worker; a blocking thread borrows one while it serves a connection. Nothing in
//! here is shared while it is used, so nothing in here is locked.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::access_log::{AccessLog, LogWriter};
use super::clock::{Clock, Pace};
use super::drive::{Client, Readable};
use crate::http::{Connection, Limits, Output};
use crate::ledger::{ConnectionId, Ledger};
use crate::site::{self, Root, Site};

/// What is read at once, in bytes. It holds a whole head within its bound, or a pipeline of some hundred.
const SCRATCH_BYTES: usize = 64 * 1024;

/// One flow of control.
#[derive(Debug)]
pub struct Worker {
    /// The present moment.
    pub clock: Clock,
    /// Its account of system calls.
    pub ledger: Arc<Ledger>,
    /// Bytes received and sent: a pass that moves none found nothing to do.
    pub moved_bytes: u64,
    pub(super) site: Site,
    pub(super) log: AccessLog,
    pub(super) scratch: Box<[u8]>,
    pub(super) spare: Output<site::File>,
    limits: Arc<Limits>,
    accepted: u64,
}

/// What all workers of a server have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is served.
    pub root: Arc<Root>,
    /// What a connection may cost.
    pub limits: Arc<Limits>,
    /// How many connections there may be.
    pub slots: Arc<Slots>,
    /// Where answers are logged.
    pub log: AccessLog,
    /// Whether each step is told on stderr.
    pub trace: bool,
}

impl Worker {
    /// A worker called `name` in the trace, with at most `cache_bytes_max` of the site remembered.
    pub fn new(shared: &Shared, name: &str, pace: Pace, cache_bytes_max: u64) -> Worker {
        let ledger = Arc::new(Ledger::new(name, shared.trace));
        Worker {
            clock: Clock::new(pace),
            site: Site::new(shared.root.clone(), ledger.clone(), cache_bytes_max),
            ledger,
            moved_bytes: 0,
            log: shared.log.clone(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            spare: Output::default(),
            limits: shared.limits.clone(),
            accepted: 0,
        }
    }

    /// In a forked child: the thread that writes the parent's log is not here.
    pub fn start_log_of_its_own(&mut self) -> LogWriter {
        let (log, writer) = AccessLog::start(self.log.format());
        self.log = log;
        writer
    }

    /// Takes an accepted connection into its care.
    pub fn welcome(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, slot: Slot) -> Client {
        self.accepted += 1;
        let id = ConnectionId(self.accepted);
        self.ledger.accepted(id, peer);
        Client {
            id,
            // Its first request has often arrived with the handshake's last packet.
            readable: Readable::Yes,
            connection: Connection::new(self.limits.clone(), &self.clock.now()),
            socket: Arc::new(socket),
            address: peer.map(|peer| peer.ip().to_canonical()),
            slot,
        }
    }
}

/// The number of connections a server may have.
#[derive(Debug)]
pub struct Slots {
    free: AtomicUsize,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// So many places.
    pub fn new(count: usize) -> Arc<Slots> {
        Arc::new(Slots { free: AtomicUsize::new(count) })
    }

    /// A place, if one is free.
    pub fn take(self: &Arc<Slots>) -> Option<Slot> {
        let take_one = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one).ok()?;
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}
