//! Medians, ratios and their confidence intervals. No distribution of the noise is assumed.
//!
//! Noise on a real machine has steps, bursts and drift, so a normal distribution would be a bad
//! model.
//!
//! **A figure of one contender** is the median of its rounds, with the interval of the sign test.
//! Each of n independent rounds lies above the true median with probability 1/2, whatever the
//! distribution. So the true median lies between the k-th smallest and the k-th largest value,
//! unless fewer than k values lie on one of its sides; n fair coin tosses give the probability of
//! that.
//!
//! **The ratio of two contenders** is estimated from their ratios in each round, with the interval
//! of a signed-rank test. Within a round they share the state of the machine, and each is measured
//! first as often as last. So if one is as fast as the other but for a factor, either could have
//! had the noise of the other: the logarithm of their ratio, less that of the factor, is as likely
//! to be positive as negative, whatever its size and whatever the distribution of the noise.
//! Wilcoxon's test weighs each sign with the rank of the size. Bursts of noise have the highest
//! ranks, so here ranks above the middle count like the middle one (winsorized ranks). The estimate
//! is the factor at which the weights of both signs are equal (Hodges and Lehmann); the interval
//! has the factors that the test does not reject. Under that symmetry its level is exact, and it is
//! narrower than that of the sign test, which uses no sizes: see the simulation in the tests.
//!
//! The cost is rounds: five reach a confidence level of 93.75 %, eight reach 99.2 %, fewer than
//! five cannot reach 90 %.
//!
//! Invariants:
//! - Contenders are compared within a round only, by the ratio of their values: what slows down a
//!   whole round cancels out.
//! - An interval states its own confidence level, never a higher one than its number of rounds
//!   permits.
//! - Swapping the contenders gives the reciprocal ratio and interval.

use crate::compare::analyse::metric::Metric;
use crate::compare::results::{Cell, ContenderInfo, Results, Round, Workload};

/// The confidence level of every interval with enough rounds. A report makes about a hundred
/// statements; at 95 %, about five intervals would miss the true value.
pub const CONFIDENCE_LEVEL: f64 = 0.99;

