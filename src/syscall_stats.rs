//! What a server counts: the system calls that it makes for its connections and responses, its
//! responses, and events such as evictions, timeouts and panics.
//!
//! Every call into the kernel for a socket or a served file is counted where it is made, so that
//! the cost of a strategy can be checked against strace (`tests/syscall_stats.rs`). Counters can be
//! read at any time, from any thread.
//!
//! Where a worker counts depends on what reads the counters ([`CounterSource`]):
//!
//! - The process that starts the server may pass a file to count in (`--counters-file`,
//!   `server/sys.rs`); all workers, threads and forked children then share one set of counters in
//!   that file's pages.
//! - With `--admin`, each worker takes one of several sets, which are summed when they are read:
//!   event loops that shared one set would contend for its cache lines. The sets are in memory that
//!   forked children share.
//! - Otherwise each worker has a set of its own, which nothing reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

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

/// What is counted besides system calls and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A connection was accepted and not rejected.
    Accepted,
    /// An accepted connection was closed.
    Closed,
    /// A connection was closed, or shut down, to make room for another.
    Evicted,
    /// A connection was closed at once, because its client already has as many as it may have.
    Rejected,
    /// No request arrived in time.
    IdleTimeout,
    /// The rest of a request head did not arrive in time.
    HeaderTimeout,
    /// The rest of a request body did not arrive in time.
    BodyTimeout,
    /// A client did not read its response in time.
    WriteTimeout,
    /// A TLS handshake was completed.
    Handshake,
    /// The same, with the ticket of an earlier session, so that no signature was needed.
    Resumed,
    /// A TLS handshake began and was not completed.
    HandshakeFailed,
    /// The kernel took over the encryption of a connection.
    KernelTls,
    /// A path was found in the cache of files, and was fresh.
    CacheHit,
    /// A path was looked up on the disk.
    CacheMiss,
    /// A file was removed from the cache to make room for others, or was too large for it.
    CacheEviction,
    /// A line of the access log could not be written.
    LogLineLost,
    /// The server panicked.
    Panic,
}

const EVENTS: usize = Event::Panic as usize + 1;

/// The lowest status code that is counted.
const CODE_MIN: u16 = 200;
/// Up to status 599, the last one of HTTP.
const CODES: usize = 400;

/// One set of counters. The layout is the same in private memory and in a shared page.
#[derive(Debug)]
#[repr(C)]
pub struct Counters {
    made: [AtomicU64; CALLS],
    would_block: AtomicU64,
    events: [AtomicU64; EVENTS],
    sent_bytes: AtomicU64,
    /// A single set may be negative: a worker may release bytes that were counted in another set.
    cache_bytes: AtomicI64,
    responses: [AtomicU64; CODES],
}

/// The size in bytes of a file that holds shared [`Counters`].
pub const PAGE_BYTES: u64 = 4096;
const _: () = assert!(size_of::<Counters>() <= PAGE_BYTES as usize);

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            made: [const { AtomicU64::new(0) }; CALLS],
            would_block: AtomicU64::default(),
            events: [const { AtomicU64::new(0) }; EVENTS],
            sent_bytes: AtomicU64::default(),
            cache_bytes: AtomicI64::default(),
            responses: [const { AtomicU64::new(0) }; CODES],
        }
    }
}

impl Counters {
    /// How often `call` was made.
    pub fn made(&self, call: Call) -> u64 {
        self.made[call as usize].load(Ordering::Relaxed)
    }

    /// How often a transfer failed with EAGAIN.
    pub fn would_block(&self) -> u64 {
        self.would_block.load(Ordering::Relaxed)
    }

    /// How often `event` happened.
    pub fn happened(&self, event: Event) -> u64 {
        // Acquire: a thread that reads that a connection was closed then also reads that it was
        // accepted.
        self.events[event as usize].load(Ordering::Acquire)
    }

    /// How often the server panicked.
    pub fn panics(&self) -> u64 {
        self.happened(Event::Panic)
    }

