//! Words that several reports share. Each is computed from the results, so that no report states
//! what its figures contradict.

use std::collections::BTreeSet;

use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::rounds::{self, LeftOut};
use crate::compare::analyse::statistics::{Estimate, estimate, figure, median};
use crate::compare::results::{Cell, ContenderInfo, Noise, Results, Workload};
use crate::format::counted;

/// The heading of the part about TLS.
pub(super) const TLS_TITLE: &str = "What TLS adds";

/// What the figures of that part are.
pub(super) const TLS_INTRO: &str = "CPU time per request of each strategy with TLS 1.3 (AES-128-GCM, an ECDSA P-256 \
     certificate), less that of the same strategy without, in the same rounds. Keep-alive \
     connections complete their handshakes before the window; what TLS adds to a new connection \
     beyond what it adds to them is called the handshake.";

/// About the reference loop beside contenders with TLS.
pub(super) fn reference_without_tls(results: &Results) -> Option<String> {
    let reference = results.reference_loop().filter(|_| results.has_tls())?;
    Some(format!("{} has no TLS.", reference.name))
}

/// Under "Where the lead changes".
pub(super) const NO_CROSSOVER: &str = "No change is shown between neighbouring workloads.";

/// Above the results of a run that has ended early.
pub(super) fn partial(reason: &str) -> String {
    format!("Partial: {reason}. These are the results up to that point.")
}

/// The median as every report shows it: `12.3 µs`, or `≥ 61.2k` if the client limited the rate.
pub(super) fn value_text(
    results: &Results,
    workload: &Workload,
    contender: &ContenderInfo,
    metric: Metric,
) -> Option<String> {
    let text = metric.format(figure(results, workload, contender, metric)?);
    let cell = results.cell(&workload.name, &contender.name);
    match checks::standing(results, workload, cell, metric) {
        Standing::LowerBound => Some(format!("≥ {text}")),
        Standing::Measured | Standing::Invalid => Some(text),
    }
}

/// Such as "3 of 120 rounds left out …: keep-alive-64 2 of 12, open-2000 1 of 12". `results` are
/// those with all rounds. None if all rounds count.
pub(super) fn left_out(results: &Results) -> Option<String> {
    let left_out = rounds::left_out(results);
    let places = left_out.iter().map(|left_out| {
        let LeftOut { workload, rounds, measured } = left_out;
        format!("{} {} of {measured}", workload.name, rounds.len())
    });
    let places = places.collect::<Vec<_>>().join(", ");
    Some(format!("{}: {places}.", left_out_total(results)?))
}

/// Such as "3 of 120 rounds left out, for all contenders alike, because a measurement lost over
/// 10 % to steal".
pub(super) fn left_out_total(results: &Results) -> Option<String> {
    let left_out: usize = rounds::left_out(results).iter().map(|it| it.rounds.len()).sum();
    let measured = results.workloads.iter().map(|workload| {
        let cells = results.cells.iter().filter(|cell| cell.workload == workload.name);
        let numbers = cells.flat_map(|cell| &cell.rounds).map(|round| round.number);
        numbers.collect::<BTreeSet<u32>>().len()
    });
    (left_out > 0).then(|| {
        format!(
            "{left_out} of {} left out, for all contenders alike, because a measurement lost over \
             {:.0} % to steal",
            counted(measured.sum::<usize>(), "round"),
            rounds::STEAL_SHARE_MAX * 100.0
        )
    })
}

/// `12 rounds`, or `7 to 12 rounds` if cells have different numbers of them.
pub(super) fn round_count(results: &Results) -> String {
    let counts = || results.cells.iter().map(|cell| cell.rounds.len());
    match (counts().min(), counts().max()) {
        (Some(least), Some(most)) if least < most => {
            format!("{least} to {}", counted(most, "round"))
        }
        (_, most) => counted(most.unwrap_or(0), "round"),
    }
}

/// `at least 99.0 %`: the lowest confidence level of a figure or ratio. None without figures.
pub(super) fn levels(results: &Results) -> Option<String> {
    let of_cell = |cell: &Cell| {
        let of_ratio = Estimate::of_ratios(&vec![1.0; cell.rounds.len()])?.level;
        Some(estimate(Metric::Throughput, cell)?.level.min(of_ratio))
    };
    let least = results.cells.iter().filter_map(of_cell).reduce(f64::min)?;
    // Rounded down: it is a bound.
    Some(format!("at least {:.1} %", (least * 1000.0).floor() / 10.0))
}

/// Such as `steal 0.0 to 0.2 %, other programs 0.3 to 1.0 %`: the range of the medians of all
/// contenders under a workload. None if nothing was measured.
pub(super) fn noise_range(results: &Results, workload: &Workload) -> Option<String> {
    type Share = fn(&Noise) -> Option<f64>;
    let sources: [(&str, Share); 3] = [
        ("steal", |noise| noise.steal_share),
        ("other programs", |noise| noise.foreign_cpu_share),
        ("CPU pressure", |noise| noise.cpu_pressure_share),
    ];
    let range = |(name, share): (&str, Share)| {
        let cells = results.cells.iter().filter(|cell| cell.workload == workload.name);
        let shares = cells.filter_map(|cell| {
            let shares = cell.rounds.iter().filter_map(|round| share(&round.noise));
            Some(median(&shares.collect::<Vec<_>>())? * 100.0)
        });
        let shares: Vec<f64> = shares.collect();
        let least = shares.iter().copied().reduce(f64::min)?;
        let most = shares.into_iter().reduce(f64::max)?;
        Some(format!("{name} {least:.1} to {most:.1} %"))
    };
    let ranges: Vec<String> = sources.into_iter().filter_map(range).collect();
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

/// About a ranked contender without wins.
pub(super) fn without_wins(results: &Results, contender: &ContenderInfo) -> &'static str {
    let is_ranked = results.workloads.iter().any(|workload| {
        let cell = results.cell(&workload.name, &contender.name);
        Metric::RANKED.into_iter().any(|metric| checks::is_ranked(results, workload, cell, metric))
    });
    if is_ranked { "not shown to lead anywhere" } else { "not ranked anywhere" }
}
