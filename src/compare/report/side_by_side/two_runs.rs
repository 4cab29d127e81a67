//! Two runs, the sentences about them, and their figures in words.

use std::borrow::Cow;

use crate::compare::analyse::headline::load;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::rounds;
use crate::compare::analyse::side_by_side::{Change, Outcome, SideBySide};
use crate::compare::analyse::statistics::Estimate;
use crate::compare::analyse::verdict::format_ratio;
use crate::compare::report::words;
use crate::compare::results::{Completeness, ContenderKind, Results};
use crate::format::{counted, listed};

/// Two runs, and what the reports call them.
#[derive(Debug)]
pub struct TwoRuns<'a> {
    pub(super) names: [String; 2],
    /// Without the rounds that do not count.
    runs: [Cow<'a, Results>; 2],
    /// What limits either of them.
    limits: Vec<String>,
}

impl<'a> TwoRuns<'a> {
    pub fn new(names: [String; 2], runs: [&'a Results; 2]) -> TwoRuns<'a> {
        let limits = names.iter().zip(runs).flat_map(|(name, run)| {
            let partial = match &run.completeness {
                Completeness::Whole => None,
                Completeness::Partial { reason } => Some(format!("{name} is partial: {reason}.")),
            };
            let left_out = words::left_out_total(run).map(|text| format!("{name}: {text}."));
            [partial, left_out].into_iter().flatten()
        });
        let limits = limits.collect();
        TwoRuns { names, runs: runs.map(rounds::quiet), limits }
    }

    /// Whether they have anything in common that can be compared.
    pub fn any_comparable(&self) -> bool {
        self.both().ranked().any(|change| change.outcome != Outcome::Unranked)
    }

    pub(super) fn both(&self) -> SideBySide<'_> {
        SideBySide::of(&self.runs[0], &self.runs[1])
    }

    /// The sentences before the figures.
    pub(super) fn introduction(&self, both: &SideBySide<'_>) -> Vec<String> {
        let [before, after] = &self.names;
        let [began_before, began_after] =
            [both.before, both.after].map(|run| run.environment.started_at.as_str());
        let mut sentences = vec![
            format!("{after} ({began_after}) against {before} ({began_before})."),
            "Their rounds were not paired: what changed on the machine between the runs counts as \
             a difference."
                .to_owned(),
            cpu_sentence(both, after),
        ];
        sentences.extend(reference_sentence(both));
        sentences.extend(self.limits.iter().cloned());
        if !both.differences.is_empty() {
            let differences = both.differences.iter().map(|difference| {
                let [before, after] = &difference.values;
                format!("{} {before} → {after}", difference.name)
            });
            sentences
                .push(format!("Not the same: {}.", differences.collect::<Vec<_>>().join("; ")));
        }
        for (name, missing) in self.names.iter().zip(&both.not_compared) {
            if !missing.is_empty() {
                let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
                sentences.push(format!("Not compared, of {name}: {}.", listed(&missing)));
            }
        }
        sentences
    }
}

/// Counts what is shown of the CPU time per request.
fn cpu_sentence(both: &SideBySide<'_>, after: &str) -> String {
    let of_cpu = || both.ranked().filter(|change| change.metric == Metric::CpuPerRequest);
    let count = |is_it: fn(&Outcome) -> bool| of_cpu().filter(|it| is_it(&it.outcome)).count();
    let less = count(|it| matches!(it, Outcome::Differs(ratio) if ratio.median < 1.0));
    let more = count(|it| matches!(it, Outcome::Differs(ratio) if ratio.median > 1.0));
    let same = count(|it| matches!(it, Outcome::NoDifferenceShown(_)));
    let unranked = count(|it| *it == Outcome::Unranked);
    let ranked = less + more + same;
    if ranked == 0 {
        return "No CPU time per request can be compared.".to_owned();
    }
    let unranked = match unranked {
        0 => String::new(),
        count => format!("; {} not ranked", counted(count, "other")),
    };
    format!(
        "CPU time per request in {after}: less in {less}, more in {more}, no difference shown in \
         {same} of {}{unranked}.",
        counted(ranked, "cell")
    )
}

/// How much the control differs.
fn reference_sentence(both: &SideBySide<'_>) -> Option<String> {
    let effects = both.changes.iter().filter_map(|change| {
        let is_control = change.contender.kind == ContenderKind::ReferenceLoop
            && change.metric == Metric::CpuPerRequest;
        is_control.then(|| ratio_of(&change.outcome).map(|ratio| ratio.effect_max())).flatten()
    });
    let most = effects.reduce(f64::max)?;
    Some(format!(
        "The reference loop differs by up to {:.0} % (confidence limit). Any other difference has \
         to exceed that of its load.",
        (most - 1.0) * 100.0
    ))
}

pub(super) fn ratio_of(outcome: &Outcome) -> Option<&Estimate> {
    match outcome {
        Outcome::Differs(ratio) | Outcome::NoDifferenceShown(ratio) => Some(ratio),
        Outcome::Unranked => None,
    }
}

/// A change in words.
pub(super) struct RowText {
    pub(super) contender: String,
    pub(super) metric: &'static str,
    pub(super) before: String,
    pub(super) after: String,
    /// `0.89 [0.86, 0.92]`; a dash where a ratio would be arbitrary, or is not ranked.
    pub(super) ratio: String,
    /// What is shown.
    pub(super) outcome: &'static str,
    pub(super) is_shown: bool,
}

/// The rows of each workload, under its name in words.
pub(super) fn tables(both: &SideBySide<'_>) -> Vec<(String, Vec<RowText>)> {
    let tables = both.workloads.iter().map(|workload| {
        let of_workload =
            both.changes.iter().filter(|change| change.workload.name == workload.name);
        let by_contender = both.contenders.iter().flat_map(|contender| {
            of_workload.clone().filter(|change| change.contender.name == contender.name)
        });
        let heading = match workload.sweep {
            None => load(workload),
            // Points of a sweep may differ in what the words leave out.
            Some(_) => format!("{} ({})", load(workload), workload.name),
        };
        (heading, by_contender.map(row_text).collect())
    });
    tables.collect()
}

fn row_text(change: &Change<'_>) -> RowText {
    let [before, after] = change.figures.map(|value| change.metric.format(value));
    // The share of a server that sleeps is below the resolution.
    let has_ratio = change.metric != Metric::IdleCpu;
    let ratio = ratio_of(&change.outcome).filter(|_| has_ratio);
    let is_shown = matches!(change.outcome, Outcome::Differs(_));
    RowText {
        contender: change.contender.name.clone(),
        metric: change.metric.title(),
        before,
        after,
        ratio: ratio.map_or("–".to_owned(), format_ratio),
        outcome: match change.outcome {
            Outcome::Differs(ratio) if ratio.median < 1.0 => "less",
            Outcome::Differs(_) => "more",
            Outcome::NoDifferenceShown(_) => "no difference shown",
            Outcome::Unranked => "not ranked",
        },
        is_shown,
    }
}
