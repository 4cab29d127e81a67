//! How long windows last: what there is of time, shared out among the turns.
//!
//! # Laws
//! 1. The time is given and the windows are cut from it, never the other way round: a run ends in time on a slow
//!    machine as on a fast one, and on the slow one its intervals are wider.
//! 2. All turns of a round have windows of one length, for they are compared with each other. Between rounds what
//!    turns have cost beside their windows is learned, and what is left is shared out anew.
//! 3. A turn that might not end in time is not begun.

use std::time::{Duration, Instant};

/// The lengths of a turn's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) idle: Duration,
}

/// What is left of the time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    ends: Instant,
    window_max: Duration,
    /// What turns took beside their windows, and how many those were.
    beside: Duration,
    turns: u32,
}

/// What is expected of a turn beside its windows until one was taken: starting a server, connecting, ending it.
const BESIDE: Duration = Duration::from_millis(40);
/// Of the time there is; the rest is for turns that take longer than the others.
const AIM: f64 = 0.97;
/// A shorter window sees too few answers for a quantile, and too few of the scheduler's whims.
const MEASURED_MIN: Duration = Duration::from_millis(40);

impl Windows {
    /// With so much time for measuring, and a share of that for the rest.
    const fn around(measured: Duration) -> Windows {
        let per_mille = measured.as_micros() as u64;
        Windows {
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
        Budget { ends: now + time, window_max, beside: Duration::ZERO, turns: 0 }
    }

    /// How long so many turns take if their windows are as short as they may be.
    pub(crate) fn least(turns: usize) -> Duration {
        Windows::around(MEASURED_MIN).all() * turns as u32
    }

    /// The windows of the next turns, of which there are so many until the end.
    pub(crate) fn windows(&self, now: Instant, turns_left: usize) -> Windows {
        let share =
            self.ends.saturating_duration_since(now).mul_f64(AIM) / turns_left.max(1) as u32;
        let whole = Windows::around(Duration::from_secs(1)).all().as_secs_f64();
        let measured = share.saturating_sub(self.beside_one()).div_f64(whole);
        Windows::around(measured.clamp(MEASURED_MIN, self.window_max.max(MEASURED_MIN)))
    }

    /// What a turn takes beside its windows.
    fn beside_one(&self) -> Duration {
        if self.turns == 0 { BESIDE } else { self.beside / self.turns }
    }

    /// How long so many turns will take, as far as can be told.
    pub(crate) fn expected(&self, now: Instant, turns: usize) -> Duration {
        let turn = self.windows(now, turns).all() + self.beside_one();
        (turn * turns as u32).min(self.ends.saturating_duration_since(now))
    }

    /// Whether a turn with such windows would be over in time.
    pub(crate) fn has_room(&self, now: Instant, windows: &Windows) -> bool {
        now + windows.all() + self.beside_one() <= self.ends
    }

    /// A turn with such windows took so long.
    pub(crate) fn learn(&mut self, windows: &Windows, took: Duration) {
        self.beside += took.saturating_sub(windows.all());
        self.turns += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A run of so many turns in rounds of ten, each of which takes so long beside its windows: when it ends, and how
    /// many turns it took.
    fn run(time: Duration, turns: usize, beside: Duration) -> (Duration, usize) {
        let start = Instant::now();
        let (mut budget, mut now) = (Budget::new(start, time, SECOND), start);
        let mut windows = budget.windows(now, turns);
        for turn in 0..turns {
            if turn % 10 == 0 {
                windows = budget.windows(now, turns - turn);
            }
            if !budget.has_room(now, &windows) {
                return (now - start, turn);
            }
            now += windows.all() + beside;
            budget.learn(&windows, windows.all() + beside);
        }
        (now - start, turns)
    }

    #[test]
    fn a_run_ends_in_time_whatever_its_turns_cost_and_uses_the_time_it_has() {
        for beside_ms in [1, 30, 80, 300, 700] {
            let (took, turns) = run(60 * SECOND, 60, Duration::from_millis(beside_ms));
            assert!(
                took <= 60 * SECOND && took > 55 * SECOND && turns == 60,
                "{beside_ms} ms: {took:?}, {turns}"
            );
        }
    }

    #[test]
    fn what_cannot_fit_is_cut_off() {
        let (took, turns) = run(10 * SECOND, 1000, SECOND);
        assert!(took <= 10 * SECOND + SECOND && (7..12).contains(&turns), "{took:?}, {turns}");
    }

    #[test]
    fn a_few_turns_take_no_more_than_they_need() {
        let (took, turns) = run(600 * SECOND, 10, Duration::from_millis(80));
        assert!(took < 17 * SECOND && turns == 10, "{took:?}");
    }
}
