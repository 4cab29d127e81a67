//! The lengths of the windows: the time limit, divided among the measurements.
//!
//! Invariants:
//! 1. The time is given and the windows follow from it, so a run ends in time on a slow machine,
//!    too; its intervals are wider there.
//! 2. All measurements of a round have windows of equal length, because they are compared with each
//!    other. Between rounds, the overhead observed so far is used to divide the remaining time
//!    anew.
//! 3. A measurement that might exceed the limit is not started.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::compare::results::Workload;

/// The three phases of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowLengths {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) idle: Duration,
}

/// The remaining time of a run.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    ends: Instant,
    window_max: Duration,
    /// By the name of the workload: the time that its measurements took in addition to their
    /// windows, and their number. It is seconds with 10,000 connections, and milliseconds with one.
    overheads: HashMap<String, (Duration, u32)>,
}

/// The overhead assumed for the first measurement of a workload: starting the server, stopping it,
/// and opening the connections.
const OVERHEAD: Duration = Duration::from_millis(40);
const OVERHEAD_PER_CONNECTION: Duration = Duration::from_micros(150);
/// The share of the time that is planned for. The rest is a reserve for slow measurements.
const PLANNED_SHARE: f64 = 0.97;

impl WindowLengths {
    /// Warm-up and idle windows are proportional to the measured one.
    pub(crate) const fn for_measured(measured: Duration) -> WindowLengths {
        let measured_us = measured.as_micros() as u64;
        WindowLengths {
            warm_up: Duration::from_micros(measured_us * 3 / 10),
            measured,
            idle: Duration::from_micros(measured_us * 2 / 10),
        }
    }

    fn total(&self) -> Duration {
        self.warm_up + self.measured + self.idle
    }
}

impl Budget {
    /// Shorter windows hold too few responses for a p99, and too few scheduling decisions.
    const MEASURED_MIN: Duration = Duration::from_millis(40);

    /// `time` from `now` on, with measured windows of at most `window_max`.
    pub(crate) fn new(now: Instant, time: Duration, window_max: Duration) -> Budget {
        Budget { ends: now + time, window_max, overheads: HashMap::new() }
    }

    /// The duration of as many measurements with the shortest windows, if they took no other time.
    pub(crate) fn minimum(measurements: usize) -> Duration {
        WindowLengths::for_measured(Budget::MEASURED_MIN).total() * measurements as u32
    }

    /// The duration of measurements under these workloads with windows of this length.
    pub(crate) fn duration<'a>(
        measurements: impl IntoIterator<Item = &'a Workload>,
        measured: Duration,
    ) -> Duration {
        let windows = WindowLengths::for_measured(measured).total();
        measurements.into_iter().map(|workload| windows + assumed_overhead(workload)).sum()
    }

    /// The windows of the next measurements if those under these workloads remain, and as many
    /// others as are kept in `reserve`.
    pub(crate) fn windows(
        &self,
        now: Instant,
        left: &[&Workload],
        reserve: usize,
    ) -> WindowLengths {
        let time = self.ends.saturating_duration_since(now).mul_f64(PLANNED_SHARE);
        let count = (left.len() + reserve).max(1) as u32;
        let share = time.saturating_sub(self.overhead_of(left, reserve)) / count;
        let whole = WindowLengths::for_measured(Duration::from_secs(1)).total().as_secs_f64();
        let least = Budget::MEASURED_MIN;
        let measured = share.div_f64(whole).clamp(least, self.window_max.max(least));
        WindowLengths::for_measured(measured)
    }

    /// The expected duration of what remains.
    pub(crate) fn expected(&self, now: Instant, left: &[&Workload], reserve: usize) -> Duration {
        let windows = self.windows(now, left, reserve).total() * (left.len() + reserve) as u32;
        let expected = windows + self.overhead_of(left, reserve);
        expected.min(self.ends.saturating_duration_since(now))
    }

    /// Whether a measurement with these windows would end in time.
    pub(crate) fn has_room(
        &self,
        now: Instant,
        windows: &WindowLengths,
        workload: &Workload,
    ) -> bool {
        now + windows.total() + self.overhead(workload) <= self.ends
    }

    /// Records that a measurement with these windows took `took`.
    pub(crate) fn record(&mut self, windows: &WindowLengths, took: Duration, workload: &Workload) {
        let (overhead, count) = self.overheads.entry(workload.name.clone()).or_default();
        *overhead += took.saturating_sub(windows.total());
        *count += 1;
    }

    fn overhead_of(&self, left: &[&Workload], reserve: usize) -> Duration {
        let known: Duration = left.iter().map(|workload| self.overhead(workload)).sum();
        // What the reserve is for is not known yet; it is like the rest.
        let mean = known / left.len().max(1) as u32;
        known + if left.is_empty() { OVERHEAD } else { mean } * reserve as u32
    }

    fn overhead(&self, workload: &Workload) -> Duration {
        match self.overheads.get(&workload.name) {
            Some((overhead, count)) => *overhead / *count,
            None => assumed_overhead(workload),
        }
    }
}

