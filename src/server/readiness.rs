//! Whether the server accepts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shutdown_signal::ShutdownSignal;

/// The phase of a server, for other threads to read.
#[derive(Clone, Debug)]
pub struct Readiness {
    is_ready: Arc<AtomicBool>,
    shutdown: ShutdownSignal,
}

/// The phases of a server's life, as clients see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not accept yet.
    Starting,
    /// It accepts.
    Ready,
    /// It shuts down, and finishes the responses in progress.
    Draining,
}

impl Readiness {
    /// A server that is starting, and that `shutdown` will end.
    pub fn new(shutdown: ShutdownSignal) -> Readiness {
        Readiness { is_ready: Arc::default(), shutdown }
    }

    /// Records that the server accepts.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    pub fn phase(&self) -> Phase {
        match self.is_ready.load(Ordering::Acquire) {
            _ if self.shutdown.is_requested() => Phase::Draining,
            true => Phase::Ready,
            false => Phase::Starting,
        }
    }
}
