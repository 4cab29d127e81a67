//! The answer in a few sentences: which strategy costs least, and where another is better.
//!
//! Every clause is computed from the leads, so none can contradict the tables.

use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::{Lead, leads_of};
use crate::compare::analyse::statistics::estimate;
use crate::compare::analyse::verdict::ranked_contenders;
use crate::compare::results::{Axis, ContenderInfo, Pacing, Results, Workload, WorkloadKind};
use crate::format::{counted, listed};

/// A contender that uses more than this share of a core without requests pays for its speed.
const BUSY_WHILE_IDLE: f64 = 0.5;

/// A sentence that lists more loads than this is not read.
const LOADS_NAMED_MAX: usize = 5;

/// The sentences, the most important first.
pub fn headline(results: &Results) -> Vec<String> {
    let leads = leads_of(results, &distinct_loads(results));
    let of_metric =
        |metric| -> Vec<&Lead<'_>> { leads.iter().filter(|lead| lead.metric == metric).collect() };
    let (cpu, rate) = (of_metric(Metric::CpuPerRequest), of_metric(Metric::Throughput));
    if leads.is_empty() {
        return vec!["Nothing valid was measured, so there is no ranking.".to_owned()];
    }
    let contenders = ranked_contenders(results);
    let led =
        |contender: &ContenderInfo| cpu.iter().filter(|lead| lead.is_led_by(contender)).count();
    let cheapest = contenders.iter().rev().copied().max_by_key(|contender| led(contender));
    let Some(cheapest) = cheapest.filter(|contender| led(contender) > 0) else {
        return vec!["No contender is shown to use less CPU time than another.".to_owned()];
    };
    let alone = cpu.iter().filter(|lead| lead.is_led_by(cheapest) && lead.leaders.len() == 1);
    let first = format!(
        "least CPU time per request in {} of {}, sole leader in {} of them",
        led(cheapest),
        counted(cpu.len(), "load"),
        alone.count()
    );
    let others = clauses_of(results, cheapest, cheapest, &cpu, &rate);
    let first = [Some(first), others].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let mut sentences = vec![format!("{}: {first}.", cheapest.name)];
    let mut clauses: Vec<(Vec<&str>, String)> = Vec::new();
    for contender in contenders.into_iter().filter(|contender| contender.name != cheapest.name) {
        let Some(clause) = clauses_of(results, contender, cheapest, &cpu, &rate) else { continue };
        match clauses.iter_mut().find(|(_, other)| *other == clause) {
            Some((names, _)) => names.push(&contender.name),
            None => clauses.push((vec![&contender.name], clause)),
        }
    }
    let sentence = |(names, clause): (Vec<&str>, String)| format!("{}: {clause}.", listed(&names));
    sentences.extend(clauses.into_iter().map(sentence));
    sentences
}

