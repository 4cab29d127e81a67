//! Medians and their confidence intervals. No distribution is assumed.
//!
//! Noise on a real machine has steps, bursts and drift, so a normal distribution would be a bad
//! model. The confidence interval is that of the sign test. Each of n independent rounds lies above
//! the true median with probability 1/2, whatever the distribution. So the true median lies between
//! the k-th smallest and the k-th largest value, unless fewer than k values lie on one of its
//! sides; n fair coin tosses give the probability of that.
//!
//! The cost is more rounds: five reach a confidence level of 93.75 %, eight reach 99.2 %, fewer
//! than five cannot reach 90 %. With twelve or more, one outlier at each end has no influence.
//!
//! Invariants:
//! - Contenders are compared within a round only, by the ratio of their values: what slows down a
//!   whole round cancels out.
//! - An interval states its own confidence level, never a higher one than its number of rounds
//!   permits.
//! - Swapping the contenders gives the reciprocal ratio and interval.

use crate::compare::analyse::metric::Metric;
use crate::compare::results::Cell;

/// The confidence level of every interval with enough rounds. A report makes about a hundred
/// statements; at 95 %, about five intervals would miss the true value.
pub const CONFIDENCE_LEVEL: f64 = 0.99;

/// A median and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// The confidence level: the probability that such an interval contains the true median, for
    /// any distribution.
    pub level: f64,
    pub rounds: usize,
}

impl Estimate {
    /// From one value per round; `None` without values.
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

    /// Whether the interval excludes 1.
    pub fn excludes_one(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// The median as a factor of at least 1: 0.5 and 2 are both 2.
    pub fn effect(&self) -> f64 {
        self.median.max(1.0 / self.median)
    }

    /// The largest effect within the interval.
    pub fn effect_max(&self) -> f64 {
        self.high.max(1.0 / self.low)
    }
}

pub fn estimate(metric: Metric, cell: &Cell) -> Option<Estimate> {
    Estimate::of(&metric.values(cell))
}

/// The ratio of `a` to `b`, round by round.
pub fn ratio(metric: Metric, a: &Cell, b: &Cell) -> Option<Estimate> {
    Estimate::of(&ratios(metric, a, b))
}

/// The ratio in each round that both have; none if either cell has no values.
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

/// The median; of an even number, the geometric mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| middle(&sorted(values)))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The geometric mean of the middle two values, so that the median of reciprocals is the reciprocal
/// of the median.
fn middle(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    if low > 0.0 && low != high { (low * high).sqrt() } else { f64::midpoint(low, high) }
}

/// How many values to drop at each end: as many as [`CONFIDENCE_LEVEL`] permits.
fn trim(count: usize) -> usize {
    (0..count.div_ceil(2)).rev().find(|trim| level(count, *trim) >= CONFIDENCE_LEVEL).unwrap_or(0)
}

/// The probability that the true median lies between the (trim + 1)-th smallest and largest of
/// `count` values: that neither side of it holds `trim` values or fewer.
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

    /// The ranks and levels of published tables of the sign test.
    #[test]
    fn intervals_match_published_tables() {
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
    fn medians_and_intervals_of_known_values() {
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

    /// Intervals from a skewed distribution contain its median as often as their level states.
    #[test]
    fn the_level_holds_for_a_skewed_distribution() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in [5, 8, 12] {
            let trials = 4000;
            let covered = (0..trials).filter(|_| {
                // The median of the exponential distribution is ln 2.
                let values: Vec<f64> = (0..count).map(|_| -(1.0 - random.f64()).ln()).collect();
                let estimate = Estimate::of(&values).expect("there are values");
                (estimate.low..=estimate.high).contains(&2.0_f64.ln())
            });
            let share = covered.count() as f64 / f64::from(trials);
            let stated = level(count, trim(count));
            assert!((share - stated).abs() < 0.015, "{count} rounds: {share} for {stated}");
        }
    }

    proptest! {
        #[test]
        fn the_median_lies_within_the_interval(
            values in prop::collection::vec(0.001_f64..1000.0, 1..40)
        ) {
            let estimate = Estimate::of(&values).expect("there are values");
            prop_assert!(estimate.low <= estimate.median && estimate.median <= estimate.high);
            prop_assert!(values.contains(&estimate.low) && values.contains(&estimate.high));
            prop_assert!(values.len() < 8 || estimate.level >= CONFIDENCE_LEVEL);
        }

        #[test]
        fn swapping_gives_the_reciprocal(values in prop::collection::vec(0.01_f64..100.0, 1..40)) {
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
