//! Two runs side by side: what both measured, and what is shown to differ.
//!
//! A difference is shown if all of this holds, as within a run:
//! 1. Both cells pass the checks that concern the metric.
//! 2. The confidence level is at least [`LEVEL_MIN`], and the interval of the ratio excludes 1.
//! 3. The effect is larger than [`EFFECT_MIN`], and larger than any effect within the interval of
//!    the reference loop under the same workload: that is the same program in both runs, so its
//!    difference is that of the machines or of the time between them.
//!
//! Invariants:
//! - Workloads and contenders are compared only if both runs have them, with the same load and the
//!   same kind; the others are named.

use std::collections::BTreeMap;

use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::statistics::{Estimate, figure};
use crate::compare::analyse::unpaired::RankSumTest;
use crate::compare::analyse::verdict::{EFFECT_MIN, LEVEL_MIN};
use crate::compare::results::{Cell, ContenderInfo, ContenderKind, Results, Workload};

/// The comparison of two runs.
#[derive(Debug)]
pub struct SideBySide<'a> {
    pub before: &'a Results,
    pub after: &'a Results,
    /// What both have, in the order of the first.
    pub workloads: Vec<&'a Workload>,
    pub contenders: Vec<&'a ContenderInfo>,
    /// By workload, contender and metric.
    pub changes: Vec<Change<'a>>,
    /// Such as "keep-alive-7 (other load)", of either run.
    pub not_compared: [Vec<String>; 2],
    /// What the machines and options differ in.
    pub differences: Vec<Difference>,
}

/// One figure of both runs.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    pub workload: &'a Workload,
    pub contender: &'a ContenderInfo,
    pub metric: Metric,
    /// The medians.
    pub figures: [f64; 2],
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The second run differs, by this factor.
    Differs(Estimate),
    NoDifferenceShown(Estimate),
    /// A check failed in one of the runs, or the client limited the rate.
    Unranked,
}

/// A property that differs between the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub values: [String; 2],
}

impl<'a> SideBySide<'a> {
    /// Of results without the rounds that do not count.
    pub fn of(before: &'a Results, after: &'a Results) -> SideBySide<'a> {
        let is_common = |own: &&Workload| {
            after.workload(&own.name).is_some_and(|other| is_same_load(own, other))
        };
        let workloads: Vec<&Workload> = before.workloads.iter().filter(is_common).collect();
        let is_common =
            |own: &&ContenderInfo| after.contender(&own.name).is_some_and(|it| it.kind == own.kind);
        let contenders: Vec<&ContenderInfo> = before.contenders.iter().filter(is_common).collect();
        let mut tests = BTreeMap::new();
        let mut changes = Vec::new();
        for workload in workloads.iter().copied() {
            for metric in Metric::RANKED {
                if !metric.is_ranked_under(workload.pacing) {
                    continue;
                }
                let noise = noise([before, after], workload, metric, &mut tests);
                changes.extend(contenders.iter().filter_map(|contender| {
                    change([before, after], workload, contender, metric, noise, &mut tests)
                }));
            }
        }
        SideBySide {
            before,
            after,
            not_compared: [
                not_compared(before, after, &workloads, &contenders),
                not_compared(after, before, &workloads, &contenders),
            ],
            differences: differences(before, after),
            workloads,
            contenders,
            changes,
        }
    }

    /// The changes of contenders that are ranked: without the reference loop and twins.
    pub fn ranked(&self) -> impl Iterator<Item = &Change<'a>> {
        let is_ranked = |change: &&Change<'_>| {
            matches!(change.contender.kind, ContenderKind::Strategy | ContenderKind::Foreign)
        };
        self.changes.iter().filter(is_ranked)
    }

    /// Without the points of sweeps, unless there is nothing else.
    pub fn loads(&self) -> Vec<&'a Workload> {
        let loads = self.workloads.iter().copied().filter(|workload| workload.sweep.is_none());
        let loads: Vec<&Workload> = loads.collect();
        if loads.is_empty() { self.workloads.clone() } else { loads }
    }

    pub fn change(
        &self,
        workload: &Workload,
        contender: &ContenderInfo,
        metric: Metric,
    ) -> Option<&Change<'a>> {
        self.changes.iter().find(|change| {
            change.metric == metric
                && change.workload.name == workload.name
                && change.contender.name == contender.name
        })
    }
}

type Tests = BTreeMap<(usize, usize), Option<RankSumTest>>;

