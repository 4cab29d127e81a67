//! How sure a figure is: medians, and intervals that suppose nothing about the shape of the noise.
//!
//! Noise on a real machine has steps, bursts and drift, so nothing here takes it for normal. The interval is that of
//! the sign test: with n independent rounds the true median lies between the k-th smallest and the k-th largest
//! value unless fewer than k of n fair coins fall on one side. The chance of that is the same for every
//! distribution. It costs rounds: five reach 93.75 %, eight 99.2 %, and fewer than five can't reach 90 % at all. From
//! twelve on one round at each end may go astray without a say in it.
//!
//! # Laws
//! - Arms are compared within a round only, by the ratio of their values: what slows a whole round down cancels out.
//! - An interval says its own level, and never a higher one than its rounds can have.
//! - What is swapped gives the reciprocal: the ratio of A to B tells the same as that of B to A.

use crate::compare::analyse::metric::Metric;
use crate::compare::results::Cell;

/// Sought for every interval, and reached where there are rounds enough. A report makes some hundred statements: of
/// those at 95 % five would be wrong.
pub const LEVEL_SOUGHT: f64 = 0.99;

/// A median and where it may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of all rounds.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The chance that such an interval holds the true median, for any distribution.
    pub level: f64,
    /// How many values it was made from.
    pub rounds: usize,
}

impl Estimate {
    /// From one value a round; `None` without any.
    pub fn of(values: &[f64]) -> Option<Estimate> {
        let sorted = sorted(values);
        let (count, last) = (sorted.len(), sorted.len().checked_sub(1)?);
        let trim = trim(count);
        Some(Estimate {
            median: middle(&sorted),
            low: sorted[trim],
            high: sorted[last - trim],
            level: level(count, trim),
            rounds: count,
        })
    }

    /// Whether the whole interval lies on one side of 1.
    pub fn excludes_one(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// How many times more or less the median is, whichever it is: 0.5 and 2 are the same, 2.
    pub fn effect(&self) -> f64 {
        self.median.max(1.0 / self.median)
    }

    /// The largest effect that the interval holds.
    pub fn effect_max(&self) -> f64 {
        self.high.max(1.0 / self.low)
    }
}

/// The metric of one cell.
pub fn estimate(metric: Metric, cell: &Cell) -> Option<Estimate> {
    Estimate::of(&metric.values(cell))
}

/// The metric of `a` as a multiple of that of `b`, round against round.
pub fn ratio(metric: Metric, a: &Cell, b: &Cell) -> Option<Estimate> {
    Estimate::of(&ratios(metric, a, b))
}

/// In each round that both have; none if either cell has no value of its own.
pub fn ratios(metric: Metric, a: &Cell, b: &Cell) -> Vec<f64> {
    if metric.values(a).is_empty() || metric.values(b).is_empty() {
        return Vec::new();
    }
    let pairs = a
        .rounds
        .iter()
        .filter_map(|round| Some((metric.of(round)?, metric.of(b.round(round.number)?)?)));
    pairs.map(|(a, b)| a.max(metric.resolution()) / b.max(metric.resolution())).collect()
}

/// The middle value; of an even number, the mean of the two in the middle (see `middle`).
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| middle(&sorted(values)))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The geometric mean of the middle two, so that the reciprocals of ratios have the reciprocal median.
fn middle(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    if low > 0.0 && low != high { (low * high).sqrt() } else { f64::midpoint(low, high) }
}

/// How many values to leave out at each end: as many as the level sought allows, none if even that is too few.
fn trim(count: usize) -> usize {
    (0..count.div_ceil(2)).rev().find(|trim| level(count, *trim) >= LEVEL_SOUGHT).unwrap_or(0)
}

