//! When each strategy wins: who leads where, and where the lead changes.
//!
//! A workload is a point in a space of three axes: connections that ask, the share of all that is idle, and the size of the
//! file. At each point and for each thing that one may want, the leaders are those that nobody is shown to beat. Along
//! a line of points that differ in one axis only, a crossover lies where the leaders change.
//!
//! # Laws
//! - Nothing is interpolated: a crossover lies *between* two measured points, and that is how it is told.
//! - Where the client was the limit of one, nobody leads in what that hides: the one might have been faster.
//! - An contender leads alone only by verdicts; who can't be told apart from the best leads with it.

use crate::compare::analyse::checks::{self, Check};
use crate::compare::analyse::metric::{Better, Metric};
use crate::compare::analyse::statistics::ratio;
use crate::compare::analyse::verdict::{Verdict, noise, ranked_contenders, verdict_of_valid};
use crate::compare::results::{Cell, ContenderInfo, Results, Workload};
use crate::format::{self, counted};

/// Who leads at one point for one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead<'a> {
    /// The point.
    pub workload: &'a Workload,
    /// What was wanted.
    pub metric: Metric,
    /// The best first; more than one if they could not be told apart.
    pub leaders: Vec<&'a ContenderInfo>,
    /// How many could have led.
    pub rivals: usize,
}

/// A change of the lead between two points.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossover<'a> {
    /// What differs between them.
    pub axis: Axis,
    /// Where it is less.
    pub below: Lead<'a>,
    /// Where it is more.
    pub above: Lead<'a>,
}

/// One direction in the space of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// That ask.
    Connections,
    /// Of all connections, that never ask; so many others ask beside them.
    IdleShare,
    /// Of the file.
    BodyBytes,
}

impl Lead<'_> {
    /// `alpha`, or `alpha or nginx` if they can't be told apart, or "nobody: …".
    pub fn words(&self) -> String {
        let names: Vec<&str> =
            self.leaders.iter().map(|contender| contender.name.as_str()).collect();
        match (names.len(), self.rivals) {
            (0, _) => "nothing to rank".to_owned(),
            (1, 1) => format!("{} (alone)", names[0]),
            (all, rivals) if all == rivals => "no difference shown".to_owned(),
            _ => names.join(" or "),
        }
    }

    /// Whether `contender` is one of those, and somebody is shown to be beaten.
    pub fn is_led_by(&self, contender: &ContenderInfo) -> bool {
        self.is_shown() && self.leaders.contains(&contender)
    }

    /// Whether somebody is shown to be beaten.
    pub fn is_shown(&self) -> bool {
        !self.leaders.is_empty() && self.leaders.len() < self.rivals
    }
}

impl Crossover<'_> {
    /// e.g. "most requests per second: gamma at 8 connections, alpha from 64"
    pub fn words(&self) -> String {
        let (below, above) = (&self.below, &self.above);
        format!(
            "{}: {} at {}, {} at {}",
            below.metric.superlative(),
            below.words(),
            self.axis.words(below.workload),
            above.words(),
            self.axis.words(above.workload)
        )
    }
}

impl Axis {
    const ALL: [Axis; 3] = [Axis::Connections, Axis::IdleShare, Axis::BodyBytes];

    fn position(self, workload: &Workload) -> f64 {
        match self {
            Axis::Connections => f64::from(workload.active_connections()),
            Axis::IdleShare => {
                f64::from(workload.idle_connections) / f64::from(workload.connections.max(1))
            }
            Axis::BodyBytes => workload.body_bytes as f64,
        }
    }

    fn words(self, workload: &Workload) -> String {
        match self {
            Axis::Connections => counted(workload.active_connections(), "connection"),
            Axis::IdleShare => format!("{:.0} % idle", 100.0 * self.position(workload)),
            Axis::BodyBytes => format!("{} a file", format::bytes(workload.body_bytes)),
        }
    }

    /// Whether `a` and `b` lie on one line along this axis: different here, and the same in all else.
    pub fn joins(self, a: &Workload, b: &Workload) -> bool {
        let differs = |axis: Axis| axis.position(a) != axis.position(b);
        let same_load = a.pacing == b.pacing
            && a.pipeline_depth == b.pipeline_depth
            && a.requests_per_connection == b.requests_per_connection
            && a.reader_bytes_per_second == b.reader_bytes_per_second;
        same_load && Axis::ALL.into_iter().all(|axis| differs(axis) == (axis == self))
    }
}

