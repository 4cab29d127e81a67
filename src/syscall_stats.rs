//! The counters that a worker keeps of its own system calls, and the trace that tells them one by one.
//!
//! Every call into the kernel for a socket or a file of the site is entered here when it is made, so that
//! what a strategy claims to cost can be held against strace. Anyone may read the counters at any time.
//!
//! Nobody can ask a server for them from outside, except who started it and gave it a page to keep them in
//! (`server/fork.rs`): then all workers, threads and forked children have that one counters together.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::{Errno, Result};

/// The system calls that are counted: all that are made for a connection or an answer. What the threads of the
/// program make for themselves (locks, the memory of a stack) is not, nor is the reading of a folder that is listed.
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
    Read,
    Sleep,
    Fork,
    Reap,
    Spawn,
    WriteLog,
}

const CALLS: usize = Call::WriteLog as usize + 1;

impl Call {
    /// All of them.
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
        Call::Read,
        Call::Sleep,
        Call::Fork,
        Call::Reap,
        Call::Spawn,
        Call::WriteLog,
    ];

    /// As strace calls it, on most architectures.
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
            Call::Read => "pread64",
            Call::Sleep => "clock_nanosleep",
            Call::Fork => "clone",
            Call::Reap => "wait4",
            Call::Spawn => "clone3",
            Call::WriteLog => "write",
        }
    }
}

/// How often each call was made. It has the same form in memory of one's own and in a page that several
/// processes map.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    made: [AtomicU64; CALLS],
    would_block: AtomicU64,
}

/// Room for [`Counters`] that several processes map.
pub const PAGE_BYTES: u64 = 4096;
const _: () = assert!(size_of::<Counters>() <= PAGE_BYTES as usize);

impl Counters {
    /// How often `call` was made.
    pub fn made(&self, call: Call) -> u64 {
        self.made[call as usize].load(Ordering::Relaxed)
    }

    /// How often a transfer would have blocked.
    pub fn would_block(&self) -> u64 {
        self.would_block.load(Ordering::Relaxed)
    }

    fn count(&self, call: Call) {
        // Locked, for threads and processes may have one counters together. Alone on its cache line, as an counters of one's
        // own is, that costs some five nanoseconds: a hundredth of the cheapest call that it counts.
        self.made[call as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters of one worker, or of all of them together.
#[derive(Clone, Debug)]
enum CounterStorage {
    Owned(Arc<Counters>),
    Shared(&'static Counters),
}

/// The counters of one worker and its trace.
#[derive(Clone, Debug)]
pub struct SyscallStats {
    counters: CounterStorage,
    /// The worker's name in the trace; None where nothing is traced.
    tracer: Option<String>,
}

impl Default for SyscallStats {
    fn default() -> SyscallStats {
        SyscallStats::new("", false)
    }
}

impl SyscallStats {
    /// An counters in the name of `worker`, each entry told on stderr if `trace` is set.
    pub fn new(worker: &str, trace: bool) -> SyscallStats {
        SyscallStats {
            counters: CounterStorage::Owned(Arc::default()),
            tracer: trace.then(|| worker.to_owned()),
        }
    }

    /// The same, but entered in the `common` counters, if there is one: somebody asks for it.
    pub fn with_shared(self, common: Option<&'static Counters>) -> SyscallStats {
        SyscallStats { counters: common.map_or(self.counters, CounterStorage::Shared), ..self }
    }

    /// What is entered in it.
    pub fn counters(&self) -> &Counters {
        match &self.counters {
            CounterStorage::Owned(counters) => counters,
            CounterStorage::Shared(counters) => counters,
        }
    }

    /// Enters a call that is not about one connection.
    pub fn count(&self, call: Call) {
        self.counters().count(call);
    }

    /// Enters a call that moves bytes of `connection`, and what came of it.
    #[inline]
    pub fn transfer(&self, call: Call, connection: ConnectionId, result: Result<usize>) {
        self.count(call);
        if result == Err(Errno::AGAIN) {
            self.counters().would_block.fetch_add(1, Ordering::Relaxed);
        }
        if self.tracer.is_some() {
            self.trace_transfer(call, connection, result);
        }
    }

    #[cold]
    fn trace_transfer(&self, call: Call, connection: ConnectionId, result: Result<usize>) {
        let name = match call {
            Call::Recv => "recv",
            Call::Send | Call::Sendmsg => "send",
            Call::Sendfile => "sendfile",
            _ => "transfer",
        };
        match result {
            Ok(0) if call == Call::Recv => {
                self.trace(connection, format_args!("recv: end of input"))
            }
            Ok(bytes) => self.trace(connection, format_args!("{name} {bytes} bytes")),
            Err(Errno::AGAIN) => self.trace(connection, format_args!("{name}: would block")),
            Err(error) => self.trace(connection, format_args!("{name}: {error}")),
        }
    }

    /// Enters an accepted connection.
    pub fn accepted(&self, connection: ConnectionId, peer: Option<SocketAddr>) {
        match peer {
            Some(peer) => self.trace(connection, format_args!("accept from {peer}")),
            None => self.trace(connection, format_args!("accept")),
        }
    }

    /// Tells something about `connection`, if anything is told.
    pub fn trace(&self, connection: ConnectionId, what: fmt::Arguments<'_>) {
        if let Some(worker) = &self.tracer {
            write_line(format_args!("{worker} #{connection} {what}"));
        }
    }

    /// Tells something about the worker itself, if anything is told.
    pub fn trace_worker(&self, what: fmt::Arguments<'_>) {
        if let Some(worker) = &self.tracer {
            write_line(format_args!("{worker} {what}"));
        }
    }
}

/// A file of the site that is open, whose close is entered, too, whoever holds it last.
#[derive(Debug)]
pub struct OpenFile {
    descriptor: OwnedFd,
    counters: CounterStorage,
}

impl OpenFile {
    /// In the counters of `stats`.
    pub fn new(descriptor: OwnedFd, stats: &SyscallStats) -> OpenFile {
        OpenFile { descriptor, counters: stats.counters.clone() }
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        match &self.counters {
            CounterStorage::Owned(counters) => counters.count(Call::Close),
            CounterStorage::Shared(counters) => counters.count(Call::Close),
        }
    }
}

/// One write, so that the lines of several workers don't mix. A trace that nobody reads any more is
/// no reason to stop serving.
fn write_line(what: fmt::Arguments<'_>) {
    let mut line = String::with_capacity(80);
    let _ = writeln!(line, "{what}");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A number for people: the how-manieth connection of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
