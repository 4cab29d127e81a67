//! Sockets, readiness and scheduling.
//!
//! What lives here: the three strategies (one file each, to be read side by side), the loop they share
//! (`drive`), and what any of them needs of the system. What does not: HTTP. A strategy knows that a
//! connection exists, when it wants to be looked at, and what `drive` said of it.

mod acceptor;
mod access_log;
mod clients;
mod clock;
mod drive;
mod listener;
mod offload;
mod privileges;
mod shutdown_signal;
mod strategies;
mod timer_fd;
mod timer_queue;
mod worker;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

pub use access_log::LogFormat;
pub use listener::listening;
pub use privileges::Privileges;
pub use strategies::blocking::Model;
pub use strategies::blocking::process::map_shared_counters;

use crate::format::error_with;
use crate::http::Limits;
use crate::site::{Policy, Root};
use crate::syscall_stats::SyscallStats;
use acceptor::Acceptor;
use access_log::AccessLog;
use clock::ClockMode;
use listener::{Listener, SocketMode};
use offload::OffloadPool;
use shutdown_signal::ShutdownSignal;
use strategies::{blocking, mio, poll_list};
use worker::{ConnectionLimit, Shared, Worker};

/// The way of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// So many reactors.
    Mio {
        /// Each with its own listener, on its own thread.
        workers: NonZeroUsize,
    },
    /// A busy loop over a list.
    PollList {
        /// Slept after a pass that moved nothing.
        pause: Duration,
    },
    /// Blocking calls.
    Blocking(Model),
}

/// How a server is to be run.
#[derive(Debug)]
pub struct Settings {
    /// The way of waiting.
    pub strategy: Strategy,
    /// What is served.
    pub root: Root,
    /// In which form.
    pub policy: Policy,
    /// Where; port 0 is a free one.
    pub address: SocketAddr,
    /// What a connection may cost.
    pub limits: Limits,
    /// Connections at once; None for what the descriptors allow, at most 8,192.
    pub connections_max: Option<NonZeroUsize>,
    /// How answers are logged.
    pub log: LogFormat,
    /// Whether every step is told on stderr.
    pub trace: bool,
    /// How long a stop waits for answers under way.
    pub shutdown_timeout: Duration,
    /// What is given up before the first connection is accepted.
    pub privileges: Privileges,
    /// A page in which the system calls of all workers are counted, for whoever else has it.
    pub counters_file: Option<File>,
}

/// What the workers of a server remember of the site, together, in bytes.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Listens, calls `announce` with the real address, and serves until a signal stops it.
///
/// # Errors
/// The system's: the address can't be bound, or what is needed to begin can't be had. Whatever happens to a
/// connection is no error of the server.
pub fn run(settings: Settings, announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let Settings {
        strategy,
        root,
        policy,
        address,
        mut limits,
        connections_max,
        log,
        trace,
        shutdown_timeout,
        privileges,
        counters_file,
    } = settings;
    let counters = counters_file.map(map_shared_counters).transpose()?;
    // Before anything can be connected to: a signal from the first moment on is a stop in order.
    let stop = ShutdownSignal::install(shutdown_timeout)?;
    let connection_limit = ConnectionLimit::new(places(connections_max));
    limits.record_exchanges = log != LogFormat::None;
    let (waiting, listeners) = match strategy {
        Strategy::Mio { workers } => (SocketMode::NonBlocking, workers.get()),
        Strategy::PollList { .. } => (SocketMode::NonBlocking, 1),
        // A send that waits is told of free space late, when a third of its buffer is free; one that is tried anew finds
        // whatever there is. So each waits for a part of the time only.
        Strategy::Blocking(_) => (
            SocketMode::Blocking { receive: limits.header_timeout, send: limits.write_timeout / 4 },
            1,
        ),
    };
    let mut listeners = match Listener::passed(waiting, listeners)? {
        Some(passed) => passed,
        None => Listener::bind(address, waiting, listeners)
            .map_err(|error| error_with(address, &error))?,
    };
    privileges.drop(&root)?;
    let address = listeners[0].address();
    // Not before all is there that is needed to serve.
    let ready = || {
        announce(address);
        // Whoever started this program may wait for it (sd_notify(3)); where nobody does, this does nothing.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    };
    let (log, log_writer) =
        AccessLog::start(log, &SyscallStats::new("log", false).with_shared(counters));
    let shared = Shared {
        offload: OffloadPool::default(),
        root: Arc::new(root),
        policy: Arc::new(policy),
        limits: Arc::new(limits),
        connection_limit,
        log,
        trace,
        counters,
    };
    match strategy {
        Strategy::Mio { .. } => run_reactors(listeners, &shared, &stop, ready)?,
        Strategy::PollList { pause } => {
            let worker = Worker::new(&shared, "poll-list", ClockMode::Cached, 0).with_offload(
                &shared,
                CACHE_BYTES_MAX,
                None,
            );
            let acceptor = Acceptor::new(listeners.remove(0), shared.connection_limit);
            ready();
            poll_list::PollList::new(worker, pause).run(acceptor, &stop);
        }
        Strategy::Blocking(model) => {
            blocking::run(listeners.remove(0), shared, stop, model, ready)?
        }
    }
    log_writer.finish();
    Ok(())
}

/// One reactor a thread, the last on this one.
fn run_reactors(
    listeners: Vec<Listener>,
    shared: &Shared,
    stop: &ShutdownSignal,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let cache_bytes_max = CACHE_BYTES_MAX / listeners.len() as u64;
    let mut reactors = Vec::new();
    for (n, listener) in listeners.into_iter().enumerate() {
        let worker = Worker::new(shared, &format!("worker {n}"), ClockMode::Cached, 0);
        let acceptor = Acceptor::new(listener, shared.connection_limit.clone());
        reactors.push(mio::Reactor::new(
            acceptor,
            |waker| worker.with_offload(shared, cache_bytes_max, Some(waker)),
            stop,
        )?);
    }
    let last = reactors.pop();
    ready();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            reactors.into_iter().map(|reactor| scope.spawn(|| reactor.run())).collect();
        let mut result = last.map_or(Ok(()), mio::Reactor::run);
        for thread in threads {
            result =
                result.and(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        result
    })
}

/// How many connections there may be. A soft limit of descriptors is only a default: it is raised as far as
/// the system lets us. Some are kept for the files that are being sent and for the program itself.
fn places(wanted: Option<NonZeroUsize>) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const PLACES_DEFAULT: usize = 8192;
    const KEPT: u64 = 64;
    let places = wanted.map_or(PLACES_DEFAULT, NonZeroUsize::get);
    let needed = (places as u64).saturating_mul(2).saturating_add(KEPT);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        // If it is refused, what there is must do.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    match getrlimit(Resource::Nofile).current {
        Some(descriptors) => places.min(descriptors.saturating_sub(KEPT).max(1) as usize),
        None => places,
    }
}
