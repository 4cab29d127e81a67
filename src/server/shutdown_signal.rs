//! Shuts a server down: the first SIGINT or SIGTERM does it gracefully, and the second ends the
//! process at once. A server that does not own its process is shut down by a [`StopHandle`].

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level};

use crate::sync::lock;

/// Whether the server has to shut down, and how long it may take.
#[derive(Clone, Debug)]
pub struct ShutdownSignal {
    timeout: Duration,
    is_requested: Arc<AtomicBool>,
    source: Source,
}

/// What requests the shutdown.
#[derive(Clone, Debug)]
enum Source {
    /// SIGINT and SIGTERM, whose handlers stay installed until the process ends.
    Signals,
    /// A [`StopHandle`], which writes to these streams.
    Handle(Arc<Mutex<Vec<UnixStream>>>),
}

/// Shuts a server of this process down, from any thread. It has no effect on a server that owns the
/// process: only SIGINT and SIGTERM shut that down.
#[derive(Clone, Debug)]
pub struct StopHandle(ShutdownSignal);

impl StopHandle {
    pub(super) fn new(signal: ShutdownSignal) -> StopHandle {
        StopHandle(signal)
    }

    /// Makes the server close its port, send the responses in progress and end. It returns at once.
    /// Further calls have no effect.
    pub fn stop(&self) {
        self.0.request();
    }
}

impl ShutdownSignal {
    /// A signal that only a [`StopHandle`] raises.
    pub fn without_handlers(timeout: Duration) -> ShutdownSignal {
        let source = Source::Handle(Arc::default());
        ShutdownSignal { timeout, is_requested: Arc::default(), source }
    }

    /// Installs the signal handlers. Responses in progress get `timeout` to complete.
    ///
    /// # Errors
    /// EINVAL if the kernel refuses a handler.
    pub fn install(timeout: Duration) -> io::Result<ShutdownSignal> {
        let is_requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first handler exits if the flag was set by an earlier signal.
            // Shells report a program that a signal has ended as 128 + signal.
            flag::register_conditional_shutdown(signal, 128 + signal, is_requested.clone())?;
            flag::register(signal, is_requested.clone())?;
        }
        for signal in [SIGUSR1, SIGUSR2] {
            // By default they end the process, but other servers reopen their log on them.
            flag::register(signal, Arc::default())?;
        }
        ignore_hangup()?;
        Ok(ShutdownSignal { timeout, is_requested, source: Source::Signals })
    }

    /// Starts a thread that ends the process if it still runs a second after the shutdown timeout:
    /// something blocks it, such as a log that is not read or a disk that does not respond.
    ///
    /// The kernel prefers to deliver signals to the main thread, which may be blocked as well. So
    /// this thread and all that it starts from here on leave both signals to the watchdog.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left, EAGAIN if no thread can be started.
    pub fn start_watchdog(&self) -> io::Result<()> {
        const GRACE: Duration = Duration::from_secs(1);
        let (is_requested, mut signal, timeout) = (self.flag(), self.stream()?, self.timeout);
        let watch = move || {
            while !is_requested.load(Ordering::Acquire) && signal.read_exact(&mut [0]).is_ok() {}
            say_what_happens(timeout);
            std::thread::sleep(timeout + GRACE);
            low_level::exit(0);
        };
        std::thread::Builder::new().spawn(watch)?;
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block()?;
        Ok(())
    }

    /// How long a shutdown waits for responses in progress.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Acquire)
    }

    /// The flag that the signal handlers set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.is_requested.clone()
    }

    /// A stream that becomes readable when the shutdown is requested, and is readable if it has
    /// been.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        let (sender, stream) = UnixStream::pair()?;
        let wake = |sender: &UnixStream| (&mut &*sender).write_all(b"!");
        match &self.source {
            Source::Signals => {
                for signal in [SIGINT, SIGTERM] {
                    low_level::pipe::register(signal, sender.try_clone()?)?;
                }
                if self.is_requested() {
                    wake(&sender)?;
                }
            }
            Source::Handle(senders) => {
                // The lock orders this before or after a request.
                let mut senders = lock(senders);
                if self.is_requested() {
                    wake(&sender)?;
                }
                senders.push(sender);
            }
        }
        Ok(stream)
    }

    fn request(&self) {
        let Source::Handle(senders) = &self.source else { return };
        let senders = lock(senders);
        self.is_requested.store(true, Ordering::Release);
        for mut sender in senders.iter() {
            // It fails if the strategy has ended.
            let _ = sender.write_all(b"!");
        }
    }
}

/// Tells a person at a terminal why the server has not ended yet.
fn say_what_happens(timeout: Duration) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let seconds = timeout.as_secs_f64();
        // The terminal may be gone, which is why the server ends.
        let _ = stderr.write_all(
            format!(
                "\rShutting down: responses in progress have {seconds} s to finish. Ctrl-C again \
                 stops at once.\n"
            )
            .as_bytes(),
        );
    }
}

/// Ignores SIGHUP, which service managers send to have files reopened: the root is followed anyway,
/// and `access_log.rs` reopens its file. At a terminal, SIGHUP means that the terminal has closed
/// and ends the server, unless there is a log file.
fn ignore_hangup() -> io::Result<()> {
    match io::stdin().is_terminal() {
        true => Ok(()),
        false => flag::register(SIGHUP, Arc::default()).map(drop),
    }
}
