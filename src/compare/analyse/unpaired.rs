//! The ratio of two medians from two runs, whose rounds do not belong together.
//!
//! Within a run, `statistics` compares contenders round by round. Two runs were made at different
//! times, so a round of one has no partner in the other. The estimate is the median of the ratios
//! of every round of one run to every round of the other (Hodges and Lehmann). The interval has the
//! factors that the test of Mann and Whitney does not reject: if a server became slower by just a
//! factor, then a round of one run, divided by that factor, is above a round of the other as often
//! as below it. No distribution is assumed, but that the rounds of each run are a sample of what
//! the machine does. Whatever changed on the machine between the runs is in the ratio: unlike a
//! pair in a round, it cannot cancel out.
//!
//! Five rounds in each run reach a confidence level of 99.2 %, four 97.1 %.

use crate::compare::analyse::statistics::{CONFIDENCE_LEVEL, Estimate};

/// A rank-sum test of two sample sizes, at [`CONFIDENCE_LEVEL`] or the highest possible level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankSumTest {
    sizes: [usize; 2],
    /// How many ratios to drop at each end.
    trim: usize,
    level: f64,
}

impl RankSumTest {
    /// For samples of `first` and `second` values. None unless both have any.
    pub fn of(first: usize, second: usize) -> Option<RankSumTest> {
        if first == 0 || second == 0 {
            return None;
        }
        let mut outside = 0.0;
        let levels = chances(first, second).into_iter().map(|chance| {
            outside += chance;
            (1.0_f64 - 2.0 * outside).max(0.0)
        });
        let levels: Vec<f64> = levels.take(first * second / 2 + 1).collect();
        let trim = levels.iter().rposition(|level| *level >= CONFIDENCE_LEVEL).unwrap_or(0);
        Some(RankSumTest { sizes: [first, second], trim, level: levels[trim] })
    }

    /// The ratio of `after` to `before`, both positive. None if these are not as many values as the
    /// test is for.
    pub fn ratio(&self, before: &[f64], after: &[f64]) -> Option<Estimate> {
        if self.sizes != [before.len(), after.len()] {
            return None;
        }
        let ratios = before.iter().flat_map(|before| after.iter().map(move |after| after / before));
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let last = ratios.len() - 1;
        let middle = ratios[last / 2] * ratios[ratios.len() / 2];
        Some(Estimate {
            median: middle.sqrt(),
            low: ratios[self.trim],
            high: ratios[last - self.trim],
            level: self.level,
            rounds: before.len().min(after.len()),
        })
    }
}

/// For each number of ratios, the chance that so many are below the true one. The largest of all
/// values is one of the first sample with a chance that follows from the sizes; the rest is the
/// same question with one value less.
fn chances(first: usize, second: usize) -> Vec<f64> {
    // For `rows` values of the first sample and each number of values of the second.
    let mut of_row = vec![vec![1.0]; second + 1];
    for rows in 1..=first {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for columns in 1..=second {
            let share = rows as f64 / (rows + columns) as f64;
            let mut chances = vec![0.0; rows * columns + 1];
            // The largest value is one of the first sample: it is above all of the second.
            for (below, chance) in of_row[columns].iter().enumerate() {
                chances[below + columns] += share * chance;
            }
            for (below, chance) in next[columns - 1].iter().enumerate() {
                chances[below] += (1.0 - share) * chance;
            }
            next.push(chances);
        }
        of_row = next;
    }
    of_row.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The critical values of published tables of the test, two-sided at 1 %: the largest number
    /// with which it rejects.
    #[test]
    fn the_test_matches_published_tables() {
        for (first, second, critical) in
            [(5, 5, 0), (6, 6, 2), (8, 8, 7), (10, 10, 16), (12, 12, 27), (15, 15, 51), (8, 12, 15)]
        {
            let test = RankSumTest::of(first, second).expect("there are values");
            assert_eq!(test.trim, critical, "of {first} and {second}");
            assert!(test.level >= CONFIDENCE_LEVEL);
        }
        let level = |size| RankSumTest::of(size, size).expect("there are values").level;
        assert!((level(4) - (1.0 - 2.0 / 70.0)).abs() < 1e-12);
        assert!((level(5) - (1.0 - 2.0 / 252.0)).abs() < 1e-12);
        assert_eq!(RankSumTest::of(0, 5), None);
    }

    #[test]
    fn the_ratio_of_known_values() {
        let test = RankSumTest::of(3, 2).expect("there are values");
        let estimate = test.ratio(&[1.0, 2.0, 4.0], &[2.0, 4.0]).expect("as many values");
        // The ratios are 0.5, 1, 1, 2, 2, 4.
        assert!((estimate.median - 2.0_f64.sqrt()).abs() < 1e-12, "{estimate:?}");
        assert_eq!((estimate.low, estimate.high), (0.5, 4.0));
        assert_eq!(test.ratio(&[1.0], &[1.0]), None);
    }

    /// With three standard errors of tolerance. `docs/COMPARE.md` has the figures.
    #[test]
    fn the_level_holds_for_every_kind_of_noise() {
        const RUNS: u32 = 2000;
        type Noise = fn(&mut fastrand::Rng) -> f64;
        let noises: [(&str, Noise); 3] = [
            ("normal", |random| (0.04 * ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0)).exp()),
            ("skewed", |random| 1.0 - 0.04 * (1.0 - random.f64()).ln()),
            ("bursts", |random| {
                let burst = if random.f64() < 0.1 { 1.5 } else { 1.0 };
                burst * (1.0 + 0.04 * random.f64())
            }),
        ];
        for (name, noise) in noises {
            for (sizes, factor) in [([12, 12], 1.0), ([6, 20], 1.3)] {
                let mut random = fastrand::Rng::with_seed(5);
                let test = RankSumTest::of(sizes[0], sizes[1]).expect("there are values");
                let missed = (0..RUNS).filter(|_| {
                    let [before, after] =
                        sizes.map(|size| (0..size).map(|_| noise(&mut random)).collect::<Vec<_>>());
                    let after: Vec<f64> = after.iter().map(|value| factor * value).collect();
                    let estimate = test.ratio(&before, &after).expect("as many values");
                    !(estimate.low..=estimate.high).contains(&factor)
                });
                let share = missed.count() as f64 / f64::from(RUNS);
                assert!(share < 1.0 - test.level + 0.0067, "{name}, {factor}: {share}");
            }
        }
    }

    proptest! {
        #[test]
        fn exchanging_the_runs_gives_the_reciprocal(
            before in prop::collection::vec(0.01_f64..100.0, 1..12),
            after in prop::collection::vec(0.01_f64..100.0, 1..12),
        ) {
            let there = RankSumTest::of(before.len(), after.len());
            let there = there.and_then(|test| test.ratio(&before, &after)).expect("there are values");
            let back = RankSumTest::of(after.len(), before.len());
            let back = back.and_then(|test| test.ratio(&after, &before)).expect("there are values");
            prop_assert!(there.low <= there.median && there.median <= there.high);
            prop_assert!((there.median * back.median - 1.0).abs() < 1e-9);
            prop_assert!((there.low * back.high - 1.0).abs() < 1e-9);
            prop_assert!((there.level - back.level).abs() < 1e-9);
        }
    }
}
