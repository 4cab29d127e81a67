//! What one flow of control owns: its view of the site, its buffers, its clock, its counters.
//!
//! An event loop has one worker; a blocking thread borrows one while it serves a connection. A
//! worker is used by one thread at a time. What workers share (the access log, the connection
//! limit, the offload pool) has locks of its own and is reached through [`Shared`].

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use rustix::io::Result;

use super::access_log::AccessLog;
use super::client::{Client, PendingJob, ReadState, Transport};
use super::clock::{Clock, ClockMode};
use super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::cork::Cork;
use super::listener::Incoming;
use super::offload::{ClientKey, Completion, CompletionQueue, Job, OffloadPool};
use super::proxy_header::ProxyHeader;
use super::tls::{KernelCiphers, TlsConfig, TlsSession};
use super::trace_event::TraceEvent;
use super::tracer::{ConnectionId, TraceSink, Tracer, TransferMode};
use super::waker::Waker;
use crate::http::{CompletedReply, Connection, DeferredReply, Limits, Output, TrustedProxies};
use crate::site::{
    self, FileChunk, MemoryBudget, MemoryShare, Policy, Root, Service, Site, WorkerSite,
};
use crate::syscall_stats::{Call, CounterSource, Event, SyscallStats};

/// The size of the receive buffer in bytes: twice the longest head, or several hundred pipelined
/// requests.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// One flow of control.
#[derive(Debug)]
pub struct Worker {
    pub clock: Clock,
    pub stats: Arc<SyscallStats>,
    pub tracer: Tracer,
    /// Counts bytes moved and connections accepted. A pass that does not change it found nothing to
    /// do.
    pub progress: u64,
    pub site: WorkerSite,
    pub log: AccessLog,
    pub receive_buffer: Box<[u8]>,
    /// Output buffers that are lent to the connection being served.
    pub spare_output: Output<site::File>,
    /// What has been decrypted, and short output that is gathered to be encrypted. Empty without
    /// TLS, like the next two.
    pub plaintext: Vec<u8>,
    /// A part of a file that is encrypted.
    pub file_bytes: Vec<u8>,
    /// A buffer for encrypted bytes, lent to the connection being served.
    pub spare_records: Vec<u8>,
    /// Counts the steps of TLS handshakes. Most take about as long as ten responses.
    pub handshake_steps: u64,
    /// With which ciphers the kernel may encrypt files.
    pub kernel_ciphers: KernelCiphers,
    limits: Arc<Limits>,
    trusted_proxies: Arc<TrustedProxies>,
    expects_proxy_header: bool,
    tls: Option<Arc<TlsConfig>>,
    accepted: u64,
    offload: Offload,
}

/// Where long work is done.
#[derive(Debug)]
enum Offload {
    /// In place: the worker delays no other client.
    Inline,
    /// By the pool.
    Pool { pool: OffloadPool, completions: Arc<CompletionQueue>, outstanding: usize },
}

/// What all workers of a server have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    pub root: Arc<Root>,
    pub policy: Arc<Policy>,
    pub limits: Arc<Limits>,
    pub trusted_proxies: Arc<TrustedProxies>,
    /// Whether connections of trusted proxies begin with a PROXY header.
    pub expects_proxy_header: bool,
    /// None if connections are not encrypted.
    pub tls: Option<Arc<TlsConfig>>,
    /// None without `--kernel-tls`.
    pub kernel_ciphers: KernelCiphers,
    pub connection_limit: Arc<ConnectionLimit>,
    pub log: AccessLog,
    pub offload_pool: OffloadPool,
    /// For the caches of the workers.
    pub cache_budget: MemoryBudget,
    pub trace: TraceSink,
    /// Where each worker counts.
    pub counters: CounterSource,
}

impl Shared {
    /// The counters of one more worker.
    pub fn syscall_stats(&self) -> SyscallStats {
        SyscallStats::new(self.counters)
    }
}

