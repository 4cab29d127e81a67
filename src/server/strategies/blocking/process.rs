//! A process for each connection: forking, reaping and ending the children.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use signal_hook::consts::{SIGCHLD, SIGURG, SIGUSR1, SIGUSR2};

use crate::server::client::Client;
use crate::server::connection_limit::ConnectionPermit;
use crate::server::listener::Listener;
use crate::server::sys::{self, Forked};
use crate::site::MemoryShare;
use crate::sync::{lock, wait, wait_timeout};
use crate::syscall_stats::{Call, Event, SyscallStats};

/// Tells a child to finish. Not SIGTERM or SIGINT: a second one of those, such as Ctrl-C sends to
/// the whole process group, ends a process at once.
const SHUTDOWN_SIGNAL: i32 = SIGUSR1;
/// Tells a child that has not finished in time to close its connection and log it.
const ABORT_SIGNAL: i32 = SIGUSR2;
/// Tells a child to finish, because another client waits for its place.
const EVICTION_SIGNAL: i32 = SIGURG;

// The handlers are registered before the first fork and never removed: a child could inherit a lock
// of signal-hook's registry that another thread held at that moment.
static IS_SHUTDOWN_REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static IS_ABORT_REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static IS_EVICTION_REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Only a child acts on these signals. The parent has the same handlers, and ignores what they
/// set.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process is a child that was told to finish.
pub fn is_shut_down_by_parent() -> bool {
    is_child_with(&IS_SHUTDOWN_REQUESTED)
}

/// Whether this process is a child that has not finished in time.
pub fn is_aborted_by_parent() -> bool {
    is_child_with(&IS_ABORT_REQUESTED)
}

/// Whether this process is a child that was told to make room for another client.
pub fn is_evicted_by_parent() -> bool {
    is_child_with(&IS_EVICTION_REQUESTED)
}

fn is_child_with(request: &OnceLock<Arc<AtomicBool>>) -> bool {
    let is_requested = || request.get().is_some_and(|flag| flag.load(Ordering::Acquire));
    IS_CHILD.load(Ordering::Acquire) && is_requested()
}

/// Turns the forked process into a child. A signal that the parent got earlier is not meant for it;
/// one that the parent sends to it just now is sent again.
fn become_child() {
    for request in [&IS_SHUTDOWN_REQUESTED, &IS_ABORT_REQUESTED, &IS_EVICTION_REQUESTED] {
        if let Some(flag) = request.get() {
            flag.store(false, Ordering::Release);
        }
    }
    IS_CHILD.store(true, Ordering::Release);
}

/// The living children.
#[derive(Clone, Debug, Default)]
pub struct Children(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    living: Mutex<HashMap<Pid, Child>>,
    one_ended: Condvar,
}

#[derive(Debug)]
struct Child {
    /// Held for the connection until the child is reaped, as is its share of the cache.
    _permit: ConnectionPermit,
    _cache: MemoryShare,
    started_at: Instant,
    is_evicted: bool,
}

