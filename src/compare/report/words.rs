//! Words that several reports share. Each is computed from the results, so that no report states
//! what its figures contradict.

use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::statistics::{Estimate, estimate, figure, median};
use crate::compare::results::{Cell, ContenderInfo, Noise, Results, Workload};
use crate::format::counted;

/// Under "Where the lead changes".
pub(super) const NO_CROSSOVER: &str = "No change is shown between neighbouring workloads.";

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

/// `12 rounds`, or `7 to 12 rounds` if cells have different numbers of them.
pub(super) fn rounds(results: &Results) -> String {
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
