//! Wakes an event loop that sleeps in the kernel, from another thread.
//!
//! An eventfd becomes readable with each wake-up. It works with every way to wait for descriptors:
//! edge-triggered, each wake-up is a new event; level-triggered, the loop calls [`Waker::reset`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// A handle that wakes one event loop.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Creates the eventfd.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left.
    pub fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        // EAGAIN means that the counter is full: the loop has unread wake-ups already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable until the next wake-up.
    pub fn reset(&self) {
        // EAGAIN means that it is unreadable already.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
