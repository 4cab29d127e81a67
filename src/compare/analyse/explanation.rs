//! Why one contender costs more than another: what the counters of the two show.
//!
//! A clause is written only if the two differ by so much that it can matter, so a sentence has
//! whatever distinguishes this pair under this load. Counters show where the time goes, not what
//! would happen without it; the sentences state both counts and leave it at that.

use crate::compare::analyse::axis::{Line, lines};
use crate::compare::analyse::metric::{Metric, frequent_syscalls, significant};
use crate::compare::analyse::ranking::leads_at;
use crate::compare::analyse::statistics::{estimate, ratio};
use crate::compare::analyse::verdict::{Verdict, ranked_contenders, verdict};
use crate::compare::results::{Cell, ContenderInfo, Results, Workload};
use crate::format::listed;

/// Counts per request that differ by less do not explain microseconds.
const COUNT_DIFFERENCE_MIN: f64 = 0.05;
/// Nor do counts that differ by less than this factor.
const COUNT_FACTOR_MIN: f64 = 1.2;
/// System calls that are named in one sentence.
const CALLS_MAX: usize = 2;
/// A part of the difference of at least this share is named.
const SHARE_MIN: f64 = 0.7;

/// A contender that uses so much of a core without requests does not sleep between them.
const POLLING_SHARE_MIN: f64 = 0.5;

/// What one contender costs more than another under one load, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'a> {
    pub workload: &'a Workload,
    pub costlier: &'a ContenderInfo,
    pub cheaper: &'a ContenderInfo,
    /// The ratio of their CPU times per request.
    pub times: f64,
    /// Such as "2510 recv calls per request against 1.03"; may be empty, and is without counters.
    pub reasons: Vec<String>,
}

impl Explanation<'_> {
    /// The claim and its reasons as one sentence, without a full stop.
    pub fn sentence(&self) -> String {
        let (costlier, cheaper) = (&self.costlier.name, &self.cheaper.name);
        let claim =
            format!("{costlier} uses {} times the CPU time of {cheaper}", significant(self.times));
        match self.reasons.is_empty() {
            true => claim,
            false => format!("{claim}: {}", self.reasons.join("; ")),
        }
    }
}

/// For each ranked contender that is shown to cost more CPU time than the leader under this load:
/// why. The costliest comes first.
pub fn explanations<'a>(results: &'a Results, workload: &'a Workload) -> Vec<Explanation<'a>> {
    let lead = leads_at(results, workload, &[Metric::CpuPerRequest]).pop().flatten();
    let Some(leader) = lead.filter(|lead| lead.is_shown()).map(|lead| lead.leaders[0]) else {
        return Vec::new();
    };
    let costs = |contender: &ContenderInfo| {
        results
            .cell(&workload.name, &contender.name)
            .and_then(|cell| Some(estimate(Metric::CpuPerRequest, cell)?.median))
    };
    let mut others = ranked_contenders(results);
    others.sort_by(|a, b| costs(b).partial_cmp(&costs(a)).unwrap_or(std::cmp::Ordering::Equal));
    others.into_iter().filter_map(|other| explain(results, workload, other, leader)).collect()
}

/// Why the costliest contender of a sweep over CPU time costs more than the leader, at the highest
/// point where a difference is shown.
pub fn of_sweep<'a>(results: &'a Results, line: &Line<'a>) -> Option<Explanation<'a>> {
    let is_cpu = line.axis.metric() == Metric::CpuPerRequest;
    let mut points = line.points.iter().rev().filter(|_| is_cpu);
    points.find_map(|point| explanations(results, point).into_iter().next())
}

/// What is found at the upper ends of the sweeps, without the reasons, in one sentence.
pub fn summary_of_sweeps(results: &Results) -> Option<String> {
    let clause = |line: &Line<'_>| {
        let Explanation { workload, costlier, cheaper, times, .. } = of_sweep(results, line)?;
        let (place, times) = (line.axis.describe(workload), significant(times));
        Some(format!(
            "with {place}, {} uses {times} times as much as {}",
            costlier.name, cheaper.name
        ))
    };
    let clauses: Vec<String> = lines(results).iter().filter_map(clause).collect();
    (!clauses.is_empty()).then(|| format!("CPU time: {}.", clauses.join("; ")))
}

