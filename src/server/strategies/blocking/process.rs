//! A process for each connection: forking them, reaping them, stopping them.
//!
//! The only unsafe code of the program is here: fork itself, and the page on which a family keeps one counters.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use signal_hook::consts::{SIGCHLD, SIGUSR1, SIGUSR2};

use crate::server::drive::Client;
use crate::server::worker::ConnectionPermit;
use crate::syscall_stats::{Call, Counters, SyscallStats};

/// How a parent tells its children to finish. Not by the signals that it is told with itself: of those a second one, as
/// Ctrl-C at a terminal sends it to all of them, ends a process at once.
const SHUTDOWN_SIGNAL: i32 = SIGUSR1;
/// How it tells those that have not finished in time to end: each has a line of the log to write of what it cuts.
const ABORT_SIGNAL: i32 = SIGUSR2;

/// Set in a child that was told. The handlers are registered before any fork and never taken back: what a child inherits of
/// another thread's work on the registry is locked for good.
static SHUTDOWN_REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// The same for one that is to end.
static ABORT_REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether this process is a child whose parent told it to finish.
pub(super) fn shut_down_by_parent() -> bool {
    SHUTDOWN_REQUESTED.get().is_some_and(|told| told.load(Ordering::Acquire))
}

/// Whether this process is a child that has not finished in time.
pub(super) fn aborted_by_parent() -> bool {
    ABORT_REQUESTED.get().is_some_and(|cut| cut.load(Ordering::Acquire))
}

/// The children that live, each with its place.
#[derive(Clone, Debug)]
pub(super) struct Children(Arc<Family>);

#[derive(Debug, Default)]
struct Family {
    living: Mutex<HashMap<Pid, ConnectionPermit>>,
    one_gone: Condvar,
}

impl Children {
    /// No children yet, and a thread that reaps them as soon as they end, so that none stays a zombie.
    /// Its calls are entered in `stats`.
    pub(super) fn new(stats: SyscallStats) -> io::Result<Children> {
        let family = Arc::new(Family::default());
        let (wakes, mut sleeper) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, wakes)?;
        signal_hook::flag::register(
            SHUTDOWN_SIGNAL,
            SHUTDOWN_REQUESTED.get_or_init(Arc::default).clone(),
        )?;
        signal_hook::flag::register(
            ABORT_SIGNAL,
            ABORT_REQUESTED.get_or_init(Arc::default).clone(),
        )?;
        std::thread::spawn({
            let family = family.clone();
            move || {
                loop {
                    let signals = match sleeper.read(&mut [0; 64]) {
                        Ok(signals @ 1..) => signals,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Ok(0) | Err(_) => return,
                    };
                    stats.count(Call::Recv);
                    // The handler of each signal sent one byte.
                    (0..signals).for_each(|_| stats.count(Call::Send));
                    family.reap(&stats);
                }
            }
        });
        Ok(Children(family))
    }

    /// Serves `client` in a child that ends with it and has no part in `listener`. The parent keeps nothing
    /// of the connection but its place.
    pub(super) fn fork(
        &self,
        client: Client,
        listener: impl AsFd,
        stats: &SyscallStats,
        serve: impl FnOnce(Client),
    ) -> io::Result<()> {
        stats.count(Call::Fork);
        stats.trace(client.id, format_args!("fork"));
        // Held until the child is entered: it may end before fork returns here.
        let mut living = self.0.lock();
        let forked = fork_without(listener.as_fd())?;
        // The parent's copy of the connection, or the child's of the listener.
        stats.count(Call::Close);
        match forked {
            Forked::Parent(child) => {
                living.insert(child, client.into_permit());
                Ok(())
            }
            Forked::Child => {
                // A parent that is ended at once, by a second signal or by force, takes its children with it; one that
                // stops in order waits for them.
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let served =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(client)));
                // Not exit(): the parent's exit handlers and buffers are the parent's.
                signal_hook::low_level::exit(if served.is_ok() { 0 } else { 101 })
            }
        }
    }

    /// Tells every child to finish; after `timeout` those that have not are to end, and soon after they are ended.
    pub(super) fn stop_all(&self, timeout: Duration) {
        const AGAIN: Duration = Duration::from_millis(50);
        const LAST_WORDS: Duration = Duration::from_millis(500);
        let give_up = Instant::now() + timeout;
        let mut living = self.0.lock();
        while !living.is_empty() {
            let signal = match Instant::now().saturating_duration_since(give_up) {
                Duration::ZERO => Signal::USR1,
                late if late < LAST_WORDS => Signal::USR2,
                _ => Signal::KILL,
            };
            for child in living.keys() {
                // Again and again: a signal that comes just before the child's recv does not interrupt it.
                let _ = kill_process(*child, signal);
            }
            living = self
                .0
                .one_gone
                .wait_timeout(living, AGAIN)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
    }

    /// Waits for the children; [`Children::stop_all`] sees to it that they end.
    pub(super) fn wait_until_gone(&self) {
        let mut living = self.0.lock();
        while !living.is_empty() {
            living = self.0.one_gone.wait(living).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

impl Family {
    fn reap(&self, stats: &SyscallStats) {
        let mut living = self.lock();
        let reap_one = || {
            stats.count(Call::Reap);
            waitpid(None, WaitOptions::NOHANG)
        };
        while let Ok(Some((child, _))) = reap_one() {
            living.remove(&child);
        }
        self.one_gone.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, ConnectionPermit>> {
        // An insert or a remove either happened or not: there is no half of one to see.
        self.living.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

enum Forked {
    Parent(Pid),
    Child,
}

/// Forks; the child closes its copy of `listener`, lest the port outlive the parent.
#[allow(unsafe_code)]
fn fork_without(listener: BorrowedFd<'_>) -> io::Result<Forked> {
    // SAFETY: after fork the child has only the calling thread, so it must not wait for a lock that another thread
    // of the parent held at that moment. The parent's other threads are those that wait for signals and
    // the log's writer. They sleep in read, wait or futex; none of them writes to the streams of std in this model,
    // whose lines are written by the children, and the allocator's locks are made whole in the child by libc.
    // The lock on the family of children is held by this thread itself and not taken in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: the child never accepts, and it ends by _exit, so that no destructor closes the number
            // a second time.
            unsafe { libc::close(listener.as_raw_fd()) };
            Ok(Forked::Child)
        }
        child => Ok(Pid::from_raw(child).map_or(Forked::Child, Forked::Parent)),
    }
}

/// The counters on `page`, which all who have that file keep together: the workers of this process, its
/// children, and whoever started it and wants to know. It stays for good: a page for each server that is started.
///
/// # Errors
/// The system's; a file that is too short is refused.
#[allow(unsafe_code)]
pub fn map_shared_counters(page: File) -> io::Result<&'static Counters> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let length = size_of::<Counters>();
    if page.metadata()?.len() < length as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the page for the stats is too short",
        ));
    }
    // SAFETY: a new mapping, at an address of the kernel's choice, that overlaps nothing.
    let address = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &page,
            0,
        )?
    };
    // SAFETY: the mapping begins on a page, so it is aligned, is as long as the type (checked above, and the file is
    // sealed by its maker against becoming shorter), and is never unmapped. The type is made of atomics only, for which every
    // bit pattern is a value and which others may change at any time.
    Ok(unsafe { &*address.cast::<Counters>() })
}