impl Children {
    /// Installs the signal handlers and starts a thread that reaps each child when it ends. Call it
    /// once, before the first fork.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn start_reaping(&self, stats: SyscallStats) -> io::Result<()> {
        let table = self.0.clone();
        let (signal_pipe, reaper_pipe) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, signal_pipe)?;
        for (signal, flag) in [
            (SHUTDOWN_SIGNAL, &IS_SHUTDOWN_REQUESTED),
            (ABORT_SIGNAL, &IS_ABORT_REQUESTED),
            (EVICTION_SIGNAL, &IS_EVICTION_REQUESTED),
        ] {
            signal_hook::flag::register(signal, flag.get_or_init(Arc::default).clone())?;
        }
        std::thread::spawn(move || table.reap_forever(reaper_pipe, &stats));
        Ok(())
    }

    /// Serves `client` in a child, which ends with it and closes its copies of `listeners`. The
    /// parent keeps the permit and the cache share until it has reaped the child.
    ///
    /// # Errors
    /// EAGAIN or ENOMEM: no process can be created now. The connection is closed.
    pub fn fork(
        &self,
        mut client: Client,
        cache: MemoryShare,
        listeners: &[Listener],
        stats: &SyscallStats,
        serve: impl FnOnce(Client, MemoryShare),
    ) -> io::Result<()> {
        // Locked until the child is in the table: it may end before fork returns in the parent. The
        // lock also keeps the thread that reaps from dropping permits during the fork, so that the
        // child does not inherit a lock of the connection limit that is held.
        let mut living = lock(&self.0.living);
        let forked = sys::fork(listeners)?;
        match forked {
            Forked::Parent(child) => {
                // Its copy of the connection.
                stats.count(Call::Close);
                let (permit, started_at) = (client.permit, Instant::now());
                let resources =
                    Child { _permit: permit, _cache: cache, started_at, is_evicted: false };
                living.insert(child, resources);
                Ok(())
            }
            Forked::Child => {
                listeners.iter().for_each(|_| stats.count(Call::Close));
                become_child();
                client.permit.disown();
                // A parent that is killed takes its children with it; one that shuts down waits for
                // them.
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let served = catch_unwind(AssertUnwindSafe(|| serve(client, cache)));
                // _exit: exit handlers and buffered streams belong to the parent.
                signal_hook::low_level::exit(if served.is_ok() { 0 } else { 101 })
            }
        }
    }

    /// Tells the oldest child to finish its request, if it has one, and to close its connection.
    /// The parent does not know which children are idle. Children that were told before are told
    /// again: a signal just before the child's recv does not interrupt it.
    pub fn evict_oldest(&self, stats: &SyscallStats) {
        let mut living = lock(&self.0.living);
        let candidates = living.values_mut().filter(|child| !child.is_evicted);
        if let Some(oldest) = candidates.min_by_key(|child| child.started_at) {
            oldest.is_evicted = true;
            stats.count_event(Event::Evicted);
        }
        for (child, _) in living.iter().filter(|(_, child)| child.is_evicted) {
            let _ = kill_process(*child, Signal::URG);
        }
    }

    /// Tells every child to finish. After `timeout`, children are told to close their connections,
    /// and those that still live half a second later are killed.
    pub fn shut_down(&self, timeout: Duration) {
        const RESEND_INTERVAL: Duration = Duration::from_millis(50);
        const ABORT_TIMEOUT: Duration = Duration::from_millis(500);
        let deadline = Instant::now() + timeout;
        let mut living = lock(&self.0.living);
        while !living.is_empty() {
            let signal = match Instant::now().saturating_duration_since(deadline) {
                Duration::ZERO => Signal::USR1,
                late if late < ABORT_TIMEOUT => Signal::USR2,
                _ => Signal::KILL,
            };
            for child in living.keys() {
                // Sent repeatedly: a signal just before the child's recv does not interrupt it.
                let _ = kill_process(*child, signal);
            }
            living = wait_timeout(&self.0.one_ended, living, RESEND_INTERVAL);
        }
    }

    /// Waits until every child has ended.
    pub fn wait_until_empty(&self) {
        let mut living = lock(&self.0.living);
        while !living.is_empty() {
            living = wait(&self.0.one_ended, living);
        }
    }
}

impl Table {
    fn reap_forever(&self, mut pipe: UnixStream, stats: &SyscallStats) {
        loop {
            let signals = match pipe.read(&mut [0; 64]) {
                Ok(signals @ 1..) => signals,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return,
            };
            stats.count(Call::Recv);
            // The signal handler has sent one byte per signal.
            (0..signals).for_each(|_| stats.count(Call::Send));
            self.reap(stats);
        }
    }

    fn reap(&self, stats: &SyscallStats) {
        let mut living = lock(&self.living);
        let reap_one = || {
            stats.count(Call::Reap);
            waitpid(None, WaitOptions::NOHANG)
        };
        while let Ok(Some((child, _))) = reap_one() {
            living.remove(&child);
        }
        self.one_ended.notify_all();
    }
}