/// Every point and metric for which anything may be ranked.
pub fn leads(results: &Results) -> Vec<Lead<'_>> {
    let points = Metric::RANKED
        .into_iter()
        .flat_map(|metric| results.workloads.iter().map(move |workload| (metric, workload)))
        .filter(|(metric, workload)| metric.is_ranked_under(workload.pacing));
    points
        .map(|(metric, workload)| lead(results, workload, metric))
        .filter(|lead| lead.rivals > 0)
        .collect()
}

/// Who leads in each of these, for the columns of a table; `None` where contenders are not ranked by it.
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

/// Who leads here.
fn lead<'a>(results: &'a Results, workload: &'a Workload, metric: Metric) -> Lead<'a> {
    let noise = noise(results, workload, metric);
    let rival = |contender: &'a ContenderInfo| {
        let cell = results.cell(&workload.name, &contender.name)?;
        let is_ranked = !metric.values(cell).is_empty()
            && checks::is_valid(results, workload, Some(cell), metric);
        is_ranked.then_some((contender, cell))
    };
    let is_held_back = |contender: &ContenderInfo| {
        let cell = results.cell(&workload.name, &contender.name);
        let failures = checks::failures(results, workload, cell);
        failures
            .iter()
            .any(|failure| failure.check == Check::Client && failure.check.concerns(metric))
    };
    if ranked_contenders(results).into_iter().any(is_held_back) {
        return Lead { workload, metric, leaders: Vec::new(), rivals: 0 };
    }
    let rivals: Vec<(&ContenderInfo, &Cell)> =
        ranked_contenders(results).into_iter().filter_map(rival).collect();
    let beats = |a: &Cell, b: &Cell| match verdict_of_valid(metric, a, b, noise) {
        Verdict::Differs(estimate) => (estimate.median > 1.0) == (metric.better() == Better::More),
        _ => false,
    };
    let is_beaten = |cell: &Cell| rivals.iter().any(|(_, rival)| beats(rival, cell));
    let mut leaders: Vec<(&ContenderInfo, &Cell)> =
        rivals.iter().copied().filter(|(_, cell)| !is_beaten(cell)).collect();
    // Against the first of them, round by round; the sign of "better" turned so that the best comes first.
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

/// Where the lead passes from some to others, so that none leads on both sides.
pub fn crossovers(results: &Results) -> Vec<Crossover<'_>> {
    let leads = leads(results);
    let mut crossovers = Vec::new();
    for axis in Axis::ALL {
        for below in leads.iter().filter(|lead| lead.is_shown()) {
            let position = |lead: &Lead<'_>| axis.position(lead.workload);
            let on_line = leads.iter().filter(|above| {
                above.metric == below.metric
                    && axis.joins(below.workload, above.workload)
                    && position(above) > position(below)
            });
            let next = on_line.min_by(|a, b| position(a).total_cmp(&position(b)));
            if let Some(above) = next.filter(|above| above.is_shown())
                && !above.leaders.iter().any(|contender| below.leaders.contains(contender))
            {
                crossovers.push(Crossover { axis, below: below.clone(), above: above.clone() });
            }
        }
    }
    crossovers
}

