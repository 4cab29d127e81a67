//! The loops that accept and serve on blocking sockets, and how they end.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::idle_workers::IdleWorkers;
use super::listeners::Listeners;
use super::live_connections::{Eviction, LiveConnections, LiveGuard};
use super::process::{self, Children};
use super::recv_timeout::RecvTimeout;
use crate::http::{Awaits, CloseReason, Now};
use crate::server::acceptor::ACCEPT_BACKOFF;
use crate::server::client::{Client, ReadState};
use crate::server::connection_limit::{ConnectionLimit, ConnectionPermit};
use crate::server::context::ServerContext;
use crate::server::drive::{DriveOutcome, drive_with_timeout};
use crate::server::eviction;
use crate::server::listener::{Accepted, Incoming};
use crate::server::trace_event::TraceEvent;
use crate::server::worker::{Shared, Worker};
use crate::syscall_stats::Call;

/// What a thread or process that serves one connection may cache, in bytes. There may be thousands
/// of them: when they have used up the budget of the server, further ones cache nothing.
const CONNECTION_CACHE_BYTES_MAX: u64 = 256 * 1024;

/// How often connections are closed while clients wait at the limit. None may be one that can be
/// closed yet, and a signal to a child is lost if it arrives just before the child sleeps.
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);

/// What the threads of a blocking server share.
pub struct BlockingServer {
    listeners: Listeners,
    shared: Shared,
    connection_limit: Arc<ConnectionLimit>,
    live: LiveConnections,
    children: Children,
    idle_workers: IdleWorkers,
    /// Whether a client waits for a connection to become idle.
    is_room_needed: AtomicBool,
    is_stopping: Arc<AtomicBool>,
}

