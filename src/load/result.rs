//! What one window of load came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer was whole.
    ClosedEarly,
    /// It was answered with another status than was expected.
    WrongStatus,
    /// It was answered with another number of bytes, or with what is no answer.
    WrongLength,
    /// It was not answered in time.
    Timeout,
}

/// Totals of a window. Every request that began in it is in here once: as answered or as a fault.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From the first request to the last answer.
    pub duration: Duration,
    /// Right answers.
    pub answered: u64,
    /// All that was received on the measured connections, heads included, and on those of slow readers.
    pub received_bytes: u64,
    /// Whatever went wrong.
    pub faults: BTreeMap<Fault, u64>,
    /// In nanoseconds: from the send or, at a fixed rate, from the moment for which the send was intended.
    pub latency_ns: Histogram<u64>,
    /// In nanoseconds, at a fixed rate: from the send, whenever that was. The difference to the latency is what a
    /// client hides that waits for a slow server before it asks again.
    pub service_ns: Option<Histogram<u64>>,
    /// Requests under way, averaged over the window; counted, not reckoned from latencies.
    pub in_flight_average: f64,
    /// CPU time of the loading thread.
    pub client_cpu: Duration,
}

/// A tally while its window lasts.
#[derive(Debug)]
pub(super) struct Window {
    start: Instant,
    cpu_before: Duration,
    tally: Tally,
    counted_until: Instant,
    in_flight_seconds: f64,
}

/// A minute: whatever takes longer has timed out before.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Three significant digits: a figure is right within 0.1 %.
const DIGITS: u8 = 3;

impl Window {
    pub(super) fn begin(now: Instant, is_paced: bool) -> Window {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
                .expect("the bounds are constants that it takes")
        };
        let tally = Tally {
            duration: Duration::ZERO,
            answered: 0,
            received_bytes: 0,
            faults: BTreeMap::new(),
            latency_ns: histogram(),
            service_ns: is_paced.then(histogram),
            in_flight_average: 0.0,
            client_cpu: Duration::ZERO,
        };
        Window {
            start: now,
            cpu_before: thread_cpu_time(),
            tally,
            counted_until: now,
            in_flight_seconds: 0.0,
        }
    }

    /// So many requests were under way from the last call until `now`.
    pub(super) fn count_in_flight(&mut self, in_flight: usize, now: Instant) {
        self.in_flight_seconds +=
            in_flight as f64 * now.saturating_duration_since(self.counted_until).as_secs_f64();
        self.counted_until = now;
    }

    /// One more has been under way for so long before it was counted.
    pub(super) fn count_late(&mut self, time: Duration) {
        self.in_flight_seconds += time.as_secs_f64();
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.tally.received_bytes += bytes as u64;
    }

    pub(super) fn answered(&mut self, intended: Instant, sent: Instant, now: Instant) {
        self.tally.answered += 1;
        let since = |then: Instant| now.saturating_duration_since(then).as_nanos() as u64;
        self.tally.latency_ns.saturating_record(since(intended));
        if let Some(service_ns) = &mut self.tally.service_ns {
            service_ns.saturating_record(since(sent));
        }
    }

    pub(super) fn failed(&mut self, fault: Fault, requests: usize) {
        if requests > 0 {
            *self.tally.faults.entry(fault).or_default() += requests as u64;
        }
    }

    pub(super) fn end(mut self, now: Instant) -> Tally {
        self.tally.duration = now - self.start;
        self.tally.in_flight_average =
            self.in_flight_seconds / self.tally.duration.as_secs_f64().max(1e-9);
        self.tally.client_cpu = thread_cpu_time().saturating_sub(self.cpu_before);
        self.tally
    }
}

impl Tally {
    /// Requests that came to nothing.
    pub fn faults_total(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Right answers a second.
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