/// For each ranked contender the metrics in which it leads somewhere, and where, in words; perhaps none.
pub fn wins(results: &Results) -> Vec<(&ContenderInfo, Vec<(Metric, String)>)> {
    let leads = leads(results);
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

/// "everywhere", or the names of the workloads: those where it leads alone, then those where it is level with others.
fn places(leads: &[Lead<'_>], metric: Metric, contender: &ContenderInfo) -> Option<String> {
    let measured: Vec<_> = leads.iter().filter(|lead| lead.metric == metric).collect();
    let shown = measured.iter().filter(|lead| lead.is_shown() && lead.leaders.contains(&contender));
    let (alone, level): (Vec<_>, Vec<_>) = shown.partition(|lead| lead.leaders.len() == 1);
    let names = |leads: &[&&Lead<'_>]| match leads.len() {
        all if all > 1 && all == measured.len() => "everywhere".to_owned(),
        _ => leads.iter().map(|lead| lead.workload.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    match (alone.is_empty(), level.is_empty()) {
        (true, true) => None,
        (false, true) => Some(names(&alone)),
        (true, false) => Some(format!("{} (level with others)", names(&level))),
        (false, false) => Some(format!("{}; level with others: {}", names(&alone), names(&level))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn a_crossover_is_found_where_it_was_put() {
        let mut results = synthetic::results(5);
        // Threads are made the cheapest by far up to 8 connections, and the dearest beyond.
        for cell in results.cells.iter_mut().filter(|cell| cell.contender == "gamma") {
            let (more, less) = if matches!(&*cell.workload, "keep-alive-1" | "keep-alive-8") {
                (1, 3)
            } else {
                (3, 1)
            };
            for cpu in cell.rounds.iter_mut().filter_map(|round| round.cpu.as_mut()) {
                (cpu.user_us, cpu.system_us) =
                    (cpu.user_us * more / less, cpu.system_us * more / less);
            }
        }
        let crossovers = crossovers(&results);
        let found = crossovers.iter().find(|crossover| {
            crossover.axis == Axis::Connections
                && crossover.below.metric == Metric::CpuPerRequest
                && crossover.below.workload.name == "keep-alive-8"
        });
        let words = found.expect("it was put there").words();
        let others = words.strip_prefix("least CPU time per request: gamma at 8 connections, ");
        let others = others.and_then(|words| words.strip_suffix(" at 64 connections"));
        assert!(others.is_some_and(|others| !others.contains("gamma")), "{words}");
        assert!(!crossovers.iter().any(|crossover| {
            crossover.below.metric == Metric::CpuPerRequest
                && crossover.below.workload.name == "keep-alive-1"
        }));
    }

    #[test]
    fn poll_list_is_never_the_idlest() {
        let results = synthetic::results(5);
        for lead in leads(&results).iter().filter(|lead| lead.metric == Metric::IdleCpu) {
            assert!(
                lead.leaders.iter().all(|contender| contender.name != "beta"),
                "{}",
                lead.words()
            );
            assert!(lead.is_shown());
        }
    }

    #[test]
    fn idle_share_and_file_size_are_axes_of_their_own() {
        let results = synthetic::results(5);
        let workload = |name| results.workload(name).expect("it was made");
        assert!(Axis::IdleShare.joins(workload("keep-alive-8"), workload("idle-512")));
        assert!(Axis::BodyBytes.joins(workload("keep-alive-8"), workload("large")));
        assert!(!Axis::Connections.joins(workload("keep-alive-64"), workload("pipelined")));
        assert!(!Axis::Connections.joins(workload("keep-alive-8"), workload("keep-alive-8")));
    }

    #[test]
    fn nobody_leads_before_one_that_the_client_held_back() {
        let mut results = synthetic::results(5);
        let held_back =
            |cell: &&mut Cell| cell.contender == "alpha" && cell.workload == "pipelined";
        let cell = results.cells.iter_mut().find(held_back).expect("it was made");
        cell.rounds.iter_mut().for_each(|round| round.client_cpu_share = 0.99);
        let leads_in = |metric| {
            leads(&results)
                .iter()
                .any(|lead| lead.workload.name == "pipelined" && lead.metric == metric)
        };
        assert!(!leads_in(Metric::Throughput) && leads_in(Metric::CpuPerRequest));
    }

    #[test]
    fn who_leads_wherever_anything_was_shown_does_not_lead_everywhere() {
        let mut results = synthetic::results(5);
        let is_everywhere = |results: &Results| {
            let wins = wins(results);
            let of_alpha = wins
                .iter()
                .find(|(contender, _)| contender.name == "alpha")
                .map(|(_, wins)| wins.clone());
            let cpu =
                of_alpha.into_iter().flatten().find(|(metric, _)| *metric == Metric::CpuPerRequest);
            cpu.is_some_and(|(_, words)| words.contains("everywhere"))
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
        // Where all cost the same nobody is shown to be beaten.
        for cell in results.cells.iter_mut().filter(|cell| cell.workload == "pipelined") {
            for round in &mut cell.rounds {
                let requests = round.requests;
                round.cpu.iter_mut().for_each(|cpu| cpu.user_us = requests);
            }
        }
        assert!(!is_everywhere(&results));
    }

    #[test]
    fn where_nothing_is_valid_nobody_leads() {
        assert_eq!(leads(&synthetic::invalid(5)), []);
        assert_eq!(crossovers(&synthetic::invalid(5)), []);
    }
}