impl BlockingServer {
    /// Starts the thread that waits for the shutdown signal. The server has at most
    /// `connections_max` connections.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn start(
        server: &mut ServerContext,
        connections_max: usize,
    ) -> io::Result<Arc<BlockingServer>> {
        let signal = server.shutdown.stream()?;
        let timeout = server.shutdown.timeout();
        let blocking = Arc::new(BlockingServer {
            listeners: Listeners::new(server.take_listeners()),
            children: Children::default(),
            shared: server.shared.clone(),
            connection_limit: server.shared.connection_limit.narrowed_to(connections_max),
            live: LiveConnections::default(),
            idle_workers: IdleWorkers::default(),
            is_room_needed: AtomicBool::new(false),
            is_stopping: server.shutdown.flag(),
        });
        std::thread::spawn({
            let blocking = blocking.clone();
            move || blocking.wait_for_shutdown(signal, timeout)
        });
        Ok(blocking)
    }

    /// As many threads as there may be connections, each of which serves one after the other. This
    /// thread makes room once all of them have a connection.
    ///
    /// # Errors
    /// EAGAIN if the system cannot start that many threads. Those that did start end again.
    pub fn accept_in_pool(&self, name: &str) -> io::Result<()> {
        let threads = self.connection_limit.available();
        let cache_bytes_max = self.shared.cache_budget.available_bytes() / threads as u64;
        std::thread::scope(|scope| {
            let started = (0..threads).try_for_each(|number| {
                let worker = self.worker(&format!("{name} {number}"), cache_bytes_max);
                let thread = std::thread::Builder::new();
                thread.spawn_scoped(scope, move || self.serve_each(worker)).map(drop)
            });
            match started {
                Ok(()) => self.evict_while_full(self.worker("acceptor", 0)),
                Err(_) => {
                    self.is_stopping.store(true, Ordering::Release);
                    self.listeners.shut_down();
                }
            }
            started
        })
    }

    /// A thread for each connection.
    pub fn accept_and_spawn(self: &Arc<Self>) {
        let mut acceptor = self.worker("acceptor", 0);
        while let Some(client) = self.next_client(&mut acceptor) {
            let guard = self.live.insert(&client.socket);
            let server = self.clone();
            acceptor.stats.count(Call::Spawn);
            acceptor.tracer.trace(client.id, TraceEvent::Starts("thread"));
            let spawned = std::thread::Builder::new().spawn(move || {
                let idle = server.idle_workers.take();
                let new_worker = || server.worker("thread", CONNECTION_CACHE_BYTES_MAX);
                let mut worker = idle.unwrap_or_else(new_worker);
                server.serve(client, &mut worker, Some(&guard));
                let is_keeper = server.idle_workers.add(worker);
                drop(guard);
                if is_keeper {
                    server.idle_workers.free_unused();
                }
            });
            if let Err(error) = spawned {
                // The connection was dropped with the closure.
                acceptor.tracer.trace_worker(TraceEvent::BacksOff { what: "spawn", error: &error });
                std::thread::sleep(ACCEPT_BACKOFF);
            }
        }
    }

    /// Prepares for [`BlockingServer::accept_and_fork`].
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn start_reaping(&self) -> io::Result<()> {
        self.children.start_reaping(self.shared.syscall_stats())
    }

    /// A forked process for each connection.
    pub fn accept_and_fork(&self) {
        let mut acceptor = self.worker("acceptor", 0);
        while let Some(client) = self.next_client(&mut acceptor) {
            acceptor.stats.count(Call::Fork);
            acceptor.tracer.trace(client.id, TraceEvent::Starts("process"));
            let cache = self.shared.cache_budget.take_up_to(CONNECTION_CACHE_BYTES_MAX);
            let (listeners, stats) = (self.listeners.as_slice(), &acceptor.stats);
            let forked = self.children.fork(client, cache, listeners, stats, |client, cache| {
                let mut worker = Worker::blocking(&self.shared, "process", cache);
                worker.log = worker.log.in_child(&worker.stats);
                self.serve(client, &mut worker, None);
            });
            if let Err(error) = forked {
                acceptor.tracer.trace_worker(TraceEvent::BacksOff { what: "fork", error: &error });
                std::thread::sleep(ACCEPT_BACKOFF);
            }
        }
    }

    /// Waits until every thread and every child has finished with its connection.
    pub fn wait_for_clients(&self) {
        self.live.wait_until_empty();
        self.children.wait_until_empty();
    }

    fn wait_for_shutdown(&self, mut signal: UnixStream, timeout: Duration) {
        // A forked child inherits the stream, so a signal to a child alone is read here, too.
        while !self.is_stopping() && signal.read_exact(&mut [0]).is_ok() {}
        self.listeners.shut_down();
        self.live.shut_down(timeout);
        self.children.shut_down(timeout);
    }

    fn serve_each(&self, mut worker: Worker) {
        while let Some(incoming) = self.accept(&mut worker) {
            let permit = self.connection_limit.try_acquire();
            let permit = permit.expect("there are as many permits as threads");
            if let Some(client) = worker.new_client(incoming, permit) {
                let guard = self.live.insert(&client.socket);
                self.serve(client, &mut worker, Some(&guard));
            }
        }
    }

    /// Waits for a permit and a connection; None once the server is shutting down.
    fn next_client(&self, worker: &mut Worker) -> Option<Client> {
        loop {
            let permit = self.wait_for_permit(worker)?;
            let incoming = self.accept(worker)?;
            if let Some(client) = worker.new_client(incoming, permit) {
                return Some(client);
            }
        }
    }

    fn wait_for_permit(&self, worker: &mut Worker) -> Option<ConnectionPermit> {
        while !self.is_stopping() {
            if let Some(permit) = self.connection_limit.try_acquire() {
                return Some(permit);
            }
            if self.evict_for_waiting_client(worker) {
                self.connection_limit.wait_until_available(EVICTION_INTERVAL);
            }
        }
        None
    }

    /// Makes room for the threads of a pool, which accept by themselves. The interval limits what
    /// this costs: the thread wakes for each connection that another thread accepts, too.
    fn evict_while_full(&self, mut worker: Worker) {
        while !self.is_stopping() {
            self.evict_for_waiting_client(&mut worker);
            std::thread::sleep(EVICTION_INTERVAL);
        }
    }

    /// Waits for a client that cannot be accepted, and closes connections to make room for it.
    /// False if none came.
    fn evict_for_waiting_client(&self, worker: &mut Worker) -> bool {
        if !self.listeners.wait_for_connection(&worker.stats) {
            return false;
        }
        // A thread of the pool may have accepted the connection that woke this one.
        let is_client_waiting =
            || self.connection_limit.is_exhausted() && self.listeners.has_connection(&worker.stats);
        let now = worker.clock.now().moment;
        let eviction = self.live.evict(now, &worker.stats, is_client_waiting);
        if eviction != Eviction::NotNeeded {
            self.children.evict_oldest(&worker.stats);
        }
        self.is_room_needed.store(eviction == Eviction::NoneIdle, Ordering::Release);
        eviction != Eviction::NotNeeded
    }

    /// Waits for a connection; None once the server is shutting down.
    fn accept(&self, worker: &mut Worker) -> Option<Incoming> {
        while !self.is_stopping() {
            worker.tracer.trace_worker(TraceEvent::Waits { call: Call::Accept });
            match self.listeners.accept(&self.is_stopping, &worker.stats) {
                Accepted::Connection(incoming) => return Some(incoming),
                Accepted::WouldBlock => {}
                Accepted::Exhausted(errno) => {
                    worker
                        .tracer
                        .trace_worker(TraceEvent::BacksOff { what: "accept", error: &errno });
                    std::thread::sleep(ACCEPT_BACKOFF);
                }
            }
        }
        None
    }

    /// Serves one connection until it closes. A child has no `guard`: its parent evicts it.
    fn serve(&self, mut client: Client, worker: &mut Worker, guard: Option<&LiveGuard>) {
        let mut recv_timeout = RecvTimeout::new(self.listeners.recv_timeout());
        let mut outcome = DriveOutcome::Yielded;
        while outcome != DriveOutcome::Closed {
            let now = *worker.clock.now();
            if process::is_shut_down_by_parent() {
                // The shutdown signal reached only the parent. The child's --health reads this.
                self.is_stopping.store(true, Ordering::Release);
            }
            if self.is_stopping() {
                client.graceful_shutdown(CloseReason::Stopping, &now);
            } else if process::is_evicted_by_parent() {
                evict_child(&mut client, &now);
            }
            if process::is_aborted_by_parent() {
                client.connection.fail(CloseReason::Stopping);
            }
            if let Some(guard) = guard {
                self.offer_eviction(&mut client, worker, guard, &now);
            }
            recv_timeout.update(&client, worker, &now);
            client.read_state = ReadState::MaybeReadable;
            outcome = drive_with_timeout(&mut client, worker, &now);
        }
    }

    /// Closes a connection that has just become idle after one more response, if another client
    /// waits for that. If no request comes, or no client waits yet,
    /// [`BlockingServer::evict_for_waiting_client`] can close it later.
    fn offer_eviction(&self, client: &mut Client, worker: &Worker, guard: &LiveGuard, now: &Now) {
        let candidate = client.connection.eviction_candidate();
        let is_idle = candidate.is_some_and(|candidate| candidate.awaits == Awaits::NextRequest);
        // One connection is enough, so only one thread may see the request; and the client may have
        // been accepted since.
        if is_idle
            && self.is_room_needed.load(Ordering::Acquire)
            && self.is_room_needed.swap(false, Ordering::AcqRel)
            && self.listeners.has_connection(&worker.stats)
        {
            client.connection.graceful_shutdown(CloseReason::Evicted, now);
            guard.count_eviction(&worker.stats);
        }
        guard.set_eviction_candidate(client.connection.eviction_candidate());
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn worker(&self, name: &str, cache_bytes_max: u64) -> Worker {
        let cache = self.shared.cache_budget.take_up_to(cache_bytes_max);
        Worker::blocking(&self.shared, name, cache)
    }
}

/// Closes the connection of a child that has been told to make room: at once if its client has kept
/// the server waiting, otherwise after one more response. Its parent does not know which, and tells
/// it again as long as a client waits.
fn evict_child(client: &mut Client, now: &Now) {
    let candidate = client.connection.eviction_candidate();
    match candidate.is_some_and(|it| eviction::is_closed_at_once(&it, now.moment)) {
        true => client.graceful_shutdown(CloseReason::Evicted, now),
        false => client.connection.graceful_shutdown(CloseReason::Evicted, now),
    }
}
