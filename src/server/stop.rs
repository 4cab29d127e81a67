//! SIGINT and SIGTERM: the first asks the server to stop, the second ends it at once.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::ledger::{Call, Ledger};

/// Whether the server is to stop.
#[derive(Debug)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    /// What a second signal does.
    exits: Vec<SigId>,
    wakers: Vec<SigId>,
}

impl Stop {
    /// Takes over both signals.
    ///
    /// # Errors
    /// The system's, if it refuses.
    pub fn install() -> io::Result<Stop> {
        let requested = Arc::new(AtomicBool::new(false));
        let mut exits = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the exit looks at the flag before this signal sets it. 128 + the signal is what
            // a shell says of a program that a signal ended.
            exits.push(flag::register_conditional_shutdown(signal, 128 + signal, requested.clone())?);
            flag::register(signal, requested.clone())?;
        }
        Ok(Stop { requested, exits, wakers: Vec::new() })
    }

    /// Whether a signal came.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The flag itself, for a thread of its own.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.requested.clone()
    }

    /// A stream that has something to read as soon as a signal comes.
    ///
    /// # Errors
    /// The system's, if it has no descriptors left.
    pub fn waker(&mut self) -> io::Result<UnixStream> {
        let (wakes, sleeper) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            self.wakers.push(low_level::pipe::register(signal, wakes.try_clone()?)?);
        }
        Ok(sleeper)
    }

    /// In a forked child: a signal sets the child's own flag, however often it comes, and wakes nobody else.
    pub fn continue_in_child(&mut self, ledger: &Ledger) {
        for id in self.exits.drain(..) {
            low_level::unregister(id);
        }
        for id in self.wakers.drain(..) {
            // Its end of the pair goes with it.
            ledger.count(Call::Close);
            low_level::unregister(id);
        }
    }
}