impl Worker {
    /// A worker that does long work in place, and caches files of the site within `cache`. `name`
    /// appears in the trace.
    pub fn blocking(shared: &Shared, name: &str, cache: MemoryShare) -> Worker {
        let stats = Arc::new(shared.syscall_stats());
        let (root, policy) = (shared.root.clone(), shared.policy.clone());
        let site = Site::new(root, policy, stats.clone(), cache);
        Worker::new(shared, name, ClockMode::Live, stats, site, Offload::Inline)
    }

    /// A worker for an event loop: long work goes to the offload pool, and `waker` wakes the loop
    /// when a job is complete.
    pub fn event_loop(shared: &Shared, name: &str, cache: MemoryShare, waker: Waker) -> Worker {
        let stats = Arc::new(shared.syscall_stats());
        let (root, policy) = (shared.root.clone(), shared.policy.clone());
        let site = Site::with_offload(root, policy, stats.clone(), cache);
        let completions = Arc::new(CompletionQueue::new(waker));
        shared.connection_limit.share_with(completions.clone());
        let pool = shared.offload_pool.clone();
        let offload = Offload::Pool { pool, completions, outstanding: 0 };
        Worker::new(shared, name, ClockMode::Cached, stats, site, offload)
    }

    fn new(
        shared: &Shared,
        name: &str,
        clock_mode: ClockMode,
        stats: Arc<SyscallStats>,
        site: Site,
        offload: Offload,
    ) -> Worker {
        let transfer_mode = match offload {
            Offload::Inline => TransferMode::Blocking,
            Offload::Pool { .. } => TransferMode::NonBlocking,
        };
        Worker {
            clock: Clock::new(clock_mode),
            stats,
            tracer: Tracer::new(name, shared.trace, transfer_mode),
            progress: 0,
            site: site.with_handicap(shared.policy.handicap),
            log: shared.log.clone(),
            receive_buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            spare_output: Output::default(),
            plaintext: Vec::new(),
            file_bytes: Vec::new(),
            spare_records: Vec::new(),
            handshake_steps: 0,
            kernel_ciphers: shared.kernel_ciphers,
            limits: shared.limits.clone(),
            trusted_proxies: shared.trusted_proxies.clone(),
            expects_proxy_header: shared.expects_proxy_header,
            tls: shared.tls.clone(),
            accepted: 0,
            offload,
        }
    }

    /// Wraps an accepted socket into a client. None if its address has as many connections as it
    /// may have: then the socket is closed without a response, so that such connections cost
    /// nothing. A trusted proxy may have any number, as it connects for many clients.
    pub fn new_client(
        &mut self,
        incoming: Incoming,
        mut permit: ConnectionPermit,
    ) -> Option<Client> {
        let Incoming { socket, peer, service } = incoming;
        self.accepted += 1;
        self.progress += 1;
        let id = ConnectionId(self.accepted);
        self.tracer.trace(id, TraceEvent::Accepted { peer });
        let address = peer.map(|peer| peer.ip().to_canonical());
        let is_proxy = self.trusted_proxies.contains_peer(address);
        if !is_proxy && address.is_some_and(|address| !permit.assign_to(address)) {
            self.stats.count(Call::Close);
            self.stats.count_event(Event::Rejected);
            self.tracer.trace(id, TraceEvent::Rejected);
            return None;
        }
        let transport = self.transport(service)?;
        permit.count_in(&self.stats);
        let mut client = Client {
            id,
            slab_key: 0,
            // The first request has often arrived together with the last packet of the handshake.
            read_state: ReadState::MaybeReadable,
            connection: Connection::new(self.limits.clone(), self.clock.now()),
            transport,
            socket: Arc::new(socket),
            address,
            proxy_header: match is_proxy && self.expects_proxy_header {
                true => ProxyHeader::Expected(Vec::new()),
                false => ProxyHeader::NotExpected,
            },
            permit,
            pending_job: PendingJob::None,
            is_queued: false,
            cork: Cork::default(),
        };
        if is_proxy && !self.expects_proxy_header {
            client.connection.trust(self.trusted_proxies.clone());
        }
        Some(client)
    }

