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
use super::clock::{Clock, Pace};
use super::drive::{Asked, Client, Readable};
use super::helpers::{Done, Helpers, Job, Mailbox};
use crate::http::{CompletedReply, Connection, DeferredReply, Limits, Output};
use crate::ledger::{ConnectionId, Counters, Ledger};
use crate::site::{self, Excerpt, Policy, Root, Site};

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
    delegation: Delegation,
}

/// Who makes the answers that take long.
#[derive(Debug)]
enum Delegation {
    /// The worker itself: it blocks anyway, and holds up nobody else.
    Nobody,
    Helpers {
        helpers: Helpers,
        mailbox: Arc<Mailbox>,
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
    pub slots: Arc<Slots>,
    /// Where answers are logged.
    pub log: AccessLog,
    /// Who makes the answers that take long, for the loops that must not block.
    pub helpers: Helpers,
    /// Whether each step is told on stderr.
    pub trace: bool,
    /// The one account of all workers, where somebody asks for it.
    pub account: Option<&'static Counters>,
}

impl Worker {
    /// A worker called `name` in the trace, with at most `cache_bytes_max` of the site remembered.
    pub fn new(shared: &Shared, name: &str, pace: Pace, cache_bytes_max: u64) -> Worker {
        let ledger = Arc::new(Ledger::new(name, shared.trace).in_common(shared.account));
        Worker {
            clock: Clock::new(pace),
            site: Site::new(
                shared.root.clone(),
                shared.policy.clone(),
                ledger.clone(),
                cache_bytes_max,
            ),
            ledger,
            moved_bytes: 0,
            log: shared.log.clone(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            spare: Output::default(),
            limits: shared.limits.clone(),
            accepted: 0,
            delegation: Delegation::Nobody,
        }
    }

    /// The same, for a loop that must not block; `waker` wakes it when an answer is made. Its memory is of another size.
    pub fn with_helpers(
        self,
        shared: &Shared,
        cache_bytes_max: u64,
        waker: Option<mio::Waker>,
    ) -> Worker {
        let helpers = shared.helpers.clone();
        let site = Site::unhurried(
            shared.root.clone(),
            shared.policy.clone(),
            self.ledger.clone(),
            cache_bytes_max,
        );
        let mailbox = Arc::new(Mailbox::new(waker));
        shared.slots.share_with(mailbox.clone());
        Worker {
            delegation: Delegation::Helpers { helpers, mailbox, outstanding: 0 },
            site,
            ..self
        }
    }

    /// Has an answer made. It comes back at once if there is nobody else to make it.
    pub(super) fn delegate(
        &mut self,
        client: &mut Client,
        deferred: DeferredReply<site::File>,
    ) -> Option<CompletedReply<site::File>> {
        match &mut self.delegation {
            Delegation::Nobody => Some(deferred.finish()),
            Delegation::Helpers { helpers, mailbox, outstanding } => {
                self.ledger
                    .tell(client.id, format_args!("the answer takes long: handed to a helper"));
                *outstanding += 1;
                let asked = Arc::default();
                let refused = helpers.submit(client.id, &asked, Job::Reply(deferred), mailbox);
                client.asked = Asked::Reply(asked);
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
        let Delegation::Helpers { helpers, mailbox, outstanding } = &mut self.delegation else {
            return false;
        };
        self.ledger.tell(client.id, format_args!("the file may take long: handed to a helper"));
        let asked = Arc::default();
        let job = Job::Read(Excerpt::new(file, range, self.ledger.clone()));
        let is_taken = helpers.submit(client.id, &asked, job, mailbox).is_none();
        if is_taken {
            *outstanding += 1;
            client.asked = Asked::Bytes(asked);
        }
        is_taken
    }

    /// Whether another worker asked for room since the last look.
    pub fn is_room_wanted(&self) -> bool {
        match &self.delegation {
            Delegation::Nobody => false,
            Delegation::Helpers { mailbox, .. } => mailbox.is_room_wanted(),
        }
    }

    /// What helpers have done since the last look.
    pub fn finished(&mut self) -> Vec<(ConnectionId, Done)> {
        match &mut self.delegation {
            Delegation::Helpers { mailbox, outstanding, .. } if *outstanding > 0 => {
                let finished = mailbox.take();
                *outstanding -= finished.len();
                finished
            }
            _ => Vec::new(),
        }
    }

    /// In a forked child: the thread that writes the parent's log is not here.
    pub fn start_log_of_its_own(&mut self) -> LogWriter {
        let (log, writer) = AccessLog::start(self.log.format(), &self.ledger);
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
            connection: Connection::new(self.limits.clone(), self.clock.now()),
            socket: Arc::new(socket),
            address: peer.map(|peer| peer.ip().to_canonical()),
            slot,
            asked: Asked::Nothing,
        }
    }
}

/// The number of connections a server may have.
#[derive(Debug)]
pub struct Slots {
    free: AtomicUsize,
    /// The workers that share them.
    workers: Mutex<Vec<Arc<Mailbox>>>,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// So many places.
    pub fn new(count: usize) -> Arc<Slots> {
        Arc::new(Slots { free: AtomicUsize::new(count), workers: Mutex::default() })
    }

    /// Another worker takes from them.
    fn share_with(&self, worker: Arc<Mailbox>) {
        // A push either happened or not: there is no half of one to see.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    /// Asks every worker to end some of its idle connections.
    pub fn ask_for_room(&self) {
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|worker| worker.ask_for_room());
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
