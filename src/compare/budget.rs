//! How long windows last: what there is of time, shared out among the measurements.
//!
//! # Laws
//! 1. The time is given and the windows are cut from it, never the other way round: a run ends in time on a slow
//!    machine as on a fast one, and on the slow one its intervals are wider.
//! 2. All measurements of a round have windows of one length, for they are compared with each other. Between rounds what
//!    measurements have cost beside their windows is learned, and what is left is shared out anew.
//! 3. A measurement that might not end in time is not begun.

use std::time::{Duration, Instant};

/// The lengths of a measurement's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowLengths {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) idle: Duration,
}

/// What is left of the time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    ends: Instant,
    window_max: Duration,
    /// What measurements took beside their windows, and how many those were.
    beside: Duration,
    measurements: u32,
}

/// What is expected of a measurement beside its windows until one was taken: starting a server, connecting, ending it.
const BESIDE: Duration = Duration::from_millis(40);
/// Of the time there is; the rest is for measurements that take longer than the others.
const AIM: f64 = 0.97;
/// A shorter window sees too few answers for a quantile, and too few of the scheduler's whims.
const MEASURED_MIN: Duration = Duration::from_millis(40);

impl WindowLengths {
    /// With so much time for measuring, and a share of that for the rest.
    const fn around(measured: Duration) -> WindowLengths {
        let per_mille = measured.as_micros() as u64;
        WindowLengths {
            warm_up: Duration::from_micros(per_mille * 3 / 10),
            measured,
            idle: Duration::from_micros(per_mille * 2 / 10),
        }
    }

    fn all(&self) -> Duration {
        self.warm_up + self.measured + self.idle
    }
}

impl Budget {
    /// So much `time` from `now`, and no window longer than `window_max`: what is not needed is not taken.
    pub(crate) fn new(now: Instant, time: Duration, window_max: Duration) -> Budget {
        Budget { ends: now + time, window_max, beside: Duration::ZERO, measurements: 0 }
    }

    /// How long so many measurements take if their windows are as short as they may be.
    pub(crate) fn least(measurements: usize) -> Duration {
        WindowLengths::around(MEASURED_MIN).all() * measurements as u32
    }

    /// The windows of the next measurements, of which there are so many until the end.
    pub(crate) fn windows(&self, now: Instant, measurements_left: usize) -> WindowLengths {
        let share =
            self.ends.saturating_duration_since(now).mul_f64(AIM) / measurements_left.max(1) as u32;
        let whole = WindowLengths::around(Duration::from_secs(1)).all().as_secs_f64();
        let measured = share.saturating_sub(self.beside_one()).div_f64(whole);
        WindowLengths::around(measured.clamp(MEASURED_MIN, self.window_max.max(MEASURED_MIN)))
    }

    /// What a measurement takes beside its windows.
    fn beside_one(&self) -> Duration {
        if self.measurements == 0 { BESIDE } else { self.beside / self.measurements }
    }

    /// How long so many measurements will take, as far as can be told.
    pub(crate) fn expected(&self, now: Instant, measurements: usize) -> Duration {
        let measurement = self.windows(now, measurements).all() + self.beside_one();
        (measurement * measurements as u32).min(self.ends.saturating_duration_since(now))
    }

    /// Whether a measurement with such windows would be over in time.
    pub(crate) fn has_room(&self, now: Instant, windows: &WindowLengths) -> bool {
        now + windows.all() + self.beside_one() <= self.ends
    }

    /// A measurement with such windows took so long.
    pub(crate) fn learn(&mut self, windows: &WindowLengths, took: Duration) {
        self.beside += took.saturating_sub(windows.all());
        self.measurements += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A run of so many measurements in rounds of ten, each of which takes so long beside its windows: when it ends, and how
    /// many measurements it took.
    fn run(time: Duration, measurements: usize, beside: Duration) -> (Duration, usize) {
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
            now += windows.all() + beside;
            budget.learn(&windows, windows.all() + beside);
        }
        (now - start, measurements)
    }

    #[test]
    fn a_run_ends_in_time_whatever_its_turns_cost_and_uses_the_time_it_has() {
        for beside_ms in [1, 30, 80, 300, 700] {
            let (took, measurements) = run(60 * SECOND, 60, Duration::from_millis(beside_ms));
            assert!(
                took <= 60 * SECOND && took > 55 * SECOND && measurements == 60,
                "{beside_ms} ms: {took:?}, {measurements}"
            );
        }
    }

    #[test]
    fn what_cannot_fit_is_cut_off() {
        let (took, measurements) = run(10 * SECOND, 1000, SECOND);
        assert!(
            took <= 10 * SECOND + SECOND && (7..12).contains(&measurements),
            "{took:?}, {measurements}"
        );
    }

    #[test]
    fn a_few_turns_take_no_more_than_they_need() {
        let (took, measurements) = run(600 * SECOND, 10, Duration::from_millis(80));
        assert!(took < 17 * SECOND && measurements == 10, "{took:?}");
    }
}
