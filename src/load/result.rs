//! The results of one run, and their recorder.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::handshakes::{Handshake, HandshakeCounts};

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadError {
    /// The connection could not be established.
    Connect,
    /// The connection was closed or reset before the response was complete.
    ClosedEarly,
    /// The response had another status than expected.
    WrongStatus,
    /// The response had another length than expected, or was malformed.
    WrongLength,
    /// The response did not arrive within the timeout.
    Timeout,
}

/// Totals of one run. Every request is counted once: as a response or as an error.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// From the first request to the last response.
    pub duration: Duration,
    /// Correct responses.
    pub responses: u64,
    /// Bytes received on the measured connections and by slow readers, heads included.
    pub received_bytes: u64,
    pub errors: BTreeMap<LoadError, u64>,
    /// Time to the last byte of the response: from the send or, at a fixed rate, from the scheduled
    /// send time.
    pub latency_ns: Histogram<u64>,
    /// At a fixed rate, the time from the actual send. The difference from the latency is what
    /// coordinated omission would hide.
    pub service_time_ns: Option<Histogram<u64>>,
    /// The mean number of requests in flight, counted directly and not derived from latencies.
    pub in_flight_average: f64,
    /// CPU time of the thread that generates the load.
    pub client_cpu: Duration,
    /// Of the measured connections; none without TLS.
    pub handshakes: HandshakeCounts,
}

/// Collects the results of a run.
#[derive(Debug)]
pub(super) struct Recorder {
    start: Instant,
    cpu_before: Duration,
    result: LoadResult,
    counted_until: Instant,
    in_flight_seconds: f64,
}

/// One minute; every timeout is shorter.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Two significant digits: every value is accurate to 1 %, which is less than any difference that a
/// comparison states, and takes a tenth of the memory of three.
const DIGITS: u8 = 2;

impl Recorder {
    pub(super) fn start(now: Instant, is_paced: bool) -> Recorder {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
                .expect("the bounds are valid constants")
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
            handshakes: HandshakeCounts::default(),
        };
        Recorder {
            start: now,
            cpu_before: thread_cpu_time(),
            result,
            counted_until: now,
            in_flight_seconds: 0.0,
        }
    }

    /// Accounts for `in_flight` requests from the previous call until `now`.
    pub(super) fn record_in_flight(&mut self, in_flight: usize, now: Instant) {
        self.in_flight_seconds +=
            in_flight as f64 * now.saturating_duration_since(self.counted_until).as_secs_f64();
        self.counted_until = now;
    }

    /// Accounts for the time in which one more request was in flight, but not yet counted.
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

    pub(super) fn record_handshake(&mut self, handshake: Handshake) {
        self.result.handshakes.count(handshake);
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
    /// Errors of all kinds.
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Correct responses per second.
    pub fn per_second(&self) -> f64 {
        self.responses as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
