//! Counters of the system calls that a server makes for its connections and responses, and of its
//! panics.
//!
//! Every call into the kernel for a socket or a served file is counted where it is made, so that
//! the cost of a strategy can be checked against strace (`tests/syscall_stats.rs`). Counters can be
//! read at any time, from any thread.
//!
//! A server is not queried for its counters from outside. The process that starts it may pass a
//! file to count in (`--counters-file`, `server/sys.rs`); all its workers, threads and forked
//! children then share one set of counters in that file's pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::{Errno, Result};

/// The system calls that are counted: all that serve a connection or a response. Calls that threads
/// make for themselves (futex, mmap of a stack), those of reading a listed directory and those of
/// checking a password are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(usize)]
pub enum Call {
    Accept,
    Recv,
    Send,
    Sendmsg,
    Sendfile,
    Shutdown,
    Setsockopt,
    Close,
    Wait,
    Poll,
    EpollCtl,
    SetTimer,
    Openat2,
    Openat,
    Stat,
    StatPath,
    Readlink,
    Read,
    Sleep,
    Fork,
    Reap,
    Spawn,
    WriteLog,
}

const CALLS: usize = Call::WriteLog as usize + 1;

impl Call {
    /// Every counted call.
    pub const ALL: [Call; CALLS] = [
        Call::Accept,
        Call::Recv,
        Call::Send,
        Call::Sendmsg,
        Call::Sendfile,
        Call::Shutdown,
        Call::Setsockopt,
        Call::Close,
        Call::Wait,
        Call::Poll,
        Call::EpollCtl,
        Call::SetTimer,
        Call::Openat2,
        Call::Openat,
        Call::Stat,
        Call::StatPath,
        Call::Readlink,
        Call::Read,
        Call::Sleep,
        Call::Fork,
        Call::Reap,
        Call::Spawn,
        Call::WriteLog,
    ];

    /// The name that strace prints on x86-64.
    pub fn name(self) -> &'static str {
        match self {
            Call::Accept => "accept4",
            Call::Recv => "recvfrom",
            Call::Send => "sendto",
            Call::Sendmsg => "sendmsg",
            Call::Sendfile => "sendfile",
            Call::Shutdown => "shutdown",
            Call::Setsockopt => "setsockopt",
            Call::Close => "close",
            Call::Wait => "epoll_wait",
            Call::Poll => "ppoll",
            Call::EpollCtl => "epoll_ctl",
            Call::SetTimer => "timerfd_settime",
            Call::Openat2 => "openat2",
            Call::Openat => "openat",
            Call::Stat => "fstat",
            Call::StatPath => "newfstatat",
            Call::Readlink => "readlinkat",
            Call::Read => "pread64",
            Call::Sleep => "clock_nanosleep",
            Call::Fork => "clone",
            Call::Reap => "wait4",
            Call::Spawn => "clone3",
            Call::WriteLog => "write",
        }
    }
}

/// How often each call was made. The layout is the same in private memory and in a shared page.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    made: [AtomicU64; CALLS],
    would_block: AtomicU64,
    panics: AtomicU64,
}

/// The size in bytes of a file that holds shared [`Counters`].
pub const PAGE_BYTES: u64 = 4096;
const _: () = assert!(size_of::<Counters>() <= PAGE_BYTES as usize);

impl Counters {
    /// How often `call` was made.
    pub fn made(&self, call: Call) -> u64 {
        self.made[call as usize].load(Ordering::Relaxed)
    }

    /// How often a transfer failed with EAGAIN.
    pub fn would_block(&self) -> u64 {
        self.would_block.load(Ordering::Relaxed)
    }

    /// How often the server panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    fn count(&self, call: Call) {
        // An atomic addition, because threads and processes may share the counters. On an
        // uncontended cache line it costs about 5 ns, a hundredth of the cheapest call that it
        // counts.
        self.made[call as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the counters live.
#[derive(Clone, Debug)]
enum CounterStorage {
    Owned(Arc<Counters>),
    /// In a page that other processes map, too.
    Shared(&'static Counters),
}

/// A handle to the counters of one worker, or to the counters that all workers share.
#[derive(Clone, Debug)]
pub struct SyscallStats {
    counters: CounterStorage,
}

impl Default for SyscallStats {
    fn default() -> SyscallStats {
        SyscallStats::new(None)
    }
}

impl SyscallStats {
    /// Counts in `shared`, or in counters of its own if there are none.
    pub fn new(shared: Option<&'static Counters>) -> SyscallStats {
        let owned = || CounterStorage::Owned(Arc::default());
        SyscallStats { counters: shared.map_or_else(owned, CounterStorage::Shared) }
    }

    /// The counters behind the handle.
    pub fn counters(&self) -> &Counters {
        match &self.counters {
            CounterStorage::Owned(counters) => counters,
            CounterStorage::Shared(counters) => counters,
        }
    }

    /// Counts one call.
    pub fn count(&self, call: Call) {
        self.counters().count(call);
    }

    /// Counts one panic.
    pub fn count_panic(&self) {
        self.counters().panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one call that transfers bytes, and whether it failed with EAGAIN.
    #[inline]
    pub fn count_transfer(&self, call: Call, result: Result<usize>) {
        self.count(call);
        if result == Err(Errno::AGAIN) {
            self.counters().would_block.fetch_add(1, Ordering::Relaxed);
        }
    }
}