    /// The bytes of responses that sockets have accepted.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// The bytes that the caches of files hold.
    pub fn cache_bytes(&self) -> i64 {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// The number of responses with each status code.
    pub fn responses(&self) -> impl Iterator<Item = (u16, u64)> {
        (CODE_MIN..).zip(self.responses.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    fn count(&self, call: Call) {
        // An atomic addition, because threads and processes may share the counters. On an
        // uncontended cache line it costs about 5 ns, a hundredth of the cheapest call that it
        // counts.
        self.made[call as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Several sets of counters, for the workers of one server and its children.
#[derive(Debug)]
#[repr(C)]
pub struct CounterCells {
    /// The next set to be taken.
    next: AtomicUsize,
    cells: [Cell; CELLS],
}

/// Enough that event loops, usually one per core, rarely share a set. Workers take them in turn.
const CELLS: usize = 32;

/// Aligned so that no two sets share a cache line, or a pair of lines that the processor prefetches
/// together.
#[derive(Debug)]
#[repr(C, align(128))]
struct Cell(Counters);

impl CounterCells {
    fn take(&self) -> &Counters {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % CELLS;
        &self.cells[number].0
    }
}

/// Where the workers of a server count.
#[derive(Clone, Copy, Debug, Default)]
pub enum CounterSource {
    /// Each worker in a set of its own.
    #[default]
    Private,
    /// All workers in one set, in a page that other processes also map.
    Page(&'static Counters),
    /// Each worker in the next of several sets, in memory that forked children share.
    Cells(&'static CounterCells),
}

impl CounterSource {
    /// Every set that can be read; none if they are private.
    pub fn sets(self) -> impl Iterator<Item = &'static Counters> {
        let (page, cells) = match self {
            CounterSource::Private => (None, None),
            CounterSource::Page(counters) => (Some(counters), None),
            CounterSource::Cells(cells) => (None, Some(cells)),
        };
        let cells = cells.into_iter().flat_map(|cells| &cells.cells).map(|cell| &cell.0);
        page.into_iter().chain(cells)
    }
}

/// Where the counters live.
#[derive(Clone, Debug)]
enum CounterStorage {
    Owned(Arc<Counters>),
    /// In memory that other workers or processes also use.
    Shared(&'static Counters),
}

/// A handle to the counters of one worker, or to counters that several workers share.
#[derive(Clone, Debug)]
pub struct SyscallStats {
    counters: CounterStorage,
}

impl Default for SyscallStats {
    fn default() -> SyscallStats {
        SyscallStats::new(CounterSource::Private)
    }
}

impl SyscallStats {
    /// A handle for one more worker.
    pub fn new(source: CounterSource) -> SyscallStats {
        let counters = match source {
            CounterSource::Private => CounterStorage::Owned(Arc::default()),
            CounterSource::Page(counters) => CounterStorage::Shared(counters),
            CounterSource::Cells(cells) => CounterStorage::Shared(cells.take()),
        };
        SyscallStats { counters }
    }

    /// The counters behind the handle.
    pub fn counters(&self) -> &Counters {
        match &self.counters {
            CounterStorage::Owned(counters) => counters,
            CounterStorage::Shared(counters) => counters,
        }
    }

    /// Whether anything but the worker itself may read the counters.
    pub fn is_read(&self) -> bool {
        matches!(self.counters, CounterStorage::Shared(_))
    }

    /// Counts one call.
    pub fn count(&self, call: Call) {
        self.counters().count(call);
    }

    /// Counts one event.
    #[inline]
    pub fn count_event(&self, event: Event) {
        self.count_events(event, 1);
    }

    /// Counts several events.
    #[inline]
    pub fn count_events(&self, event: Event, count: usize) {
        // Release: see `Counters::happened`.
        self.counters().events[event as usize].fetch_add(count as u64, Ordering::Release);
    }

    /// Counts one response with the status `code`.
    #[inline]
    pub fn count_response(&self, code: u16) {
        if let Some(count) = self.counters().responses.get(usize::from(code.wrapping_sub(CODE_MIN)))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes of responses that a socket has accepted.
    #[inline]
    pub fn count_sent(&self, bytes: usize) {
        self.counters().sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that a cache of files has grown by `bytes`, or shrunk if that is negative.
    pub fn add_cache_bytes(&self, bytes: i64) {
        self.counters().cache_bytes.fetch_add(bytes, Ordering::Relaxed);
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
