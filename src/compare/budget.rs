//! The lengths of the windows: the time limit, divided among the measurements.
//!
//! Invariants:
//! 1. The time is given and the windows follow from it, so a run ends in time on a slow machine,
//!    too; its intervals are wider there.
//! 2. All measurements of a round have windows of equal length, because they are compared with each
//!    other. Between rounds, the overhead observed so far is used to divide the remaining time
//!    anew.
//! 3. A measurement that might exceed the limit is not started.

use std::time::{Duration, Instant};

/// The three phases of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowLengths {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) idle: Duration,
}

/// The remaining time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    ends: Instant,
    window_max: Duration,
    /// The time that measurements took in addition to their windows, and the number of them.
    overhead: Duration,
    measurements: u32,
}

/// The overhead assumed for the first measurement: starting the server, connecting, stopping it.
const OVERHEAD: Duration = Duration::from_millis(40);
/// The share of the time that is planned for. The rest is a reserve for slow measurements.
const PLANNED_SHARE: f64 = 0.97;
/// Shorter windows hold too few responses for a p99, and too few scheduling decisions.
const MEASURED_MIN: Duration = Duration::from_millis(40);

impl WindowLengths {
    /// Warm-up and idle windows are proportional to the measured one.
    const fn for_measured(measured: Duration) -> WindowLengths {
        let per_mille = measured.as_micros() as u64;
        WindowLengths {
            warm_up: Duration::from_micros(per_mille * 3 / 10),
            measured,
            idle: Duration::from_micros(per_mille * 2 / 10),
        }
    }

    fn total(&self) -> Duration {
        self.warm_up + self.measured + self.idle
    }
}

impl Budget {
    /// `time` from `now` on, with measured windows of at most `window_max`.
    pub(crate) fn new(now: Instant, time: Duration, window_max: Duration) -> Budget {
        Budget { ends: now + time, window_max, overhead: Duration::ZERO, measurements: 0 }
    }

    /// The duration of as many measurements with the shortest windows.
    pub(crate) fn minimum(measurements: usize) -> Duration {
        WindowLengths::for_measured(MEASURED_MIN).total() * measurements as u32
    }

    /// The windows of the next measurements if `measurements_left` remain.
    pub(crate) fn windows(&self, now: Instant, measurements_left: usize) -> WindowLengths {
        let share = self.ends.saturating_duration_since(now).mul_f64(PLANNED_SHARE)
            / measurements_left.max(1) as u32;
        let whole = WindowLengths::for_measured(Duration::from_secs(1)).total().as_secs_f64();
        let measured = share.saturating_sub(self.mean_overhead()).div_f64(whole);
        WindowLengths::for_measured(measured.clamp(MEASURED_MIN, self.window_max.max(MEASURED_MIN)))
    }

    /// The mean overhead of a measurement.
    fn mean_overhead(&self) -> Duration {
        if self.measurements == 0 { OVERHEAD } else { self.overhead / self.measurements }
    }

    /// The expected duration of as many measurements.
    pub(crate) fn expected(&self, now: Instant, measurements: usize) -> Duration {
        let measurement = self.windows(now, measurements).total() + self.mean_overhead();
        (measurement * measurements as u32).min(self.ends.saturating_duration_since(now))
    }

    /// Whether a measurement with these windows would end in time.
    pub(crate) fn has_room(&self, now: Instant, windows: &WindowLengths) -> bool {
        now + windows.total() + self.mean_overhead() <= self.ends
    }

    /// Records that a measurement with these windows took `took`.
    pub(crate) fn record(&mut self, windows: &WindowLengths, took: Duration) {
        self.overhead += took.saturating_sub(windows.total());
        self.measurements += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Simulates measurements in rounds of ten, each with the given overhead. Returns when the run
    /// ends and how many measurements it took.
    fn run(time: Duration, measurements: usize, overhead: Duration) -> (Duration, usize) {
        let start = Instant::now();
        let (mut budget, mut now) = (Budget::new(start, time, SECOND), start);
        let mut windows = budget.windows(now, measurements);
        for measurement in 0..measurements {
            if measurement % 10 == 0 {
                windows = budget.windows(now, measurements - measurement);
            }
            if !budget.has_room(now, &windows) {
                return (now - start, measurement);
            }
            now += windows.total() + overhead;
            budget.record(&windows, windows.total() + overhead);
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
    fn few_measurements_do_not_use_all_the_time() {
        let (took, measurements) = run(600 * SECOND, 10, Duration::from_millis(80));
        assert!(took < 17 * SECOND && measurements == 10, "{took:?}");
    }
}