fn change<'a>(
    runs: [&'a Results; 2],
    workload: &'a Workload,
    contender: &'a ContenderInfo,
    metric: Metric,
    noise: f64,
    tests: &mut Tests,
) -> Option<Change<'a>> {
    let [before, after] = runs.map(|run| figure(run, workload, contender, metric));
    let figures = [before?, after?];
    let is_measured = runs.into_iter().all(|run| {
        let workload = run.workload(&workload.name).unwrap_or(workload);
        let cell = run.cell(&workload.name, &contender.name);
        checks::standing(run, workload, cell, metric) == Standing::Measured
    });
    let ratio = ratio(runs, workload, contender, metric, tests)?;
    let is_shown =
        ratio.level >= LEVEL_MIN && ratio.excludes_one() && ratio.effect() > noise.max(EFFECT_MIN);
    let outcome = match (is_measured, is_shown) {
        (false, _) => Outcome::Unranked,
        (true, true) => Outcome::Differs(ratio),
        (true, false) => Outcome::NoDifferenceShown(ratio),
    };
    Some(Change { workload, contender, metric, figures, outcome })
}

/// The largest effect within the interval of the reference loop; 1 without one.
fn noise(runs: [&Results; 2], workload: &Workload, metric: Metric, tests: &mut Tests) -> f64 {
    let reference = runs[0].reference_loop();
    let ratio = reference.and_then(|loop_| ratio(runs, workload, loop_, metric, tests));
    ratio.map_or(1.0, |ratio| ratio.effect_max())
}

fn ratio(
    runs: [&Results; 2],
    workload: &Workload,
    contender: &ContenderInfo,
    metric: Metric,
    tests: &mut Tests,
) -> Option<Estimate> {
    let values = runs.map(|run| {
        let cell = run.cell(&workload.name, &contender.name);
        let values = cell.map(|cell: &Cell| metric.values(cell)).unwrap_or_default();
        values.into_iter().map(|value| value.max(metric.resolution())).collect::<Vec<f64>>()
    });
    let [before, after] = &values;
    let sizes = (before.len(), after.len());
    let test = tests.entry(sizes).or_insert_with(|| RankSumTest::of(sizes.0, sizes.1));
    (*test)?.ratio(before, after)
}

/// Whether two workloads of one name are the same load. Other files are another load; whether it
/// was measured for a sweep does not matter.
fn is_same_load(a: &Workload, b: &Workload) -> bool {
    let load = |workload: &Workload| Workload {
        title: String::new(),
        path: String::new(),
        sweep: None,
        ..workload.clone()
    };
    load(a) == load(b)
}

/// The workloads and contenders of `own` that are not compared.
fn not_compared(
    own: &Results,
    other: &Results,
    workloads: &[&Workload],
    contenders: &[&ContenderInfo],
) -> Vec<String> {
    let missing_workloads = own.workloads.iter().filter_map(|workload| {
        let is_compared = workloads.iter().any(|common| common.name == workload.name);
        let reason = if other.workload(&workload.name).is_some() { " (other load)" } else { "" };
        (!is_compared).then(|| format!("{}{reason}", workload.name))
    });
    let missing_contenders = own.contenders.iter().filter_map(|contender| {
        let is_compared = contenders.iter().any(|common| common.name == contender.name);
        let reason = if other.contender(&contender.name).is_some() { " (other kind)" } else { "" };
        (!is_compared).then(|| format!("{}{reason}", contender.name))
    });
    missing_workloads.chain(missing_contenders).collect()
}

fn differences(before: &Results, after: &Results) -> Vec<Difference> {
    let [before, after] = [before, after].map(properties);
    let mut names: Vec<&String> = before.iter().map(|(name, _)| name).collect();
    names.extend(
        after
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !before.iter().any(|(known, _)| known == *name)),
    );
    let value = |of: &[(String, String)], name: &String| {
        let found = of.iter().find(|(own, _)| own == name);
        found.map_or("–".to_owned(), |(_, value)| value.clone())
    };
    let differences = names.into_iter().map(|name| Difference {
        name: name.clone(),
        values: [value(&before, name), value(&after, name)],
    });
    differences.filter(|difference| difference.values[0] != difference.values[1]).collect()
}

