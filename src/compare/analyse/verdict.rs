//! The verdict on two contenders, and the sentence that states it.
//!
//! "alpha uses 0.61 [0.58, 0.63] of beta's CPU time per request" requires all of the following.
//! Otherwise the verdict is "no difference shown", which does not mean "equal":
//! 1. Both cells pass the [`checks`] that concern the metric.
//! 2. There are enough rounds for a confidence level of at least [`LEVEL_MIN`] (five or more).
//! 3. The confidence interval of the per-round ratio excludes 1.
//! 4. The effect is larger than [`EFFECT_MIN`], and larger than any effect in the A/A comparison
//!    under this workload: a difference between two runs of the same program is noise.
//!
//! The A/A pair itself would never exceed its own noise. It is compared with the median noise of
//! the other workloads.

use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::metric::{Metric, significant};
use crate::compare::analyse::statistics::{Estimate, figure, median, ratio};
use crate::compare::results::{Cell, ContenderInfo, ContenderKind, Results, Workload};

/// Five rounds reach 93.75 %.
pub const LEVEL_MIN: f64 = 0.9;
/// Two percent. A different layout of the same code can cause as much.
pub const EFFECT_MIN: f64 = 1.02;

/// The comparison of one contender with another.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Differs(Estimate),
    /// The client limited the greater rate, so the true ratio is even further from 1.
    DiffersAtLeast(Estimate),
    NoDifferenceShown(Estimate, Inconclusive),
    /// A check failed, or the metric was not measured.
    Unranked,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Inconclusive {
    /// The confidence level is too low.
    TooFewRounds,
    /// The confidence interval includes 1.
    IncludesOne,
    /// The effect is at most this factor: [`EFFECT_MIN`] or the A/A noise.
    WithinNoise(f64),
}

impl Inconclusive {
    /// A note for the sentence; empty where the interval suffices.
    fn note(self, estimate: &Estimate) -> String {
        match self {
            Inconclusive::IncludesOne => String::new(),
            Inconclusive::TooFewRounds => {
                format!(
                    " (only {} rounds, {:.0} % confidence)",
                    estimate.rounds,
                    estimate.level * 100.0
                )
            }
            Inconclusive::WithinNoise(noise) => {
                format!(" (within the A/A noise of {:.0} %)", (noise - 1.0) * 100.0)
            }
        }
    }
}

/// Compares `a` with `b`.
pub fn verdict(
    results: &Results,
    workload: &Workload,
    metric: Metric,
    a: &ContenderInfo,
    b: &ContenderInfo,
) -> Verdict {
    let cells = [a, b].map(|contender| results.cell(&workload.name, &contender.name));
    let is_twin_pair = is_twin(a, b) || is_twin(b, a);
    let [Some(a), Some(b)] = cells else { return Verdict::Unranked };
    let noise = if is_twin_pair { noise_elsewhere } else { noise };
    let judge = || verdict_of_valid(metric, a, b, noise(results, workload, metric));
    use Standing::{LowerBound, Measured};
    match [a, b].map(|cell| checks::standing(results, workload, Some(cell), metric)) {
        [Measured, Measured] => judge(),
        [LowerBound, Measured] => match judge() {
            Verdict::Differs(estimate) if estimate.median > 1.0 => {
                Verdict::DiffersAtLeast(estimate)
            }
            _ => Verdict::Unranked,
        },
        [Measured, LowerBound] => match judge() {
            Verdict::Differs(estimate) if estimate.median < 1.0 => {
                Verdict::DiffersAtLeast(estimate)
            }
            _ => Verdict::Unranked,
        },
        _ => Verdict::Unranked,
    }
}

/// Compares two cells that pass their checks, given the A/A [`noise`].
pub fn verdict_of_valid(metric: Metric, a: &Cell, b: &Cell, noise: Option<f64>) -> Verdict {
    let Some(estimate) = ratio(metric, a, b) else {
        return Verdict::Unranked;
    };
    let effect_needed = EFFECT_MIN.max(noise.unwrap_or(1.0));
    match estimate {
        _ if estimate.level < LEVEL_MIN => {
            Verdict::NoDifferenceShown(estimate, Inconclusive::TooFewRounds)
        }
        _ if !estimate.excludes_one() => {
            Verdict::NoDifferenceShown(estimate, Inconclusive::IncludesOne)
        }
        _ if estimate.effect() <= effect_needed => {
            Verdict::NoDifferenceShown(estimate, Inconclusive::WithinNoise(effect_needed))
        }
        _ => Verdict::Differs(estimate),
    }
}