/// The chance that the true median lies between the (trim + 1)-th smallest and largest of `count` values: that
/// neither side of it holds `trim` values or fewer.
fn level(count: usize, trim: usize) -> f64 {
    let mut chance = 0.5_f64.powi(count as i32);
    let mut outside = 0.0;
    for heads in 0..=trim {
        outside += chance;
        chance *= (count - heads) as f64 / (heads + 1) as f64;
    }
    (1.0 - 2.0 * outside).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The ranks and levels that textbooks print for the sign test.
    #[test]
    fn intervals_are_those_of_the_tables() {
        for (count, trim_known, level_known) in [
            (1, 0, 0.0),
            (2, 0, 0.5),
            (3, 0, 0.75),
            (4, 0, 0.875),
            (5, 0, 0.9375),
            (6, 0, 0.96875),
            (8, 0, 0.9921875),
            (11, 0, 0.9990234375),
            (12, 1, 0.99365234375),
            (15, 2, 0.99261474609375),
            (20, 3, 0.997423171997070),
        ] {
            assert_eq!(trim(count), trim_known, "of {count}");
            assert!((level(count, trim_known) - level_known).abs() < 1e-12, "of {count}");
        }
    }

    #[test]
    fn known_values_give_the_known_estimate() {
        let estimate =
            Estimate::of(&[3.0, 1.0, 9.0, 2.0, 5.0, 11.0, 4.0, 8.0, 7.0, 6.0, 13.0, 12.0, 10.0])
                .expect("there are values");
        assert_eq!(
            (estimate.median, estimate.low, estimate.high, estimate.rounds),
            (7.0, 2.0, 12.0, 13)
        );
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(median(&[1.0, 4.0]), Some(2.0));
        assert_eq!(median(&[0.0, 4.0]), Some(2.0));
        assert_eq!(median(&[7.0]), Some(7.0));
    }

    /// The promise itself: intervals made from a lopsided distribution hold its median as often as they say.
    #[test]
    fn the_level_holds_for_a_lopsided_distribution() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in [5, 8, 12] {
            let trials = 4000;
            let held = (0..trials).filter(|_| {
                // Exponential: its median is ln 2.
                let values: Vec<f64> = (0..count).map(|_| -(1.0 - random.f64()).ln()).collect();
                let estimate = Estimate::of(&values).expect("there are values");
                (estimate.low..=estimate.high).contains(&2.0_f64.ln())
            });
            let share = held.count() as f64 / f64::from(trials);
            let promised = level(count, trim(count));
            assert!((share - promised).abs() < 0.015, "{count} rounds: {share} for {promised}");
        }
    }

    proptest! {
        #[test]
        fn the_median_lies_in_the_interval_and_the_interval_among_the_values(
            values in prop::collection::vec(0.001_f64..1000.0, 1..40)
        ) {
            let estimate = Estimate::of(&values).expect("there are values");
            prop_assert!(estimate.low <= estimate.median && estimate.median <= estimate.high);
            prop_assert!(values.contains(&estimate.low) && values.contains(&estimate.high));
            prop_assert!(values.len() < 8 || estimate.level >= LEVEL_SOUGHT);
        }

        #[test]
        fn what_is_swapped_gives_the_reciprocal(values in prop::collection::vec(0.01_f64..100.0, 1..40)) {
            let reciprocals: Vec<f64> = values.iter().map(|value| 1.0 / value).collect();
            let there = Estimate::of(&values).expect("there are values");
            let back = Estimate::of(&reciprocals).expect("there are values");
            prop_assert!((there.median * back.median - 1.0).abs() < 1e-9);
            prop_assert!((there.low * back.high - 1.0).abs() < 1e-9);
            prop_assert!((there.effect() / back.effect() - 1.0).abs() < 1e-9);
            prop_assert!((there.effect_max() / back.effect_max() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn the_order_of_rounds_does_not_matter(mut values in prop::collection::vec(0.01_f64..100.0, 1..40)) {
            let before = Estimate::of(&values);
            values.reverse();
            prop_assert_eq!(before, Estimate::of(&values));
        }
    }
}
