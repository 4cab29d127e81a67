//! SIGINT and SIGTERM: the first asks the server to stop, the second ends it at once.

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Whether the server is to stop.
#[derive(Debug)]
pub struct ShutdownSignal {
    timeout: Duration,
    requested: Arc<AtomicBool>,
}

impl ShutdownSignal {
    /// Takes over both signals. Answers under way have `timeout` to be finished.
    ///
    /// # Errors
    /// The system's, if it refuses.
    pub fn install(timeout: Duration) -> io::Result<ShutdownSignal> {
        let requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the exit looks at the flag before this signal sets it. 128 + the signal is what
            // a shell says of a program that a signal ended.
            flag::register_conditional_shutdown(signal, 128 + signal, requested.clone())?;
            flag::register(signal, requested.clone())?;
        }
        ShutdownSignal::ignore_hangup()?;
        let stop = ShutdownSignal { timeout, requested };
        stop.watch()?;
        // The kernel prefers to give a signal to the main thread, which may be held up by a disk that does not answer: it and
        // the threads that come from it leave both to the watching one, which started before.
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block()?;
        Ok(stop)
    }

    /// Outlives SIGHUP, by which a service is told to open its files anew: the root is followed anyway, and the log is
    /// stdout. At a terminal the signal keeps its meaning: whoever was at it has left.
    fn ignore_hangup() -> io::Result<()> {
        match io::stdin().is_terminal() {
            true => Ok(()),
            false => flag::register(SIGHUP, Arc::default()).map(drop),
        }
    }

    /// Ends the process if it has not ended by itself a second after its time to stop. Whatever holds it up (a log that nobody
    /// reads, a disk that does not answer) has had its chance.
    fn watch(&self) -> io::Result<()> {
        let (requested, mut signal, patience) =
            (self.flag(), self.waker()?, self.timeout + Duration::from_secs(1));
        let watch = move || {
            while !requested.load(Ordering::Acquire) && signal.read_exact(&mut [0]).is_ok() {}
            std::thread::sleep(patience);
            low_level::exit(0);
        };
        std::thread::Builder::new().spawn(watch).map(drop)
    }

    /// How long a stop waits for answers under way.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether a signal came.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The flag itself, for a thread of its own.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.requested.clone()
    }

    /// A stream that has something to read as soon as a signal comes, or at once if one has come already.
    ///
    /// # Errors
    /// The system's, if it has no descriptors left.
    pub fn waker(&self) -> io::Result<UnixStream> {
        let (wakes, sleeper) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            low_level::pipe::register(signal, wakes.try_clone()?)?;
        }
        if self.is_requested() {
            (&wakes).write_all(b"!")?;
        }
        Ok(sleeper)
    }
}