/// What may explain a difference, as far as the results know it. The seed and the lengths of the
/// windows that follow from the time are no reason for a difference.
fn properties(results: &Results) -> Vec<(String, String)> {
    let (environment, options) = (&results.environment, &results.options);
    let core = |core: Option<u32>| core.map_or("not pinned".to_owned(), |core| core.to_string());
    let mut properties = vec![
        ("processor".to_owned(), environment.cpu_model.clone()),
        ("cores".to_owned(), environment.cores.to_string()),
        ("memory".to_owned(), crate::format::bytes(environment.memory_bytes)),
        ("kernel".to_owned(), environment.kernel.clone()),
        ("architecture".to_owned(), environment.architecture.clone()),
        ("server core".to_owned(), core(environment.server_core)),
        ("client core".to_owned(), core(environment.client_core)),
    ];
    let versions = environment.versions.iter();
    properties
        .extend(versions.map(|(name, version)| (format!("version of {name}"), version.clone())));
    properties.push(("remarks".to_owned(), environment.remarks.join(" ")));
    properties.push(("site".to_owned(), options.site.clone()));
    properties.push(("rounds".to_owned(), options.rounds.to_string()));
    let settings = options.settings.iter();
    properties.extend(settings.map(|setting| (setting.name.clone(), setting.value.clone())));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    /// Every CPU time of `contender`, multiplied.
    fn slowed(mut results: Results, contender: &str, factor: f64) -> Results {
        let cells = results.cells.iter_mut().filter(|cell| cell.contender == contender);
        for cpu in cells.flat_map(|cell| &mut cell.rounds).filter_map(|round| round.cpu.as_mut()) {
            cpu.user_us = (cpu.user_us as f64 * factor) as u64;
            cpu.system_us = (cpu.system_us as f64 * factor) as u64;
        }
        results
    }

    fn cpu_changes<'a>(both: &'a SideBySide<'_>, contender: &str) -> Vec<&'a Outcome> {
        let changes = both.changes.iter().filter(|change| {
            change.metric == Metric::CpuPerRequest && change.contender.name == contender
        });
        changes.map(|change| &change.outcome).collect()
    }

    #[test]
    fn a_change_is_shown_and_others_are_not() {
        let (before, after) = (synthetic::results(1), slowed(synthetic::results(2), "gamma", 1.5));
        let both = SideBySide::of(&before, &after);
        let of_gamma = cpu_changes(&both, "gamma");
        assert_eq!(of_gamma.len(), before.workloads.len());
        for outcome in of_gamma {
            let Outcome::Differs(ratio) = outcome else { panic!("{outcome:?}") };
            assert!((1.3..1.7).contains(&ratio.median), "{ratio:?}");
        }
        let is_shown = |outcome: &&&Outcome| matches!(outcome, Outcome::Differs(_));
        assert_eq!(cpu_changes(&both, "alpha").iter().filter(is_shown).count(), 0);
    }

    #[test]
    fn what_the_reference_loop_shows_too_is_the_machine() {
        let mut after = synthetic::results(2);
        for contender in ["alpha", "gamma", "reference"] {
            after = slowed(after, contender, 1.5);
        }
        let before = synthetic::results(1);
        let both = SideBySide::of(&before, &after);
        for contender in ["alpha", "gamma"] {
            for outcome in cpu_changes(&both, contender) {
                assert!(matches!(outcome, Outcome::NoDifferenceShown(_)), "{outcome:?}");
            }
        }
    }

    #[test]
    fn cells_that_fail_a_check_are_not_compared() {
        let (before, after) = (synthetic::results(1), synthetic::invalid(2));
        let both = SideBySide::of(&before, &after);
        assert!(both.changes.iter().all(|change| change.outcome == Outcome::Unranked));
    }

    #[test]
    fn only_what_both_runs_have_is_compared() {
        let (mut before, mut after) = (synthetic::results(1), synthetic::results(2));
        before.workloads[0].body_bytes += 1;
        let last = after.workloads.pop().expect("there are workloads").name;
        after.contenders.retain(|contender| contender.name != "beta");
        after.environment.kernel = "Linux 7.0".into();
        after
            .options
            .settings
            .push(crate::compare::results::Setting { name: "--depth".into(), value: "32".into() });
        let both = SideBySide::of(&before, &after);
        assert_eq!(both.workloads.len(), before.workloads.len() - 2);
        assert_eq!(both.not_compared[0], ["keep-alive-1 (other load)", &*last, "beta"]);
        assert_eq!(both.not_compared[1], ["keep-alive-1 (other load)"]);
        let names: Vec<&str> = both.differences.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["kernel", "--depth"]);
        assert_eq!(both.differences[1].values, ["–", "32"]);
    }
}