/// `None` unless `costlier` is shown to cost more.
fn explain<'a>(
    results: &'a Results,
    workload: &'a Workload,
    costlier: &'a ContenderInfo,
    cheaper: &'a ContenderInfo,
) -> Option<Explanation<'a>> {
    let [more, less] =
        [costlier, cheaper].map(|contender| results.cell(&workload.name, &contender.name));
    let (more, less) = more.zip(less)?;
    let verdict = verdict(results, workload, Metric::CpuPerRequest, costlier, cheaper);
    let Verdict::Differs(times) = verdict else { return None };
    let reasons = [
        calls(more, less),
        counted(
            Metric::WouldBlocksPerRequest,
            "would-block calls per request (EAGAIN)",
            more,
            less,
        ),
        counted(Metric::ContextSwitchesPerRequest, "context switches per request", more, less),
        longer_calls(more, less),
        polling(more),
    ];
    let place = where_spent(more, less);
    (times.median > 1.0).then(|| Explanation {
        workload,
        costlier,
        cheaper,
        times: times.median,
        reasons: reasons.into_iter().flatten().chain(place).collect(),
    })
}

/// The system calls whose counts differ most, if the costlier makes more calls in all.
fn calls(more: &Cell, less: &Cell) -> Option<String> {
    let [of_more, of_less] = medians(Metric::SyscallsPerRequest, more, less)?;
    if !is_more(of_more, of_less) {
        return None;
    }
    let (of_more, of_less) = (frequent_syscalls(more), frequent_syscalls(less));
    let of_name = |calls: &[(&str, f64)], name: &str| {
        calls.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, count)| *count)
    };
    let names = of_more.iter().chain(&of_less).map(|(name, _)| *name);
    let mut counts: Vec<(&str, f64, f64)> =
        names.map(|name| (name, of_name(&of_more, name), of_name(&of_less, name))).collect();
    counts.retain(|(_, more, less)| is_more(*more, *less));
    counts.sort_by(|a, b| (b.1 - b.2).total_cmp(&(a.1 - a.2)).then(a.0.cmp(b.0)));
    counts.dedup_by(|a, b| a.0 == b.0);
    let words = counts.iter().take(CALLS_MAX).map(|(name, more, less)| {
        format!("{} {name} calls per request against {}", count(*more), count(*less))
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| listed(&words))
}

/// How long a system call takes, if the costlier does not make more of them.
fn longer_calls(more: &Cell, less: &Cell) -> Option<String> {
    let calls = medians(Metric::SyscallsPerRequest, more, less)?;
    let times = medians(Metric::SystemCpuPerRequest, more, less)?;
    let [of_more, of_less] = [0, 1].map(|n| times[n] / calls[n]);
    let is_it = !is_more(calls[0], calls[1]) && of_more >= COUNT_FACTOR_MIN * of_less;
    let metric = Metric::SystemCpuPerRequest;
    (is_it && of_less > 0.0).then(|| {
        format!(
            "a system call takes {} in the kernel on average against {}",
            metric.format(of_more),
            metric.format(of_less)
        )
    })
}

/// What is spent between requests counts for the requests.
fn polling(more: &Cell) -> Option<String> {
    let share = estimate(Metric::IdleCpu, more)?.median;
    (share >= POLLING_SHARE_MIN).then(|| {
        format!("it also works between requests, {:.0} % of a core while idle", share * 100.0)
    })
}

/// Both counts of `what`, if the costlier has more.
fn counted(metric: Metric, what: &str, more: &Cell, less: &Cell) -> Option<String> {
    let [more, less] = medians(metric, more, less)?;
    is_more(more, less).then(|| format!("{} {what} against {}", count(more), count(less)))
}