/// Where `contender` is better than `cheapest`.
fn clauses_of(
    results: &Results,
    contender: &ContenderInfo,
    cheapest: &ContenderInfo,
    cpu: &[&Lead<'_>],
    rate: &[&Lead<'_>],
) -> Option<String> {
    let is_cheaper = |lead: &&&Lead<'_>| lead.is_led_by(contender) && !lead.is_led_by(cheapest);
    let is_fastest = |lead: &&&Lead<'_>| lead.is_led_by(contender) && lead.leaders.len() == 1;
    let clauses = [
        clause("least CPU time", cpu.iter().filter(is_cheaper)),
        clause("most requests per second", rate.iter().filter(is_fastest)),
    ];
    let clauses: Vec<String> = clauses.into_iter().flatten().collect();
    let idle = idle_share(results, contender).filter(|share| *share > BUSY_WHILE_IDLE);
    let cost = idle.map(|share| format!(", at {:.0} % of a core while idle", share * 100.0));
    // What it cannot do, no load shows: it takes part in few of them.
    let is_alone = contender.connections_max == Some(1);
    let limit = if is_alone { ", but it serves only one connection at a time" } else { "" };
    (!clauses.is_empty()).then(|| clauses.join("; ") + limit + &cost.unwrap_or_default())
}

/// `least CPU time with 1 connection and files of 1.0 MiB`
fn clause<'a>(what: &str, leads: impl Iterator<Item = &'a &'a Lead<'a>>) -> Option<String> {
    let mut workloads: Vec<&Workload> = leads.map(|lead| lead.workload).collect();
    workloads.sort_by_key(|workload| order(workload));
    let mut loads: Vec<String> = workloads.into_iter().map(load).collect();
    if loads.len() > LOADS_NAMED_MAX {
        let more = loads.split_off(LOADS_NAMED_MAX - 1).len();
        loads.push(format!("{more} more loads"));
    }
    (!loads.is_empty()).then(|| format!("{what} with {}", listed(&loads)))
}

/// The loads in the order in which reports show them: of one kind, few connections come first.
pub fn in_order(results: &Results) -> Vec<&Workload> {
    let mut workloads = results.loads();
    workloads.sort_by_key(|workload| order(workload));
    workloads
}

/// The loads in that order, each once: without TLS, one that resumes sessions is the one with new
/// connections again.
pub fn distinct_loads(results: &Results) -> Vec<&Workload> {
    let is_plain = |contender: &&ContenderInfo| contender.without_tls.is_none();
    let is_repeated = ranked_contenders(results).iter().any(is_plain);
    let mut workloads = in_order(results);
    workloads.retain(|workload| !(is_repeated && workload.resumes_sessions));
    workloads
}

fn order(workload: &Workload) -> impl Ord + use<> {
    let is_open = workload.pacing != Pacing::Closed;
    (is_open, workload.kind, workload.connections, workload.resumes_sessions)
}

/// The CPU time without requests, as a share of a core: the median over the loads.
fn idle_share(results: &Results, contender: &ContenderInfo) -> Option<f64> {
    let cells = results.cells.iter().filter(|cell| cell.contender == contender.name);
    let shares = cells.filter_map(|cell| Some(estimate(Metric::IdleCpu, cell)?.median));
    crate::compare::analyse::statistics::median(&shares.collect::<Vec<_>>())
}

/// A load in words that fit behind "with": `64 connections`, `files of 1.0 MiB`.
pub fn load(workload: &Workload) -> String {
    let axis = match (workload.sweep, workload.kind, workload.pacing) {
        (Some(axis), ..) => axis,
        (None, _, Pacing::Open { .. }) => Axis::Rate,
        (None, WorkloadKind::KeepAlive, _) => Axis::Connections,
        (None, WorkloadKind::LargeFile, _) => Axis::Size,
        (None, WorkloadKind::MostlyIdle, _) => Axis::Idle,
        (None, WorkloadKind::Pipelined, _) => {
            return format!("{} pipelined requests", workload.pipeline_depth);
        }
        (None, WorkloadKind::ConnectionPerRequest, _) if workload.resumes_sessions => {
            return "resumed TLS sessions".to_owned();
        }
        (None, WorkloadKind::ConnectionPerRequest, _) => return "new connections".to_owned(),
        (None, WorkloadKind::SlowReaders, _) => {
            return format!("{} slow readers", workload.idle_connections);
        }
    };
    axis.describe(workload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    /// Sets the CPU time per request of a contender under a workload.
    fn set_cpu(results: &mut Results, contender: &str, workload: &str, micros: u64) {
        let mut cells = results.cells.iter_mut();
        let is_meant = |cell: &&mut crate::compare::results::Cell| {
            cell.contender == contender && cell.workload == workload
        };
        cells.by_ref().filter(is_meant).for_each(|cell| {
            for round in &mut cell.rounds {
                let requests = round.requests;
                round.cpu.iter_mut().for_each(|cpu| {
                    (cpu.user_us, cpu.system_us) = (requests * micros, 0);
                });
            }
        });
    }

    #[test]
    fn the_headline_names_the_cheapest_and_where_another_is_cheaper() {
        let mut results = synthetic::results(5);
        let workloads: Vec<String> = results.workloads.iter().map(|w| w.name.clone()).collect();
        let contenders: Vec<String> = results.contenders.iter().map(|c| c.name.clone()).collect();
        for workload in &workloads {
            for contender in &contenders {
                let micros = match (&**contender, &**workload) {
                    ("beta", "large") => 5,
                    ("alpha" | "alpha again", _) => 10,
                    _ => 20,
                };
                set_cpu(&mut results, contender, workload, micros);
            }
        }
        let sentences = headline(&results);
        let loads = results.loads().len();
        let first = format!("alpha: least CPU time per request in {} of {loads} loads", loads - 1);
        assert!(sentences[0].starts_with(&first), "{sentences:?}");
        let beta = sentences.iter().find(|sentence| sentence.starts_with("beta: "));
        assert!(beta.is_some_and(|text| text.contains("least CPU time with files of")), "{beta:?}");
    }

    #[test]
    fn without_valid_results_or_differences_the_headline_says_so() {
        let invalid = headline(&synthetic::invalid(5));
        assert_eq!(invalid, ["Nothing valid was measured, so there is no ranking."]);
        let mut results = synthetic::results(5);
        let names: Vec<[String; 2]> =
            results.cells.iter().map(|c| [c.contender.clone(), c.workload.clone()]).collect();
        for [contender, workload] in names {
            set_cpu(&mut results, &contender, &workload, 10);
        }
        assert_eq!(
            headline(&results),
            ["No contender is shown to use less CPU time than another."]
        );
    }
}
