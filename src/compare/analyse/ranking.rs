//! The ranking: which contender leads under which workload.
//!
//! For each workload and metric, the leaders are the contenders that no other is shown to beat.
//!
//! Invariants:
//! - A rate that the client limited is a lower bound: such a contender may lead, and none is shown
//!   to beat it. With several of them there is no leader in rate. Its latency is the client's, so
//!   there is no leader in latency.
//! - The lead follows from verdicts alone. Contenders that cannot be distinguished from the best
//!   share it.

use crate::compare::analyse::checks::{self, Check, Standing};
use crate::compare::analyse::metric::{Better, Metric};
use crate::compare::analyse::statistics::ratio;
use crate::compare::analyse::verdict::{Verdict, noise, ranked_contenders, verdict_of_valid};
use crate::compare::results::{Cell, ContenderInfo, Results, Workload};

/// The leaders under one workload by one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead<'a> {
    pub workload: &'a Workload,
    pub metric: Metric,
    /// The best first; more than one if they could not be distinguished.
    pub leaders: Vec<&'a ContenderInfo>,
    /// The number of ranked contenders.
    pub rivals: usize,
}

impl Lead<'_> {
    /// `alpha`, or `alpha or beta` if they could not be distinguished.
    pub fn describe(&self) -> String {
        let names: Vec<&str> =
            self.leaders.iter().map(|contender| contender.name.as_str()).collect();
        match (names.len(), self.rivals) {
            (0, _) => "nothing to rank".to_owned(),
            (1, 1) => format!("{} (no other ranked)", names[0]),
            (all, rivals) if all == rivals => "no difference shown".to_owned(),
            _ => names.join(" or "),
        }
    }

    /// Whether `contender` is a leader and another is shown to be worse.
    pub fn is_led_by(&self, contender: &ContenderInfo) -> bool {
        self.is_shown() && self.leaders.contains(&contender)
    }

    /// Whether any contender is shown to be worse than the leaders.
    pub fn is_shown(&self) -> bool {
        !self.leaders.is_empty() && self.leaders.len() < self.rivals
    }
}

/// The leads of all workloads and metrics for which anything is ranked.
pub fn leads(results: &Results) -> Vec<Lead<'_>> {
    leads_of(results, &results.workloads.iter().collect::<Vec<_>>())
}

/// The leads of some workloads.
pub fn leads_of<'a>(results: &'a Results, workloads: &[&'a Workload]) -> Vec<Lead<'a>> {
    let points = Metric::RANKED
        .into_iter()
        .flat_map(|metric| workloads.iter().map(move |workload| (metric, *workload)))
        .filter(|(metric, workload)| metric.is_ranked_under(workload.pacing));
    points
        .map(|(metric, workload)| lead(results, workload, metric))
        .filter(|lead| lead.rivals > 0)
        .collect()
}

/// The leads by each of `metrics`, for the columns of a table; `None` for metrics that are not
/// ranked.
pub fn leads_at<'a>(
    results: &'a Results,
    workload: &'a Workload,
    metrics: &[Metric],
) -> Vec<Option<Lead<'a>>> {
    let is_ranked = |metric: &Metric| metric.is_ranked_under(workload.pacing);
    metrics
        .iter()
        .map(|metric| is_ranked(metric).then(|| lead(results, workload, *metric)))
        .collect()
}

/// A contender that is ranked under one workload.
struct Rival<'a> {
    contender: &'a ContenderInfo,
    cell: &'a Cell,
    standing: Standing,
}

fn lead<'a>(results: &'a Results, workload: &'a Workload, metric: Metric) -> Lead<'a> {
    let noise = noise(results, workload, metric);
    let rival = |contender: &'a ContenderInfo| {
        let cell = results.cell(&workload.name, &contender.name)?;
        let standing = checks::standing(results, workload, Some(cell), metric);
        let is_ranked = !metric.values(cell).is_empty() && standing != Standing::Invalid;
        is_ranked.then_some(Rival { contender, cell, standing })
    };
    let is_client_bound = |contender: &ContenderInfo| {
        let cell = results.cell(&workload.name, &contender.name);
        let failures = checks::failed_checks(results, workload, cell);
        failures
            .iter()
            .any(|failure| failure.check == Check::Client && failure.check.concerns(metric))
    };
    let contenders = ranked_contenders(results);
    if metric != Metric::Throughput && contenders.iter().copied().any(is_client_bound) {
        return Lead { workload, metric, leaders: Vec::new(), rivals: 0 };
    }
    let rivals: Vec<Rival<'_>> = contenders.into_iter().filter_map(rival).collect();
    let beats = |a: &Rival<'_>, b: &Rival<'_>| match verdict_of_valid(metric, a.cell, b.cell, noise)
    {
        Verdict::Differs(estimate) => {
            b.standing == Standing::Measured
                && (estimate.median > 1.0) == (metric.better() == Better::More)
        }
        _ => false,
    };
    let is_beaten = |rival: &Rival<'_>| rivals.iter().any(|other| beats(other, rival));
    let unbeaten = || rivals.iter().filter(|rival| !is_beaten(rival));
    // Which of several that the client limited is the fastest, it cannot tell.
    let limited = unbeaten().filter(|rival| rival.standing == Standing::LowerBound);
    if limited.count() > 1 {
        return Lead { workload, metric, leaders: Vec::new(), rivals: 0 };
    }
    let mut leaders: Vec<(&ContenderInfo, &Cell)> =
        unbeaten().map(|rival| (rival.contender, rival.cell)).collect();
    // Sorted by the ratio to the first leader, round by round, the best first.
    if let Some((_, first)) = leaders.first().copied() {
        let rank = |cell: &Cell| {
            let median = ratio(metric, cell, first).map_or(1.0, |estimate| estimate.median);
            if metric.better() == Better::More { -median } else { median }
        };
        leaders.sort_by(|(_, a), (_, b)| rank(a).total_cmp(&rank(b)));
    }
    Lead {
        workload,
        metric,
        leaders: leaders.into_iter().map(|(contender, _)| contender).collect(),
        rivals: rivals.len(),
    }
}