/// Whether most of the difference is time in the kernel, or in the program.
fn where_spent(more: &Cell, less: &Cell) -> Option<String> {
    let difference = |metric| medians(metric, more, less).map(|[more, less]| more - less);
    let whole = difference(Metric::CpuPerRequest)?;
    let share = difference(Metric::SystemCpuPerRequest)? / whole;
    let (share, place) =
        if share >= 0.5 { (share, "in the kernel") } else { (1.0 - share, "outside the kernel") };
    let percent = (share * 100.0).min(100.0);
    (share >= SHARE_MIN).then(|| format!("{percent:.0} % of the difference is time {place}"))
}

fn medians(metric: Metric, more: &Cell, less: &Cell) -> Option<[f64; 2]> {
    // A ratio exists only if both were measured in the same rounds.
    ratio(metric, more, less)?;
    Some([estimate(metric, more)?.median, estimate(metric, less)?.median])
}

/// Whether the costlier does so much more of it that it can explain something.
fn is_more(more: f64, less: f64) -> bool {
    more - less >= COUNT_DIFFERENCE_MIN && more >= COUNT_FACTOR_MIN * less
}

/// `1212`, `1.02`, `0`: hundredths suffice for what is counted.
fn count(value: f64) -> String {
    match value {
        value if value >= 10.0 => significant(value),
        value if value < 0.005 => "0".to_owned(),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    fn cells<'a>(results: &'a mut Results, name: &'a str) -> impl Iterator<Item = &'a mut Cell> {
        results.cells.iter_mut().filter(move |cell| cell.contender == name)
    }

    #[test]
    fn an_explanation_has_the_counts_that_differ() {
        let mut results = synthetic::results(3);
        for (name, recvs) in [("alpha", 1), ("alpha again", 1), ("beta", 100)] {
            for round in cells(&mut results, name).flat_map(|cell| &mut cell.rounds) {
                let n = round.requests;
                let calls = [("recv", n * recvs), ("send", n)].map(|(c, n)| (c.to_owned(), n));
                round.syscalls = Some(calls.into());
                round.would_blocks = Some(n * (recvs - 1));
                let cpu = round.cpu.as_mut().expect("synthetic results contain it");
                (cpu.user_us, cpu.system_us) = (n, n * 5 * recvs);
            }
        }
        let workload = results.workload("keep-alive-64").expect("synthetic results contain it");
        let explanations = explanations(&results, workload);
        let beta = explanations.iter().find(|e| e.costlier.name == "beta").expect("it costs more");
        assert_eq!(beta.cheaper.name, "alpha");
        assert!(beta.sentence().starts_with("beta uses 83.5 times the CPU time of alpha: "));
        assert_eq!(
            beta.reasons[..2],
            [
                "100 recv calls per request against 1.00",
                "99.0 would-block calls per request (EAGAIN) against 0"
            ]
        );
        let place = beta.reasons.last().expect("there are several");
        assert_eq!(place, "100 % of the difference is time in the kernel");
    }

    #[test]
    fn without_counters_only_the_cpu_time_explains() {
        let mut results = synthetic::results(3);
        for cell in &mut results.cells {
            for round in &mut cell.rounds {
                (round.syscalls, round.would_blocks) = (None, None);
                round.context_switches = None;
            }
        }
        for workload in &results.workloads {
            for explanation in explanations(&results, workload) {
                for reason in &explanation.reasons {
                    let is_cpu =
                        reason.contains("% of the difference") || reason.contains("% of a core");
                    assert!(is_cpu, "{reason}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_shown_to_differ_is_not_explained() {
        let invalid = synthetic::invalid(3);
        assert!(invalid.workloads.iter().all(|w| explanations(&invalid, w).is_empty()));
        assert!(lines(&invalid).iter().all(|line| of_sweep(&invalid, line).is_none()));
    }

    #[test]
    fn each_sweep_is_explained_at_its_upper_end() {
        let results = synthetic::results(3);
        let lines = lines(&results);
        let found = lines.iter().filter_map(|line| of_sweep(&results, line));
        let names: Vec<&str> = found.map(|found| found.workload.name.as_str()).collect();
        assert_eq!(names[..2], ["idle-10000", "keep-alive-2048"]);
    }
}
