//! What a measurement must pass before it is believed.
//!
//! A benchmark that can't go wrong can't be trusted either. Every cell is held to the checks below; a cell that fails
//! one is shown with the reason, and never ranked by what the check concerns. The checks judge the measuring, not the
//! contender: a slow server passes all of them.
//!
//! # Laws
//! - A check that lacks its facts says so and fails nothing: a foreign server has no CPU clock of ours.
//! - Rounds are judged by their median, so one bad round among many is what the statistics are there to bear; but
//!   errors are summed, for a median would hide them.

use crate::compare::analyse::metric::{Metric, significant};
use crate::compare::analyse::statistics::median;
use crate::compare::results::{Cell, ErrorKind, Pacing, Results, Round, Workload};
use crate::format::counted;

/// Of all requests: a few connections may break on a busy machine, more is another workload.
const ERROR_SHARE_MAX: f64 = 0.001;
/// Little's law is exact for whole windows; requests cut by the edges are allowed for apart.
const LITTLE_TOLERANCE: f64 = 0.1;
/// A client busier than this has no idle moment left: its own speed is what was measured.
const CLIENT_CPU_SHARE_MAX: f64 = 0.95;
/// Below it the load was another than the one told.
const OFFERED_SHARE_MIN: f64 = 0.95;
/// Of a core taken away by the hypervisor.
const STEAL_SHARE_MAX: f64 = 0.05;
/// Of the server's or the client's core, taken by programs that have no part in this. What is less widens the
/// intervals, which is where noise belongs.
const FOREIGN_CPU_SHARE_MAX: f64 = 0.2;

/// One check and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What was looked at.
    pub check: Check,
    /// How it went.
    pub outcome: Outcome,
    /// With the figures, e.g. "in flight 63.9, by Little's law 64.0".
    pub words: String,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Whether there is anything, and nothing broke down.
    Measured,
    /// Whether requests came to nothing.
    Errors,
    /// Whether the mean number in flight is the rate times the mean latency: a client that loses time, or counts
    /// wrong, breaks it.
    LittlesLaw,
    /// Whether the client could have asked for more.
    Client,
    /// Whether an open loop achieved what it offered.
    Offered,
    /// Whether the machine was ours.
    Noise,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Passed,
    /// The cell is not to be ranked.
    Failed,
    /// Its facts are not there, or it has no meaning here.
    Skipped,
}

impl Check {
    /// Whether a cell that fails it may not be ranked by this metric. A client that is the slower side hides how fast
    /// the server would be; what a request costs the server, its own counters says all the same.
    pub fn concerns(self, metric: Metric) -> bool {
        use Metric::{LatencyMedian, LatencyP99, LatencyP999, Throughput};
        self != Check::Client
            || matches!(metric, Throughput | LatencyMedian | LatencyP99 | LatencyP999)
    }

    /// In a row of a table.
    pub fn title(self) -> &'static str {
        match self {
            Check::Measured => "measured",
            Check::Errors => "errors",
            Check::LittlesLaw => "Little's law",
            Check::Client => "client",
            Check::Offered => "offered rate",
            Check::Noise => "noise",
        }
    }
}

/// All checks of a cell, in order; one alone if there is nothing to check.
pub fn findings(results: &Results, workload: &Workload, cell: Option<&Cell>) -> Vec<CheckResult> {
    let Some(cell) = cell.filter(|cell| !cell.rounds.is_empty() || !cell.failures.is_empty())
    else {
        return vec![finding(Check::Measured, false, "not measured".to_owned())];
    };
    let measured = measured(cell);
    if measured.outcome == Outcome::Failed {
        return vec![measured];
    }
    vec![
        measured,
        errors(cell),
        littles_law(workload, cell),
        client(results, cell),
        offered(workload, cell),
        noise(cell),
    ]
}

/// Whether the cell may be ranked by this metric.
pub fn is_valid(
    results: &Results,
    workload: &Workload,
    cell: Option<&Cell>,
    metric: Metric,
) -> bool {
    !failures(results, workload, cell).iter().any(|failure| failure.check.concerns(metric))
}

/// The checks that it fails.
pub fn failures(results: &Results, workload: &Workload, cell: Option<&Cell>) -> Vec<CheckResult> {
    let mut findings = findings(results, workload, cell);
    findings.retain(|finding| finding.outcome == Outcome::Failed);
    findings
}

/// Whether anything at all may be ranked; else a comparison has said nothing.
pub fn any_valid(results: &Results) -> bool {
    results.workloads.iter().any(|workload| {
        results.contenders.iter().any(|contender| {
            let cell = results.cell(&workload.name, &contender.name);
            Metric::RANKED.into_iter().any(|metric| is_valid(results, workload, cell, metric))
        })
    })
}

