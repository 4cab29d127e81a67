//! Blocking sockets: whoever serves a connection sleeps in its recv and its send.
//!
//! ```text
//!   iterative   accept ──> serve it to its end ──> accept …        everyone else waits in the backlog
//!   process     accept ──> fork ──> the child serves ──> exits     the parent accepts on
//!   thread      accept ──> spawn ──> the thread serves ──> ends    the acceptor accepts on
//!   pool        N threads, each like iterative                     N are served at once, the rest waits
//! ```
//!
//! The code that serves is the straightest of all: no state but where it stands. The price is a flow of control for
//! each connection, busy or idle, or else to serve only as many as there are. TimerQueue are socket timeouts.

mod live_connections;
pub(in crate::server) mod process;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::CloseReason;
use crate::server::acceptor::ACCEPT_BACKOFF;
use crate::server::clock::ClockMode;
use crate::server::drive::{Client, Drive, ReadState, drive_with_timeout};
use crate::server::listener::{Accepted, Listener};
use crate::server::shutdown_signal::ShutdownSignal;
use crate::server::worker::{Shared, Worker};
use crate::syscall_stats::{Call, SyscallStats};
use live_connections::LiveConnections;
use process::{Children, aborted_by_parent, shut_down_by_parent};

/// Who serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The one thread there is, one connection after the other.
    Iterative,
    /// A process for each.
    Process,
    /// A thread for each.
    Thread,
    /// Whichever of so many threads is free.
    Pool(usize),
}

/// What a thread that may come and go remembers of the site, in bytes; there may be thousands of them.
const THREAD_CACHE_BYTES_MAX: u64 = 256 * 1024;

/// What the threads of this strategy have in common.
struct Blocking {
    listener: Listener,
    shared: Shared,
    live: LiveConnections,
    /// Workers whose thread has ended: what they remember serves the next.
    resting: Mutex<Vec<Worker>>,
    stopping: Arc<AtomicBool>,
}

/// Serves until it is told to stop and has finished. `tell` says that all is there that is needed.
pub(in crate::server) fn run(
    listener: Listener,
    shared: Shared,
    stop: ShutdownSignal,
    model: Model,
    tell: impl FnOnce(),
) -> io::Result<()> {
    let (mut signal, stopping, timeout) = (stop.waker()?, stop.flag(), stop.timeout());
    let server = Arc::new(Blocking {
        listener,
        shared,
        live: LiveConnections::default(),
        resting: Mutex::default(),
        stopping,
    });
    let children =
        Children::new(SyscallStats::new("reaper", false).with_shared(server.shared.counters))?;
    std::thread::spawn({
        let (server, children) = (server.clone(), children.clone());
        move || {
            // A signal to a forked child alone ends up here, too: the stream was inherited.
            while !server.stopping.load(Ordering::Acquire) && signal.read_exact(&mut [0]).is_ok() {}
            server.listener.shut_down();
            server.live.stop_all(timeout);
            children.stop_all(timeout);
        }
    });
    tell();
    match model {
        Model::Iterative => {
            server.accept_and_serve(server.worker("iterative", crate::server::CACHE_BYTES_MAX))
        }
        Model::Process => server.accept_and_fork(&children),
        Model::Thread => server.accept_and_spawn(),
        Model::Pool(threads) => server.accept_in_pool(threads)?,
    }
    server.live.wait_until_empty();
    children.wait_until_gone();
    Ok(())
}

impl Blocking {
    fn accept_and_serve(&self, mut worker: Worker) {
        while let Some(client) = self.accept(&mut worker) {
            let _registered = self.live.enter(client.socket());
            self.serve(client, &mut worker);
        }
    }

    fn accept_in_pool(&self, threads: usize) -> io::Result<()> {
        std::thread::scope(|scope| {
            let started = (0..threads).try_for_each(|n| {
                let worker = self
                    .worker(&format!("pool {n}"), crate::server::CACHE_BYTES_MAX / threads as u64);
                std::thread::Builder::new()
                    .spawn_scoped(scope, move || self.accept_and_serve(worker))
                    .map(drop)
            });
            if started.is_err() {
                // Fewer than were asked for is not what was asked for: those that did start end again.
                self.stopping.store(true, Ordering::Release);
                self.listener.shut_down();
            }
            started
        })
    }

    fn accept_and_spawn(self: &Arc<Self>) {
        let mut acceptor = self.worker("acceptor", 0);
        while let Some(client) = self.accept(&mut acceptor) {
            let registered = self.live.enter(client.socket());
            let server = self.clone();
            acceptor.stats.count(Call::Spawn);
            acceptor.stats.trace(client.id, format_args!("a thread of its own"));
            let spawned = std::thread::Builder::new().spawn(move || {
                let rested = server.resting().pop();
                let mut worker =
                    rested.unwrap_or_else(|| server.worker("thread", THREAD_CACHE_BYTES_MAX));
                server.serve(client, &mut worker);
                server.resting().push(worker);
                drop(registered);
            });
            if let Err(error) = spawned {
                // The connection went with its closure. The system has no thread to give.
                acceptor.stats.trace_worker(format_args!("spawn: {error}; it rests for a moment"));
                std::thread::sleep(ACCEPT_BACKOFF);
            }
        }
    }

    fn accept_and_fork(&self, children: &Children) {
        let mut worker = self.worker("process", crate::server::CACHE_BYTES_MAX);
        while let Some(client) = self.accept(&mut worker) {
            let forked = children.fork(client, &self.listener, &worker.stats.clone(), |client| {
                let log_writer = worker.start_log_of_its_own();
                self.serve(client, &mut worker);
                log_writer.finish();
            });
            if let Err(error) = forked {
                worker.stats.trace_worker(format_args!("fork: {error}; it rests for a moment"));
                std::thread::sleep(ACCEPT_BACKOFF);
            }
        }
    }

    /// Waits for a connection and a place for it; None when the server is to stop.
    fn accept(&self, worker: &mut Worker) -> Option<Client> {
        while !self.stopping.load(Ordering::Acquire) {
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
                    worker
                        .stats
                        .trace_worker(format_args!("accept: {errno}; it rests for a moment"));
                    std::thread::sleep(ACCEPT_BACKOFF);
                }
            }
        }
        None
    }

    /// Serves one connection to its end.
    fn serve(&self, mut client: Client, worker: &mut Worker) {
        let mut patience = self.listener.patience();
        let mut outcome = Drive::Yielded;
        while outcome != Drive::Closed {
            let now = *worker.clock.now();
            if self.stopping.load(Ordering::Acquire) || shut_down_by_parent() {
                client.graceful_shutdown(&now);
            }
            if aborted_by_parent() {
                client.connection.fail(CloseReason::Stopping);
            }
            client.set_recv_timeout(&now, &mut patience, &worker.stats);
            client.readable = ReadState::MaybeReadable;
            outcome = drive_with_timeout(&mut client, worker, &now);
        }
    }

    fn worker(&self, name: &str, cache_bytes_max: u64) -> Worker {
        Worker::new(&self.shared, name, ClockMode::Live, cache_bytes_max)
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Worker>> {
        // A push or a pop either happened or not: there is no half of one to see.
        self.resting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
