//! What one recorder of load came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadError {
    /// No connection could be made.
    Connect,
    /// The connection ended before the response was whole.
    ClosedEarly,
    /// It was responses with another status than was expected.
    WrongStatus,
    /// It was responses with another number of bytes, or with what is no response.
    WrongLength,
    /// It was not responses in time.
    Timeout,
}

/// Totals of a recorder. Every request that began in it is in here once: as responses or as a error.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// From the first request to the last response.
    pub duration: Duration,
    /// Right responses.
    pub responses: u64,
    /// All that was received on the measured connections, heads included, and on those of slow readers.
    pub received_bytes: u64,
    /// Whatever went wrong.
    pub errors: BTreeMap<LoadError, u64>,
    /// In nanoseconds: from the send or, at a fixed rate, from the moment for which the send was intended.
    pub latency_ns: Histogram<u64>,
    /// In nanoseconds, at a fixed rate: from the send, whenever that was. The difference to the latency is what a
    /// client hides that waits for a slow server before it asks again.
    pub service_time_ns: Option<Histogram<u64>>,
    /// Requests under way, averaged over the recorder; counted, not reckoned from latencies.
    pub in_flight_average: f64,
    /// CPU time of the loading thread.
    pub client_cpu: Duration,
}

/// A result while its recorder lasts.
#[derive(Debug)]
pub(super) struct Recorder {
    start: Instant,
    cpu_before: Duration,
    result: LoadResult,
    counted_until: Instant,
    in_flight_seconds: f64,
}

/// A minute: whatever takes longer has timed out before.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Three significant digits: a figure is right within 0.1 %.
const DIGITS: u8 = 3;

impl Recorder {
    pub(super) fn start(now: Instant, is_paced: bool) -> Recorder {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
                .expect("the bounds are constants that it takes")
        };
        let result = LoadResult {
            duration: Duration::ZERO,
            responses: 0,
            received_bytes: 0,
            errors: BTreeMap::new(),
            latency_ns: histogram(),
            service_time_ns: is_paced.then(histogram),
            in_flight_average: 0.0,
            client_cpu: Duration::ZERO,
        };
        Recorder {
            start: now,
            cpu_before: thread_cpu_time(),
            result,
            counted_until: now,
            in_flight_seconds: 0.0,
        }
    }

    /// So many requests were under way from the last call until `now`.
    pub(super) fn record_in_flight(&mut self, in_flight: usize, now: Instant) {
        self.in_flight_seconds +=
            in_flight as f64 * now.saturating_duration_since(self.counted_until).as_secs_f64();
        self.counted_until = now;
    }

    /// One more has been under way for so long before it was counted.
    pub(super) fn add_in_flight_time(&mut self, time: Duration) {
        self.in_flight_seconds += time.as_secs_f64();
    }

    pub(super) fn record_received(&mut self, bytes: usize) {
        self.result.received_bytes += bytes as u64;
    }

    pub(super) fn record_response(&mut self, intended: Instant, sent: Instant, now: Instant) {
        self.result.responses += 1;
        let since = |then: Instant| now.saturating_duration_since(then).as_nanos() as u64;
        self.result.latency_ns.saturating_record(since(intended));
        if let Some(service_time_ns) = &mut self.result.service_time_ns {
            service_time_ns.saturating_record(since(sent));
        }
    }

    pub(super) fn record_error(&mut self, error: LoadError, requests: usize) {
        if requests > 0 {
            *self.result.errors.entry(error).or_default() += requests as u64;
        }
    }

    pub(super) fn finish(mut self, now: Instant) -> LoadResult {
        self.result.duration = now - self.start;
        self.result.in_flight_average =
            self.in_flight_seconds / self.result.duration.as_secs_f64().max(1e-9);
        self.result.client_cpu = thread_cpu_time().saturating_sub(self.cpu_before);
        self.result
    }
}

impl LoadResult {
    /// Requests that came to nothing.
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Right responses a second.
    pub fn per_second(&self) -> f64 {
        self.responses as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