fn measured(cell: &Cell) -> CheckResult {
    let empty =
        cell.rounds.iter().filter(|round| round.requests == 0 || round.duration_us == 0).count();
    let words = match (cell.failures.as_slice(), empty) {
        ([], 0) => counted(cell.rounds.len(), "round"),
        ([], empty) => format!("no answer in {empty} of {}", counted(cell.rounds.len(), "round")),
        (failures, _) => failures.join("; "),
    };
    finding(Check::Measured, cell.failures.is_empty() && empty == 0, words)
}

fn errors(cell: &Cell) -> CheckResult {
    let of_kind =
        |kind| -> u64 { cell.rounds.iter().filter_map(|round| round.errors.get(&kind)).sum() };
    let errors: u64 = cell.rounds.iter().map(Round::errors_total).sum();
    let requests: u64 = cell.rounds.iter().map(|round| round.requests).sum();
    // A wrong answer is no matter of load: the contender did other work than the rest.
    let are_right = of_kind(ErrorKind::Answer) == 0 && of_kind(ErrorKind::Status) == 0;
    let are_few = errors as f64 <= ERROR_SHARE_MAX * (errors + requests) as f64;
    let kinds = [
        (ErrorKind::Connect, "no connection"),
        (ErrorKind::Closed, "broken off"),
        (ErrorKind::Timeout, "too late"),
        (ErrorKind::Status, "wrong status"),
        (ErrorKind::Answer, "wrong answer"),
    ];
    let counts = kinds.map(|(kind, words)| (of_kind(kind), words));
    let told: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let words = if told.is_empty() {
        "none".to_owned()
    } else {
        format!("{} of {}", told.join(", "), errors + requests)
    };
    finding(Check::Errors, are_right && are_few, words)
}

fn littles_law(workload: &Workload, cell: &Cell) -> CheckResult {
    let Some(counted) = median_of(cell, |round| Some(round.in_flight_average)) else {
        return skipped(Check::LittlesLaw, "not measured");
    };
    let reckoned = median_of(cell, |round| {
        Some(round.requests as f64 * round.latency.mean_ns()? / (round.duration_us as f64 * 1000.0))
    });
    let Some(reckoned) = reckoned else {
        return finding(Check::LittlesLaw, false, "answers without latencies".to_owned());
    };
    // Each active connection may have requests cut at the edges, begun before or not ended within.
    let cut = f64::from(workload.active_connections()) * f64::from(workload.pipeline_depth);
    let requests = median_of(cell, |round| Some(round.requests as f64)).unwrap_or(1.0);
    let tolerance = LITTLE_TOLERANCE + cut / requests.max(1.0);
    let holds = (reckoned - counted).abs() <= tolerance * counted.max(f64::MIN_POSITIVE);
    let words =
        format!("in flight {}, by Little's law {}", significant(counted), significant(reckoned));
    finding(Check::LittlesLaw, holds, words)
}

fn client(results: &Results, cell: &Cell) -> CheckResult {
    let environment = &results.environment;
    let share_a_core = environment.cores == 1
        || (environment.server_core.is_some()
            && environment.server_core == environment.client_core);
    let busy = median_of(cell, |round| Some(round.client_cpu_share)).unwrap_or_default();
    let words = format!("client busy for {:.0} %", busy * 100.0);
    match share_a_core {
        true => skipped(Check::Client, &format!("{words}, on the server's core")),
        false => finding(Check::Client, busy <= CLIENT_CPU_SHARE_MAX, words),
    }
}

fn offered(workload: &Workload, cell: &Cell) -> CheckResult {
    let Pacing::Open { requests_per_second: offered } = workload.pacing else {
        return skipped(Check::Offered, "a closed loop");
    };
    let achieved = median_of(cell, |round| Metric::Throughput.of(round)).unwrap_or_default();
    let words = format!(
        "{} of {} requests/s",
        Metric::Throughput.format(achieved),
        Metric::Throughput.format(offered)
    );
    finding(Check::Offered, achieved >= OFFERED_SHARE_MIN * offered, words)
}

fn noise(cell: &Cell) -> CheckResult {
    let steal = median_of(cell, |round| round.noise.steal_share);
    let foreign = median_of(cell, |round| round.noise.foreign_cpu_share);
    // Only told: waiting for a core is also what many threads on one core do by design.
    let pressure = median_of(cell, |round| round.noise.cpu_pressure_share);
    let percent = |share: Option<f64>, what: &str| {
        share.map(|share| format!("{what} {:.1} %", share * 100.0))
    };
    let told = [percent(steal, "steal"), percent(foreign, "others"), percent(pressure, "pressure")];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() {
        return skipped(Check::Noise, "not measured");
    }
    let is_quiet = steal.is_none_or(|share| share <= STEAL_SHARE_MAX)
        && foreign.is_none_or(|share| share <= FOREIGN_CPU_SHARE_MAX);
    finding(Check::Noise, is_quiet, told.join(", "))
}