/// For each ranked contender, the metrics by which it leads and the loads where it does.
pub fn wins(results: &Results) -> Vec<(&ContenderInfo, Vec<(Metric, String)>)> {
    let leads = leads_of(results, &results.loads());
    let of_contender = |contender| {
        Metric::RANKED
            .into_iter()
            .filter_map(|metric| Some((metric, places(&leads, metric, contender)?)))
            .collect()
    };
    ranked_contenders(results)
        .into_iter()
        .map(|contender| (contender, of_contender(contender)))
        .collect()
}

/// "all loads", or the names of the workloads: those where it leads alone, then those where the
/// lead is shared.
fn places(leads: &[Lead<'_>], metric: Metric, contender: &ContenderInfo) -> Option<String> {
    let measured: Vec<_> = leads.iter().filter(|lead| lead.metric == metric).collect();
    let shown = measured.iter().filter(|lead| lead.is_shown() && lead.leaders.contains(&contender));
    let (alone, tied): (Vec<_>, Vec<_>) = shown.partition(|lead| lead.leaders.len() == 1);
    let names = |leads: &[&&Lead<'_>]| match leads.len() {
        all if all > 1 && all == measured.len() => "all loads".to_owned(),
        _ => leads.iter().map(|lead| lead.workload.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    match (alone.is_empty(), tied.is_empty()) {
        (true, true) => None,
        (false, true) => Some(names(&alone)),
        (true, false) => Some(format!("{} (tied)", names(&tied))),
        (false, false) => Some(format!("{}; tied: {}", names(&alone), names(&tied))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn a_busy_loop_never_leads_in_idle_cpu() {
        let results = synthetic::results(5);
        for lead in leads(&results).iter().filter(|lead| lead.metric == Metric::IdleCpu) {
            assert!(
                lead.leaders.iter().all(|contender| contender.name != "beta"),
                "{}",
                lead.describe()
            );
            assert!(lead.is_shown());
        }
    }

    /// Whether it is faster or slower than the others, as far as the client could tell.
    #[test]
    fn a_rate_that_the_client_limited_is_a_lower_bound() {
        for (factor, is_alone) in [(10, true), (1, false)] {
            let mut results = synthetic::results(5);
            for cell in results.cells.iter_mut().filter(|cell| cell.workload == "pipelined") {
                let is_bound = cell.contender.starts_with("alpha");
                for round in &mut cell.rounds {
                    let times = if is_bound { factor } else { 2 };
                    let before = round.requests as f64 / round.duration_seconds();
                    round.requests = (10_000 + u64::from(round.number)) * times;
                    round.duration_us = 1_000_000;
                    round.client_cpu_share = if is_bound { 0.99 } else { 0.5 };
                    // So that Little's law holds.
                    round.in_flight_average *= round.requests as f64 / before;
                }
            }
            let leads = leads(&results);
            let is_it = |lead: &&Lead<'_>| {
                lead.workload.name == "pipelined" && lead.metric == Metric::Throughput
            };
            let lead = leads.iter().find(is_it).expect("it is ranked");
            let names: Vec<&str> = lead.leaders.iter().map(|leader| &*leader.name).collect();
            assert!(names.contains(&"alpha"), "{names:?}");
            assert_eq!(names.len() == 1, is_alone, "{names:?}");
        }
    }

    #[test]
    fn everywhere_requires_a_lead_under_every_workload() {
        let mut results = synthetic::results(5);
        let is_everywhere = |results: &Results| {
            let wins = wins(results);
            let wins_of_alpha = wins
                .iter()
                .find(|(contender, _)| contender.name == "alpha")
                .map(|(_, wins)| wins.clone());
            let cpu = wins_of_alpha
                .into_iter()
                .flatten()
                .find(|(metric, _)| *metric == Metric::CpuPerRequest);
            cpu.is_some_and(|(_, words)| words.contains("all loads"))
        };
        for cell in &mut results.cells {
            let times = if cell.contender.starts_with("alpha") { 1 } else { 4 };
            for round in &mut cell.rounds {
                let requests = round.requests;
                let cpu = round.cpu.iter_mut();
                cpu.for_each(|cpu| (cpu.user_us, cpu.system_us) = (requests * times, 0));
            }
        }
        assert!(is_everywhere(&results));
        // Where the costs are equal, no lead is shown.
        for cell in results.cells.iter_mut().filter(|cell| cell.workload == "pipelined") {
            for round in &mut cell.rounds {
                let requests = round.requests;
                round.cpu.iter_mut().for_each(|cpu| cpu.user_us = requests);
            }
        }
        assert!(!is_everywhere(&results));
    }

    #[test]
    fn invalid_results_have_no_leads() {
        assert_eq!(leads(&synthetic::invalid(5)), []);
    }
}