/// The A/A noise: the largest effect within the confidence interval of the A/A comparison.
pub fn noise(results: &Results, workload: &Workload, metric: Metric) -> Option<f64> {
    let effects = results.contenders.iter().filter_map(|twin| {
        let ContenderKind::Twin { of } = &twin.kind else {
            return None;
        };
        let [twin, original] = [&twin.name, of].map(|name| results.cell(&workload.name, name));
        ratio(metric, twin?, original?).map(|estimate| estimate.effect_max())
    });
    effects.reduce(f64::max)
}

/// The median A/A noise of the other workloads.
fn noise_elsewhere(results: &Results, workload: &Workload, metric: Metric) -> Option<f64> {
    let others = results.workloads.iter().filter(|other| other.name != workload.name);
    median(&others.filter_map(|other| noise(results, other, metric)).collect::<Vec<_>>())
}

/// The smallest effect on `metric` that the run would mostly have shown, as a factor: the interval
/// of a typical pair has to exclude 1, and the effect has to exceed the A/A noise.
pub fn detectable(results: &Results, workload: &Workload, metric: Metric) -> Option<f64> {
    let half_width =
        |(a, b): (&ContenderInfo, &ContenderInfo)| match verdict(results, workload, metric, a, b) {
            Verdict::Differs(estimate)
            | Verdict::DiffersAtLeast(estimate)
            | Verdict::NoDifferenceShown(estimate, _) => {
                Some((estimate.high / estimate.median).max(estimate.median / estimate.low))
            }
            Verdict::Unranked => None,
        };
    let half_widths: Vec<f64> = pairs(results).into_iter().filter_map(half_width).collect();
    let noise = noise(results, workload, metric).unwrap_or(1.0);
    Some(median(&half_widths)?.max(noise).max(EFFECT_MIN))
}

/// The contenders that are ranked: all but the reference loop and the A/A twin.
pub fn ranked_contenders(results: &Results) -> Vec<&ContenderInfo> {
    results
        .contenders
        .iter()
        .filter(|contender| {
            matches!(contender.kind, ContenderKind::Strategy | ContenderKind::Foreign)
        })
        .collect()
}

/// Every pair of ranked contenders, and each twin with its original. With TLS and without it, only
/// the same contender makes a pair: of two, the difference would be that of both.
pub fn pairs(results: &Results) -> Vec<(&ContenderInfo, &ContenderInfo)> {
    let ranked = ranked_contenders(results);
    let mut pairs = Vec::new();
    for (position, a) in ranked.iter().enumerate() {
        let others = ranked[position + 1..].iter();
        pairs.extend(others.filter(|b| are_comparable(a, b)).map(|b| (*a, *b)));
    }
    pairs.extend(twins(results));
    pairs
}

fn are_comparable(a: &ContenderInfo, b: &ContenderInfo) -> bool {
    let is_of = |a: &ContenderInfo, b: &ContenderInfo| a.without_tls.as_ref() == Some(&b.name);
    a.without_tls.is_some() == b.without_tls.is_some() || is_of(a, b) || is_of(b, a)
}

/// Each twin with its original.
pub fn twins(results: &Results) -> Vec<(&ContenderInfo, &ContenderInfo)> {
    let twins = results.contenders.iter().filter_map(|contender| match &contender.kind {
        ContenderKind::Twin { of } => Some((contender, results.contender(of)?)),
        _ => None,
    });
    twins.collect()
}