fn median_of(cell: &Cell, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    median(&cell.rounds.iter().filter_map(value).collect::<Vec<_>>())
}

fn finding(check: Check, is_passed: bool, words: String) -> CheckResult {
    CheckResult { check, outcome: if is_passed { Outcome::Passed } else { Outcome::Failed }, words }
}

fn skipped(check: Check, words: &str) -> CheckResult {
    CheckResult { check, outcome: Outcome::Skipped, words: words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    /// The failures of the first contender under `workload`, after `spoil` had its way with every round.
    fn failed_after(workload: &str, spoil: impl Fn(&mut Round)) -> Vec<Check> {
        let mut results = synthetic::results(1);
        let contender = results.contenders[0].name.clone();
        let cell = results
            .cells
            .iter_mut()
            .find(|cell| cell.workload == workload && cell.contender == contender);
        cell.expect("it was made").rounds.iter_mut().for_each(spoil);
        let spoilt = results.workload(workload).expect("it was made");
        failures(&results, spoilt, results.cell(workload, &contender))
            .iter()
            .map(|finding| finding.check)
            .collect()
    }

    #[test]
    fn a_clean_run_is_valid_throughout() {
        let results = synthetic::results(1);
        for workload in &results.workloads {
            for contender in &results.contenders {
                let cell = results.cell(&workload.name, &contender.name);
                let failures = failures(&results, workload, cell);
                // The process contender can't keep up with every offered rate, and that is told.
                assert!(
                    failures.is_empty(),
                    "{} under {}: {failures:?}",
                    contender.name,
                    workload.name
                );
            }
        }
        assert!(any_valid(&results));
    }

    #[test]
    fn each_fault_fails_its_own_check() {
        assert_eq!(failed_after("keep-alive-64", |_| {}), []);
        assert_eq!(
            failed_after("keep-alive-64", |round| round.in_flight_average *= 1.3),
            [Check::LittlesLaw]
        );
        assert_eq!(
            failed_after("keep-alive-64", |round| round.client_cpu_share = 0.99),
            [Check::Client]
        );
        assert_eq!(failed_after("keep-alive-64", |round| round.requests = 0), [Check::Measured]);
        assert_eq!(
            failed_after("keep-alive-64", |round| round.noise.steal_share = Some(0.2)),
            [Check::Noise]
        );
        let with_errors =
            |kind, count| move |round: &mut Round| round.errors = [(kind, count)].into();
        assert_eq!(
            failed_after("keep-alive-64", with_errors(ErrorKind::Answer, 1)),
            [Check::Errors]
        );
        assert_eq!(failed_after("keep-alive-64", with_errors(ErrorKind::Closed, 1)), []);
        assert_eq!(
            failed_after("keep-alive-64", with_errors(ErrorKind::Closed, 1000)),
            [Check::Errors]
        );
        let slowed = |round: &mut Round| {
            round.requests /= 2;
            round.in_flight_average /= 2.0;
        };
        assert_eq!(failed_after("keep-alive-64-open", slowed), [Check::Offered]);
    }

    #[test]
    fn a_client_at_its_limit_hides_the_rate_and_not_the_cost() {
        assert!(
            !Check::Client.concerns(Metric::CpuPerRequest)
                && Check::Client.concerns(Metric::LatencyP99)
        );
        assert!(Check::Noise.concerns(Metric::CpuPerRequest));
    }

    #[test]
    fn one_bad_round_is_borne() {
        assert_eq!(
            failed_after("keep-alive-64", |round| {
                if round.number == 0 {
                    round.client_cpu_share = 1.0;
                    round.noise.steal_share = Some(0.5);
                }
            }),
            []
        );
    }

    #[test]
    fn on_one_core_a_busy_client_fails_nothing() {
        let mut results = synthetic::results(1);
        results.environment.client_core = results.environment.server_core;
        results
            .cells
            .iter_mut()
            .flat_map(|cell| &mut cell.rounds)
            .for_each(|round| round.client_cpu_share = 1.0);
        assert!(results.cells.iter().all(|cell| {
            let workload = results.workload(&cell.workload).expect("it was made");
            is_valid(&results, workload, Some(cell), Metric::Throughput)
        }));
    }

    #[test]
    fn nothing_valid_is_said() {
        assert!(!any_valid(&synthetic::invalid(1)));
        let results = synthetic::partial(1);
        let last = results.workloads.last().expect("there are some");
        assert_eq!(
            findings(&results, last, results.cell(&last.name, "alpha"))[0].words,
            "not measured"
        );
    }
}
