//! Where the lead changes, and where contenders cross, along the axes of `axis`.
//!
//! Nothing is interpolated: a change lies *between* two measured points. They are not always
//! neighbours: points between them may share the lead, or show none.

use crate::compare::analyse::axis::{Line, all_lines, lines};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::{Lead, leads, leads_at};
use crate::compare::analyse::verdict::{Verdict, pairs, verdict};
use crate::compare::results::{Axis, ContenderInfo, Results, Workload};

/// A change of the lead between two points of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossover<'a> {
    /// The axis on which they differ.
    pub axis: Axis,
    pub below: Lead<'a>,
    pub above: Lead<'a>,
}

impl Crossover<'_> {
    /// Such as "most requests per second: gamma with 8 connections, alpha with 64 connections".
    pub fn describe(&self) -> String {
        let (below, above) = (&self.below, &self.above);
        format!(
            "{}: {} with {}, {} with {}",
            below.metric.superlative(),
            below.describe(),
            self.axis.describe(below.workload),
            above.describe(),
            self.axis.describe(above.workload)
        )
    }
}

/// The changes of the lead along each line: from the last point that one group of leaders has to
/// itself, to the next point at which none of them leads.
pub fn crossovers(results: &Results) -> Vec<Crossover<'_>> {
    let leads = leads(results);
    let mut crossovers: Vec<Crossover<'_>> = Vec::new();
    for line in all_lines(results) {
        for metric in Metric::RANKED {
            let at = |point: &&Workload| {
                let is_it = |lead: &&Lead<'_>| {
                    lead.metric == metric && lead.workload.name == point.name && lead.is_shown()
                };
                leads.iter().find(is_it)
            };
            // At some points several may share the lead. What they have in common with those before
            // them goes on leading.
            let mut since: Option<(&Lead<'_>, Vec<&ContenderInfo>)> = None;
            for lead in line.points.iter().filter_map(at) {
                let common = |leaders: &[&ContenderInfo]| -> Vec<&ContenderInfo> {
                    let leading = lead.leaders.iter().copied();
                    leading.filter(|leader| leaders.contains(leader)).collect()
                };
                since = match since {
                    None => Some((lead, lead.leaders.clone())),
                    Some((below, leaders)) => match common(&leaders) {
                        none if none.is_empty() => {
                            let (below, above) = (below.clone(), lead.clone());
                            crossovers.push(Crossover { axis: line.axis, below, above });
                            Some((lead, lead.leaders.clone()))
                        }
                        // The last point at which nobody else shares the lead bounds the change.
                        same if lead.leaders.len() == same.len() => Some((lead, same)),
                        fewer => Some((below, fewer)),
                    },
                };
            }
        }
    }
    crossovers
}

/// Neighbouring points between which two contenders swap places in the metric of the sweep: one is
/// shown to be better at one point, the other at the next. Those where the lead changes come first,
/// then those that are furthest apart.
pub fn crossings(results: &Results) -> Vec<(Axis, [&Workload; 2])> {
    let mut crossings = Vec::new();
    for Line { axis, points } in lines(results) {
        let metric = axis.metric();
        let pairs = points.windows(2).filter_map(|ends| Some([*ends.first()?, *ends.get(1)?]));
        for ends in pairs.filter(|ends| do_cross(results, *ends, metric)) {
            let leads = ends.map(|point| leads_at(results, point, &[metric]).pop().flatten());
            let changes_lead = match &leads {
                [Some(below), Some(above)] => {
                    !below.leaders.iter().any(|leader| above.leaders.contains(leader))
                }
                _ => false,
            };
            let [below, above] = ends.map(|point| axis.position(point).max(1.0));
            crossings.push((changes_lead, above / below, axis, ends));
        }
    }
    crossings.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    crossings.into_iter().map(|(_, _, axis, ends)| (axis, ends)).collect()
}

fn do_cross(results: &Results, ends: [&Workload; 2], metric: Metric) -> bool {
    let is_greater = |point: &Workload, (a, b): (&ContenderInfo, &ContenderInfo)| match verdict(
        results, point, metric, a, b,
    ) {
        Verdict::Differs(estimate) => Some(estimate.median > 1.0),
        _ => None,
    };
    pairs(results).into_iter().any(|pair| {
        let [below, above] = ends.map(|point| is_greater(point, pair));
        below.zip(above).is_some_and(|(below, above)| below != above)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn a_crossover_is_found() {
        let mut results = synthetic::results(5);
        // `gamma` becomes the cheapest by far up to 8 connections, and the most expensive beyond.
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
        let words = found.expect("the synthetic crossover").describe();
        let others = words.strip_prefix("least CPU time per request: gamma with 8 connections, ");
        let others = others.and_then(|words| words.strip_suffix(" with 64 connections"));
        assert!(others.is_some_and(|others| !others.contains("gamma")), "{words}");
        assert!(!crossovers.iter().any(|crossover| {
            crossover.below.metric == Metric::CpuPerRequest
                && crossover.below.workload.name == "keep-alive-1"
        }));
    }

    #[test]
    fn invalid_results_have_no_crossovers() {
        assert_eq!(crossovers(&synthetic::invalid(5)), []);
        assert_eq!(crossings(&synthetic::invalid(5)), []);
    }
}