/// A sentence that compares `a` with `b`, such as "alpha serves 1.32 [1.29, 1.35] times beta's
/// requests per second; no difference shown in p99 latency, 0.99 [0.97, 1.02]".
pub fn sentence(
    results: &Results,
    workload: &Workload,
    metrics: &[Metric],
    a: &ContenderInfo,
    b: &ContenderInfo,
) -> String {
    let (mut shown, mut not_shown) = (Vec::new(), Vec::new());
    for metric in metrics.iter().filter(|metric| metric.is_ranked_under(workload.pacing)) {
        let title = metric.title();
        if *metric == Metric::IdleCpu {
            let shares = [a, b].map(|contender| idle_share(results, workload, contender));
            match (verdict(results, workload, *metric, a, b), shares) {
                (Verdict::Differs(_), [Some(own), Some(other)]) => shown
                    .push(format!("uses {own} of a core while idle, against {}'s {other}", b.name)),
                (Verdict::NoDifferenceShown(..), [Some(own), Some(other)]) => {
                    not_shown.push(format!("{title}, {own} against {other}"));
                }
                _ => {}
            }
            continue;
        }
        // The name in the first clause, "its" in the others.
        let whose = if shown.is_empty() { format!("{}'s", b.name) } else { "its".to_owned() };
        let verb = metric.verb();
        match verdict(results, workload, *metric, a, b) {
            Verdict::Differs(estimate) => {
                let times = if estimate.median < 1.0 { "of" } else { "times" };
                shown.push(format!("{verb} {} {times} {whose} {title}", format_ratio(&estimate)));
            }
            Verdict::DiffersAtLeast(estimate) => {
                let bound = match estimate.median > 1.0 {
                    true => format!("at least {} times", ratio_number(estimate.low)),
                    false => format!("at most {} of", ratio_number(estimate.high)),
                };
                shown.push(format!("{verb} {bound} {whose} {title}, as the client was the limit"));
            }
            Verdict::NoDifferenceShown(estimate, reason) => {
                not_shown.push(format!(
                    "{title}, {}{}",
                    format_ratio(&estimate),
                    reason.note(&estimate)
                ));
            }
            Verdict::Unranked => {}
        }
    }
    let (a, b, shown, not_shown) = (&a.name, &b.name, shown.join(", "), not_shown.join("; "));
    match (shown.is_empty(), not_shown.is_empty()) {
        (true, true) => format!("{a} and {b}: not ranked"),
        (true, false) => format!("{a} and {b}: no difference shown in {not_shown}"),
        (false, true) => format!("{a} {shown}"),
        (false, false) => format!("{a} {shown}; no difference shown in {not_shown}"),
    }
}

/// Such as `96.3 %`. Two shares are stated side by side and not as a ratio: that of a contender
/// that sleeps is below the resolution, so a ratio would be arbitrary.
fn idle_share(results: &Results, workload: &Workload, contender: &ContenderInfo) -> Option<String> {
    let share = figure(results, workload, contender, Metric::IdleCpu)?;
    Some(Metric::IdleCpu.format(share))
}

/// `0.61 [0.58, 0.63]`
pub fn format_ratio(estimate: &Estimate) -> String {
    let Estimate { median, low, high, .. } = *estimate;
    format!("{} [{}, {}]", ratio_number(median), ratio_number(low), ratio_number(high))
}

/// Two decimals, or three significant digits outside of 0.1 to 10.
fn ratio_number(ratio: f64) -> String {
    if (0.1..10.0).contains(&ratio) { format!("{ratio:.2}") } else { significant(ratio) }
}