    /// How a connection for `service` is carried. None if its TLS is misconfigured.
    fn transport(&self, service: Service) -> Option<Transport> {
        match (&self.tls, service) {
            (Some(config), Service::Site) => {
                TlsSession::new(config.clone()).map(Box::new).map(Transport::Tls)
            }
            (_, service) => Some(Transport::Plain(service)),
        }
    }

    /// Whether its sockets are blocking: then it need not keep other clients from waiting.
    pub fn is_blocking(&self) -> bool {
        matches!(self.offload, Offload::Inline)
    }

    /// Records that the PROXY header of a connection is complete, and which address it names. If it
    /// names none, the proxy passes on the bytes of a client that it does not know, and that client
    /// may have written X-Forwarded-For itself.
    pub fn identify(&self, client: &mut Client, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.tracer.trace(client.id, TraceEvent::ProxyHeader { address });
            client.address = Some(address);
            if self.trusted_proxies.contains(address) {
                client.connection.trust(self.trusted_proxies.clone());
            }
        }
    }

    /// Counts and traces a call that transfers bytes.
    #[inline]
    pub fn record_transfer(&self, connection: ConnectionId, call: Call, result: Result<usize>) {
        self.stats.count_transfer(call, result);
        self.tracer.trace_transfer(connection, call, result);
    }

    /// Makes a response that takes long. None means that the pool makes it and a completion will
    /// follow.
    pub fn offload_response(
        &mut self,
        client: &mut Client,
        deferred: DeferredReply<site::File>,
    ) -> Option<CompletedReply<site::File>> {
        let Offload::Pool { pool, completions, outstanding } = &mut self.offload else {
            return Some(deferred.wait());
        };
        self.tracer.trace(client.id, TraceEvent::Offloaded("response"));
        match pool.submit(client_key(client), Job::Response(deferred), completions) {
            Ok(guard) => {
                *outstanding += 1;
                client.pending_job = PendingJob::Response(guard);
                None
            }
            Err(job) => match job.refuse() {
                Completion::Response(refused) => Some(refused),
                Completion::FileChunk(_) => unreachable!("a response job was submitted"),
            },
        }
    }

    /// Has the pool read the start of `range` of `file`. False if the caller has to read it.
    pub fn offload_read(
        &mut self,
        client: &mut Client,
        file: site::File,
        range: Range<u64>,
    ) -> bool {
        let Offload::Pool { pool, completions, outstanding } = &mut self.offload else {
            return false;
        };
        self.tracer.trace(client.id, TraceEvent::Offloaded("file read"));
        let job = Job::FileChunk(FileChunk::new(file, range, self.stats.clone()));
        let submitted = pool.submit(client_key(client), job, completions);
        if let Ok(guard) = submitted {
            *outstanding += 1;
            client.pending_job = PendingJob::FileChunk(guard);
            return true;
        }
        false
    }

    /// Whether another worker has requested eviction since the last call.
    pub fn take_eviction_request(&self) -> bool {
        match &self.offload {
            Offload::Inline => false,
            Offload::Pool { completions, .. } => completions.take_eviction_request(),
        }
    }

    /// Whether a connection of any worker has closed at the connection limit since the last call.
    pub fn take_permit_offer(&self) -> bool {
        match &self.offload {
            Offload::Inline => false,
            Offload::Pool { completions, .. } => completions.take_permit_offer(),
        }
    }

    /// The offloaded jobs completed since the last call.
    pub fn take_completions(&mut self) -> Vec<(ClientKey, Completion)> {
        match &mut self.offload {
            Offload::Pool { completions, outstanding, .. } if *outstanding > 0 => {
                let completed = completions.take();
                *outstanding -= completed.len();
                completed
            }
            _ => Vec::new(),
        }
    }
}

fn client_key(client: &Client) -> ClientKey {
    ClientKey { slab_key: client.slab_key, id: client.id }
}