/// An estimate and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median; of ratios, the Hodges-Lehmann estimate.
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// The confidence level: the probability that such an interval contains the true value, for any
    /// distribution.
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

    /// From one positive ratio per round; `None` without ratios.
    pub fn of_ratios(ratios: &[f64]) -> Option<Estimate> {
        let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        let estimate = Estimate::of_differences(&logarithms)?;
        let Estimate { median, low, high, .. } = estimate;
        Some(Estimate { median: median.exp(), low: low.exp(), high: high.exp(), ..estimate })
    }

    /// From one difference per round; `None` without any. The noise of the two could be exchanged
    /// if they differ by a constant amount.
    pub fn of_differences(differences: &[f64]) -> Option<Estimate> {
        let test = SignedRankTest::of(differences.len());
        let steps = Steps::of(differences, &test)?;
        let half = test.sum_max() / 2.0;
        let center = f64::midpoint(steps.first_up_to(half), steps.last_from(half));
        let [low, high] = test.bounds().map(|sum| sum as f64);
        Some(Estimate {
            median: center,
            low: steps.first_up_to(high),
            high: steps.last_from(low),
            level: test.level,
            rounds: differences.len(),
        })
    }

    /// Whether the interval excludes 1.
    pub fn excludes_one(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// Whether the interval excludes 0.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
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

/// The figure of a contender under a workload: the median over the rounds.
pub fn figure(
    results: &Results,
    workload: &Workload,
    contender: &ContenderInfo,
    metric: Metric,
) -> Option<f64> {
    let cell = results.cell(&workload.name, &contender.name)?;
    Some(estimate(metric, cell)?.median)
}

/// The ratio of `a` to `b`, round by round.
pub fn ratio(metric: Metric, a: &Cell, b: &Cell) -> Option<Estimate> {
    Estimate::of_ratios(&ratios(metric, a, b))
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

/// The difference in each round that both have; none if either cell has no values.
pub fn differences(metric: Metric, a: &Cell, b: &Cell) -> Vec<f64> {
    if metric.values(a).is_empty() || metric.values(b).is_empty() {
        return Vec::new();
    }
    let rounds = a.rounds.iter();
    let difference = |(a, b): (&Round, &Round)| Some(metric.of(a)? - metric.of(b)?);
    let pairs = rounds.filter_map(|round| Some((round, b.round(round.number)?)));
    pairs.filter_map(difference).collect()
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

/// A signed-rank test of a number of rounds, at [`CONFIDENCE_LEVEL`] or the highest possible level.
#[derive(Clone, Debug, PartialEq)]
struct SignedRankTest {
    /// The weight of each size, the smallest first.
    weights: Vec<usize>,
    /// The largest weight of one sign with which the test rejects.
    critical: usize,
    level: f64,
}

impl SignedRankTest {
    fn of(count: usize) -> SignedRankTest {
        SignedRankTest::with_weights((1..=count).map(|rank| rank.min(count.div_ceil(2))).collect())
    }

    /// If the tested factor is the true one, each sign is positive with probability 1/2. So the
    /// chance that the weights of the positive ones add up to a sum is the share of subsets that
    /// do.
    fn with_weights(weights: Vec<usize>) -> SignedRankTest {
        let sum_max = weights.iter().sum::<usize>() / 2;
        let mut chances = vec![0.0; sum_max + 1];
        chances[0] = 1.0;
        for weight in &weights {
            for sum in (0..=sum_max).rev() {
                let with_it = sum.checked_sub(*weight).map_or(0.0, |rest| chances[rest]);
                chances[sum] = (chances[sum] + with_it) / 2.0;
            }
        }
        let mut outside = 0.0;
        let levels = chances.iter().map(|chance| {
            outside += chance;
            (1.0_f64 - 2.0 * outside).max(0.0)
        });
        let levels: Vec<f64> = levels.collect();
        let critical = levels.iter().rposition(|level| *level >= CONFIDENCE_LEVEL).unwrap_or(0);
        SignedRankTest { level: levels[critical], weights, critical }
    }

    fn sum_max(&self) -> f64 {
        self.weights.iter().sum::<usize>() as f64
    }

    /// The smallest and the largest sum of positive weights that it does not reject.
    fn bounds(&self) -> [usize; 2] {
        let sum_max: usize = self.weights.iter().sum();
        [self.critical + 1, sum_max.saturating_sub(self.critical + 1)]
    }
}

/// The weight of the values above `x` is a function of `x` that falls in steps, at the means of
/// pairs of values.
struct Steps {
    means: Vec<f64>,
    /// Before each mean, and behind the last.
    weights: Vec<f64>,
}

impl Steps {
    fn of(values: &[f64], test: &SignedRankTest) -> Option<Steps> {
        let mut means = means_of_pairs(values);
        means.sort_unstable_by(f64::total_cmp);
        means.dedup();
        let (first, last) = (*means.first()?, *means.last()?);
        let between = means.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
        let points = std::iter::once(first - 1.0).chain(between).chain([last + 1.0]);
        let weights = points.map(|point| weight_above(values, point, &test.weights)).collect();
        Some(Steps { means, weights })
    }

    /// Where the weight falls to `sum` or below.
    fn first_up_to(&self, sum: f64) -> f64 {
        let at = self.weights.partition_point(|weight| *weight > sum);
        self.means[at.saturating_sub(1).min(self.means.len() - 1)]
    }

    /// Up to where the weight is `sum` or above.
    fn last_from(&self, sum: f64) -> f64 {
        let behind = self.weights.partition_point(|weight| *weight >= sum);
        self.means[behind.saturating_sub(1).min(self.means.len() - 1)]
    }
}

fn weight_above(values: &[f64], point: f64, weights: &[usize]) -> f64 {
    let mut differences: Vec<f64> = values.iter().map(|value| value - point).collect();
    differences.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let weighted = differences.iter().zip(weights);
    weighted.filter(|(difference, _)| **difference > 0.0).map(|(_, weight)| *weight as f64).sum()
}

/// The mean of each pair of values, each with itself included.
fn means_of_pairs(values: &[f64]) -> Vec<f64> {
    let pairs =
        values.iter().enumerate().flat_map(|(at, a)| values[at..].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| f64::midpoint(*a, *b)).collect()
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

    /// The critical values of published tables of Wilcoxon's test, two-sided at 1 %.
    #[test]
    fn the_test_matches_published_tables() {
        for (count, critical) in
            [(8, 0), (9, 1), (10, 3), (12, 7), (15, 15), (20, 37), (25, 68), (30, 109)]
        {
            let test = SignedRankTest::with_weights((1..=count).collect());
            assert_eq!(test.critical, critical, "of {count}");
            assert!(test.level >= CONFIDENCE_LEVEL, "of {count}");
        }
        for (count, level) in [(5, 0.9375), (7, 0.984_375), (8, 0.992_187_5)] {
            assert!((SignedRankTest::of(count).level - level).abs() < 1e-12, "of {count}");
        }
    }

    /// Of all ways to draw the signs, the share that the test rejects.
    #[test]
    fn the_level_is_exact() {
        for count in [5, 8, 11, 12, 13] {
            let test = SignedRankTest::of(count);
            let [low, high] = test.bounds();
            let sum = |signs: u32| {
                let positive =
                    test.weights.iter().enumerate().filter(|(at, _)| signs >> at & 1 == 1);
                positive.map(|(_, weight)| weight).sum::<usize>()
            };
            let accepted = (0..1 << count).filter(|signs| (low..=high).contains(&sum(*signs)));
            let share = accepted.count() as f64 / f64::from(1 << count);
            assert!((share - test.level).abs() < 1e-12, "of {count}: {share}");
        }
    }

    #[test]
    fn the_ratio_of_known_values() {
        let estimate = Estimate::of_ratios(&[1.0, 2.0, 4.0]).expect("there are values");
        assert!((estimate.median - 2.0).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.low - 1.0).abs() < 1e-12 && (estimate.high - 4.0).abs() < 1e-12);
        assert_eq!(Estimate::of_ratios(&[]), None);
    }

    type Noise = fn(&mut fastrand::Rng) -> f64;

    /// Noise of the kinds that a shared machine has, as a factor.
    const NOISES: [(&str, Noise); 4] = [
        // The sum of uniform values is close to normal.
        ("normal", |random| (0.04 * ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0)).exp()),
        ("bursts", |random| {
            let burst = if random.f64() < 0.1 { 1.5 } else { 1.0 };
            burst * (1.0 + 0.04 * random.f64())
        }),
        ("skewed", |random| 1.0 - 0.04 * (1.0 - random.f64()).ln()),
        ("two modes", |random| {
            1.0 + 0.06 * f64::from(u32::from(random.bool())) + 0.03 * random.f64()
        }),
    ];

    /// The share of runs in which an interval excludes `tested`, if the true ratio is `factor`: of
    /// the sign test, and of the signed-rank test. A drift concerns whole rounds.
    fn excluded(noise: Noise, factor: f64, tested: f64) -> [f64; 2] {
        const RUNS: u32 = 2000;
        const ROUNDS: u32 = 12;
        let mut random = fastrand::Rng::with_seed(11);
        let mut excluded = [0_u32; 2];
        for _ in 0..RUNS {
            let ratios: Vec<f64> = (0..ROUNDS)
                .map(|round| {
                    let drift = 1.0 + f64::from(round) / 10.0;
                    let (a, b) = (drift * noise(&mut random), drift * noise(&mut random));
                    factor * a / b
                })
                .collect();
            let estimates = [Estimate::of(&ratios), Estimate::of_ratios(&ratios)];
            for (estimate, excluded) in estimates.into_iter().flatten().zip(&mut excluded) {
                *excluded += u32::from(!(estimate.low..=estimate.high).contains(&tested));
            }
        }
        excluded.map(|count| f64::from(count) / f64::from(RUNS))
    }

    /// With three standard errors of tolerance.
    #[test]
    fn the_level_of_ratios_holds_for_every_kind_of_noise() {
        for (name, noise) in NOISES {
            for factor in [1.0, 1.3] {
                let [_, error_rate] = excluded(noise, factor, factor);
                let nominal = 1.0 - SignedRankTest::of(12).level;
                assert!(error_rate < nominal + 0.0067, "{name}, {factor}: {error_rate}");
            }
        }
    }

    /// The reason for the method. `docs/COMPARE.md` has the figures.
    #[test]
    fn ratios_detect_smaller_differences_than_the_sign_test() {
        for (name, noise) in NOISES {
            let [by_sign, by_rank] = excluded(noise, 1.06, 1.0);
            println!("{name}: sign test {by_sign:.2}, signed ranks {by_rank:.2}");
            // In bursts, sizes tell nothing.
            let is_better = if name == "bursts" { by_rank >= by_sign } else { by_rank > by_sign };
            assert!(is_better, "{name}: {by_rank} against {by_sign}");
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
            for estimate in [Estimate::of, Estimate::of_ratios] {
                let there = estimate(&values).expect("there are values");
                let back = estimate(&reciprocals).expect("there are values");
                prop_assert!(there.low <= there.median && there.median <= there.high);
                prop_assert!((there.median * back.median - 1.0).abs() < 1e-9);
                prop_assert!((there.low * back.high - 1.0).abs() < 1e-9);
                prop_assert!((there.effect() / back.effect() - 1.0).abs() < 1e-9);
                prop_assert!((there.effect_max() / back.effect_max() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn the_order_of_rounds_does_not_matter(mut values in prop::collection::vec(0.01_f64..100.0, 1..40)) {
            let before = Estimate::of(&values);
            values.reverse();
            prop_assert_eq!(before, Estimate::of(&values));
        }
    }
}
