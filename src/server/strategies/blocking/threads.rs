//! The four loops that accept and serve on blocking sockets, and how they end.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::live_connections::LiveConnections;
use super::process::{Children, is_aborted_by_parent, is_shut_down_by_parent};
use super::recv_timeout::RecvTimeout;
use crate::http::CloseReason;
use crate::server::acceptor::ACCEPT_BACKOFF;
use crate::server::client::{Client, ReadState};
use crate::server::context::{CACHE_BYTES_MAX, ServerContext};
use crate::server::drive::{DriveOutcome, drive_with_timeout};
use crate::server::listener::{Accepted, Listener};
use crate::server::worker::{Shared, Worker};
use crate::sync::lock;
use crate::syscall_stats::Call;

/// What a thread that serves one connection may cache, in bytes. There may be thousands of them.
const THREAD_CACHE_BYTES_MAX: u64 = 256 * 1024;

/// What the threads of a blocking server share.
pub struct BlockingServer {
    listener: Listener,
    shared: Shared,
    live: LiveConnections,
    children: Children,
    /// Workers of threads that have ended. Their caches serve the next connections.
    idle_workers: Mutex<Vec<Worker>>,
    is_stopping: Arc<AtomicBool>,
}

impl BlockingServer {
    /// Starts the thread that waits for the shutdown signal.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn start(server: &mut ServerContext) -> io::Result<Arc<BlockingServer>> {
        let signal = server.shutdown.stream()?;
        let timeout = server.shutdown.timeout();
        let blocking = Arc::new(BlockingServer {
            listener: server.listeners.remove(0),
            children: Children::new(server.shared.syscall_stats())?,
            shared: server.shared.clone(),
            live: LiveConnections::default(),
            idle_workers: Mutex::default(),
            is_stopping: server.shutdown.flag(),
        });
        std::thread::spawn({
            let blocking = blocking.clone();
            move || blocking.wait_for_shutdown(signal, timeout)
        });
        Ok(blocking)
    }

    /// One connection after the other, on this thread.
    pub fn accept_and_serve(&self) {
        self.serve_each(self.worker("iterative", CACHE_BYTES_MAX));
    }

    /// A fixed number of threads, each of which serves one connection after the other.
    ///
    /// # Errors
    /// EAGAIN if the system cannot start that many threads. Those that did start end again.
    pub fn accept_in_pool(&self, threads: NonZeroUsize) -> io::Result<()> {
        let cache_bytes_max = CACHE_BYTES_MAX / threads.get() as u64;
        std::thread::scope(|scope| {
            let started = (0..threads.get()).try_for_each(|number| {
                let worker = self.worker(&format!("pool {number}"), cache_bytes_max);
                let thread = std::thread::Builder::new();
                thread.spawn_scoped(scope, move || self.serve_each(worker)).map(drop)
            });
            if started.is_err() {
                self.is_stopping.store(true, Ordering::Release);
                self.listener.shut_down();
            }
            started
        })
    }

    /// A thread for each connection.
    pub fn accept_and_spawn(self: &Arc<Self>) {
        let mut acceptor = self.worker("acceptor", 0);
        while let Some(client) = self.accept(&mut acceptor) {
            let guard = self.live.insert(&client.socket);
            let server = self.clone();
            acceptor.stats.count(Call::Spawn);
            acceptor.tracer.trace(client.id, format_args!("thread started"));
            let spawned = std::thread::Builder::new().spawn(move || {
                let idle = lock(&server.idle_workers).pop();
                let new_worker = || server.worker("thread", THREAD_CACHE_BYTES_MAX);
                let mut worker = idle.unwrap_or_else(new_worker);
                server.serve(client, &mut worker);
                lock(&server.idle_workers).push(worker);
                drop(guard);
            });
            if let Err(error) = spawned {
                // The connection was dropped with the closure.
                acceptor.tracer.trace_worker(format_args!("spawn: {error}; backing off"));
                std::thread::sleep(ACCEPT_BACKOFF);
            }
        }
    }

    /// A forked process for each connection.
    pub fn accept_and_fork(&self) {
        let mut worker = self.worker("process", CACHE_BYTES_MAX);
        while let Some(client) = self.accept(&mut worker) {
            worker.stats.count(Call::Fork);
            worker.tracer.trace(client.id, format_args!("fork"));
            let stats = worker.stats.clone();
            let forked = self.children.fork(client, &self.listener, &stats, |client| {
                let log_writer = worker.start_child_log();
                self.serve(client, &mut worker);
                log_writer.finish();
            });
            if let Err(error) = forked {
                worker.tracer.trace_worker(format_args!("fork: {error}; backing off"));
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
        while !self.is_stopping.load(Ordering::Acquire) && signal.read_exact(&mut [0]).is_ok() {}
        self.listener.shut_down();
        self.live.shut_down(timeout);
        self.children.shut_down(timeout);
    }

    fn serve_each(&self, mut worker: Worker) {
        while let Some(client) = self.accept(&mut worker) {
            let _guard = self.live.insert(&client.socket);
            self.serve(client, &mut worker);
        }
    }

    /// Waits for a permit and a connection; None once the server is shutting down.
    fn accept(&self, worker: &mut Worker) -> Option<Client> {
        while !self.is_stopping.load(Ordering::Acquire) {
            let Some(permit) = self.shared.connection_limit.try_acquire() else {
                std::thread::sleep(ACCEPT_BACKOFF);
                continue;
            };
            match self.listener.accept(&worker.stats) {
                Accepted::Connection(socket, peer) => {
                    return Some(worker.new_client(socket, peer, permit));
                }
                Accepted::WouldBlock => {}
                Accepted::Exhausted(errno) => {
                    worker.tracer.trace_worker(format_args!("accept: {errno}; backing off"));
                    std::thread::sleep(ACCEPT_BACKOFF);
                }
            }
        }
        None
    }

    /// Serves one connection until it closes.
    fn serve(&self, mut client: Client, worker: &mut Worker) {
        let mut recv_timeout = RecvTimeout::new(self.listener.recv_timeout());
        let mut outcome = DriveOutcome::Yielded;
        while outcome != DriveOutcome::Closed {
            let now = *worker.clock.now();
            if self.is_stopping.load(Ordering::Acquire) || is_shut_down_by_parent() {
                client.graceful_shutdown(&now);
            }
            if is_aborted_by_parent() {
                client.connection.fail(CloseReason::Stopping);
            }
            recv_timeout.update(&client, worker, &now);
            client.read_state = ReadState::MaybeReadable;
            outcome = drive_with_timeout(&mut client, worker, &now);
        }
    }

    fn worker(&self, name: &str, cache_bytes_max: u64) -> Worker {
        Worker::blocking(&self.shared, name, cache_bytes_max)
    }
}
