//! Slows a site down by a fixed amount of CPU time per request, so that a comparison has a
//! difference of known size to detect.

use std::time::{Duration, Instant};

/// A site that responds after `delay` of busy waiting. (A sleep would leave the CPU to others.)
#[derive(Debug)]
pub struct Delayed<S> {
    inner: S,
    delay: Duration,
}

impl<S> Delayed<S> {
    pub fn new(inner: S, delay: Duration) -> Delayed<S> {
        Delayed { inner, delay }
    }

    pub fn inner(&self) -> &S {
        &self.inner
    }

    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The site, after the delay.
    pub fn wait(&mut self) -> &mut S {
        let start = Instant::now();
        while start.elapsed() < self.delay {
            std::hint::spin_loop();
        }
        &mut self.inner
    }
}
