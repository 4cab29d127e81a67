//! Slows a site down by a fixed amount of CPU time per request, so that a comparison has a
//! difference of known size to detect.

use std::time::{Duration, Instant};

use crate::http::{Now, Reply, Request, RequestError, Respond, Response};

/// Responds like `S`, after `delay` of busy waiting. (A sleep would leave the CPU to others.)
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
}

impl<S: Respond> Respond for Delayed<S> {
    type File = S::File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<S::File> {
        let start = Instant::now();
        while start.elapsed() < self.delay {
            std::hint::spin_loop();
        }
        self.inner.respond(request, now)
    }

    fn refuse(&self, error: RequestError) -> Response<S::File> {
        self.inner.refuse(error)
    }
}