fn assumed_overhead(workload: &Workload) -> Duration {
    OVERHEAD + OVERHEAD_PER_CONNECTION * workload.connections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    const SECOND: Duration = Duration::from_secs(1);

    /// Simulates measurements in rounds of ten, each with the given overhead. Returns when the run
    /// ends and how many measurements it took.
    fn run(time: Duration, measurements: usize, overhead: Duration) -> (Duration, usize) {
        let results = synthetic::results(1);
        let left = vec![&results.workloads[0]; measurements];
        let start = Instant::now();
        let (mut budget, mut now) = (Budget::new(start, time, SECOND), start);
        let mut windows = budget.windows(now, &left, 0);
        for measurement in 0..measurements {
            if measurement % 10 == 0 {
                windows = budget.windows(now, &left[measurement..], 0);
            }
            if !budget.has_room(now, &windows, left[0]) {
                return (now - start, measurement);
            }
            now += windows.total() + overhead;
            budget.record(&windows, windows.total() + overhead, left[0]);
        }
        (now - start, measurements)
    }

    #[test]
    fn a_run_uses_its_time_and_ends_in_time_at_any_overhead() {
        for overhead_ms in [1, 30, 80, 300, 700] {
            let (took, measurements) = run(60 * SECOND, 60, Duration::from_millis(overhead_ms));
            assert!(
                took <= 60 * SECOND && took > 55 * SECOND && measurements == 60,
                "{overhead_ms} ms: {took:?}, {measurements}"
            );
        }
    }

    #[test]
    fn measurements_that_do_not_fit_are_not_started() {
        let (took, measurements) = run(10 * SECOND, 1000, SECOND);
        assert!(
            took <= 10 * SECOND + SECOND && (7..12).contains(&measurements),
            "{took:?}, {measurements}"
        );
    }

    #[test]
    fn windows_leave_room_for_workloads_that_take_long_to_set_up() {
        let results = synthetic::results(1);
        let [few, many] = ["keep-alive-1", "idle-10000"]
            .map(|name| results.workload(name).expect("synthetic results contain it"));
        let mut budget = Budget::new(Instant::now(), 100 * SECOND, SECOND);
        let windows = budget.windows(Instant::now(), &[few, many], 0);
        budget.record(&windows, windows.total() + 30 * SECOND, many);
        let left = [few, many, many, many];
        let windows = budget.windows(Instant::now(), &left, 0);
        assert!(windows.total() * 4 < 10 * SECOND, "{windows:?}");
        assert!(budget.windows(Instant::now(), &left[..2], 1).total() > SECOND, "for one more");
    }

    #[test]
    fn few_measurements_do_not_use_all_the_time() {
        let (took, measurements) = run(600 * SECOND, 10, Duration::from_millis(80));
        assert!(took < 17 * SECOND && measurements == 10, "{took:?}");
    }
}