fn is_twin(a: &ContenderInfo, b: &ContenderInfo) -> bool {
    matches!(&a.kind, ContenderKind::Twin { of } if *of == b.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Round;
    use crate::compare::synthetic;

    /// The verdict on two contenders whose CPU times have the ratio `factor`, with an A/A ratio of
    /// `twin`.
    fn verdict_of(factor: f64, twin: f64, rounds: usize) -> Verdict {
        let mut results = synthetic::results(3);
        let cpu = |cell: &mut Cell, factor: f64| {
            cell.rounds.truncate(rounds);
            cell.rounds.iter_mut().for_each(|Round { cpu, requests, number, .. }| {
                let cpu = cpu.as_mut().expect("synthetic results contain it");
                let wobble = 1.0 + f64::from(*number % 3) / 1000.0;
                (cpu.user_us, cpu.system_us) =
                    (0, (*requests as f64 * 1000.0 * factor * wobble) as u64);
            });
        };
        for (contender, factor) in
            [("alpha", factor), ("beta", 1.0), ("alpha again", factor * twin)]
        {
            let cell = results
                .cells
                .iter_mut()
                .find(|cell| cell.workload == "keep-alive-64" && cell.contender == contender);
            cpu(cell.expect("synthetic results contain it"), factor);
        }
        let workload = results.workload("keep-alive-64").expect("synthetic results contain it");
        let contender = |name| results.contender(name).expect("synthetic results contain it");
        verdict(&results, workload, Metric::CpuPerRequest, contender("alpha"), contender("beta"))
    }

    #[test]
    fn a_difference_is_reported_with_its_interval() {
        let Verdict::Differs(estimate) = verdict_of(0.61, 1.0, 6) else {
            panic!("the difference is large")
        };
        assert_eq!(format_ratio(&estimate), "0.61 [0.61, 0.61]");
    }

    #[test]
    fn a_sentence_separates_shown_and_unshown_differences() {
        let mut results = synthetic::results(3);
        for cell in results.cells.iter_mut().filter(|cell| cell.contender == "beta") {
            cell.rounds.iter_mut().for_each(|round| round.memory_bytes_per_connection = None);
        }
        let contender = |name| results.contender(name).expect("synthetic results contain it");
        let workload = results.workload("keep-alive-512").expect("synthetic results contain it");
        let sentence = |metrics: &[Metric], a, b| {
            sentence(&results, workload, metrics, contender(a), contender(b))
        };
        let differs = sentence(&[Metric::Throughput, Metric::CpuPerRequest], "alpha", "beta");
        assert!(
            differs.starts_with("alpha serves ")
                && differs.contains(" times beta's requests per second, uses 0.")
        );
        assert!(differs.ends_with(" of its CPU time per request"), "{differs}");
        let equal = sentence(&[Metric::Throughput], "alpha again", "alpha");
        assert!(
            equal
                .starts_with("alpha again and alpha: no difference shown in requests per second, "),
            "{equal}"
        );
        assert_eq!(
            sentence(&[Metric::MemoryPerConnection], "alpha", "beta"),
            "alpha and beta: not ranked"
        );
    }

    #[test]
    fn each_reason_for_no_difference_is_detected() {
        assert!(matches!(
            verdict_of(1.0, 1.0, 6),
            Verdict::NoDifferenceShown(_, Inconclusive::IncludesOne)
        ));
        assert!(matches!(
            verdict_of(0.99, 1.0, 6),
            Verdict::NoDifferenceShown(_, Inconclusive::WithinNoise(_))
        ));
        assert!(matches!(
            verdict_of(0.8, 1.3, 6),
            Verdict::NoDifferenceShown(_, Inconclusive::WithinNoise(_))
        ));
        assert!(matches!(verdict_of(0.8, 1.1, 6), Verdict::Differs(_)));
        assert!(matches!(
            verdict_of(0.5, 1.0, 4),
            Verdict::NoDifferenceShown(_, Inconclusive::TooFewRounds)
        ));
        assert!(matches!(verdict_of(0.5, 1.0, 0), Verdict::Unranked));
    }

    #[test]
    fn cells_that_fail_a_check_are_not_ranked() {
        let results = synthetic::invalid(3);
        for workload in &results.workloads {
            for (a, b) in pairs(&results) {
                for metric in Metric::RANKED {
                    assert_eq!(verdict(&results, workload, metric, a, b), Verdict::Unranked);
                }
            }
        }
    }

    /// The false positive rate: a program is rarely found to differ from itself.
    #[test]
    fn the_a_a_comparison_rarely_shows_a_difference() {
        let (mut shown, mut total) = (0, 0);
        for seed in 0..6 {
            let results = synthetic::results(seed);
            let contender = |name| results.contender(name).expect("synthetic results contain it");
            for workload in &results.workloads {
                total += 1;
                let verdict = verdict(
                    &results,
                    workload,
                    Metric::CpuPerRequest,
                    contender("alpha"),
                    contender("alpha again"),
                );
                shown += i32::from(matches!(verdict, Verdict::Differs(_)));
            }
        }
        assert!(shown * 20 <= total, "{shown} of {total}");
    }
}
